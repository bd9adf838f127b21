"""The Python side of the monitor: what it is asked to do, and how to talk to it."""
