"""What is one entry of a container's log?"""

from __future__ import annotations

import msgspec


class LogEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line that was printed, or a part of one (then without a line end), as in the file."""

    text: str = msgspec.field(name="log")
    stream: str  # "stdout" or "stderr"
    time: str  # RFC 3339, UTC, nine digits of a second
    attributes: dict[str, str] = msgspec.field(name="attrs", default_factory=dict)
