"""What is one entry of a container's log?"""

from __future__ import annotations

from ..oci.record import Record


class LogEntry(Record):
    """A line that was printed, or a part of one (then without a line end)."""

    text: str
    stream: str  # "stdout" or "stderr"
    time: str  # RFC 3339, UTC, nine digits of a second
    attributes: dict[str, str]
