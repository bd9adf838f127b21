"""The commands by which an engine makes, starts, asks for, signals and removes a container.

Hot: five calls of these make one container's life.  What each does is in runtime/.
"""

from __future__ import annotations

import os
import sys
from _signal import SIGTERM

from ..oci import document
from .oci_table import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..runtime.container_state import StateDirectory
    from ..runtime.create_container import CreateOptions
    from ..runtime.lifecycle import Warn
    from ..runtime.notify import ReadyProxy
    from .oci_table import Call


def create(call: Call) -> int:
    """Make a container that waits to be started."""
    directory = call.directory()
    from ..runtime import create_container

    options = create_options(call, directory)
    create_container.create(directory, options, call.log.warning)
    return 0


def start(call: Call) -> int:
    """Let a created container execute its command."""
    _start(call.directory(), call.log.warning)
    return 0


def _start(directory: StateDirectory, warn: Warn) -> None:
    """Start; with a NOTIFY_SOCKET of our own, return once the container says that it is ready."""
    from ..runtime import lifecycle

    proxy = _ready_proxy(directory)
    if proxy is None or not proxy.listen():
        lifecycle.start(directory, warn)
        return
    lifecycle.start(directory, warn)
    proxy.forward(directory.read().pid)


def _ready_proxy(directory: StateDirectory) -> ReadyProxy | None:
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    from ..runtime.notify import ReadyProxy, caller_address

    address = caller_address()
    return ReadyProxy(directory, address) if address else None


def state(call: Call) -> int:
    """Print the state, and nothing else: a caller may have closed stderr."""
    directory = call.directory()
    from ..runtime.container_state import state_document

    recorded = directory.read()
    shown = state_document(recorded, directory.status(recorded))
    lines = [
        f"  {document.dump(k).decode()}: {document.dump(v).decode()}" for k, v in shown.items()
    ]
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


def kill(call: Call) -> int:
    """Send a signal."""
    directory = call.directory()
    from ..runtime import lifecycle

    number = signal_number(call.arguments[1]) if call.arguments[1:] else SIGTERM
    lifecycle.kill(directory, number, everyone="all" in call.options)
    return 0


def delete(call: Call) -> int:
    """Remove a container."""
    directory = call.directory()
    from ..runtime import lifecycle

    lifecycle.delete(directory, force="force" in call.options, warn=call.log.warning)
    return 0


def run(call: Call) -> int:
    """Create, start, and unless detached stay until the end; return the command's exit code."""
    directory = call.directory()
    from ..engine.wait import Attachment, SignalPipe, attach
    from ..runtime import create_container, lifecycle

    chosen = create_options(call, directory)
    if "detach" in call.options:
        create_container.create(directory, chosen, call.log.warning)
        try:
            _start(directory, call.log.warning)
        except BaseException:
            lifecycle.delete(directory, force=True, warn=call.log.warning)
            raise
        return 0
    with SignalPipe() as signals:  # what comes before the container is there waits in the pipe
        launch, has_terminal = create_container.run(directory, chosen, call.log.warning)
        try:
            if chosen.ready_proxy is not None:
                from _thread import start_new_thread

                start_new_thread(chosen.ready_proxy.forward, (directory.read().pid,))
            if has_terminal:
                from ..engine.terminal import window_size

                launch.resize(*window_size(0))
            wanted = Attachment(interactive=has_terminal, terminal=has_terminal)
            ended = attach(launch, signals, wanted)
            launch.wait()
        finally:
            if "keep" not in call.options:
                lifecycle.delete(directory, force=True, warn=call.log.warning)
    return ended.code if ended else 0


def pause(call: Call) -> int:
    """Freeze all processes of a container."""
    directory = call.directory()
    from ..runtime import pause as freezer

    freezer.pause(directory)
    return 0


def resume(call: Call) -> int:
    """Let a paused container go on."""
    directory = call.directory()
    from ..runtime import pause as freezer

    freezer.resume(directory)
    return 0


def create_options(call: Call, directory: StateDirectory) -> CreateOptions:
    """Return what the options of create and run ask for.  Raises: UsageError, InvalidInput."""
    options = call.options
    from ..runtime.create_container import CreateOptions
    from ..runtime.passed_descriptors import find_passed

    options = call.options
    return CreateOptions(
        bundle=options.get("bundle", "."),
        config=options.get("config", ""),
        pid_file=os.path.abspath(options["pid-file"]) if options.get("pid-file") else "",
        console_socket=options.get("console-socket", ""),
        pidfd_socket=options.get("pidfd-socket", ""),
        passed=find_passed(preserve_count(options)),
        new_keyring="no-new-keyring" not in options,
        no_pivot="no-pivot" in options,
        has_cgroups=call.global_options.get("cgroup-manager") != "disabled",
        ready_proxy=_ready_proxy(directory),
        use_systemd=uses_systemd(call.global_options),
        note=call.log.debug if call.log.is_debug else None,
    )


def uses_systemd(global_options: dict[str, str]) -> bool:
    """Tell whether systemd is to make the cgroups: by runc's flag, or crun's."""
    manager = global_options.get("cgroup-manager")
    return manager == "systemd" or (manager != "disabled" and "systemd-cgroup" in global_options)


def preserve_count(options: dict[str, str]) -> int:
    """Return the value of --preserve-fds.  Raises: UsageError."""
    count = options.get("preserve-fds", "0")
    if not (count.isascii() and count.isdigit() and len(count) < 5):
        raise UsageError(f'invalid value "{count}" for flag -preserve-fds')
    return int(count)


def signal_number(text: str) -> int:
    """Return the number of "9", "KILL", "SIGKILL" in any case; 0 only asks whether it is there.

    Raises: UsageError.
    """
    if text.isascii() and text.isdigit() and len(text) < 4 and int(text) < 65:
        return int(text)
    import _signal

    name = text.upper()
    number = getattr(_signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(number, int) or name.removeprefix("SIG").startswith("_"):
        raise UsageError(f'unknown signal "{text}"')
    return number
