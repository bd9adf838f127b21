"""Which runtime do the engines call?

pyrunc-oci; PYRUNC_ENGINE_RUNTIME names another (runc), to see whether a test is about the runtime.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.harness.engine import command

NAME = "pyrunc"  # as engines know it


def runtime() -> Path:
    """Return the absolute path of the runtime under test."""
    name = os.environ.get("PYRUNC_ENGINE_RUNTIME", "pyrunc-oci")
    if name == "pyrunc-oci":
        return command(name)
    path = shutil.which(name)
    assert path, f"no {name}"
    return Path(path)
