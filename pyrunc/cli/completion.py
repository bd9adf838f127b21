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
    "filter": (
        "ancestor=", "before=", "container=", "dangling=", "event=", "exited=", "expose=",
        "health=", "id=", "image=", "is-task=", "label=", "name=", "network=", "publish=",
        "reference=", "since=", "status=", "type=", "until=", "volume=",
    ),
    "format": ("json", "table"),
    "log-driver": ("json-file", "local", "none", "journald", "syslog"),
    "log-level": ("debug", "info", "warn", "error", "fatal"),
    "network": ("bridge", "host", "none"),
    "pull": ("always", "missing", "never"),
    "restart": ("always", "no", "on-failure", "unless-stopped"),
    "signal": ("HUP", "INT", "KILL", "QUIT", "STOP", "TERM", "USR1", "USR2"),
    "stop-signal": ("HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"),
    "type": ("container", "image", "network", "volume"),
}  # fmt: skip
_FILES = ("cidfile", "config", "env-file", "input", "output", "root", "runroot", "volume")

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
        _ctx: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        if option in _FILES:
            return [CompletionItem(incomplete, type="file")]
        return _items(list(_CHOICES.get(option, ())), incomplete)

    return complete


def shells(
    _ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a shell."""
    return _items(list(SHELLS), incomplete)


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
    """Complete names of images as users write them."""

    def names() -> list[str]:
        from ..engine.images import list_images
        from ..oci.reference import parse_full

        found = [
            parse_full(name).familiar()
            for image in list_images(_engine(ctx).paths)
            for name in image.names
        ]
        return found + [name.removesuffix(":latest") for name in found]

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
