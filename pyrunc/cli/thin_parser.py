"""How is a command line read where every millisecond counts?

It understands what is right, in one pass, and gives up (None) on everything else: unknown options,
missing values, `--help`.  Then flag_parser.py reads the same line again and says what is wrong.
Hot: every command line comes through here.
"""

from __future__ import annotations

from .option_table import FLAG, LIST, OPTIONAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .option_table import Index

_BOOLEANS = {
    "1": True, "t": True, "T": True, "true": True, "TRUE": True, "True": True,
    "0": False, "f": False, "F": False, "false": False, "FALSE": False, "False": False,
}  # fmt: skip


def parse(table: Index, words: Sequence[str]) -> tuple[dict[str, object], list[str]] | None:
    """Return (flags, rest); options end at the first word that is none, and at `--`.

    None if any word is not fully understood.
    Source: pflag's grammar, which is docker's.
    """
    flags: dict[str, object] = {}
    position = 0
    count = len(words)
    while position < count:
        word = words[position]
        if len(word) < 2 or word[0] != "-":
            break
        position += 1
        if word == "--":
            break
        if word[1] == "-":
            used = _long(table, flags, word[2:], words, position)
        else:
            used = _cluster(table, flags, word[1:], words, position)
        if used < 0:
            return None
        position += used
    return flags, list(words[position:])


def _long(
    table: Index, flags: dict[str, object], text: str, words: Sequence[str], position: int
) -> int:
    """Store one long option; returns how many further words it took, -1 if not understood."""
    name, equals, value = text.partition("=")
    if len(name) < 2 or name not in table:
        return -1
    name, kind = table[name]
    if equals:
        return _store(flags, name, kind, value)
    if kind == FLAG:
        flags[name] = True
        return 0
    if kind == OPTIONAL:
        flags[name] = ""
        return 0
    return _store_next(flags, name, kind, words, position)


def _cluster(
    table: Index, flags: dict[str, object], text: str, words: Sequence[str], position: int
) -> int:
    """Store a cluster of one-letter options: -it, -itd=false, -eA=B, -e A=B, -e=A=B."""
    while text:
        letter, text = text[0], text[1:]
        if letter not in table:
            return -1
        name, kind = table[letter]
        if len(text) > 1 and text[0] == "=":
            return _store(flags, name, kind, text[1:])
        if kind != FLAG:
            if text:
                return _store(flags, name, kind, text)
            return _store_next(flags, name, kind, words, position)
        flags[name] = True
    return 0


def _store_next(
    flags: dict[str, object], name: str, kind: str, words: Sequence[str], position: int
) -> int:
    if position == len(words):
        return -1
    return 1 if _store(flags, name, kind, words[position]) == 0 else -1


def _store(flags: dict[str, object], name: str, kind: str, value: str) -> int:
    if kind == FLAG:
        if value not in _BOOLEANS:
            return -1
        flags[name] = _BOOLEANS[value]
    elif kind == LIST:
        values = flags.setdefault(name, [])
        values.append(value)  # type: ignore[attr-defined]  # only lists are stored under a LIST's name
    else:
        flags[name] = value
    return 0
