"""Which version is this: `version`, with the field names that scripts ask docker for."""

from __future__ import annotations

import os
import sys

from .. import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The highest Docker Engine API whose commands and documents are followed.
API_VERSION = "1.44"
OCI_SPEC_VERSION = "1.2.0"


def version() -> dict[str, Any]:
    """Return the Client and Server blocks; there is no server, so both are this program."""
    system = os.uname()
    block = {
        "Version": __version__,
        "ApiVersion": API_VERSION,
        "PythonVersion": sys.version.split()[0],
        "OciSpecVersion": OCI_SPEC_VERSION,
        "Os": "linux",
        "Arch": architecture(system.machine),
        "KernelVersion": system.release,
    }
    return {"Client": block, "Server": block}


def architecture(machine: str) -> str:
    """Return GOARCH's name of a machine as uname(2) names it.  Source: image-spec config.md"""
    return {
        "x86_64": "amd64",
        "aarch64": "arm64",
        "armv7l": "arm",
        "i686": "386",
    }.get(machine, machine)
