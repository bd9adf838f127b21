"""What does `run` do before the engine begins, and where does its trace go?

Both ways in come here: straight from the thin parser, and through click.
Hot: `run` comes through here.
"""

from __future__ import annotations

import os

from ..engine import run_options
from ..errors import InvalidInput, KernelError
from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..engine.engine import Engine
    from ..engine.run_options import RunOptions


def parse(flags: Mapping[str, object], operands: Sequence[str]) -> RunOptions:
    """Parse flags and [IMAGE, COMMAND …]; also refuses what no container could be made from.

    Raises: InvalidInput, Unsupported.
    """
    options = run_options.from_flags(flags, operands[0], operands[1:])
    if options.cidfile and os.path.lexists(options.cidfile):
        raise InvalidInput(
            "container ID file found, make sure the other container isn't running or delete "
            f"{options.cidfile}",
            where="--cidfile",
        )
    return options


def execute(engine: Engine, options: RunOptions) -> int:
    """Run the container; returns the exit code."""
    attaches = options.terminal and options.interactive and "stdin" in options.attach
    if attaches and not os.isatty(0):
        output.note("pyrunc: the input device is not a TTY")
        output.note("hint: leave out -t where stdin is a pipe or a file")
        return 1
    if attaches and not options.detach_keys:
        from .client_config import detach_keys

        options = options.replace(detach_keys=detach_keys(engine.config))
    from ..engine.run import run

    return run(engine, options, tell=output.note, show=output.line, trace=_trace(options.trace))


def _trace(target: str | None) -> Callable[[str], object] | None:
    """Return where trace lines go: nowhere, stderr, or a file, which is emptied first."""
    if target is None:
        return None
    descriptor = output.STDERR
    if target:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_APPEND
        try:
            descriptor = os.open(target, flags, 0o644)
        except OSError as error:
            raise KernelError(
                "write the trace to", errno=error.errno or 0, subject=target
            ) from error
    return lambda text: output.write_bytes(descriptor, output.encode(text))
