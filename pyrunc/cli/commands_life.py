"""The commands about containers that live: start, stop, logs, wait, kill, pause, rename …"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from ..errors import InvalidInput, PyruncError
from . import life_command, listing, option_table, output
from .commands import UNLIMITED, Call, Command
from .completion import containers, paused_containers, running_containers, stopped_containers
from .option_table import FLAG, VALUE

if TYPE_CHECKING:
    from ..engine.log_entry import LogEntry
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_KEYS: Row = ("detach-keys", "", VALUE, "KEYS", "", "To leave by (default ctrl-p,ctrl-q)")
_MANY = "CONTAINER [CONTAINER...]"
_STOPS_AT_ONCE = 16


def logs(call: Call) -> int:
    """Print what a container printed, each stream to its own."""
    from ..engine.logs import parse_tail, read_logs

    since, until = _moment(call, "since"), _moment(call, "until")
    entries = read_logs(
        call.engine(),
        call.operands[0],
        tell=output.warning,
        follow=call.is_on("follow"),
        tail=parse_tail(call.text("tail", "all")),
        since=since,
        until=until,
    )
    with_time, with_details = call.is_on("timestamps"), call.is_on("details")

    def show(entry: LogEntry) -> str:
        text = _details(entry) + entry.text if with_details else entry.text
        return f"{entry.time} {text}" if with_time else text

    for batch in entries:
        for stream, several in groupby(batch, attrgetter("stream")):
            raw = output.encode("".join(map(show, several)))
            if stream == "stderr":
                output.write_bytes(output.STDERR, raw)
            else:
                output.data(raw)
    return 0


def _details(entry: LogEntry) -> str:
    """Return the attributes as docker shows them, so that commas and spaces in them do no harm."""
    pairs = sorted(entry.attributes.items())
    return ",".join(f"{_quote(key)}={_quote(value)}" for key, value in pairs) + " "


def _quote(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text, errors="surrogateescape")


def _moment(call: Call, flag: str) -> str:
    """Return --since or --until as the log has its times; "" if it was not given."""
    if not call.text(flag):
        return ""
    from ..engine.inspect import timestamp
    from ..engine.moments import moment_ns

    found = timestamp(moment_ns(call.text(flag), time.time_ns(), f"--{flag}"))
    seconds, _, digits = found.removesuffix("Z").partition(".")
    return f"{seconds}.{digits:0<9}Z"


def wait(call: Call) -> int:
    """Wait for containers to end, and print their exit codes."""
    from ..engine.await_end import CONDITIONS
    from ..engine.await_end import wait as await_one

    condition = call.text("condition", CONDITIONS[0])
    if condition not in CONDITIONS:
        raise InvalidInput(
            f'invalid condition: "{condition}"',
            where="--condition",
            hint=f"one of {', '.join(CONDITIONS)}",
        )
    engine = call.engine()

    def wait_for(name: str) -> None:
        output.line(str(await_one(engine, name, condition)))

    return listing.failures(call.operands, wait_for)


def stop(call: Call) -> int:
    """Stop containers, all at the same time."""
    life_command.stop(call.engine(), call.flags)  # says what is wrong with the line

    def try_one(name: str) -> PyruncError | None:
        try:
            life_command.stop(call.engine(), call.flags)(name)  # by a database of the thread's own
        except PyruncError as error:
            return error
        return None

    failed = 0
    with ThreadPoolExecutor(min(len(call.operands), _STOPS_AT_ONCE)) as pool:
        for name, problem in zip(call.operands, pool.map(try_one, call.operands), strict=True):
            if problem is None:
                output.line(name)
            else:
                output.problem(problem)
                failed = 1
    return failed


def like_thin(call: Call) -> int:
    """Do what the thin way in does with the line that it did not take."""
    verb = str(call.ctx.command.name)
    return life_command.prepare(verb, call.engine(), call.flags, call.operands)()


def attach(call: Call) -> int:
    """Attach to a running container, until it ends or the user leaves it."""
    from ..engine.attach import attach_container
    from ..engine.wait import Attachment

    wanted = Attachment(
        interactive=not call.is_on("no-stdin"),
        detach_keys=life_command.detach_keys(call.engine(), call.flags),
        sig_proxy=bool(call.flags.get("sig-proxy", True)),
    )
    code = attach_container(call.engine(), call.operands[0], wanted, tell=output.note)
    if code is None:
        output.note("read escape sequence")  # docker's words, and its exit code
        return 1
    return code


def rename(call: Call) -> int:
    """Give a container another name."""
    from ..engine.rename import rename as rename_one

    rename_one(call.engine(), call.operands[0], call.operands[1])
    return 0


LOGS = Command(
    "logs",
    logs,
    rows=(
        ("details", "", FLAG, "", "", "Labels and variables that --log-opt chose, too"),
        ("follow", "f", FLAG, "", "", "Go on until the container ends"),
        ("since", "", VALUE, "TIME", "", "From then on: 2026-01-02T03:04:05Z, or 42m for ago"),
        ("tail", "n", VALUE, "NUMBER", "", "Only so many lines from the end (default all)"),
        ("timestamps", "t", FLAG, "", "", "The time of each line, too"),
        ("until", "", VALUE, "TIME", "", "Up to then"),
        _HELP,
    ),
    usage="CONTAINER",
    counts=(1, 1),
    about="Print what a container has printed, to stdout and stderr as it did.",
    complete=containers,
)

WAIT = Command(
    "wait",
    wait,
    rows=(
        ("condition", "", VALUE, "WHEN", "", "not-running (default), next-exit or removed"),
        _HELP,
    ),
    usage=_MANY,
    counts=(1, UNLIMITED),
    about="Wait until containers have ended, and print their exit codes.",
    complete=running_containers,
)

KILL = Command(
    "kill",
    like_thin,
    rows=option_table.KILL,
    usage=_MANY,
    counts=(1, UNLIMITED),
    about="Send a signal to the first process of running containers.",
    complete=running_containers,
)

STOP = Command(
    "stop",
    stop,
    rows=option_table.STOP,
    aliases=option_table.STOP_ALIASES,
    usage=_MANY,
    counts=(1, UNLIMITED),
    about="Ask containers to end by their stop signal, and kill those that do not.",
    complete=running_containers,
)

START = Command(
    "start",
    like_thin,
    rows=option_table.START,
    later={"checkpoint": ("", VALUE), "checkpoint-dir": ("", VALUE)},
    usage=_MANY,
    counts=(1, UNLIMITED),
    about="Start containers that were created, or have ended.",
    complete=stopped_containers,
)

RM = Command(
    "rm",
    like_thin,
    rows=option_table.REMOVE,
    usage=_MANY,
    counts=(1, UNLIMITED),
    about="Remove containers.",
    complete=containers,
)

ATTACH = Command(
    "attach",
    attach,
    rows=(
        _KEYS,
        ("no-stdin", "", FLAG, "", "", "Its output alone: nothing that is typed goes there"),
        ("sig-proxy", "", FLAG, "", "", "Pass signals on, unless it has a terminal (default true)"),
        _HELP,
    ),
    usage="CONTAINER",
    counts=(1, 1),
    about="Attach to a running container: its output is yours from now on, and your input "
    "its own.\n\nOthers who are attached stay so.  One with -i and -t is left, and goes on, "
    "by ctrl-p ctrl-q.  The exit code is the container's.",
    complete=running_containers,
)

RESTART = Command(
    "restart",
    like_thin,
    rows=option_table.STOP,
    aliases=option_table.STOP_ALIASES,
    usage=_MANY,
    counts=(1, UNLIMITED),
    about="Stop containers, and start them again.",
    complete=containers,
)

RENAME = Command(
    "rename",
    rename,
    rows=(_HELP,),
    usage="CONTAINER NEW_NAME",
    counts=(2, 2),
    about="Give a container another name.",
    complete=containers,
    completes=1,
)

PAUSE = Command(
    "pause",
    like_thin,
    rows=(_HELP,),
    usage=_MANY,
    counts=(1, UNLIMITED),
    about="Make all processes of containers stand still.",
    complete=running_containers,
)

UNPAUSE = Command(
    "unpause",
    like_thin,
    rows=(_HELP,),
    usage=_MANY,
    counts=(1, UNLIMITED),
    about="Let the processes of paused containers go on.",
    complete=paused_containers,
)
