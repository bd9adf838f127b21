from __future__ import annotations
import subprocess
def run(argv, *, stdin=b"", timeout_seconds):
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout_seconds)
