"""What does a name without a registry stand for, where registries.conf is to say so?

`ubuntu` is docker.io/library/ubuntu, as with docker.  Only where somebody has written
`short-name-mode` into registries.conf is it what podman makes of it: an alias, or the name in each
registry of `unqualified-search-registries`.
Source: containers-registries.conf(5), "Short-Name Aliasing".
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import InvalidInput
from ..oci.record import Record
from ..oci.reference import parse_full, parse_reference
from .hosts_files import read_texts, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable

ENFORCING, PERMISSIVE, DISABLED = "enforcing", "permissive", "disabled"
_MODES = (ENFORCING, PERMISSIVE, DISABLED)


class ShortNames(Record):
    """What the files say, together."""

    mode: str
    file: str  # that named the mode
    registries: tuple[str, ...]
    aliases: dict[str, str]

    def candidates(self, word: str) -> list[str]:
        """Return the full names that a word may stand for, in the order to try them.

        Raises: InvalidInput for a word, or an alias, that is no name.
        """
        if not is_short(word):
            return [parse_reference(word).full()]
        name, suffix = _split(word)
        if alias := self.aliases.get(name):
            return [parse_reference(alias + suffix).full()]
        found = [parse_reference(f"{registry}/{word}").full() for registry in self.registries]
        return list(dict.fromkeys(found)) or [parse_reference(word).full()]


def read_short_names(paths: Iterable[str], recorded: str) -> ShortNames | None:
    """Read files of which later ones win; None where none of them names a mode.

    `recorded` is a file of aliases that were chosen at a prompt; it wins over all others, and need
    not be there.
    Raises: InvalidInput.
    """
    mode, file, registries, aliases = "", "", list[str](), dict[str, str]()
    for path in paths:
        config = read_toml(path)
        if config.get("short-name-mode"):
            mode, file = str(config["short-name-mode"]), path
        registries = read_texts(config.get("unqualified-search-registries")) or registries
        aliases |= _aliases(config.get("aliases"), path)
    if not mode:
        return None
    if mode not in _MODES:
        raise InvalidInput(
            f"cannot read {file}: short-name-mode is {mode[:64]!r}, not {', '.join(_MODES)}",
            subject=file,
        )
    with suppress(FileNotFoundError):
        aliases |= _aliases(read_toml(recorded).get("aliases"), recorded)
    chosen = {name: alias for name, alias in aliases.items() if alias}
    return ShortNames(mode=mode, file=file, registries=tuple(registries), aliases=chosen)


def with_alias(recorded: str, word: str, full: str) -> bytes:
    """Return the file of aliases with one more: what a word has been found to mean."""
    try:
        known = _aliases(read_toml(recorded).get("aliases"), recorded)
    except FileNotFoundError:
        known = {}
    known[_split(word)[0]] = parse_full(full).repository()
    lines = [f'"{name}" = "{alias}"\n' for name, alias in sorted(known.items())]
    return ("[aliases]\n" + "".join(lines)).encode()


def is_short(word: str) -> bool:
    """Tell whether a name is without a registry."""
    first, slash, _ = word.partition("/")
    named = "." in first or ":" in first or first == "localhost" or first != first.lower()
    return not (slash and named)


def _split(word: str) -> tuple[str, str]:
    """Return a short name, and its tag or digest with what comes before it."""
    name = word.partition("@")[0].partition(":")[0]
    return name, word[len(name) :]


def _aliases(value: object, path: str) -> dict[str, str]:
    """Check aliases: from a short name to a full one, neither with a tag; "" takes one away."""
    found = {}
    for name, alias in (value if isinstance(value, dict) else {}).items():
        is_name = isinstance(alias, str) and is_short(name) and _split(name)[1] == ""
        if not is_name or (alias and (is_short(alias) or _has_suffix(alias))):
            raise InvalidInput(
                f"cannot read {path}: alias {name[:200]!r} = {str(alias)[:200]!r} must lead from a"
                " short name to a full one, both without a tag",
                subject=path,
            )
        found[name] = alias
    return found


def _has_suffix(alias: str) -> bool:
    reference = parse_full(alias)
    return bool(reference.tag or reference.digest)
