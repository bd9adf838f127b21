"""What is wrong with a command line, in docker's words?

The full reading of a command line: same grammar as thin_parser.py (a test holds them together), and
a message for everything that breaks it.  click's own parser takes neither `--rm=false` nor
`-e=A=B`, so click gets the result from here and does the rest: dispatch, help, completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..engine.go_values import boolean, go_quote
from .option_table import FLAG, LIST, OPTIONAL

if TYPE_CHECKING:
    from .option_table import Index

Flags = dict[str, object]


class UsageProblem(click.UsageError):
    """A command line that breaks the grammar: exit 125, as docker's; wrong argument count: 1."""

    def __init__(
        self, message: str, ctx: click.Context | None, *, exit_code: int = 125, hint: str = ""
    ) -> None:
        """Keep the words; `hint` is one line on what to do."""
        super().__init__(message, ctx)
        self.exit_status = exit_code
        self.hint = hint


class FlagParser:
    """One reading of one command line."""

    def __init__(self, table: Index, ctx: click.Context, shown: dict[str, str]) -> None:
        """Take the options by name and letter, and how the help shows each ("-m, --memory")."""
        self.table = table
        self.ctx = ctx
        self.shown = shown
        self.flags: Flags = {}
        self.rest: list[str] = []

    def parse(self, words: Sequence[str], *, interspersed: bool = False) -> None:
        """Fill `flags` and `rest`; with `interspersed`, options may follow the arguments.

        Raises: UsageProblem, unless the context only completes a line.
        """
        pending = list(words)
        while pending:
            word = pending.pop(0)
            if word == "--":
                self.rest += pending
                return
            if word.startswith("--"):
                self._long(word, pending)
            elif word.startswith("-") and word != "-":
                self._shorts(word, pending)
            elif interspersed:
                self.rest.append(word)
            else:
                self.rest += [word, *pending]
                return

    def _long(self, word: str, pending: list[str]) -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name.startswith("-"):
            self._fail(f"bad flag syntax: {word}")
            return
        if name not in self.table or len(name) < 2:
            self._fail(f"unknown flag: --{name}")
            return
        full, kind = self.table[name]
        if equals:
            self._set(full, kind, value)
        elif kind == FLAG:
            self.flags[full] = True
        elif kind == OPTIONAL:
            self.flags[full] = ""
        elif pending:
            self._set(full, kind, pending.pop(0))
        else:
            self._fail(f"flag needs an argument: --{name}")

    def _shorts(self, word: str, pending: list[str]) -> None:
        letters = word[1:]
        while letters:
            letter, behind = letters[0], letters[1:]
            if letter not in self.table:
                self._fail(f"unknown shorthand flag: {_quote_letter(letter)} in -{letters}", word)
                return
            name, kind = self.table[letter]
            if len(behind) > 1 and behind[0] == "=":
                self._set(name, kind, behind[1:])
                return
            if kind != FLAG:
                self._take(name, kind, letters, pending)
                return
            self.flags[name] = True
            letters = behind

    def _take(self, name: str, kind: str, letters: str, pending: list[str]) -> None:
        if len(letters) > 1:
            self._set(name, kind, letters[1:])
        elif pending:
            self._set(name, kind, pending.pop(0))
        else:
            self._fail(f"flag needs an argument: {_quote_letter(letters[0])} in -{letters}")

    def _set(self, name: str, kind: str, value: str) -> None:
        if kind == LIST:
            values = self.flags.setdefault(name, [])
            assert isinstance(values, list)
            values.append(value)
        elif kind == FLAG:
            try:
                self.flags[name] = boolean(value)
            except ValueError as error:
                shown = go_quote(self.shown.get(name, f"--{name}"))
                self._fail(f"invalid argument {go_quote(value)} for {shown} flag: {error}")
        else:
            self.flags[name] = value

    def _fail(self, message: str, word: str = "") -> None:
        if not self.ctx.resilient_parsing:
            from .typos import hint_for_flag

            names = [name for name in self.table if len(name) > 1]
            raise UsageProblem(message, self.ctx, hint=hint_for_flag(message, word, names))


def _quote_letter(letter: str) -> str:
    """Quote as Go's %q does a rune."""
    return f"'{letter}'" if letter.isprintable() and letter not in "'\\" else repr(letter)
