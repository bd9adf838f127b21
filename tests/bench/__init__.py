"""Ratios against docker, podman and runc, measured side by side in one run.  Never a timed test."""
