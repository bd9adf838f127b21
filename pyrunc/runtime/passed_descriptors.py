"""Which of the runtime's own descriptors does a container's process get?

Those of socket activation begin at 3, and what --preserve-fds counts stands behind them; both keep
their numbers.  Source: sd_listen_fds(3); runc's --preserve-fds.
"""

from __future__ import annotations

import os
from errno import ENOENT

from ..errors import InvalidInput, errno_reason
from ..oci.record import Record

FIRST = 3
_LIMIT = 4096
_NAMES = ("LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=")


class Passed(Record):
    """How many there are: of socket activation, with their names, and to be preserved."""

    listening: int = 0
    names: str = ""
    preserved: int = 0

    @property
    def count(self) -> int:
        """Return how many descriptors the process gets beside stdin, stdout and stderr."""
        return self.listening + self.preserved

    def numbers(self) -> dict[str, int]:
        """Return them by the names that they have in a plan."""
        return {f"preserved-{n}": FIRST + n for n in range(self.count)}

    def environment(self, environment: list[str]) -> list[str]:
        """Return an environment that tells of them.

        LISTEN_PID is that of the first process of a PID namespace; for others the step
        set-listen-pid puts the right number in its place.
        """
        if not self.listening:
            return environment
        kept = [entry for entry in environment if not entry.startswith(_NAMES)]
        kept += [f"LISTEN_FDS={self.listening}", "LISTEN_PID=1"]
        return [*kept, f"LISTEN_FDNAMES={self.names}"] if self.names else kept


def find_passed(preserved: int) -> Passed:
    """Look for what we were given, by our own environment.

    Spec: sd_listen_fds(3): it is for us only if LISTEN_PID is our number.
    Raises: InvalidInput for a descriptor that is not there.
    """
    listening = 0
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and count.isascii() and count.isdigit():
        listening = int(count)
    if listening + preserved > _LIMIT:
        raise InvalidInput(f"{listening + preserved} descriptors to pass are more than {_LIMIT}")
    for number in range(FIRST, FIRST + listening + preserved):
        if not _is_given(number):
            index, of = number - FIRST, listening
            kind = "LISTEN_FDS descriptor"
            if index >= listening:
                index, of, kind = index - listening, preserved, "preserved-fd"
            told = f"stat /proc/self/fd/{number}: {errno_reason(ENOENT)}"
            raise InvalidInput(f"unable to stat {kind} {index} (of {of}): {told}")
    names = os.environ.get("LISTEN_FDNAMES", "") if listening else ""
    return Passed(listening=listening, names=names, preserved=preserved)


def _is_given(number: int) -> bool:
    """Tell whether the caller gave us this descriptor.

    Security: what is closed by execve is the interpreter's or our own, and not for a container.
    """
    try:
        return os.get_inheritable(number)
    except OSError:
        return False
