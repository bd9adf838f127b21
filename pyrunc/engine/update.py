"""How do the limits of a container change: `update`?

Those that run are changed where they are, in the files of their cgroups; and the options are stored
anew, so that the next start has them, too.  All of it or nothing: what was written is put back when
a later step fails.
Source: moby container/container_unix.go, UpdateContainer, for what is refused and its words.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput, NotFound
from ..kernel.probe import probe
from ..oci import document
from ..runtime.update import apply, merge, take_back
from ..storage import containers
from ..storage.atomic import replace_file
from ..storage.database import Transaction
from . import journal, limits, stored_options
from .container_status import control_groups, running_state
from .set_restart_policy import set_restart_policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from sqlite3 import Connection

    from ..runtime.update import Done
    from .engine import Engine
    from .run_options import RunOptions

    Values = Mapping[str, Any]

_NO_WEIGHT = (
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
)


def update(
    engine: Engine, name: str, changes: Values, restart: tuple[str, int] | None = None
) -> list[str]:
    """Change limits, by the names of RunOptions' fields; return warnings, as sentences.

    `restart` is a new restart policy with its maximum.

    0 leaves alone what is there, as docker has it.
    Raises: NotFound; InvalidInput for what does not go together; Unsupported and KernelError for
    what this host can't do.
    """
    connection = engine.database()
    done: Done = []
    try:
        with Transaction(connection):  # of two at once, the second builds on the first
            warnings = _update(engine, connection, name, dict(changes), done)
            if restart is not None:
                set_restart_policy(connection, containers.find(connection, name), *restart)
            return warnings
    except BaseException:
        take_back(done)
        raise


def _update(
    engine: Engine, connection: Connection, name: str, changes: dict[str, Any], done: Done
) -> list[str]:
    row = containers.find(connection, name)
    if "options" not in row.document:  # it is just being made
        raise NotFound(f"No such container: {name}", kind="container", name=name)
    warnings = []
    if changes.get("blkio_weight") and not _has_weight(row):
        del changes["blkio_weight"]
        warnings.append(_NO_WEIGHT)
    options = stored_options.from_document(row.document["options"])
    before = _settled(options.as_dict(), row.document)
    after = _merged(row, before, changes)
    facts = probe()
    known = limits.resources(before), limits.resources(after)
    for resources in known:
        if not facts.swap_accounting:
            resources.get("memory", {}).pop("swap", None)
    changed = _difference(*known)
    config = f"{engine.paths.bundle(row.id)}/config.json"
    recorded = _read_config(config)
    if changed and recorded is not None:
        linux = recorded["linux"]
        merged = merge(linux.get("resources") or {}, changed)
        if running_state(engine, row) is not None:
            scope = row.document.get("scope", "")
            apply(changed, merged, facts, control_groups(row), scope, done)
        recorded = recorded | {"linux": linux | {"resources": merged}}
    if "memory_bytes" in changes:
        changes["memory_swap_bytes"] = after["memory_swap_bytes"]
    options = options.replace(**{field: after[field] for field in changes})
    containers.update_document(connection, row.id, _document(row.document, options, after))
    journal.container_event(connection, row, "update")
    if recorded is not None:
        replace_file(config, document.dump(recorded), durable=False)
    return warnings


def _settled(values: Values, known: Values) -> dict[str, Any]:
    """Return the options with what follows from them: how much swap a limit of memory brought."""
    swap = values["memory_swap_bytes"] or known.get("memory_swap_bytes") or None
    return {**values, "memory_swap_bytes": swap}


def _merged(
    row: containers.ContainerRow, before: Values, changes: dict[str, Any]
) -> dict[str, Any]:
    """Return the options as they will be; `changes` loses what changes nothing."""
    for field in [field for field, value in changes.items() if not value]:
        del changes[field]
    try:
        _check_conflicts(before, changes)
        after = {**before, **changes}
        limits.check(after)
    except InvalidInput as error:
        error.problem = f"Cannot update container {row.id}: {error.problem}"
        raise
    if changes.get("memory_bytes") and not after["memory_swap_bytes"]:
        after["memory_swap_bytes"] = 2 * after["memory_bytes"]  # as run has it
    return after


def _check_conflicts(before: Values, changes: Values) -> None:
    for field, other, what, there in (
        ("cpu_period_us", "nano_cpus", "CPU Period", "NanoCPUs"),
        ("cpu_quota_us", "nano_cpus", "CPU Quota", "NanoCPUs"),
        ("nano_cpus", "cpu_period_us", "NanoCPUs", "CPU Period"),
        ("nano_cpus", "cpu_quota_us", "NanoCPUs", "CPU Quota"),
    ):
        if changes.get(field) and before[other]:
            raise InvalidInput(
                f"Conflicting options: {what} cannot be updated as {there} has already been set",
                where="update",
            )
    swap = before["memory_swap_bytes"] or 0
    if 0 < swap < changes.get("memory_bytes", 0) and not changes.get("memory_swap_bytes"):
        raise InvalidInput(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time",
            where="--memory",
        )


def _difference(before: Values, after: Values) -> dict[str, Any]:
    """Return the members of linux.resources that are new, group by group."""
    found = {}
    for group, members in after.items():
        old = before.get(group, {})
        new = {key: value for key, value in members.items() if old.get(key) != value}
        if new:
            found[group] = new
    return found


def _has_weight(row: containers.ContainerRow) -> bool:
    """Tell whether the kernel has the file; of a container that does not run, nobody knows."""
    groups = control_groups(row)
    directory = groups.directory("blkio")
    if directory is not None:
        return os.access(f"{directory}/blkio.bfq.weight", os.F_OK)
    return groups.unified is None or os.access(f"{groups.unified}/io.weight", os.F_OK)


def _read_config(path: str) -> dict[str, Any] | None:
    """Return the bundle's runtime spec; None if the container has none yet."""
    try:
        with open(path, "rb") as file:
            return document.load_object(file.read(), path)
    except FileNotFoundError:
        return None


def _document(known: Values, options: RunOptions, after: Values) -> dict[str, Any]:
    """Return the record of the container with its new options."""
    return {
        **known,
        "options": stored_options.to_document(options),
        "memory_swap_bytes": after["memory_swap_bytes"] or 0,
        "pids_limit": known["pids_limit"] if after["pids_limit"] is None else after["pids_limit"],
    }
