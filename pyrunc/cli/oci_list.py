"""Which containers are there, and which processes run in one of them?

Tables and JSON look as runc's: containerd and scripts read them.
"""

from __future__ import annotations

import os
import sys

from ..errors import NotFound, PyruncError, Unsupported
from ..oci import document
from ..runtime import cgroup
from ..runtime.container_state import StateDirectory, check_id, is_alive, state_document
from .oci_table import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..runtime.container_state import ContainerState
    from .oci_table import Call

_PS_PROGRAMS = ("/bin/ps", "/usr/bin/ps", "/usr/local/bin/ps")
_PS_SECONDS = 60.0


def list_containers(call: Call) -> int:
    """Print all containers below the root as a table, as JSON, or only their ids.

    A state directory that is broken or just going is left out, with a word on stderr.
    """
    shown = _format(call)
    containers = _containers(call)
    if "quiet" in call.options:
        lines = [container["id"] for container in containers]
    elif shown == "json":
        # Spec: runc's encoder writes a list that was never filled as null.
        lines = [document.dump(containers or None).decode()]
    else:
        fields = ("id", "pid", "status", "bundle", "created", "owner")
        rows = [[str(container[name]) for name in fields] for container in containers]
        lines = _table([[name.upper() for name in fields], *rows])
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def ps(call: Call) -> int:
    """Print the pids of a container on the host as JSON, or what the host's ps says of them."""
    shown = _format(call)
    directory = call.directory()
    pids = _processes(directory.read())
    if shown == "json":
        sys.stdout.write(document.dump(list(pids) or None).decode() + "\n")
    else:
        sys.stdout.write(_only(_ps(call.arguments[1:] or ["-ef"]), {str(pid) for pid in pids}))
    return 0


def _processes(state: ContainerState) -> tuple[int, ...]:
    """Return the pids on the host; without cgroups, those of the container's PID namespace."""
    if state.has_cgroups:
        return cgroup.processes(state.control_groups())
    if not is_alive(state.pid, state.pid_start_time):
        return ()
    if not state.has_pid_namespace:
        return (state.pid,)
    namespace = _pid_namespace(str(state.pid))
    numbers = [name for name in os.listdir("/proc") if name.isdigit()]
    return tuple(sorted(int(n) for n in numbers if _pid_namespace(n) == namespace))


def _pid_namespace(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""  # it has gone, or is a zombie


def _format(call: Call) -> str:
    shown = call.options.get("format", "table")
    if shown not in ("table", "json"):
        raise UsageError("invalid format option")
    return shown


def _containers(call: Call) -> list[dict[str, Any]]:
    try:
        names = sorted(os.listdir(call.root))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        try:
            check_id(name)
            if os.path.isdir(f"{call.root}/{name}"):
                found.append(_container(StateDirectory(call.root, name)))
        except NotFound:
            continue  # it was deleted just now, or is not made yet
        except (PyruncError, OSError) as error:
            if name[0] != ".":
                call.log.warning(f"load container {name}: {error}")
    return found


def _container(directory: StateDirectory) -> dict[str, Any]:
    state = directory.read()
    owner = _user_name(os.stat(directory.path).st_uid)
    return state_document(state, directory.status(state)) | {"owner": owner}


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _table(rows: list[list[str]]) -> list[str]:
    """Align columns as runc's: three spaces between, none narrower than twelve."""
    widths = [max(12, *(len(cell) + 3 for cell in column)) for column in zip(*rows, strict=True)]
    return [
        "".join(f"{cell:{width}}" for cell, width in zip(row[:-1], widths, strict=False)) + row[-1]
        for row in rows
    ]


def _ps(arguments: list[str]) -> str:
    from ..kernel import spawn

    program = next((path for path in _PS_PROGRAMS if os.access(path, os.X_OK)), None)
    if program is None:
        raise Unsupported("cannot find ps(1) on this host", feature="ps", needs="procps")
    done = spawn.run([program, *arguments], timeout_seconds=_PS_SECONDS)
    if done.returncode:
        told = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        raise PyruncError(f"ps: exit status {done.returncode}: {told}")
    return done.stdout.decode("utf-8", "surrogateescape")


def _only(listed: str, pids: set[str]) -> str:
    """Return the title and the lines of these processes, found by the title's word PID."""
    lines = listed.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise PyruncError("couldn't find PID field in ps output")
    index = titles.index("PID")
    wanted = [line for line in lines[1:] if pids.intersection(line.split()[index : index + 1])]
    return "".join(f"{line}\n" for line in (lines[0], *wanted))
