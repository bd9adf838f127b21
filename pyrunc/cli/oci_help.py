"""What does pyrunc-oci say about itself when asked for help, or called wrongly?

The layout is runc's (urfave/cli), made from the tables of oci_table.py.
"""

from __future__ import annotations

from .oci_table import COMMANDS, FLAG, GLOBAL_OPTIONS, NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .oci_table import Option

_HELP: Option = ("help, h", FLAG, "show help")


def program_help() -> str:
    """Return what `pyrunc-oci --help` prints."""
    width = max(map(len, COMMANDS)) + 2
    commands = [f"   {name:{width}}{row[4]}" for name, row in sorted(COMMANDS.items())]
    sections = [
        f"NAME:\n   {NAME} - Open Container Initiative runtime",
        f"USAGE:\n   {NAME} [global options] command [command options] [arguments...]",
        "COMMANDS:\n" + "\n".join([*commands, f"   {'help, h':{width}}show help, or a command's"]),
        _options("GLOBAL OPTIONS", GLOBAL_OPTIONS),
    ]
    return "\n\n".join(sections) + "\n"


def command_help(name: str) -> str:
    """Return what `pyrunc-oci NAME --help` prints."""
    _, _, _, arguments, summary, options = COMMANDS[name]
    usage = f"{NAME} {name} [command options] {arguments}".rstrip()
    sections = [
        f"NAME:\n   {NAME} {name} - {summary}",
        f"USAGE:\n   {usage}",
        _options("OPTIONS", (*options, _HELP)),
    ]
    return "\n\n".join(sections) + "\n"


def _options(title: str, options: tuple[Option, ...]) -> str:
    shown = [(_spelled(option), option[2]) for option in options]
    width = max(len(words) for words, _ in shown) + 2
    lines = [f"   {words:{width}}{text}" for words, text in shown]
    return f"{title}:\n" + "\n".join(lines)


def _spelled(option: Option) -> str:
    """Return "--bundle value, -b value"."""
    names, kind, _ = option
    tail = "" if kind == FLAG else " value"
    spelled = [("--" if len(name) > 1 else "-") + name + tail for name in names.split(", ")]
    return ", ".join(spelled)
