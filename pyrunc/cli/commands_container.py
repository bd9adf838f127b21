"""The commands about containers: inspect, mount, unmount, cleanup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..engine.go_values import go_quote
from ..errors import InvalidInput, NotFound, Unsupported
from . import listing, output
from .commands import UNLIMITED, Call, Command
from .completion import containers, containers_and_images
from .option_table import FLAG, VALUE

if TYPE_CHECKING:
    from .go_functions import Value
    from .option_table import Row

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")
_FORMAT: Row = ("format", "f", VALUE, "TEMPLATE", "", '"json", or a Go template')

_SIZE: Row = ("size", "s", FLAG, "", "", "Sizes of containers, too")


def inspect(call: Call) -> int:
    """Show containers, then images, by name."""
    return _inspect(call, call.text("type"))


def inspect_container(call: Call) -> int:
    """Show containers."""
    return _inspect(call, "container")


def inspect_image(call: Call) -> int:
    """Show images."""
    return _inspect(call, "image")


def _inspect(call: Call, kind: str) -> int:
    if kind == "network":
        return _inspect_networks(call)
    if kind not in ("", "container", "image", "volume"):
        raise InvalidInput(
            f'unknown type: {go_quote(kind)}: must be one of "container", "image", "network", '
            '"volume"',
            where="--type",
        )
    from ..engine.inspect import inspect as look_up

    engine = call.engine()
    with_size = call.is_on("size")

    def look(name: str) -> Value:
        document = look_up(engine, name, kind=kind or None, with_size=with_size)
        if with_size and "SizeRw" not in document:
            output.warning("--size ignored for images")
        return document

    return listing.inspect_each(call.operands, look, call.text("format"), what=kind or "object")


def _inspect_networks(call: Call) -> int:
    """Say that a network is not there, in docker's words; those that are cannot be shown yet."""

    def look(name: str) -> Value:
        if name in ("bridge", "host", "none"):
            raise Unsupported(
                f"cannot inspect network '{name}': networks are not shown yet", feature="--type"
            )
        raise NotFound(f"network {name} not found", kind="network", name=name)

    code = listing.inspect_each(call.operands, look, call.text("format"), what="network")
    output.note("hint: there are bridge, host and none; networks of one's own cannot be made yet")
    return code


def mount(call: Call) -> int:
    """Mount root filesystems where the host sees them; prints the paths."""
    from ..engine.container_mount import mount_container

    engine = call.engine()
    return listing.failures(call.operands, lambda name: output.line(mount_container(engine, name)))


def unmount(call: Call) -> int:
    """Undo `mount`; prints the names."""
    from ..engine.container_mount import unmount_container

    engine = call.engine()

    def unmount_one(name: str) -> None:
        unmount_container(engine, name)
        output.line(name)

    return listing.failures(call.operands, unmount_one)


def health_check(call: Call) -> int:
    """Check once how a container is; called by csrc/health.c."""
    from ..engine.health import check

    return check(call.engine(), call.operands[0])


def start_again(call: Call) -> int:
    """Start a container by its restart policy; called by csrc/sleeper.c with the lock it held."""
    from ..engine.start_again import start_by_policy

    container_id, fd = call.operands
    start_by_policy(call.engine(), container_id, int(fd) if fd.isdigit() else -1)
    return 0


def cleanup(call: Call) -> int:
    """Finish a container that ended while nobody was attached; called by its monitor."""
    from ..engine.finish import cleanup as finish

    finish(call.engine(), call.operands[0])
    return 0


INSPECT = Command(
    "inspect",
    inspect,
    rows=(
        _FORMAT,
        ("type", "", VALUE, "TYPE", "", "container, image, network or volume"),
        _SIZE,
        _HELP,
    ),
    usage="NAME|ID [NAME|ID...]",
    counts=(1, UNLIMITED),
    about="Show all that is known about containers and images, as JSON.",
    complete=containers_and_images,
)

CONTAINER_INSPECT = Command(
    "inspect",
    inspect_container,
    rows=(_FORMAT, _SIZE, _HELP),
    usage="CONTAINER [CONTAINER...]",
    counts=(1, UNLIMITED),
    about="Show all that is known about containers, as JSON.",
    complete=containers,
)

MOUNT = Command(
    "mount",
    mount,
    rows=(_HELP,),
    usage="CONTAINER [CONTAINER...]",
    counts=(1, UNLIMITED),
    about="Show a container's root filesystem on the host, and print where.\n\n"
    "It is mounted at the bundle's rootfs, where `runc run -b BUNDLE` looks for it.",
    complete=containers,
)

UNMOUNT = Command(
    "unmount",
    unmount,
    rows=(_HELP,),
    usage="CONTAINER [CONTAINER...]",
    counts=(1, UNLIMITED),
    about="Take away what `container mount` shows.",
    complete=containers,
)

CLEANUP = Command("cleanup", cleanup, rows=(_HELP,), usage="ID", counts=(1, 1))
START_AGAIN = Command("start-again", start_again, rows=(_HELP,), usage="ID FD", counts=(2, 2))
HEALTH_CHECK = Command("health-check", health_check, rows=(_HELP,), usage="ID", counts=(1, 1))
