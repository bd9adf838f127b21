"""Which commands are there, and how does click run them?

Commands are loaded when they are called or listed with their options; the tables below are all that
`pyrunc --help` needs.  Parsing is flag_parser's; dispatch, help pages and completion are click's.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from ..errors import InvalidInput, Unsupported
from . import command_table, completion, option_table, output
from .flag_parser import FlagParser, Flags, UsageProblem
from .option_table import FLAG, LIST, OPTIONAL
from .typos import hint_for_command

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ..engine.engine import Engine
    from .option_table import Row

    Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

UNLIMITED = -1
_TYPED = "pyrunc.operands"  # in click's meta: what stands before the word to complete


class Call:
    """One call of a command: what was typed, and the engine it is meant for."""

    def __init__(self, ctx: click.Context, flags: Flags, operands: list[str]) -> None:
        """Keep the parsed line."""
        self.ctx = ctx
        self.flags = flags
        self.operands = operands

    def engine(self) -> Engine:
        """Make the engine that the global options name."""
        from .entry import make_engine

        return make_engine(self.ctx.find_root().obj or {})

    def text(self, name: str, default: str = "") -> str:
        """Return an option with a value."""
        value = self.flags.get(name, default)
        assert isinstance(value, str)
        return value

    def texts(self, name: str) -> list[str]:
        """Return a repeatable option."""
        value = self.flags.get(name, [])
        assert isinstance(value, list)
        return value

    def is_on(self, name: str) -> bool:
        """Return an option without a value."""
        return bool(self.flags.get(name, False))

    def usage_problem(self, message: str, hint: str | None = None) -> UsageProblem:
        """Return a problem with the command line, for raising."""
        return UsageProblem(message, self.ctx, hint=hint or "")

    def missing_operand(self) -> UsageProblem:
        """Return the problem of a line without an operand, where the options decide how many."""
        return _count_problem(self.ctx, "requires at least 1 argument")


class Command(click.Command):
    """A command whose options come from rows of an option table."""

    def __init__(
        self,
        name: str,
        act: Callable[[Call], int],
        *,
        rows: Sequence[Row] = (),
        usage: str = "",
        counts: tuple[int, int] = (0, 0),
        about: str = "",
        complete: Complete | None = None,
        completes: int = UNLIMITED,
        later: Mapping[str, tuple[str, str]] | None = None,
        aliases: Mapping[str, str] | None = None,
        interspersed: bool = True,
        is_run: bool = False,
    ) -> None:
        """Describe a command.

        `usage` is what follows [OPTIONS], `counts` how many operands there may be, `later` the
        options to come, `completes` how many operands
        are what `complete` finds; `is_run` marks those that read their options as `run` does.
        """
        super().__init__(name, help=about, add_help_option=False)
        self.act = act
        self.rows = rows
        self.usage = usage
        self.counts = counts
        self.complete = complete
        self.completes = counts[1] if completes == UNLIMITED else completes
        self.later = dict(later or {})
        self.interspersed = interspersed
        self.is_run = is_run
        table = option_table.index(rows, dict(aliases or {}))
        self.table = option_table.with_later(table, self.later)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse with docker's grammar; prints the help page for --help."""
        parser = FlagParser(self.table, ctx, {row[0]: display(row) for row in self.rows})
        parser.parse(args, interspersed=self.interspersed)
        _mark_for_completion(ctx)
        if ctx.resilient_parsing:
            if parser.rest and self.interspersed is False:
                ctx.set_parameter_source("operand", click.core.ParameterSource.COMMANDLINE)
            ctx.meta[_TYPED] = parser.rest
            return []
        if parser.flags.pop("help", False):
            output.text(ctx.get_help() + "\n")
            ctx.exit(0)
        self._refuse_later(parser.flags, ctx)
        _check_count(ctx, self.counts, len(parser.rest))
        ctx.params = {"flags": parser.flags, "operands": parser.rest}
        return []

    def invoke(self, ctx: click.Context) -> int:
        """Act; what is wrong with an option of `run` is shown with its usage."""
        try:
            return self.act(Call(ctx, ctx.params["flags"], ctx.params["operands"]))
        except InvalidInput as error:
            is_argument = str(error).startswith("invalid argument ")
            if not is_argument and not (self.is_run and (error.where or "").startswith("-")):
                raise
            raise UsageProblem(str(error), ctx, hint=error.hint or "") from error

    def _refuse_later(self, flags: Flags, ctx: click.Context) -> None:
        for name in [name for name in flags if name in self.later]:
            value = flags.pop(name)
            if name in option_table.RUN_IGNORED:
                output.warning(f"--{name} has no effect and will go away")
            elif value not in option_table.RUN_ACCEPTED.get(name, ()):
                raise Unsupported(
                    f"--{name} is not supported yet",
                    feature=f"--{name}",
                    hint=f"leave it out, or see {ctx.command_path} --help for what there is",
                )

    # -- help and completion, for click --------------------------------------------------------

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return click's own objects, which completion asks for."""
        result: list[click.Parameter] = [_click_option(row) for row in self.rows]
        if self.counts[1]:
            nargs = -1 if self.interspersed else 1
            result.append(
                click.Argument(
                    ["operand"], nargs=nargs, required=False, shell_complete=self._complete_operand
                )
            )
        return result

    def _complete_operand(
        self, ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer what can still follow: nothing twice, and no more than there may be."""
        typed = ctx.meta.get(_TYPED, [])
        if self.complete is None or len(typed) >= self.completes != UNLIMITED:
            return []
        found = self.complete(ctx, parameter, incomplete)
        return [item for item in found if item.value not in typed]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage line, as docker does."""
        formatter.write(f"{usage_line(ctx)}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        write_options(self.rows, formatter)


class Group(click.Group):
    """A command that has commands below it, loaded when they are called."""

    def __init__(
        self,
        name: str,
        table: Mapping[str, tuple[str, str, str]],
        later: Sequence[str],
        *,
        aliases: Mapping[str, str] | None = None,
        about: str = "",
        rows: Sequence[Row] = (("help", "", FLAG, "", "", "Show this help"),),
    ) -> None:
        """Describe the group by its tables."""
        super().__init__(name, help=about, add_help_option=False)
        self.entries = table
        self.later = later
        self.aliases = aliases or {}
        self.rows = rows

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command's name."""
        parser = FlagParser(
            option_table.index(self.rows), ctx, {row[0]: display(row) for row in self.rows}
        )
        parser.parse(args)
        _mark_for_completion(ctx)
        ctx.args = parser.rest
        if ctx.parent is None:
            ctx.obj = parser.flags
        if ctx.resilient_parsing:
            return ctx.args
        if parser.flags.pop("version", False):
            from .commands_system import version_line

            output.line(version_line())
            ctx.exit(0)
        if parser.flags.pop("help", False) or not parser.rest:
            output.text(ctx.get_help() + "\n")
            ctx.exit(0)
        if ctx.parent is None:
            _set_up_logging(parser.flags, ctx)
        return ctx.args

    def invoke(self, ctx: click.Context) -> int:
        """Run the command whose name comes first."""
        name, command, rest = self.resolve_command(ctx, ctx.args)
        assert command is not None
        with command.make_context(name, rest, parent=ctx) as inner:
            result = inner.command.invoke(inner)
            assert isinstance(result, int)
            return result

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that does not exist is docker's error, with a hint."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not ctx.resilient_parsing:
            raise UsageProblem(
                f"unknown command: {ctx.command_path} {output.printable(name)}",
                ctx,
                exit_code=1,
                hint=hint_for_command(name, [*self.entries, *self.aliases, *self.later]),
            )
        return name if command else None, command, args[1:]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return click's own objects, which completion asks for."""
        return [_click_option(row) for row in self.rows]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names that help and completion show."""
        return [name for name, (_, _, about) in self.entries.items() if about]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        name = self.aliases.get(cmd_name, cmd_name)
        if name in self.entries:
            module, attribute, _ = self.entries[name]
            found = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
            assert isinstance(found, click.Command)
            return found
        return Later(name) if name in self.later else None

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage line, as docker does."""
        formatter.write(f"{usage_line(ctx)}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write commands, then options."""
        names = self.list_commands(ctx)
        is_group = {name: self.entries[name][0] == "commands" for name in names}
        for title, wanted in (("Commands", False), ("Management Commands", True)):
            chosen = [(name, self.entries[name][2]) for name in names if is_group[name] is wanted]
            if chosen:
                with formatter.section(title):
                    formatter.write_dl(chosen)
        if ctx.parent is None:
            write_options(self.rows, formatter)
        formatter.write(f"\nRun '{ctx.command_path} COMMAND --help' for more on a command.\n")


class Later(click.Command):
    """A command of docker's that is not there yet, and says so."""

    def __init__(self, name: str) -> None:
        """Take the name."""
        super().__init__(name, hidden=True, add_help_option=False)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take anything."""
        return []

    def invoke(self, ctx: click.Context) -> int:
        """Say that it is not there."""
        hint = None
        if self.name in command_table.CLUSTER:
            hint = "for clusters, put pyrunc-oci under Docker Swarm, Kubernetes or Nomad"
        raise Unsupported(
            f"'{ctx.command_path}' is not supported yet", feature=ctx.command_path, hint=hint
        )


CONTAINER = Group(
    "container",
    command_table.CONTAINER,
    command_table.CONTAINER_LATER,
    aliases=command_table.CONTAINER_ALIASES,
    about="Manage containers.",
)
IMAGE = Group(
    "image",
    command_table.IMAGE,
    command_table.IMAGE_LATER,
    aliases=command_table.IMAGE_ALIASES,
    about="Manage images.",
)
VOLUME = Group(
    "volume",
    command_table.VOLUME,
    command_table.VOLUME_LATER,
    aliases=command_table.VOLUME_ALIASES,
    about="Manage volumes.",
)
MANIFEST = Group(
    "manifest", command_table.MANIFEST, (), about="Manage lists of images for several platforms."
)
ARTIFACT = Group(
    "artifact", command_table.ARTIFACT, (), about="Manage files in registries that are no images."
)
SYSTEM = Group(
    "system", command_table.SYSTEM, command_table.SYSTEM_LATER, about="Look after pyrunc itself."
)
ROOT = Group(
    "pyrunc", command_table.ROOT, command_table.ROOT_LATER, rows=option_table.GLOBAL,
    about="Run containers, without a daemon.",
)  # fmt: skip


def run_command_line(words: list[str]) -> int:
    """Run one command line through click; returns the exit code."""
    if completion.VARIABLE in os.environ:
        return _complete(words)
    try:
        # Not ROOT.main(): it has its own mind about Ctrl-C and closed pipes.
        with ROOT.make_context("pyrunc", words) as ctx:
            return ROOT.invoke(ctx)
    except UsageProblem as problem:
        _show(problem)
        return problem.exit_status
    except click.exceptions.Exit as ended:
        return ended.exit_code


def _complete(words: list[str]) -> int:
    """Answer a shell that asks what can follow."""
    code = 0
    try:
        ROOT.main(words, "pyrunc", completion.VARIABLE, standalone_mode=False)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    return code


def usage_line(ctx: click.Context) -> str:
    """Return "Usage:  pyrunc run [OPTIONS] IMAGE [COMMAND] [ARG...]"."""
    command = ctx.command
    if isinstance(command, Command):
        parts = ["[OPTIONS]" if command.rows else "", command.usage]
    else:
        parts = ["[OPTIONS]" if ctx.parent is None else "", "COMMAND"]
    return " ".join(["Usage: ", ctx.command_path, *filter(None, parts)])


def display(row: Row) -> str:
    """Return an option as messages show it: "-m, --memory"."""
    return f"-{row[1]}, --{row[0]}" if row[1] else f"--{row[0]}"


def write_options(rows: Sequence[Row], formatter: click.HelpFormatter) -> None:
    """Write a table of options, one section a group."""
    formatter.width = max(formatter.width, 80)
    groups = list(dict.fromkeys(row[4] for row in rows))
    for group in sorted(groups, key=lambda name: not name if len(groups) > 1 else False):
        lines = [(_left(row), row[5]) for row in rows if row[4] == group]
        with formatter.section(f"{group} options" if group else "Options"):
            formatter.write_dl(lines, col_max=32)


def _left(row: Row) -> str:
    name, short, kind, value, _, _ = row
    head = f"-{short}, " if short else "    "
    tail = f"[={value}]" if kind == OPTIONAL else f" {value}" if value else ""
    return f"{head}--{name}{tail}"


def _click_option(row: Row) -> click.Option:
    name, short, kind, _, _, about = row
    names = [f"--{name}", *([f"-{short}"] if short else []), name.replace("-", "_")]
    return click.Option(
        names,
        is_flag=kind in (FLAG, OPTIONAL),
        multiple=kind == LIST,
        help=about,
        shell_complete=completion.values_of(name),
    )


def _check_count(ctx: click.Context, counts: tuple[int, int], given: int) -> None:
    low, high = counts
    many = "" if max(low, high) == 1 else "s"
    if high == 0 and given:
        words = "accepts no arguments"
    elif low == high and given != low:
        words = f"requires {low} argument{many}"
    elif given < low:
        words = f"requires at least {low} argument{'' if low == 1 else 's'}"
    elif given > high != UNLIMITED:
        words = f"requires at most {high} argument{many}"
    else:
        return
    raise _count_problem(ctx, words)


def _count_problem(ctx: click.Context, words: str) -> UsageProblem:
    return UsageProblem(f"'{ctx.command_path}' {words}", ctx, exit_code=1)  # docker's code for that


def _mark_for_completion(ctx: click.Context) -> None:
    # click asks this set whether an unfinished word begins an option.
    prefixes = getattr(ctx, "_opt_prefixes", None)
    if isinstance(prefixes, set):
        prefixes.update(("-", "--"))


def _show(problem: UsageProblem) -> None:
    output.note(f"pyrunc: {output.printable(problem.message)}")
    if problem.hint:
        output.note(f"hint: {output.printable(problem.hint)}")
    if problem.ctx is not None:
        path = problem.ctx.command_path
        output.note(f"\n{usage_line(problem.ctx)}\n")
        output.note(f"Run '{path} --help' for more information")


def _set_up_logging(flags: Flags, ctx: click.Context) -> None:
    """Set the level; nobody pays for the import who did not ask: warnings come through as it is."""
    if "debug" not in flags and "log-level" not in flags:
        return
    import logging

    levels = {
        "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING,
        "warning": logging.WARNING, "error": logging.ERROR, "fatal": logging.CRITICAL,
    }  # fmt: skip
    chosen = "debug" if flags.get("debug") else str(flags.get("log-level") or "warn").lower()
    if chosen not in levels:
        raise UsageProblem(f"unable to parse logging level: {chosen}", ctx, exit_code=1)
    logging.basicConfig(level=levels[chosen], format="%(levelname)s %(name)s: %(message)s")
