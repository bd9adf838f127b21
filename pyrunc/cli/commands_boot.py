"""The commands of the machine's own life: system boot, system shutdown."""

from __future__ import annotations

from . import option_table, output
from .commands import Call, Command
from .option_table import FLAG


def boot(call: Call) -> int:
    """Start the containers that come back, or have that done at every boot."""
    engine = call.engine()
    if call.is_on("install") and call.is_on("uninstall"):
        raise call.usage_problem("conflicting options: --install and --uninstall")
    if call.is_on("install"):
        from ..engine.boot_unit import install

        install(engine, output.line)
        return 0
    if call.is_on("uninstall"):
        from ..engine.boot_unit import uninstall

        uninstall(engine, output.line)
        return 0
    from ..engine.boot import boot as start_all

    code = 0
    for name, is_up in start_all(engine):
        if is_up:
            output.line(name)
        else:
            code = 1
    return code


def shutdown(call: Call) -> int:
    """Stop what runs, for the machine or for good."""
    from ..engine.shutdown import shut_down

    code = 0
    for name, problem in shut_down(call.engine()):
        if problem is None:
            output.line(name)
        else:
            output.problem(problem)
            code = 1
    return code


BOOT = Command(
    "boot",
    boot,
    rows=(
        ("install", "", FLAG, "", "", "Have systemd do it, and the shutdown's part"),
        ("uninstall", "", FLAG, "", "", "Have systemd do it no more"),
        ("help", "", FLAG, "", "", "Show this help"),
    ),
    about="Start the containers that come back when the machine does, and print their names.\n\n"
    "Those with --restart always; unless-stopped, if `stop` was not the last word; on-failure, if "
    "they ended with a failure, as all have that ran when the machine went down.",
)

SHUTDOWN = Command(
    "shutdown",
    shutdown,
    rows=option_table.ONLY_HELP,
    about="Stop the containers that run, each by its stop signal and in its own time, all at once, "
    "and print their names.\n\nFor a machine that goes down: the unit of `system boot --install` "
    "runs it.  Restart policies rest until `system boot`, which brings back what ran.",
)
