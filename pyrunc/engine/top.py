"""Which processes run in a container, as `ps` of the host shows them: `top`.

The host's ps, because an image need not have one; it is asked for the processes of the container's
cgroups only.
Source: moby daemon/top_unix.go, for what is refused and how lines are taken apart.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from ..errors import InvalidInput, InvalidState, NotFound, PyruncError
from ..kernel import spawn
from ..runtime import cgroup
from ..storage import containers
from . import journal
from .container_status import control_groups, running_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .engine import Engine

DEFAULT_OPTIONS = ("-ef",)
_PS_SECONDS = 10.0
_WORD_LIMIT = 100_000  # Kernel: one word of a command line holds 131,072 bytes (execve(2))
# Security: `-o pid=PPID` would make another column look like the one that is filtered by.
_RENAMED_PID = re.compile(r"\s+([^\s]*)=\s*(PID[^\s]*)")


def top(
    engine: Engine, name: str, options: Sequence[str] = ()
) -> tuple[list[str], list[list[str]]]:
    """Return the titles and the rows that ps prints about a container's processes.

    Raises: NotFound; InvalidState if it does not run; InvalidInput or PyruncError for options that
    ps, or this filter, can't do.
    """
    connection = engine.database()
    row = containers.find(connection, name)
    if running_state(engine, row) is None:
        raise InvalidState(
            f"Container {row.id} is not running", state="exited", wanted="running", subject=row.id
        )
    words = list(options or DEFAULT_OPTIONS)
    _check(words)
    pids = cgroup.processes(control_groups(row))
    titles, *lines = _ps(words, pids)
    journal.note(connection, row, "top")
    return titles, _chosen(titles, lines, set(pids))


def _check(words: Sequence[str]) -> None:
    for found in _RENAMED_PID.finditer(" " + " ".join(words)):
        if found[2] != "PID" or found[1].rpartition(",")[2] != "pid":
            raise InvalidInput(f'specifying "{found[1]}={found[2]}" is not allowed', where="ps")


def _ps(words: Sequence[str], pids: Sequence[int]) -> list[list[str]]:
    """Run ps, for these processes if it takes that beside the options, else for all."""
    program = shutil.which("ps", path=spawn.ENVIRONMENT["PATH"])
    if program is None:
        raise NotFound(
            "cannot list processes: this host has no ps", kind="program", name="ps",
            hint="install procps",
        )  # fmt: skip
    # BSD's options have no dash; ps takes the list only behind them.
    chosen = f"-q{','.join(map(str, pids))}"
    done = None
    if len(chosen) < _WORD_LIMIT:
        done = spawn.run([program, *words, chosen], timeout_seconds=_PS_SECONDS)
    if done is None or done.returncode != 0:
        done = spawn.run([program, *words], timeout_seconds=_PS_SECONDS)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").partition("\n")[0]
        raise PyruncError(f"ps: {said}", hint="`man ps` has the options")
    lines = done.stdout.decode("utf-8", "surrogateescape").splitlines()
    return [line.split() for line in lines] or [[]]


def _chosen(
    titles: Sequence[str], lines: Sequence[Sequence[str]], pids: set[int]
) -> list[list[str]]:
    """Return the rows of these processes; words behind the last title belong to its column."""
    if "PID" not in titles:
        raise InvalidInput("Couldn't find PID field in ps output", where="ps")
    position, last = titles.index("PID"), len(titles) - 1
    rows = []
    for words in lines:
        if len(words) > position and words[position].isdigit() and int(words[position]) in pids:
            rows.append([*words[:last], " ".join(words[last:])])
    return rows
