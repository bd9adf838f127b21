"""How does an overlay say "this name is gone" and "nothing below shows through here"?

A whiteout is a character device 0:0, made by the unpacker.  An opaque directory has an extended
attribute that only CAP_SYS_ADMIN may set, so the unpacker hands such directories up.
Source: kernel Documentation/filesystems/overlayfs.rst (whiteouts and opaque directories).
"""

from __future__ import annotations

import os
import stat

from ..errors import IntegrityError

OPAQUE = "trusted.overlay.opaque"


def mark_opaque(fd: int, device: int) -> None:
    """Mark a directory that came from the unpacker; `device` is the layer's filesystem.

    Raises: IntegrityError if the unpacker sent something else.
    """
    status = os.fstat(fd)
    if not stat.S_ISDIR(status.st_mode) or status.st_dev != device:
        raise IntegrityError("cannot unpack layer: the unpacker handed up no directory of its own")
    os.setxattr(fd, OPAQUE, b"y")


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether an entry of a layer hides its name below."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(fd: int) -> bool:
    """Tell whether a directory of a layer hides what the layers below have in it."""
    try:
        return os.getxattr(fd, OPAQUE) == b"y"
    except OSError:
        return False
