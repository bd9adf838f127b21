"""The commands `run`, `create`, `exec` and `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import exec_command, output, run_command
from .commands import UNLIMITED, Call, Command
from .completion import images, running_containers
from .option_table import EXEC as EXEC_ROWS
from .option_table import RUN as RUN_ROWS
from .option_table import RUN_ALIASES, RUN_LATER, VALUE
from .typos import typographic_dash

if TYPE_CHECKING:
    from .option_table import Row

EXPLAIN_FORMATS = ("text", "json", "oci")
_FORMAT: Row = (
    "format", "", VALUE, "FORMAT", "Output",
    "text (default), json, or oci: the config.json a runtime would get",
)  # fmt: skip


_OF_RUN_ALONE = ("detach", "detach-keys", "sig-proxy", "hold", "trace")


def run(call: Call) -> int:
    """Run a container, attached or not."""
    _refuse_dash(call)
    options = run_command.parse(call.flags, call.operands)
    return run_command.execute(call.engine(), options)


def create(call: Call) -> int:
    """Make a container, and print its ID."""
    _refuse_dash(call)
    options = run_command.parse(call.flags, call.operands)
    from ..engine.create_container import create_container

    output.line(create_container(call.engine(), options, tell=output.note))
    return 0


def execute(call: Call) -> int:
    """Execute a command in a running container."""
    _refuse_dash(call)
    options = exec_command.parse(call.flags, call.operands)
    return exec_command.execute(call.engine(), options)


def explain(call: Call) -> int:
    """Print the steps of a run."""
    _refuse_dash(call)
    form = str(call.flags.pop("format", "") or "text")
    if form not in EXPLAIN_FORMATS:
        raise call.usage_problem(
            f'invalid argument "{form}" for "--format" flag: must be text, json or oci'
        )
    options = run_command.parse(call.flags, call.operands)
    from ..engine.explain import explain as explain_run

    output.text(explain_run(call.engine(), options, form).rstrip("\n") + "\n")
    return 0


def _refuse_dash(call: Call) -> None:
    """Refuse `run –d image`: the reference grammar would, without telling why."""
    if hint := typographic_dash(call.operands[0]):
        raise call.usage_problem("invalid reference format", hint)


RUN = Command(
    "run",
    run,
    rows=RUN_ROWS,
    usage="IMAGE [COMMAND] [ARG...]",
    counts=(1, UNLIMITED),
    about="Create and run a new container from an image; with -d in the background.\n\n"
    "Options end at IMAGE; what follows is the container's own command line.  The exit code is "
    "the command's, 128 and its number if a signal ended it, 127 if it is not there, 126 if it "
    "cannot be executed, and 125 if pyrunc itself failed.",
    complete=images,
    later=RUN_LATER,
    aliases=RUN_ALIASES,
    interspersed=False,
    is_run=True,
)

CREATE = Command(
    "create",
    create,
    rows=tuple(row for row in RUN_ROWS if row[0] not in _OF_RUN_ALONE),
    usage="IMAGE [COMMAND] [ARG...]",
    counts=(1, UNLIMITED),
    about="Create a container, print its ID, and leave it to `pyrunc start`.\n\n"
    "Takes the options of run.",
    complete=images,
    later=RUN_LATER,
    aliases=RUN_ALIASES,
    interspersed=False,
    is_run=True,
)

EXEC = Command(
    "exec",
    execute,
    rows=EXEC_ROWS,
    usage="CONTAINER COMMAND [ARG...]",
    counts=(2, UNLIMITED),
    about="Execute a command in a running container.\n\n"
    "Options end at CONTAINER.  Environment, user and working directory are the container's unless "
    "given.  The exit code is the command's, 128 and its number if a signal ended it, 127 if it is "
    "not there, 126 if it cannot be executed, and 1 if pyrunc itself failed.",
    complete=running_containers,
    interspersed=False,
)

EXPLAIN = Command(
    "explain",
    explain,
    rows=(_FORMAT, *RUN_ROWS),
    usage="IMAGE [COMMAND] [ARG...]",
    counts=(1, UNLIMITED),
    about="Show the steps that `pyrunc run` would take, and take none.\n\n"
    "Takes every option of run.  IMAGE may also be an archive, an OCI layout or a bundle; root is "
    "only needed for root's own images.",
    complete=images,
    later=RUN_LATER,
    aliases=RUN_ALIASES,
    interspersed=False,
    is_run=True,
)
