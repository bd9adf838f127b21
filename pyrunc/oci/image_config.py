"""What does an image's config say, and what of it does a container get?

Checked once, when the image comes in; afterwards only the hot form is read.
Source: image-spec config.md; docker's fields beside it (Healthcheck, OnBuild, Shell).
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import InvalidInput
from . import document
from .digest import check_digest
from .image_record import ImageRecord
from .manifest import LAYERS_LIMIT, convert, too_many_layers

_Words = list[str] | str | None


class RootFs(msgspec.Struct, frozen=True, kw_only=True):
    """`rootfs`: the uncompressed layers' digests, lowest first."""

    type: str = ""
    diff_ids: list[str] | None = None


class Defaults(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """`config`: what a container starts with."""

    user: str | None = None
    env: list[str] | None = None
    entrypoint: _Words = None
    cmd: _Words = None
    working_dir: str | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    exposed_ports: dict[str, Any] | None = None
    volumes: dict[str, Any] | None = None
    healthcheck: dict[str, Any] | None = None
    on_build: list[str] | None = None
    shell: list[str] | None = None


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole document; unknown fields are ignored, as the specification asks."""

    rootfs: RootFs
    config: Defaults | None = None
    architecture: str = ""
    os: str = ""
    variant: str | None = None
    os_version: str | None = msgspec.field(default=None, name="os.version")
    os_features: list[str] | None = msgspec.field(default=None, name="os.features")
    author: str | None = None
    created: str | None = None
    history: list[dict[str, Any]] | None = None


def read_image_config(raw: bytes, subject: str) -> ImageConfig:
    """Parse and check a config.

    Raises: InvalidInput; also for NUL bytes in what becomes arguments, variables and paths, and for
    diff-ids that no tar can be checked against.
    """
    config = convert(document.load_object(raw, subject), ImageConfig, subject)
    if config.rootfs.type != "layers":
        raise InvalidInput(
            f"cannot read {subject}: rootfs.type must be 'layers', not"
            f" {config.rootfs.type[:100]!r}",
            subject=subject,
            where="rootfs.type",
        )
    diff_ids = config.rootfs.diff_ids or []
    if len(diff_ids) > LAYERS_LIMIT:
        raise too_many_layers(len(diff_ids), subject)
    for diff_id in diff_ids:
        check_digest(diff_id, f"{subject}: rootfs.diff_ids")
    _refuse_nul(config.config or Defaults(), subject)
    return config


def make_record(
    config: ImageConfig, image_id: str, layers: tuple[str, ...], size_bytes: int
) -> ImageRecord:
    """Compile the hot form.

    Variables without "=" are dropped: a lookup in the caller's environment is what CVE-2026-57231
    was (R5).
    """
    defaults = config.config or Defaults()
    return ImageRecord(
        id=image_id,
        layers=layers,
        diff_ids=tuple(config.rootfs.diff_ids or ()),
        environment=tuple(entry for entry in defaults.env or () if entry.find("=") > 0),
        entrypoint=_words(defaults.entrypoint),
        command=_words(defaults.cmd),
        user=defaults.user or "",
        working_dir=defaults.working_dir or "",
        stop_signal=defaults.stop_signal or "",
        labels=defaults.labels or {},
        exposed_ports=tuple(sorted(defaults.exposed_ports or ())),
        volumes=tuple(sorted(defaults.volumes or ())),
        healthcheck=defaults.healthcheck,
        on_build=tuple(defaults.on_build or ()),
        shell=tuple(defaults.shell or ()),
        author=config.author or "",
        created=config.created or "",
        architecture=config.architecture,
        os=config.os,
        variant=config.variant or "",
        os_version=config.os_version or "",
        os_features=tuple(config.os_features or ()),
        size_bytes=size_bytes,
        history=tuple(config.history or ()),
    )


def _words(value: _Words) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(value or ())


def _refuse_nul(defaults: Defaults, subject: str) -> None:
    texts = {
        "User": (defaults.user or "",),
        "Env": tuple(defaults.env or ()),
        "Entrypoint": _words(defaults.entrypoint),
        "Cmd": _words(defaults.cmd),
        "WorkingDir": (defaults.working_dir or "",),
        "StopSignal": (defaults.stop_signal or "",),
        "Volumes": tuple(defaults.volumes or ()),
        "Shell": tuple(defaults.shell or ()),
    }
    for field, values in texts.items():
        if any("\0" in value for value in values):
            raise InvalidInput(
                f"cannot read {subject}: a NUL byte in config.{field}",
                subject=subject,
                where=f"config.{field}",
            )
