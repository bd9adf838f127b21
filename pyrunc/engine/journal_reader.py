"""How is read back what a container printed into the journal?  By journalctl.

Source: journalctl(1); systemd.io, "Journal Export Formats" for its JSON.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, Unsupported
from ..kernel import spawn
from ..oci import document
from .log_entry import LogEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PROGRAMS = ("/usr/bin/journalctl", "/bin/journalctl")
_SYNC_SECONDS = 10.0
_BLOCK_BYTES = 1 << 16
_ERROR = "3"
# What is no attribute of the container.
_OURS = frozenset(
    {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "CONTAINER_ID", "CONTAINER_ID_FULL"}
    | {"CONTAINER_NAME", "CONTAINER_TAG", "CONTAINER_PARTIAL_MESSAGE", "IMAGE_NAME"}
)


class JournalReader:
    """Reads the entries of one container, each once."""

    def __init__(self, container_id: str) -> None:
        """Find journalctl.  Raises: Unsupported without it."""
        self.damaged = 0
        self._id = container_id
        self._cursor = ""
        self._program = next((path for path in _PROGRAMS if os.path.exists(path)), "")
        if not self._program:
            raise Unsupported(
                "configured logging driver does not support reading",
                feature="logs",
                needs=f"journalctl at {_PROGRAMS[0]}",
            )

    def entries(self, tail: int) -> Iterator[list[LogEntry]]:
        """Yield what is there and was not read yet; the first time, the last `tail` of it."""
        words = [self._program, "--output=json", "--all", "--no-pager", "--quiet"]
        if self._cursor:
            words.append(f"--after-cursor={self._cursor}")
        elif tail >= 0:
            words.append(f"--lines={tail}")
        # What was sent before now is in the journal after this; one without it is read as it is.
        spawn.run([self._program, "--sync"], timeout_seconds=_SYNC_SECONDS)
        for line in _output([*words, f"CONTAINER_ID_FULL={self._id}"]):
            entry = self._entry(line)
            if entry is None:
                self.damaged += 1
            else:
                yield [entry]

    def _entry(self, line: bytes) -> LogEntry | None:
        try:
            fields = document.load_object(line, "an entry of the journal")
            microseconds = int(fields["__REALTIME_TIMESTAMP"])
        except (InvalidInput, KeyError, ValueError):
            return None
        self._cursor = str(fields.get("__CURSOR", self._cursor))
        is_whole = fields.get("CONTAINER_PARTIAL_MESSAGE") != "true"
        return LogEntry(
            text=_text(fields.get("MESSAGE")) + ("\n" if is_whole else ""),
            stream="stderr" if fields.get("PRIORITY") == _ERROR else "stdout",
            time=_time(microseconds),
            attributes={
                name: _text(value)
                for name, value in fields.items()
                if not name.startswith("_") and name not in _OURS
            },
        )


def _output(words: list[str]) -> Iterator[bytes]:
    """Run a program and yield its lines as they come."""
    read_fd, write_fd = os.pipe()
    try:
        process = spawn.start(words, {1: write_fd})
    except BaseException:
        os.close(read_fd)
        raise
    finally:
        os.close(write_fd)
    try:
        with open(read_fd, "rb", buffering=_BLOCK_BYTES) as lines:
            yield from lines
    finally:
        process.kill()
        process.wait()


def _text(value: Any) -> str:  # noqa: ANN401  # JSON: text, or bytes that are none as a list of numbers
    if isinstance(value, list):
        return bytes(byte & 0xFF for byte in value if isinstance(byte, int)).decode(
            "utf-8", "surrogateescape"
        )
    return "" if value is None else str(value)


def _time(microseconds: int) -> str:
    import time

    seconds, rest = divmod(microseconds, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:06d}000Z"
