"""A static program that reports what the first process of a container sees, and comparisons."""
