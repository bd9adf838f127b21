"""pyrunc: a container engine and OCI runtime for Linux, without a daemon."""

__version__ = "0.1.0"
