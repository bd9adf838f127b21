"""How does a container become an image: `commit`.

Its upper directory becomes a layer on top of its image's; what it was run with becomes the config.
It stands still only while the directory is read.
"""

from __future__ import annotations

import time

from ..errors import InvalidInput, NotFound
from ..oci.record import Record
from ..oci.reference import parse_reference
from ..storage import collect, images
from ..storage.layer_blob import LayerBlob
from ..storage.layer_writer import write_changeset
from ..storage.workspace import Workspace
from . import journal, stored_options
from .container_files import PLACEHOLDERS, find_container, own_changes, worded
from .image_changes import apply_changes
from .inspect import timestamp
from .load import LoadedImage
from .new_image import config_of, store_image, with_history
from .standstill import Standstill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..oci.image_record import ImageRecord
    from ..storage.containers import ContainerRow
    from ..storage.layer_blob import NewLayer
    from .engine import Engine
    from .run_options import RunOptions

    Config = dict[str, Any]


class CommitOptions(Record):
    """What the user said about the new image."""

    name: str = ""  # as typed; "" leaves it nameless
    author: str = ""
    message: str = ""
    changes: tuple[str, ...] = ()
    pause: bool = True


def commit(engine: Engine, container: str, options: CommitOptions) -> LoadedImage:
    """Make an image of a container, and return it.

    Raises: NotFound; InvalidInput for a bad name or change; then nothing is left.
    """
    names = (full_name(options.name),) if options.name else ()
    row = find_container(engine, container)
    parent = _image_of(engine, row)
    config = config_of(engine.paths, parent)
    config["config"] = apply_changes(
        run_config(row, parent, config.get("config") or {}), options.changes
    )
    collect.sweep(engine.paths)
    with worded("commit", row), Workspace(engine.paths) as workspace:
        layer = _write_layer(engine, row, f"{workspace.path}/changes", pause=options.pause)
        entry = _history(row, options, is_empty=layer is None)
        config |= {"created": entry["created"], "author": options.author}
        image = store_image(
            engine.paths,
            workspace,
            with_history(_tidy(config), entry),
            parent=parent,
            layers=[layer] if layer else [],
            names=names,
        )
    journal.note(
        engine.database(),
        row,
        "commit",
        comment=options.message,
        imageID=image.id,
        imageRef=names[0] if names else "",
    )
    return image


def full_name(name: str) -> str:
    """Return the full reference that a new image is to have.

    Raises: InvalidInput in docker's words.
    """
    reference = parse_reference(name)
    if reference.digest:
        raise InvalidInput("refusing to create a tag with a digest reference", subject=name)
    return reference.full()


def run_config(row: ContainerRow, image: ImageRecord, image_config: Config) -> Config:
    """Return the `config` part for an image that starts as a container was started."""
    options = stored_options.from_document(row.document["options"])
    environment = dict(entry.partition("=")[::2] for entry in image.environment)
    for entry in options.environment:
        name, equals, value = entry.partition("=")
        environment.pop(name, None)
        if equals:
            environment[name] = value
    entrypoint = image.entrypoint if options.entrypoint is None else options.entrypoint
    inherits = options.entrypoint is None and not options.command
    healthcheck = row.document.get("healthcheck")  # the image's and the flags', together
    return dict(image_config) | {
        **({"Healthcheck": healthcheck} if healthcheck else {}),
        "User": options.user or image.user,
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Entrypoint": list(entrypoint),
        "Cmd": list(image.command if inherits else options.command),
        "WorkingDir": options.working_dir or image.working_dir,
        "Labels": dict(image.labels) | dict(options.labels),
        "Volumes": {path: {} for path in (*image.volumes, *_anonymous(options))},
        "ExposedPorts": {port: {} for port in row.document.get("exposed_ports", ())},
        "StopSignal": options.stop_signal or image.stop_signal,
    }


def _anonymous(options: RunOptions) -> list[str]:
    """Return where -v asked for volumes without a name, which the config has, too."""
    mounts = options.mounts
    return [mount.target for mount in mounts if mount.is_anonymous and not mount.long_form]


def _image_of(engine: Engine, row: ContainerRow) -> ImageRecord:
    try:
        return images.resolve(engine.paths, row.image_id)
    except NotFound as error:
        raise NotFound(
            f"cannot commit container {row.name}: its image {row.image_id} was removed",
            kind="image",
            name=row.image_id,
            hint=f"load it again, or use: pyrunc export {row.name}",
        ) from error


def _write_layer(engine: Engine, row: ContainerRow, path: str, *, pause: bool) -> NewLayer | None:
    """Write the container's changes as a layer; None if there are none."""
    with (
        own_changes(engine, row) as (upper_fd, below_fd),
        LayerBlob(path) as blob,
        Standstill(engine, row, wanted=pause),
    ):
        summary = write_changeset(upper_fd, below_fd, blob.write, placeholders=PLACEHOLDERS)
        layer = blob.finish()
    return layer if summary.entries else None


def _history(row: ContainerRow, options: CommitOptions, *, is_empty: bool) -> Config:
    command = row.document["image_command"]
    entry: Config = {
        "created": timestamp(time.time_ns()),
        "created_by": " ".join(command),
        "author": options.author,
        "comment": options.message,
        "empty_layer": is_empty,
    }
    return {name: value for name, value in entry.items() if value}


def _tidy(config: Config) -> Config:
    """Leave out what says nothing."""
    inner = {name: value for name, value in config["config"].items() if value}
    return {name: value for name, value in config.items() if value} | {"config": inner}
