"""What can follow on an unfinished command line?  Names, asked from the store; never an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.engine import Engine

    Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

# What an option takes, where that is a choice of few.
_CHOICES: dict[str, tuple[str, ...]] = {
    "condition": ("next-exit", "not-running", "removed"),
    "cgroupns": ("host", "private"),
    "format": ("json", "table"),
    "log-driver": ("json-file", "local", "none", "journald", "syslog"),
    "log-level": ("debug", "info", "warn", "error", "fatal"),
    "network": ("bridge", "host", "none"),
    "platform": (
        "linux/386", "linux/amd64", "linux/arm/v7", "linux/arm64", "linux/ppc64le",
        "linux/riscv64", "linux/s390x",
    ),
    "pull": ("always", "missing", "never"),
    "restart": ("always", "no", "on-failure", "unless-stopped"),
    "signal": ("HUP", "INT", "KILL", "QUIT", "STOP", "TERM", "USR1", "USR2"),
    "stop-signal": ("HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"),
    "type": ("container", "image", "network", "volume"),
}  # fmt: skip
# What it takes below one command only.
_CHOICES_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "events": {
        "filter": ("container=", "event=", "image=", "label=", "network=", "type=", "volume="),
    },
    "images": {"filter": ("before=", "dangling=", "label=", "reference=", "since=", "until=")},
    "ls": {"filter": ("dangling=", "driver=", "label=", "name=")},
    "prune": {"filter": ("label!=", "label=", "until=")},
    "ps": {
        "filter": (
            "ancestor=", "before=", "exited=", "expose=", "health=", "id=", "is-task=", "label=",
            "name=", "network=", "publish=", "since=", "status=", "volume=",
        ),
    },
    "push": {"format": ("docker", "oci")},
    "save": {"format": ("docker-archive", "docker-dir", "oci-archive", "oci-dir")},
    "search": {"filter": ("is-automated=", "is-official=", "stars=")},
}  # fmt: skip
_FILES = (
    "authfile", "cert-dir", "cidfile", "config", "env-file", "input", "output", "root", "runroot",
    "volume",
)  # fmt: skip

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PYRUNC_COMPLETE"


def script(shell: str) -> str:
    """Return the script that a shell evaluates to complete `pyrunc`."""
    from click.shell_completion import get_completion_class

    from .commands import ROOT

    found = get_completion_class(shell)
    assert found is not None
    complete = found(ROOT, {}, "pyrunc", VARIABLE)
    # Not complete.source(): for bash it runs bash to ask for its version.
    return complete.source_template % complete.source_vars()


def values_of(option: str) -> Complete:
    """Return what completes the value of an option; by itself it offers nothing."""

    def complete(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        if option in _FILES:
            return files(ctx, parameter, incomplete)
        own = _CHOICES_OF.get(ctx.command.name or "", {})
        return _items(list(own.get(option) or _CHOICES.get(option, ())), incomplete)

    return complete


def shells(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a shell."""
    return _items(list(SHELLS), incomplete)


def files(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Leave it to the shell, which knows the names of files."""
    return [CompletionItem(incomplete, type="file")]


def containers(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete names of containers, and IDs once one is begun."""
    return _containers(ctx, incomplete, None)


def running_containers(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete those that run or are paused."""
    return _containers(ctx, incomplete, ("running", "paused", "held", "restarting"))


def paused_containers(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete those that are paused."""
    return _containers(ctx, incomplete, ("paused",))


def stopped_containers(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete those that do not run."""
    return _containers(ctx, incomplete, ("created", "exited", "dead"))


def _containers(
    ctx: click.Context, incomplete: str, states: tuple[str, ...] | None
) -> list[CompletionItem]:
    def names() -> list[str]:
        from ..engine.ps import list_containers

        listed = list_containers(_engine(ctx), show_all=True)
        found = [summary for summary in listed if states is None or summary.state in states]
        ids = [summary.id[:12] for summary in found] if incomplete else []
        return [summary.name for summary in found] + ids

    return _items(_quietly(names), incomplete)


def images(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete names of images as users write them, and IDs once one is begun."""

    def names() -> list[str]:
        from ..engine.images import list_images
        from ..oci.reference import parse_full

        listed = list_images(_engine(ctx).paths)
        references = [parse_full(name) for image in listed for name in image.names]
        found = [one.familiar() for one in references if one.tag]
        ids = [image.id[7:19] for image in listed] if incomplete else []
        return found + [name.removesuffix(":latest") for name in found] + ids

    return _items(_quietly(names), incomplete)


def manifest_lists(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete names of lists that were put together here."""

    def names() -> list[str]:
        from ..engine.manifest_lists import names as known

        return known(_engine(ctx).paths)

    return _items(_quietly(names), incomplete)


def volumes(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete names of volumes."""

    def names() -> list[str]:
        from ..engine.volume import list_volumes

        return [volume.name for volume in list_volumes(_engine(ctx))]

    return _items(_quietly(names), incomplete)


def _quietly(names: Callable[[], list[str]]) -> list[str]:
    try:
        return names()
    except Exception:  # noqa: BLE001  # an error text in the middle of a command line helps nobody
        return []


def containers_and_images(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete both."""
    return containers(ctx, parameter, incomplete) + images(ctx, parameter, incomplete)


def _items(names: list[str], incomplete: str) -> list[CompletionItem]:
    chosen = dict.fromkeys(name for name in names if name.startswith(incomplete))
    return [CompletionItem(name) for name in chosen]


def _engine(ctx: click.Context) -> Engine:
    from .entry import make_engine

    return make_engine(ctx.find_root().obj or {})
