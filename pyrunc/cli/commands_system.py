"""The commands about pyrunc itself: info, version, system check, completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import __version__
from . import completion, listing, output, units
from .commands import Call, Command
from .go_template import TemplateError
from .option_table import FLAG, VALUE

if TYPE_CHECKING:
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_FORMAT: Row = ("format", "f", VALUE, "TEMPLATE", "", '"json", or a Go template')
_WORDS = {
    "ServerVersion": "Server Version", "Driver": "Storage Driver",
    "CgroupDriver": "Cgroup Driver", "CgroupVersion": "Cgroup Version",
    "CgroupShape": "Cgroup Shape", "DefaultRuntime": "Default Runtime",
    "SecurityOptions": "Security Options", "KernelVersion": "Kernel Version",
    "OperatingSystem": "Operating System", "NCPU": "CPUs", "MemTotal": "Total Memory",
    "DockerRootDir": "Root Dir", "RunRoot": "Run Root",
}  # fmt: skip


def version_line() -> str:
    """Return what `pyrunc --version` prints."""
    return f"pyrunc version {__version__}"


def version(call: Call) -> int:
    """Show versions."""
    from ..engine.version import version as versions

    found = versions()
    if layout := call.text("format"):
        return _formatted(found, layout)
    for block, values in found.items():
        output.line(f"{block}: pyrunc")
        for name, value in values.items():
            output.line(f" {name + ':':<18}{output.printable(str(value))}")
    return 0


def info(call: Call) -> int:
    """Show what this host offers and what is on it."""
    from ..engine.info import info as collect

    found = collect(call.engine())
    if layout := call.text("format"):
        return _formatted(found, layout)
    warnings = found.pop("Warnings")
    for name, value in found.items():
        output.text(_block(name, value))
    for warning in warnings:
        output.warning(output.printable(warning))
    return 0


def check(call: Call) -> int:
    """Compare what is on disk, in the database and in the kernel.

    Exit code 1 if something is amiss and was left so.
    """
    from ..engine.check import check as compare

    repair = call.is_on("repair")
    findings = compare(call.engine(), repair)
    for finding in findings:
        output.line(output.printable(str(finding)))
    if not findings:
        output.note("nothing is amiss")
    mended = [finding for finding in findings if repair and finding.mend and not finding.is_left]
    return 0 if len(mended) == len(findings) else 1


def complete(call: Call) -> int:
    """Print a completion script."""
    shell = call.operands[0]
    if shell not in completion.SHELLS:
        raise call.usage_problem(
            f"no completion for {shell!r}", f"there is {', '.join(completion.SHELLS)}"
        )
    output.text(completion.script(shell))
    return 0


def _formatted(value: Value, layout: str) -> int:
    try:
        listing.print_object(value, layout)
    except TemplateError as error:
        output.problem(error)
        return listing.template_exit_code(error, is_list=False)
    return 0


def _block(name: str, value: Value) -> str:
    """Show one entry of `info` as docker does."""
    title = _WORDS.get(name, name)
    if name.startswith("Containers") and name != "Containers":
        title = f" {name.removeprefix('Containers')}"
    if name == "DriverStatus" and isinstance(value, list):
        return "".join(f"  {key}: {item}\n" for key, item in value)
    if name == "SecurityOptions" and isinstance(value, list):
        return f"{title}:\n" + "".join(f" {item.removeprefix('name=')}\n" for item in value)
    if isinstance(value, Mapping):
        value = " ".join(value)
    elif isinstance(value, list):
        value = " ".join(str(item) for item in value)
    elif name == "MemTotal" and isinstance(value, int):
        value = units.binary_size(value)
    return f"{title}: {output.printable(str(value))}\n"


VERSION = Command(
    "version",
    version,
    rows=(_FORMAT, _HELP),
    about="Show the versions of pyrunc and what it stands on.",
)

INFO = Command(
    "info",
    info,
    rows=(_FORMAT, _HELP),
    about="Show what this host offers and what is on it.",
)

CHECK = Command(
    "check",
    check,
    rows=(("repair", "", FLAG, "", "", "Mend what is amiss, and say what was done"), _HELP),
    about="Compare what is on disk, in the database and in the kernel.",
)

COMPLETION = Command(
    "completion",
    complete,
    rows=(_HELP,),
    usage="bash|zsh|fish",
    counts=(1, 1),
    about="Print a completion script for your shell.\n\n"
    'bash: eval "$(pyrunc completion bash)" in ~/.bashrc.  zsh: the same in ~/.zshrc.  fish: '
    "pyrunc completion fish > ~/.config/fish/completions/pyrunc.fish.",
    complete=completion.shells,
)
