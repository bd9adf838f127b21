"""Which images are there, and what does `image inspect` say about one?"""

from __future__ import annotations

import os
from contextlib import suppress

from ..errors import NotFound
from ..oci.platform import Platform, parse_platform, rank
from ..oci.reference import parse_full, parse_reference
from ..storage import images, overlay
from .image_events import image_event, image_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..oci.image_record import ImageRecord
    from ..paths import Paths
    from .engine import Engine


def list_images(paths: Paths) -> list[ImageRecord]:
    """Return every image once; without a name it is dangling."""
    return images.list_images(paths)


def find_image(paths: Paths, word: str) -> ImageRecord:
    """Return the image that a name or an ID means.  Raises: NotFound, InvalidInput."""
    return images.resolve(paths, word)


def check_platform(image: ImageRecord, platform: str) -> None:
    """See that an image is for a platform; "" takes any.  Raises: NotFound, InvalidInput."""
    if not platform:
        return
    own = Platform(os=image.os, architecture=image.architecture, variant=image.variant)
    if rank(own, parse_platform(platform)) is None:
        raise NotFound(
            f"image {image.names[0] if image.names else image.id} was found but does not match the"
            f" specified platform: wanted {platform}, actual: {own}",
            kind="image",
            name=image.id,
        )


def image_for(paths: Paths, image: ImageRecord, platform: str) -> ImageRecord:
    """Return the image, or the one of the same index that is for a platform; "" takes any.

    Raises: NotFound, InvalidInput.
    """
    try:
        check_platform(image, platform)
    except NotFound:
        for other in images.list_images(paths):
            # Two images have the same root where both come from one index.
            if other.id != image.id and set(other.roots) & set(image.roots):
                with suppress(NotFound):
                    check_platform(other, platform)
                    return other
        raise
    return image


def word_for(paths: Paths, word: str, platform: str) -> str:
    """Return the word itself, or the ID of the image of the same index that is for a platform.

    Raises: NotFound, InvalidInput.
    """
    if not platform:
        return word
    named = images.resolve(paths, word)
    chosen = image_for(paths, named, platform)
    return word if chosen.id == named.id else chosen.id


def tag_image(engine: Engine, word: str, name: str) -> None:
    """Give an image one more name; another image that had it may be nameless afterwards.

    Raises: NotFound, InvalidInput in docker's words.
    """
    image_id = images.set_name(engine.paths, word, name)
    image_event(engine.paths, "tag", image_id, parse_reference(name).familiar())


def untag_image(engine: Engine, word: str, names: Sequence[str] = ()) -> None:
    """Take names from an image, all if none are given; the image stays, without one if need be.

    Raises: NotFound, also for a name that is another image's: then nothing is changed.
    """
    image = images.resolve(engine.paths, word)
    gone = [parse_reference(name).full() for name in names] or list(image.names)
    for name in gone:
        if name not in image.names:
            raise NotFound(
                f"cannot untag {word}: it is not called {parse_full(name).familiar()}",
                kind="image",
                name=name,
            )
    images.remove(engine.paths, image.id, gone, forget=False)
    image_events(engine.paths, [("untag", image.id, "")] * len(gone))


def inspect_image(engine: Engine, word: str) -> dict[str, Any]:
    """Return one image as `docker image inspect` shows it.

    Raises: NotFound, InvalidInput.
    """
    paths = engine.paths
    record = images.resolve(paths, word)
    lower = overlay.lower_paths(paths, record)
    references = [parse_full(name) for name in record.names]
    return {
        "Id": record.id,
        "RepoTags": [one.familiar() for one in references if one.tag],
        "RepoDigests": sorted(parse_full(one).familiar() for one in record.repo_digests),
        "Parent": "",
        "Comment": _comment(record),
        "Created": record.created,
        "DockerVersion": "",
        "Author": record.author,
        "Config": _config(record),
        "Architecture": record.architecture,
        **({"Variant": record.variant} if record.variant else {}),
        "Os": record.os,
        **({"OsVersion": record.os_version} if record.os_version else {}),
        "Size": record.size_bytes,
        "GraphDriver": {"Name": "overlay2", "Data": _graph(lower)},
        "RootFS": {"Type": "layers", "Layers": list(record.diff_ids)},
        "Metadata": {"LastTagTime": _tag_time(paths, record)},
        "Descriptor": {"digest": record.manifest_digest},
    }


def _config(record: ImageRecord) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Hostname": "",
        "Domainname": "",
        "User": record.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": list(record.environment) or None,
        "Cmd": list(record.command) or None,
        "Image": "",
        "Volumes": {path: {} for path in record.volumes} or None,
        "WorkingDir": record.working_dir,
        "Entrypoint": list(record.entrypoint) or None,
        "OnBuild": list(record.on_build) or None,
        "Labels": record.labels or None,
    }
    if record.exposed_ports:
        config["ExposedPorts"] = {port: {} for port in record.exposed_ports}
    if record.healthcheck:
        config["Healthcheck"] = record.healthcheck
    if record.stop_signal:
        config["StopSignal"] = record.stop_signal
    if record.shell:
        config["Shell"] = list(record.shell)
    return config


def _graph(lower: list[str]) -> dict[str, str]:
    """Docker's keys; upper and lower directories are those an overlay of the image is made of."""
    if not lower:
        return {}
    graph = {"UpperDir": lower[-1]}
    if lower[:-1]:
        graph["LowerDir"] = ":".join(reversed(lower[:-1]))
    return graph


def _comment(record: ImageRecord) -> str:
    comment = record.history[-1].get("comment", "") if record.history else ""
    return comment if isinstance(comment, str) else ""


def _tag_time(paths: Paths, record: ImageRecord) -> str:
    from datetime import UTC, datetime

    path = images.hot_path(paths, record.id)
    changed = os.stat(path).st_mtime
    return datetime.fromtimestamp(changed, UTC).isoformat().replace("+00:00", "Z")
