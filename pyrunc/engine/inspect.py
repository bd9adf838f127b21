"""All that is known of one object, under docker's field names: `inspect`."""

from __future__ import annotations

from ..errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .engine import Engine

_NEVER = "0001-01-01T00:00:00Z"  # Go's zero time, which scripts compare with


def inspect(
    engine: Engine, name: str, *, kind: str | None = None, with_size: bool = False
) -> dict[str, Any]:
    """Inspect one object: a container, then an image, unless `kind` says which.

    Raises: NotFound ("No such object: X"; "No such container: X" when the kind was given).
    """
    if kind in (None, "container"):
        from .inspect_container import inspect_container

        try:
            return inspect_container(engine, name, with_size=with_size)
        except NotFound:
            if kind is not None:
                raise
    if kind in (None, "image"):
        from .images import inspect_image

        try:
            return inspect_image(engine, name)
        except NotFound:
            if kind is not None:
                raise
    if kind in (None, "volume"):
        from .volume import inspect_volume

        try:
            return inspect_volume(engine, name)
        except NotFound:
            if kind is not None:
                raise
    raise NotFound(f"No such object: {name}", kind=kind or "object", name=name)


def timestamp(time_ns: int) -> str:
    """Return RFC 3339 with nanoseconds in UTC, as Go's RFC3339Nano; Go's zero time for 0."""
    if not time_ns:
        return _NEVER
    import time

    seconds, fraction = divmod(time_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"
