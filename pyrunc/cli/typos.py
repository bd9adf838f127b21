"""What did the user mean?  Hints for typing errors that tutorials and keyboards make."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def hint_for_flag(message: str, word: str, names: Iterable[str]) -> str:
    """Return "did you mean --name?" for `-name`, `--nmae`, `-force`; "" if nothing is near."""
    known = list(names)
    bare = word.lstrip("-").partition("=")[0] if word else message.rpartition("--")[2]
    if word and len(bare) > 1 and bare in known:
        return f"did you mean --{bare}?"
    if not word and message.startswith("unknown flag"):
        near = difflib.get_close_matches(bare, known, n=1, cutoff=0.7)
        return f"did you mean --{near[0]}?" if near else ""
    return ""


def hint_for_command(name: str, known: Iterable[str]) -> str:
    """Return "did you mean …?" for a command that is nearly one."""
    if dash := typographic_dash(name):
        return dash
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else ""


def typographic_dash(word: str) -> str:
    """Return a hint for `–d` and `—rm`, which word processors make of `-d` and `--rm`."""
    head = word[:1]
    if not head or head == "-" or unicodedata.category(head) != "Pd":
        return ""
    rest = word.lstrip(head).lstrip("-")
    is_long = head == "\N{EM DASH}" or len(rest.partition("=")[0]) > 2
    meant = f"--{rest}" if is_long else f"-{rest}"
    name = unicodedata.name(head, "dash").lower()
    return f"{word!r} begins with a typographic dash ({name}); did you mean {meant}?"
