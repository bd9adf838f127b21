"""How does a process that this engine leaves behind call this engine again?"""

from __future__ import annotations

import sys

from .. import paths as paths_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Engine


def own_command(engine: Engine, *words: str) -> tuple[str, ...]:
    """Return the command line of `pyrunc WORDS…` for the same engine.

    The very interpreter and package that run now, whatever is in PATH by then.
    """
    package_parent = paths_module.__file__.rpartition("/")[0].rpartition("/")[0]
    # -S looks for no libraries: they are where this process found them.
    places = [package_parent, *(path for path in sys.path if path.startswith("/"))]
    program = f"import sys; sys.path[:0] = {places!r}; from pyrunc.cli.entry import main; main()"
    subnet = ("--bip", engine.subnet) if engine.subnet else ()
    return (
        sys.executable,
        *("-I", "-S", "-c", program),
        *("--root", engine.paths.root, "--runroot", engine.paths.runroot),
        *("--bridge", engine.bridge, *subnet, *words),
    )
