"""What does a `run` need to know about an image?

The hot form of manifest and config: validated when the image came in, stored as JSON beside the
store, read by every `run` in microseconds.
"""

from __future__ import annotations

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class ImageRecord(Record):
    """One image: identity, layers and everything its config says.  All of it is only data (R5)."""

    id: str  # "sha256:…" of the config, as docker's ImageID
    names: tuple[str, ...] = ()  # full references: "docker.io/library/debian:12"
    manifest_digest: str = ""
    repo_digests: tuple[str, ...] = ()  # "docker.io/library/debian@sha256:…", one a name
    roots: tuple[str, ...] = ()  # digests of all manifests and indexes that its names stand for
    layers: tuple[str, ...] = ()  # names below Paths.layers(), lowest first
    diff_ids: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()  # "NAME=value"; entries without "=" never get here
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    labels: dict[str, str] = {}  # noqa: RUF012  # never changed in place
    exposed_ports: tuple[str, ...] = ()  # "80/tcp"
    volumes: tuple[str, ...] = ()
    healthcheck: dict[str, Any] | None = None  # as in the config; times in nanoseconds
    on_build: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    author: str = ""
    created: str = ""  # RFC 3339, as in the config
    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    size_bytes: int = 0  # content of all regular files of all layers
    history: tuple[dict[str, Any], ...] = ()  # as in the config

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Build from what `as_dict` gave before it went through JSON.

        Raises: TypeError if a field is missing or unknown, as after a change of version.
        """
        fields: dict[str, Any] = {
            field: tuple(value) if isinstance(value, list) else value
            for field, value in document.items()
        }
        return cls(**fields)
