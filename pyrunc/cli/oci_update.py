"""How are new limits typed, or read from a caller's JSON?

With --resources, a document as linux.resources of config.json; else one flag a limit, as in runc.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, Unsupported, errno_reason
from ..oci import document
from .oci_table import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .oci_table import Call

_LIMIT_BYTES = 1 << 20


def update(call: Call) -> int:
    """Change the limits of a container."""
    directory = call.directory()
    from ..runtime import update as limits

    source = call.options.get("resources")
    wanted = from_document(_read(source)) if source else from_flags(call)
    limits.update(directory, wanted)
    return 0


def from_document(raw: bytes) -> dict[str, Any]:
    """Return the resources of a JSON document.  Raises: InvalidInput."""
    return document.load_object(raw, "resources")


def from_flags(call: Call) -> dict[str, Any]:
    """Return the resources that the flags ask for.  Raises: UsageError, Unsupported."""
    for flag, problem in _INTEL_RDT:
        if call.options.get(flag):
            raise Unsupported(problem, feature=flag, needs="a processor with Intel RDT")
    if call.options.get("kernel-memory"):
        call.log.warning("--kernel-memory is ignored: no kernel since 5.4 heeds it")
    resources: dict[str, Any] = {}
    for flag, name, key, read in _FLAGS:
        text = call.options.get(flag)
        if text:
            resources.setdefault(name, {})[key] = read(text, flag)
    return resources


def _whole(text: str, flag: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise UsageError(f'invalid value for {flag}: parsing "{text}": invalid syntax')
    return int(text)


def _bytes(text: str, flag: str) -> int:
    """Read "64m", "1.5GiB", "-1".  Source: docker/go-units size.go, RAMInBytes."""
    if text == "-1":
        return -1
    number = text.rstrip("bBiI")
    unit = "kmgtp".find(number[-1:].lower()) + 1 if number[-1:].isalpha() else 0
    number = number[:-1].rstrip(" ") if unit else number
    whole, dot, fraction = number.partition(".")
    is_number = all(part.isascii() and part.isdigit() for part in (whole, fraction or "0"))
    if not is_number or (dot and not fraction):
        raise UsageError(f"invalid value for {flag}: invalid size: '{text}'")
    return int(float(number) * 1024**unit) if dot else int(whole) * 1024**unit


def _text(text: str, flag: str) -> str:
    del flag
    return text


_FLAGS: tuple[tuple[str, str, str, Callable[[str, str], int | str]], ...] = (
    ("blkio-weight", "blockIO", "weight", _whole),
    ("cpu-period", "cpu", "period", _whole),
    ("cpu-quota", "cpu", "quota", _whole),
    ("cpu-burst", "cpu", "burst", _whole),
    ("cpu-share", "cpu", "shares", _whole),
    ("cpu-rt-period", "cpu", "realtimePeriod", _whole),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime", _whole),
    ("cpu-idle", "cpu", "idle", _whole),
    ("cpuset-cpus", "cpu", "cpus", _text),
    ("cpuset-mems", "cpu", "mems", _text),
    ("memory", "memory", "limit", _bytes),
    ("memory-reservation", "memory", "reservation", _bytes),
    ("memory-swap", "memory", "swap", _bytes),
    ("kernel-memory-tcp", "memory", "kernelTCP", _bytes),
    ("pids-limit", "pids", "limit", _whole),
)
_INTEL_RDT = (
    ("l3-cache-schema", "Intel RDT/CAT: l3 cache schema is not enabled"),
    ("mem-bw-schema", "Intel RDT/MBA: memory bandwidth schema is not enabled"),
)


def _read(source: str) -> bytes:
    """Return the bytes of a file, or of stdin for "-"."""
    try:
        descriptor = 0 if source == "-" else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        why = errno_reason(error.errno or 0)
        raise InvalidInput(f"cannot read {source!r}: {why}", subject=source) from error
    parts, size = [], 0
    try:
        while size <= _LIMIT_BYTES and (part := os.read(descriptor, 65536)):
            parts.append(part)
            size += len(part)
    finally:
        if descriptor:
            os.close(descriptor)
    if size > _LIMIT_BYTES:
        raise InvalidInput(f"cannot read {source!r}: more than {_LIMIT_BYTES} bytes")
    return b"".join(parts)
