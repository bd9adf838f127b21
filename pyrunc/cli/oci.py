"""The command line that container engines speak: `pyrunc-oci create|start|state|kill|delete|run`.

Its grammar and words are runc's, since conmon, containerd and dockerd match them.  Hot: every call
is a process, and an engine makes five of them for one container.  What is not there yet is refused.
"""

from __future__ import annotations

import os
import sys
import time
from _signal import SIG_DFL, SIGINT, SIGPIPE, SIGTERM, default_int_handler, getsignal, signal

from .. import __version__
from ..errors import InvalidInput, PyruncError
from ..oci import document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..runtime.container_state import StateDirectory
    from ..runtime.create_container import CreateOptions

NAME = "pyrunc-oci"
SPEC = "1.2.1"

USAGE = f"""\
NAME:
   {NAME} - Open Container Initiative runtime

USAGE:
   {NAME} [global options] command [command options] [arguments...]

COMMANDS:
   create   create a container
   delete   delete any resources held by the container
   kill     send the specified signal to the container's init process
   run      create and run a container
   start    execute the user-defined process in a created container
   state    output the state of a container

GLOBAL OPTIONS:
   --debug              enable debug logging
   --log value          set the log file
   --log-format value   set the log format ('text' (default), or 'json')
   --root value         root directory for storage of container state
   --help, -h           show help
   --version, -v        print the version
"""

# What runc has and this version does not: refused by name, never ignored.
NOT_YET_COMMANDS = frozenset(
    (
        "checkpoint",
        "events",
        "exec",
        "features",
        "list",
        "pause",
        "ps",
        "restore",
        "resume",
        "spec",
        "update",
    )
)

# option -> whether it takes a value; None stands for "not supported yet"
GLOBAL_OPTIONS: dict[str, bool | None] = {
    "debug": False,
    "log": True,
    "log-format": True,
    "root": True,
    "criu": True,
    "systemd-cgroup": None,
    "cgroup-manager": None,
    "rootless": True,
    "help": False,
    "version": False,
}
CREATE_OPTIONS: dict[str, bool | None] = {
    "bundle": True,
    "console-socket": True,
    "pidfd-socket": None,
    "pid-file": True,
    "no-pivot": None,
    "no-new-keyring": False,
    "preserve-fds": True,
    "help": False,
}
RUN_OPTIONS = CREATE_OPTIONS | {"detach": False, "keep": False, "no-subreaper": False}
COMMAND_OPTIONS: dict[str, dict[str, bool | None]] = {
    "create": CREATE_OPTIONS,
    "run": RUN_OPTIONS,
    "start": {"help": False},
    "state": {"help": False},
    "kill": {"all": False, "help": False},
    "delete": {"force": False, "help": False},
}
SHORT_NAMES = {
    "b": "bundle",
    "d": "detach",
    "a": "all",
    "f": "force",
    "h": "help",
    "v": "version",
}


class UsageError(Exception):
    """The command line is wrong; `help_text` goes to stdout."""

    def __init__(self, problem: str, *, help_text: str = "", exit_code: int = 1) -> None:
        """Keep what to print."""
        super().__init__(problem)
        self.help_text = help_text
        self.exit_code = exit_code


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal(SIGPIPE, SIG_DFL)  # a caller that closes our stdout ends us quietly
    if getsignal(SIGINT) is SIG_DFL:
        signal(SIGINT, default_int_handler)  # what is half made is undone
    log = Log()
    try:
        return _main(arguments, log)
    except UsageError as error:
        sys.stdout.write(error.help_text)
        log.error(str(error))
        return error.exit_code
    except PyruncError as error:
        log.error(str(error) if error.hint is None else f"{error} (hint: {error.hint})")
    except OSError as error:
        log.error(f"{error.filename or NAME}: {error.strerror}")
    except KeyboardInterrupt:
        log.error("interrupted")
        return 130
    except Exception as error:  # the one place: an engine parses what we print
        log.error(f"internal error: {type(error).__name__}: {error}")
        if log.is_debug:
            raise
    return 1


