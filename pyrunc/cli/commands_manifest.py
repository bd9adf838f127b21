"""The commands below `manifest`: inspect, create, annotate, push, rm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidInput
from ..oci import document
from . import listing, output
from .commands import UNLIMITED, Call, Command
from .commands_registry import ACCESS_ROWS, make_access
from .completion import manifest_lists
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from ..engine.manifest_lists import Found
    from ..engine.registry_access import Access
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_INSECURE: Row = ("insecure", "", FLAG, "", "", "Take any certificate, and plain HTTP")


def inspect(call: Call) -> int:
    """Show what a registry has under a name, or a list of ours."""
    from ..engine.manifest_lists import inspect as look
    from ..engine.manifest_lists import members

    *within, word = call.operands
    access = _access(call)
    found = look(call.engine().paths, access, word, within[0] if within else "")
    if not call.is_on("verbose"):
        output.text(document.dump(found.document, indent=3).decode())
        return 0
    if "manifests" not in found.document:
        value: Value = _verbose(found, {})
    else:
        value = [_verbose(one, entry.get("platform", {})) for entry, one in members(access, found)]
    output.text(document.dump(value, indent=3).decode())
    return 0


def _verbose(found: Found, platform: Value) -> dict[str, Value]:
    is_oci = "oci" in found.media_type
    return {
        "Ref": found.reference,
        "Descriptor": {
            "mediaType": found.media_type,
            "digest": found.digest,
            "size": len(found.raw),
            **({"platform": platform} if platform else {}),
        },
        "OCIManifest" if is_oci else "SchemaV2Manifest": found.document,
    }


def create(call: Call) -> int:
    """Put a list together."""
    from ..engine.manifest_lists import create as make

    name, *members = call.operands
    paths = call.engine().paths
    full = make(paths, _access(call), name, members, amend=call.is_on("amend"))
    output.line(f"Created manifest list {full}")
    return 0


def annotate(call: Call) -> int:
    """Say what platform an entry is for."""
    from ..engine.manifest_lists import PlatformWords
    from ..engine.manifest_lists import annotate as say

    name, member = call.operands
    words = PlatformWords(
        architecture=call.text("arch"),
        os=call.text("os"),
        variant=call.text("variant"),
        os_version=call.text("os-version"),
        os_features=tuple(call.texts("os-features")),
    )
    if words == PlatformWords():
        raise InvalidInput("nothing to annotate: give --arch, --os or --variant", where="--arch")
    say(call.engine().paths, name, member, words)
    return 0


def push(call: Call) -> int:
    """Push a list; prints its digest."""
    from ..engine.manifest_lists import push as send
    from ..engine.manifest_lists import remove as forget

    paths, (name,) = call.engine().paths, call.operands
    output.line(send(paths, _access(call), name, output.note))
    if call.is_on("purge"):
        forget(paths, name)
    return 0


def remove(call: Call) -> int:
    """Forget lists, going on after an error."""
    from ..engine.manifest_lists import remove as forget

    paths = call.engine().paths
    return listing.failures(call.operands, lambda name: forget(paths, name))


def _access(call: Call) -> Access:
    return make_access(call, insecure=call.is_on("insecure"))


INSPECT = Command(
    "inspect",
    inspect,
    rows=(
        _INSECURE,
        ("verbose", "v", FLAG, "", "", "Each manifest of a list"),
        *ACCESS_ROWS,
        _HELP,
    ),
    usage="[MANIFEST_LIST] MANIFEST",
    counts=(1, 2),
    about="Show a manifest or a list of them, from a registry or put together here.",
    complete=manifest_lists,
    completes=1,
)

CREATE = Command(
    "create",
    create,
    rows=(
        ("amend", "a", FLAG, "", "", "Add to a list that is there"),
        _INSECURE,
        *ACCESS_ROWS,
        _HELP,
    ),
    usage="MANIFEST_LIST MANIFEST [MANIFEST...]",
    counts=(2, UNLIMITED),
    about="Put a list together, of images that are in a registry already.",
)

ANNOTATE = Command(
    "annotate",
    annotate,
    rows=(
        ("arch", "", VALUE, "ARCH", "", "Its processor: amd64, arm64 …"),
        ("os", "", VALUE, "OS", "", "Its operating system"),
        ("os-features", "", LIST, "FEATURE", "", "What of the operating system it needs"),
        ("os-version", "", VALUE, "VERSION", "", "The operating system's version"),
        ("variant", "", VALUE, "VARIANT", "", "The processor's variant: v7, v8 …"),
        _HELP,
    ),
    usage="MANIFEST_LIST MANIFEST",
    counts=(2, 2),
    about="Say what platform an entry of a list is for.",
    complete=manifest_lists,
    completes=1,
)

PUSH = Command(
    "push",
    push,
    rows=(
        _INSECURE,
        ("purge", "p", FLAG, "", "", "Forget the list afterwards"),
        *ACCESS_ROWS,
        _HELP,
    ),
    usage="MANIFEST_LIST",
    counts=(1, 1),
    about="Push a list to the registry of its name, and print its digest.",
    complete=manifest_lists,
)

REMOVE = Command(
    "rm",
    remove,
    rows=(_HELP,),
    usage="MANIFEST_LIST [MANIFEST_LIST...]",
    counts=(1, UNLIMITED),
    about="Forget lists that were put together here.",
    complete=manifest_lists,
)
