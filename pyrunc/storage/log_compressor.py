"""How does a full log become smaller?  A program of its own, started by the monitor.

Its stdin is the file, which holds the lock that keeps the monitor from moving it meanwhile
(csrc/log_file.c).  Readers find one of the two files at any moment.
"""

from __future__ import annotations

import os
import zlib

_BLOCK_BYTES = 1 << 20
_LEVEL = 1
_GZIP_BITS = 31


def compress(path: str) -> None:
    """Make PATH.gz of PATH, with its time, by which readers tell which file it was; remove PATH.

    What fails leaves PATH as it was: a container that is removed takes its log along.
    """
    try:
        with open(path, "rb", buffering=0) as source:
            made = os.fstat(source.fileno())
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(f"{path}.gz.part", flags, 0o600), "wb", buffering=0) as target:
                encoder = zlib.compressobj(_LEVEL, wbits=_GZIP_BITS)
                while block := source.read(_BLOCK_BYTES):
                    _write(target.fileno(), encoder.compress(block))
                _write(target.fileno(), encoder.flush())
                os.utime(target.fileno(), ns=(made.st_mtime_ns, made.st_mtime_ns))
                os.fsync(target.fileno())
        os.rename(f"{path}.gz.part", f"{path}.gz")
        os.unlink(path)
    except OSError:
        _remove(f"{path}.gz.part")


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
