"""The commands that change containers, or make many of them go: update, container prune."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine import limits
from ..engine.restart_grammar import restart_policy
from ..errors import PyruncError
from . import listing, option_table, output, units
from .commands import UNLIMITED, Call, Command
from .completion import containers
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from .option_table import Row

_PRUNE_WARNING = "WARNING! This will remove all stopped containers."
_HELP: Row = ("help", "", FLAG, "", "", "Show this help")


def update(call: Call) -> int:
    """Change the limits of containers, those that run and those that do not."""
    from ..engine.update import update as update_one

    if not call.flags:
        raise PyruncError("you must provide one or more flags when using this command")
    changes = limits.from_flags(call.flags)
    restart = restart_policy(call.text("restart")) if "restart" in call.flags else None
    engine = call.engine()
    warnings: list[str] = []

    def act(name: str) -> None:
        warnings.extend(update_one(engine, name, changes, restart))
        output.line(name)

    code = listing.failures(call.operands, act)
    for warning in warnings:
        output.warning(warning)
    return code


def prune(call: Call) -> int:
    """Remove all containers that do not run."""
    from ..engine.prune import prune as prune_all
    from . import prune_words

    wanted = prune_words.wanted(prune_words.read_filters(call.texts("filter")))
    if not call.is_on("force") and not prune_words.confirm(_PRUNE_WARNING):
        return 0
    total = 0
    lines = []
    for gone in prune_all(call.engine(), wanted):
        total += gone.size_bytes
        lines.append(gone.id)
    if lines:
        output.text("\n".join(["Deleted Containers:", *lines, "", ""]))
    output.line(f"Total reclaimed space: {units.human_size(total)}")
    return 0


UPDATE = Command(
    "update",
    update,
    rows=(
        *((*row[:4], "", row[5]) for row in option_table.LIMITS),
        ("restart", "", VALUE, "POLICY", "", "no, on-failure[:N], always or unless-stopped"),
        _HELP,
    ),
    usage="CONTAINER [CONTAINER...]",
    later={"kernel-memory": ("", VALUE)},
    counts=(1, UNLIMITED),
    about="Change the limits of containers; of those that run at once.\n\n"
    "What is changed stays when a container is started again.  0 leaves a limit as it is.",
    complete=containers,
)

PRUNE = Command(
    "prune",
    prune,
    rows=(
        ("filter", "", LIST, "KEY=VALUE", "", "until=TIME, label=KEY[=VALUE], label!=…"),
        ("force", "f", FLAG, "", "", "Without asking"),
        _HELP,
    ),
    about="Remove all containers that do not run.",
)