class Log:
    """Where errors go: the file that --log names, and always stderr."""

    def __init__(self) -> None:
        """Write to stderr until told otherwise."""
        self.path = ""
        self.is_json = False
        self.is_debug = False

    def open(self, path: str, log_format: str) -> None:
        """Use a file, and make it: a caller reads it whether or not there was an error."""
        if log_format not in ("", "text", "json"):
            raise UsageError(f'invalid log-format "{log_format}"')
        self.is_json = log_format == "json"
        if path:
            self._append(path, b"")
            self.path = path

    def error(self, message: str) -> None:
        """Write one line.  With a file, stderr gets the bare message as well."""
        line = self._line(message)
        if self.path:
            self._append(self.path, line)
            line = f"{message}\n".encode("utf-8", "surrogateescape")
        try:
            os.write(2, line)
        except OSError:
            return  # the caller has closed it: there is nobody to tell

    def _line(self, message: str) -> bytes:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = message.encode("utf-8", "replace").decode()
        if self.is_json:
            return document.dump({"level": "error", "msg": text, "time": stamp}) + b"\n"
        quoted = document.dump(text).decode()
        return f'time="{stamp}" level=error msg={quoted}\n'.encode()

    @staticmethod
    def _append(path: str, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _main(arguments: list[str], log: Log) -> int:
    options, rest = parse(arguments, GLOBAL_OPTIONS, "")
    log.is_debug = "debug" in options
    log.open(options.get("log", ""), options.get("log-format", ""))
    if "version" in options:
        sys.stdout.write(f"{NAME} version {__version__}\ncommit: v{__version__}\nspec: {SPEC}\n")
        return 0
    if "help" in options or not rest or rest[0] in ("help", "h"):
        sys.stdout.write(USAGE)
        return 0
    if options.get("rootless", "auto").lower() not in ("auto", "false", "0", "f"):
        raise UsageError("--rootless=true is not supported yet")
    return _command(rest[0], rest[1:], options.get("root", ""))


def _command(name: str, arguments: list[str], root: str) -> int:
    if name in NOT_YET_COMMANDS:
        raise UsageError(f"{NAME} {name} is not supported yet")
    if name not in COMMAND_OPTIONS:
        raise UsageError(f"No help topic for '{name}'", exit_code=3)
    options, rest = parse(arguments, COMMAND_OPTIONS[name], name)
    if "help" in options:
        sys.stdout.write(USAGE)
        return 0
    wanted = "1 or 2" if name == "kill" else "exactly 1"
    if not 1 <= len(rest) <= (2 if name == "kill" else 1):
        raise UsageError(f'"{name}" requires {wanted} argument(s)', help_text=USAGE)
    from ..runtime.container_state import DEFAULT_ROOT, StateDirectory

    directory = StateDirectory(os.path.abspath(root) if root else DEFAULT_ROOT, rest[0])
    return _COMMANDS[name](directory, options, rest[1:])


def parse(
    arguments: list[str], table: dict[str, bool | None], command: str
) -> tuple[dict[str, str], list[str]]:
    """Return options by name and what follows them; they end at the first word without a dash.

    "--x v", "--x=v" and runc's "-x v" mean the same.  Raises: UsageError.
    """
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        if word == "--":
            return found, list(words)
        if not word.startswith("-") or word == "-":
            return found, [word, *words]
        name, has_value, value = word.lstrip("-").partition("=")
        name = SHORT_NAMES.get(name, name)
        if name not in table:
            raise UsageError(f"flag provided but not defined: -{name}", help_text=USAGE)
        takes_value = table[name]
        if takes_value is None:
            raise UsageError(f"{command + ' ' if command else ''}--{name} is not supported yet")
        if not takes_value:
            if has_value and value.lower() in ("false", "0", "f"):
                found.pop(name, None)
                continue
            found[name] = "true"
            continue
        if not has_value:
            try:
                value = next(words)
            except StopIteration:
                problem = f"flag needs an argument: -{name}"
                raise UsageError(problem, help_text=USAGE) from None
        found[name] = value
    return found, []


def _create(directory: StateDirectory, options: dict[str, str], rest: list[str]) -> int:
    del rest
    from ..runtime import create_container

    create_container.create(directory, _create_options(options))
    return 0


def _create_options(options: dict[str, str]) -> CreateOptions:
    from ..runtime.create_container import CreateOptions

    count = options.get("preserve-fds", "0")
    if not (count.isascii() and count.isdigit() and len(count) < 5):
        raise UsageError(f'invalid value "{count}" for flag -preserve-fds')
    for number in range(3, 3 + int(count)):
        try:
            os.fstat(number)
        except OSError as error:
            problem = f"unable to stat preserved-fd {number - 3} (of {count}): {error.strerror}"
            raise InvalidInput(problem) from error
    return CreateOptions(
        bundle=options.get("bundle", "."),
        pid_file=os.path.abspath(options["pid-file"]) if options.get("pid-file") else "",
        console_socket=options.get("console-socket", ""),
        preserve_fds=int(count),
        new_keyring="no-new-keyring" not in options,
    )


def _start(directory: StateDirectory, options: dict[str, str], rest: list[str]) -> int:
    del options, rest
    from ..runtime import lifecycle

    lifecycle.start(directory)
    return 0


def _state(directory: StateDirectory, options: dict[str, str], rest: list[str]) -> int:
    del options, rest
    from ..runtime.container_state import state_document

    state = directory.read()
    shown = state_document(state, directory.status(state))
    lines = [
        f"  {document.dump(k).decode()}: {document.dump(v).decode()}" for k, v in shown.items()
    ]
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


def _kill(directory: StateDirectory, options: dict[str, str], rest: list[str]) -> int:
    from ..runtime import lifecycle

    number = signal_number(rest[0]) if rest else SIGTERM
    lifecycle.kill(directory, number, everyone="all" in options)
    return 0


def _delete(directory: StateDirectory, options: dict[str, str], rest: list[str]) -> int:
    del rest
    from ..runtime import lifecycle

    lifecycle.delete(directory, force="force" in options)
    return 0


def _run(directory: StateDirectory, options: dict[str, str], rest: list[str]) -> int:
    del rest
    from ..engine.terminal import window_size
    from ..engine.wait import SignalPipe, attach
    from ..runtime import create_container, lifecycle

    chosen = _create_options(options)
    if "detach" in options:
        create_container.create(directory, chosen)
        lifecycle.start(directory)
        return 0
    with SignalPipe() as signals:  # what comes before the container is there waits in the pipe
        launch, has_terminal = create_container.run(directory, chosen)
        try:
            if has_terminal:
                launch.resize(*window_size(0))
            ended = attach(launch, signals, interactive=has_terminal, terminal=has_terminal)
            launch.wait()
        finally:
            if "keep" not in options:
                lifecycle.delete(directory, force=True)
    return ended.code


def signal_number(text: str) -> int:
    """Return the number of "9", "KILL", "SIGKILL" in any case.  Raises: UsageError."""
    if text.isascii() and text.isdigit() and len(text) < 4 and 0 < int(text) < 65:
        return int(text)
    import _signal

    name = text.upper()
    number = getattr(_signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(number, int) or name.removeprefix("SIG").startswith("_"):
        raise UsageError(f'unknown signal "{text}"')
    return number


_COMMANDS: dict[str, Callable[[StateDirectory, dict[str, str], list[str]], int]] = {
    "create": _create,
    "start": _start,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "run": _run,
}
