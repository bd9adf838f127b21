"""Is an image signed as policy.json wants it: by a key, as cosign signs?

The signature of a manifest lies beside it, under a tag made of its digest: one layer a signature,
whose content is what was signed and whose annotation is the signature.
Source: cosign specs/SIGNATURE_SPEC.md; containers-policy.json(5), sigstoreSigned.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ..errors import InvalidInput, PyruncError, RegistryError
from ..oci import document
from ..oci.digest import digest_of
from ..oci.record import Record
from ..oci.reference import parse_full
from .policy import no_signature
from .referrers import fallback_tag, read_artifact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..oci.reference import Reference
    from .policy import Identity, Requirement
    from .referrers import ArtifactDescriptor
    from .registry import Repository

    Key = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
_ANNOTATION = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"
_PAYLOAD_LIMIT_BYTES = 1 << 20
_KEY_LIMIT_BYTES = 1 << 20
_SIGNATURES_LIMIT = 100
_SHOWN = 5


class Signature(Record):
    """One signature as it lies in the registry; nothing of it is trusted yet."""

    raw: bytes
    payload: bytes


def check_signed(
    repository: Repository,
    requirements: Sequence[Requirement],
    digests: Sequence[str],
    file: str,
) -> None:
    """See that each requirement is met by a signature of one of `digests`.

    Those are the manifest's and that of each index it was reached by: a signed index names its
    manifests by what they are.
    Raises: PyruncError in podman's words; RegistryError, IntegrityError.
    """
    reference = repository.reference
    found = [one for digest in dict.fromkeys(digests) for one in _signatures(repository, digest)]
    for requirement in requirements:
        keys = _keys(requirement)
        if not found:
            raise no_signature(reference.familiar(), file)
        reasons = [_why_not(one, keys, requirement.identity, reference, digests) for one in found]
        if all(reasons):
            raise PyruncError(
                "Source image rejected: None of the signatures were accepted, reasons: "
                + "; ".join(reasons[:_SHOWN]),
                subject=reference.familiar(),
                hint=f"{file} says whose signature it must be",
            )


def _signatures(repository: Repository, digest: str) -> list[Signature]:
    """Return what lies beside a manifest."""
    tag = f"{fallback_tag(digest)}.sig"
    try:
        fetched = repository.manifest(tag)
    except RegistryError as error:
        if error.status == 404:
            return []
        raise
    manifest = read_artifact(fetched.raw, f"manifest {tag}")
    layers = [one for one in manifest.layers if one.media_type == _PAYLOAD][:_SIGNATURES_LIMIT]
    return [found for one in layers if (found := _signature(repository, one)) is not None]


def _signature(repository: Repository, layer: ArtifactDescriptor) -> Signature | None:
    text = (layer.annotations or {}).get(_ANNOTATION, "")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw:
        return None
    payload = repository.blob(layer.digest, layer.size, _PAYLOAD_LIMIT_BYTES)
    return Signature(raw=raw, payload=payload)


# -- one signature ---------------------------------------------------------------------------------


def _why_not(
    signature: Signature,
    keys: Sequence[Key],
    identity: Identity,
    reference: Reference,
    digests: Sequence[str],
) -> str:
    """Return why a signature does not count, "" if it does.

    Security: nothing in the payload is looked at before the key has vouched for it.
    """
    if not any(_is_by(key, signature) for key in keys):
        return "cryptographic signature verification failed: invalid signature"
    subject = "the payload of a signature"
    try:
        said = document.load_object(signature.payload, subject, limit_bytes=_PAYLOAD_LIMIT_BYTES)
    except InvalidInput as error:
        return str(error)
    kind = _text(said, "critical", "type")
    if kind != _TYPE:
        return f"unrecognized signature type {kind[:100]!r}"
    digest = _text(said, "critical", "image", "docker-manifest-digest")
    if digest not in digests:
        return f"signature for digest {digest[:200]!r} does not match"
    name = _text(said, "critical", "identity", "docker-reference")
    if not is_identity(identity, reference, name):
        return f"signature for identity {name[:200]!r} is not accepted"
    return ""


def _text(value: object, *names: str) -> str:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _is_by(key: Key, signature: Signature) -> bool:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature.raw, signature.payload, ec.ECDSA(SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature.raw, signature.payload, padding.PKCS1v15(), SHA256())
        else:
            key.verify(signature.raw, signature.payload)
    except InvalidSignature:
        return False
    return True


def _keys(requirement: Requirement) -> list[Key]:
    """Read the public keys.  Raises: PyruncError for what is none: then nobody has signed."""
    raws = [(f"keyData {digest_of(raw)[:19]}", raw) for raw in requirement.keys]
    for path in requirement.key_paths:
        try:
            with open(path, "rb") as file:
                raws.append((path, file.read(_KEY_LIMIT_BYTES)))
        except OSError as error:
            raise PyruncError(
                f"cannot read public key {path!r}: {(error.strerror or '').lower()}", subject=path
            ) from error
    return [_key(name, raw) for name, raw in raws]


def _key(name: str, raw: bytes) -> Key:
    try:
        key: Any = load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(
            f"cannot use public key {name!r}: not one in PEM", subject=name
        ) from error
    if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        return key
    raise InvalidInput(
        f"cannot use public key {name!r}: it is no ECDSA, RSA or Ed25519 key", subject=name
    )


# -- whose it is -----------------------------------------------------------------------------------


def is_identity(identity: Identity, reference: Reference, signed: str) -> bool:
    """Tell whether a signature that names `signed` is for an image of that reference."""
    try:
        claimed = parse_full(signed)
        if identity.kind == "remapIdentity":
            reference = _remapped(identity, reference)
        if identity.kind in ("exactReference", "exactRepository"):
            reference = parse_full(identity.word)
    except InvalidInput:
        return False
    is_same_repository = claimed.repository() == reference.repository()
    if identity.kind in ("matchRepository", "exactRepository"):
        return is_same_repository
    # What is signed by its repository alone, as cosign signs, says nothing of a tag.
    is_exact = bool(claimed.tag or claimed.digest) and claimed.full() == reference.full()
    if identity.kind in ("matchExact", "exactReference"):
        return is_exact
    return is_same_repository if reference.digest else is_exact


def _remapped(identity: Identity, reference: Reference) -> Reference:
    full, prefix = reference.full(), identity.word
    if full != prefix and not full.startswith((f"{prefix}/", f"{prefix}:", f"{prefix}@")):
        return reference
    return parse_full(identity.other + full.removeprefix(prefix))
