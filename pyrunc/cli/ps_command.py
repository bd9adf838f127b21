"""How does `ps` answer where nobody filters or formats?  Hot: commands_ps.py does the rest."""

from __future__ import annotations

from . import output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..engine.engine import Engine

    Flags = Mapping[str, object]


def prepare(engine: Engine, flags: Flags) -> Callable[[], int] | None:
    """Return what prints the list, or None if that needs more: a filter, a layout of one's own.

    Raises: InvalidInput with docker's words.
    """
    if "filter" in flags or "format" in flags:
        return None
    if not flags.get("quiet"):
        from .client_config import value

        if value(engine.config, "psFormat"):
            return None
    count = last(flags)
    return lambda: _print(engine, flags, count)


def last(flags: Flags) -> int:
    """Return how many are wanted whatever their state, 0 or less for no such limit."""
    if flags.get("latest"):
        return 1
    if "last" not in flags:
        return -1
    from ..engine.flag_grammar import one
    from ..engine.go_values import integer

    return one("-n, --last", str(flags["last"]), integer)


def _print(engine: Engine, flags: Flags, count: int) -> int:
    from ..engine.ps import list_containers

    with_size, full = bool(flags.get("size")), bool(flags.get("no-trunc"))
    show_all = bool(flags.get("all")) or count > 0
    found = list_containers(engine, show_all=show_all, with_size=with_size)
    if count > 0:
        found = found[:count]
    if flags.get("quiet"):
        output.text("".join(f"{one.id if full else one.id[:12]}\n" for one in found))
        return 0
    from . import ps_table

    columns = ps_table.columns(with_size=with_size)
    names = ps_table.image_names(engine, found, full=full)
    rows = [ps_table.texts(one, image=names[one.id], full=full) for one in found]
    cells = [[row[column] for column in columns] for row in rows]
    output.text(output.table([ps_table.HEADERS[column] for column in columns], cells))
    return 0
