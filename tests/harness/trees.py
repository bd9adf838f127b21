"""How does a test get a tree of its own that many tests need, without making it anew?"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def kept() -> Path:
    """Return an empty directory that is there as long as this process, beside those of tests."""
    path, pid = Path(tempfile.mkdtemp(prefix="pyrunc-kept-", dir="/var/tmp")), os.getpid()
    atexit.register(lambda: shutil.rmtree(path) if os.getpid() == pid else None)
    return path


def copy(source: Path, target: Path) -> None:
    """Copy a tree to where nothing is, with owners, modes, times, attributes and hard links."""
    subprocess.run(["cp", "--archive", source, target], check=True)
