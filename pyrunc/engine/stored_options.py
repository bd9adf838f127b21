"""How do the options of a container outlast the command that they were given to?

As a document in the database: `start` makes the container's process from them, whenever that is.
"""

from __future__ import annotations

from .log_options import LogOptions
from .mount_grammar import BindMount, Device, TmpfsMount
from .run_options import RunOptions, Ulimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Fields that are records, or tuples of records.
_RECORDS: dict[str, Callable[..., Any]] = {
    "mounts": BindMount,
    "tmpfs": TmpfsMount,
    "devices": Device,
    "ulimits": Ulimit,
    "log": LogOptions,
}
# What is said to one command and not to the container, or has a place of its own.
_PASSING = (
    "restart", "cidfile", "trace", "quiet", "pull", "detach", "gives_input", "detach_keys",
    "sig_proxy", "hold", "platform",
)  # fmt: skip


def to_document(options: RunOptions) -> dict[str, Any]:
    """Return what differs from the defaults, as JSON has it."""
    defaults = RunOptions.record_defaults
    return {
        name: _plain(value)
        for name, value in options.as_dict().items()
        if name not in _PASSING and (name not in defaults or value != defaults[name])
    }


def from_document(document: dict[str, Any]) -> RunOptions:
    """Return the options.  Raises: TypeError for a document of another version."""
    return RunOptions(**{name: _value(name, value) for name, value in document.items()})


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    as_dict = getattr(value, "as_dict", None)
    if as_dict is not None:
        return {name: _plain(one) for name, one in as_dict().items()}
    return value


def _value(name: str, value: Any) -> Any:  # noqa: ANN401  # JSON
    make = _RECORDS.get(name)
    if make is None:
        return _frozen(value)
    if isinstance(value, dict):
        return make(**{key: _frozen(one) for key, one in value.items()})
    return tuple(make(**{key: _frozen(one) for key, one in entry.items()}) for entry in value)


def _frozen(value: Any) -> Any:  # noqa: ANN401  # JSON
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
