"""Where does pyrunc-oci say what went wrong?

On stderr, always; and in the file that --log names, which engines read back: conmon and Podman take
the whole of it as one JSON object, containerd's shim takes the last line whose level is error.
"""

from __future__ import annotations

import os
import time

from ..oci import document


class Log:
    """The file that --log names, and stderr."""

    def __init__(self) -> None:
        """Write to stderr until told otherwise."""
        self.path = ""
        self.is_json = False
        self.is_debug = False

    def open(self, path: str, *, is_json: bool) -> None:
        """Use a file, and make it: a caller reads it whether or not there was an error."""
        self.is_json = is_json
        if path:
            self._append(path, b"")
            self.path = path

    def error(self, message: str) -> None:
        """Write one line.  With a file, stderr gets the bare message as well."""
        line = self._line("error", message)
        if self.path:
            self._append(self.path, line)
            line = f"{message}\n".encode("utf-8", "surrogateescape")
        _tell(line)

    def warning(self, message: str) -> None:
        """Write what is odd but no failure: to stderr, and with --debug to the log's file.

        Podman takes a log of two lines for no JSON, so that a warning would hide the error.
        """
        line = self._line("warning", message)
        if self.path and self.is_debug:
            self._append(self.path, line)
        _tell(f"{message}\n".encode("utf-8", "surrogateescape") if self.path else line)

    def debug(self, message: str) -> None:
        """Write what happens, with --debug only, to the log's file or to stderr."""
        if not self.is_debug:
            return
        line = self._line("debug", message)
        if self.path:
            self._append(self.path, line)
        else:
            _tell(line)

    def _line(self, level: str, message: str) -> bytes:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = message.encode("utf-8", "replace").decode()
        if self.is_json:
            return document.dump({"level": level, "msg": text, "time": stamp}) + b"\n"
        quoted = document.dump(text).decode()
        return f'time="{stamp}" level={level} msg={quoted}\n'.encode()

    @staticmethod
    def _append(path: str, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _tell(line: bytes) -> None:
    try:
        os.write(2, line)
    except OSError:
        return  # the caller has closed it: there is nobody to tell
