"""Which options may a volume have: type, o and device, which bind a directory of the host.

Source: docker volume create(1); moby volume/local, validateOpts.
"""

from __future__ import annotations

from ..errors import InvalidInput, Unsupported
from .go_values import go_quote

# option -> those that it can't be without
_NEEDED = {"device": ("type",), "type": ("device",), "o": ("device", "type")}


def checked(options: dict[str, str]) -> dict[str, str]:
    """Return the options if a volume can have them.

    Raises: InvalidInput with docker's words; Unsupported for what is no bind.
    """
    for name in options:
        if name not in _NEEDED:
            raise InvalidInput(f"invalid option: {go_quote(name[:64])}", where="--opt")
        for other in _NEEDED[name]:
            if not options.get(other):
                raise InvalidInput(f"missing required option: {go_quote(other)}", where="--opt")
    if not options:
        return options
    words = options.get("o", "").split(",")
    if options["type"] not in ("none", "bind") or not {"bind", "rbind"} & set(words):
        raise Unsupported(
            f"volumes of type {go_quote(options['type'][:64])} are not supported yet",
            feature="--opt type",
            hint="type=none with o=bind and device=DIRECTORY is there; or use --tmpfs",
        )
    unknown = set(words) - {"bind", "rbind", "ro", "rw"}
    if unknown:
        raise Unsupported(
            f"volume option o={sorted(unknown)[0][:64]} is not supported yet", feature="--opt o"
        )
    if not options["device"].startswith("/"):
        raise InvalidInput(
            f"invalid device {go_quote(options['device'][:200])}: it must be an absolute path",
            where="--opt",
        )
    return options
