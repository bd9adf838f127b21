"""How does a manifest get docker's media types, or OCI's, for a registry that knows only those?

The layers and the config stay, byte by byte; the manifest, and so its digest, is another one.
Source: image-spec media-types.md, "Compatibility Matrix"; docker's image manifest v2 schema 2.
"""

from __future__ import annotations

import hashlib

from ..errors import InvalidInput
from ..oci import document
from ..oci.manifest import DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from .push_parts import Part

FORMS = ("docker", "v2s2", "oci")

_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_TO_DOCKER = {
    OCI_CONFIG: DOCKER_CONFIG,
    OCI_LAYER: _DOCKER_LAYER,
    f"{OCI_LAYER}+gzip": f"{_DOCKER_LAYER}.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    ),
}
_TO_OCI = {docker: oci for oci, docker in _TO_DOCKER.items()}


def check_form(form: str) -> str:
    """Return "docker", "oci", or "" for none.  Raises: InvalidInput."""
    if form and form not in FORMS:
        raise InvalidInput(
            f"unknown format {form[:64]!r}", where="--format", hint=f"there is {', '.join(FORMS)}"
        )
    return "docker" if form == "v2s2" else form


def in_form(part: Part, form: str) -> Part:
    """Return the manifest with the media types of a form, itself if it has them.

    Raises: InvalidInput for a layer that docker's form has no type for (zstd).
    """
    wanted = {"docker": DOCKER_MANIFEST, "oci": OCI_MANIFEST}.get(form, part.media_type)
    if part.media_type == wanted:
        return part
    value = document.load_object(part.raw, f"manifest {part.digest}")
    names = _TO_DOCKER if form == "docker" else _TO_OCI
    value["mediaType"] = wanted
    for one in (value["config"], *value["layers"]):
        media_type = str(one.get("mediaType"))
        if media_type not in names:
            raise InvalidInput(
                f"cannot push {part.digest} in {form}'s format: it has no type for {media_type!r}",
                subject=part.digest,
                where="--format",
            )
        one["mediaType"] = names[media_type]
    if form == "docker":  # which has no place for them
        for key in ("annotations", "artifactType", "subject"):
            value.pop(key, None)
    raw = document.dump(value)
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    return part.replace(raw=raw, digest=digest, media_type=wanted, subject=value_subject(value))


def value_subject(value: dict[str, object]) -> str:
    """Return the digest of what a manifest is about, "" for nothing."""
    about = value.get("subject")
    return str(about.get("digest") or "") if isinstance(about, dict) else ""
