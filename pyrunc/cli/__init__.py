"""Command lines: what users type, and the only place that prints."""
