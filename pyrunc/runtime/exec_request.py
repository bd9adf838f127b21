"""Which process does `exec` want in the container?

The container's own first process with changes from the command line, or one described whole by a
file.  Rules and words are runc's: engines rely on both.  No process is touched here.
"""

from __future__ import annotations

from ..errors import InvalidInput, errno_reason
from ..oci import document
from ..oci.record import Record
from .document_shape import LAST_ID
from .passed_descriptors import Passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What a process described by a file takes from the container's own when it says nothing.
_INHERITED = (
    "capabilities",
    "rlimits",
    "apparmorProfile",
    "selinuxLabel",
    "oomScoreAdj",
    "execCPUAffinity",
)


class ExecOptions(Record):
    """What `exec` is told beside the id."""

    args: tuple[str, ...] = ()
    process_file: str = ""  # takes the place of `args` and of all that describes the process
    cwd: str = ""
    environment: tuple[str, ...] = ()  # added
    terminal: bool = False
    user: str = ""  # "UID" or "UID:GID"
    additional_gids: tuple[int, ...] = ()  # added
    process_label: str = ""
    apparmor: str = ""
    no_new_privileges: bool | None = None
    capabilities: tuple[str, ...] = ()  # added
    cgroups: tuple[str, ...] = ()  # "PATH" or "CONTROLLER[,…]:PATH", below the container's
    ignore_paused: bool = False
    detach: bool = False
    console_socket: str = ""
    pidfd_socket: str = ""
    pid_file: str = ""
    passed: Passed = Passed()
    terminal_size: tuple[int, int] = (0, 0)  # rows, columns of the caller's own terminal


def requested_process(spec: dict[str, Any], options: ExecOptions) -> dict[str, Any]:
    """Return the process to execute, not yet validated; `spec` is the container's.

    Raises: InvalidInput.
    """
    if options.process_file:
        process = _described(spec.get("process") or {}, options.process_file)
    else:
        process = _changed(spec.get("process") or {}, options)
    cwd = process.get("cwd")
    if not cwd:
        raise InvalidInput("Cwd property must not be empty", where="process.cwd")
    if isinstance(cwd, str) and not cwd.startswith("/"):
        raise InvalidInput("Cwd must be an absolute path", where="process.cwd")
    if not process.get("args"):
        raise InvalidInput("args must not be empty", where="process.args")
    return process


def check_terminal(process: dict[str, Any], options: ExecOptions) -> None:
    """Refuse a terminal that nobody would get, and a socket that nothing is sent to.

    Raises: InvalidInput.
    """
    wants_terminal = bool(process.get("terminal"))
    if options.detach and wants_terminal and not options.console_socket:
        raise InvalidInput("cannot allocate tty if runc will detach without setting console socket")
    if options.console_socket and not (options.detach and wants_terminal):
        raise InvalidInput("cannot use console socket if runc will not detach or allocate tty")


def _described(first: dict[str, Any], path: str) -> dict[str, Any]:
    """Read a process from a file; what it leaves out of `_INHERITED` is the first one's."""
    process = document.load_object(_read(path), path)
    for name in _INHERITED:
        if process.get(name) in (None, "", []) and first.get(name) is not None:
            process[name] = first[name]
    user = process.get("user")
    umask = (first.get("user") or {}).get("umask")
    if umask is not None and isinstance(user, dict) and user.get("umask") is None:
        process["user"] = user | {"umask": umask}
    return process


def _changed(first: dict[str, Any], options: ExecOptions) -> dict[str, Any]:
    process = first | {
        "args": list(options.args),
        "cwd": options.cwd or first.get("cwd"),
        "env": [*(first.get("env") or []), *options.environment],
        "terminal": options.terminal,
        "user": _user(first.get("user") or {}, options),
        "consoleSize": None,
    }
    if options.apparmor:
        process["apparmorProfile"] = options.apparmor
    if options.process_label:
        process["selinuxLabel"] = options.process_label
    if options.no_new_privileges is not None:
        process["noNewPrivileges"] = options.no_new_privileges
    if options.capabilities:
        process["capabilities"] = _capabilities(first.get("capabilities") or {}, options)
    return process


def _capabilities(first: dict[str, Any], options: ExecOptions) -> dict[str, Any]:
    """Add to what the process may use, and to the ambient set where there is an inheritable one.

    Security: never to the inheritable set (CVE-2022-29162).
    """
    changed = dict(first)
    names = ["bounding", "effective", "permitted"]
    if first.get("inheritable") is not None:
        names.append("ambient")
    for name in names:
        changed[name] = [*(first.get(name) or []), *options.capabilities]
    return changed


def _user(first: dict[str, Any], options: ExecOptions) -> dict[str, Any]:
    user = dict(first)
    if options.user:
        uid, has_gid, gid = options.user.partition(":")
        if has_gid:
            user["gid"] = _number(gid, "gid")
        user["uid"] = _number(uid, "uid")
    if options.additional_gids:
        user["additionalGids"] = [*(first.get("additionalGids") or []), *options.additional_gids]
    return user


def _number(text: str, kind: str) -> int:
    """Return a user's or group's number.

    Security: digits only, all of them, and in range: another user must not be meant
    (CVE-2026-30892).
    """
    if not (text.isascii() and text.isdigit()):
        why = f"strconv.Atoi: parsing {document.dump(text).decode()}: invalid syntax"
        raise InvalidInput(f"parsing {text} as int for {kind} failed: {why}", where="--user")
    if len(text) > 10 or int(text) > LAST_ID:
        why = f"value out of range: the last one is {LAST_ID}"
        raise InvalidInput(f"parsing {text} as int for {kind} failed: {why}", where="--user")
    return int(text)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(document.CONFIG_LIMIT_BYTES + 1)
    except OSError as error:
        why = errno_reason(error.errno or 0)
        raise InvalidInput(f"open {path}: {why}", subject=path) from error
