"""May an image come in from there, says policy.json?

podman's file, read as strictly: what it wants and pyrunc cannot verify refuses the image.  Without
such a file every image may come in, as with docker.
Source: containers-policy.json(5).
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput, KernelError, PyruncError, Unsupported
from ..oci import document
from ..oci.record import Record
from .hosts_files import config_roots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..oci.reference import Reference

DOCKER = "docker"
_FILE_LIMIT_BYTES = 8 << 20
_KEYS = ("keyPath", "keyPaths", "keyData", "keyDatas")
_KEYLESS = ("fulcio", "pki")
_REKOR = ("rekorPublicKeyPath", "rekorPublicKeyPaths")
_REKOR_DATA = ("rekorPublicKeyData", "rekorPublicKeyDatas")
# Which fields a requirement may have beside `type`.
_FIELDS: dict[str, tuple[str, ...]] = {
    "insecureAcceptAnything": (),
    "reject": (),
    "signedBy": ("keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"),
    "signedBaseLayer": ("baseLayerIdentity",),
    "sigstoreSigned": (*_KEYS, *_KEYLESS, *_REKOR, *_REKOR_DATA, "signedIdentity"),
}
_IDENTITIES: dict[str, tuple[str, ...]] = {
    "matchExact": (),
    "matchRepoDigestOrExact": (),
    "matchRepository": (),
    "exactReference": ("dockerReference",),
    "exactRepository": ("dockerRepository",),
    "remapIdentity": ("prefix", "signedPrefix"),
}


class Identity(Record):
    """Whose signature it must be: one of `signedIdentity`'s types, with its one or two words."""

    kind: str = "matchRepoDigestOrExact"
    word: str = ""
    other: str = ""


class Requirement(Record):
    """One requirement of the list for a scope."""

    kind: str
    keys: tuple[bytes, ...] = ()  # PEM, where they stand in the file itself
    key_paths: tuple[str, ...] = ()
    identity: Identity = Identity()
    besides: tuple[str, ...] = ()  # fields that ask for more than a key


class Policy(Record):
    """The whole file."""

    file: str
    default: tuple[Requirement, ...]
    transports: dict[str, dict[str, tuple[Requirement, ...]]]

    def requirements(self, transport: str, scopes: Iterator[str]) -> tuple[Requirement, ...]:
        """Return what the narrowest scope that fits asks for; `scopes` come narrowest first."""
        known = self.transports.get(transport, {})
        for scope in scopes:
            if scope in known:
                return known[scope]
        return known.get("", self.default)

    def check(self, transport: str, scopes: Iterator[str], name: str) -> tuple[Requirement, ...]:
        """Refuse what can be refused by its name; return which signatures the rest depends on.

        Raises: PyruncError in podman's words; Unsupported for what pyrunc cannot verify.
        """
        left = []
        for one in self.requirements(transport, scopes):
            if one.kind == "reject":
                raise PyruncError(
                    f"Source image rejected: Running image {name} is rejected by policy.",
                    subject=name,
                    hint=f"{self.file} says so",
                )
            if one.kind == "insecureAcceptAnything":
                continue
            missing = one.kind if one.kind != "sigstoreSigned" else ", ".join(one.besides)
            if missing:
                raise Unsupported(
                    f"cannot use image {name}: {self.file} asks for a signature that pyrunc cannot"
                    f" verify ({missing})",
                    feature=missing,
                    hint="pyrunc verifies sigstoreSigned with a public key (keyPath, keyData)",
                )
            left.append(one)
        return tuple(left)

    def check_local(self, transport: str, place: str, reference: str = "") -> None:
        """Refuse an image of a file or directory, as a whole.

        Raises: PyruncError; also where a signature is asked for: there is none in such a place.
        """
        shown = f"{transport}:{place}" + (f":{reference}" if reference else "")
        if self.check(transport, _path_scopes(place, reference), shown):
            raise no_signature(shown, self.file)


def read_policy(
    environment: Mapping[str, str], roots: tuple[str, ...] | None = None
) -> Policy | None:
    """Return the user's policy, else the machine's, None without one.

    Raises: InvalidInput for a file that is not one to the last field; KernelError.
    """
    for root in config_roots(environment) if roots is None else roots:
        path = f"{root}/containers/policy.json"
        try:
            with open(path, "rb") as file:
                raw = file.read(_FILE_LIMIT_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise KernelError("read", errno=error.errno or 0, subject=path) from error
        return _policy(document.load_object(raw, path, limit_bytes=_FILE_LIMIT_BYTES - 1), path)
    return None


def registry_scopes(reference: Reference) -> Iterator[str]:
    """Yield the scopes that fit an image of a registry, narrowest first."""
    yield reference.full()
    name = reference.repository()
    while name:
        yield name
        name = name.rpartition("/")[0]
    host = reference.domain.partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"


def no_signature(name: str, file: str) -> PyruncError:
    """Word that a signature is missing."""
    return PyruncError(
        "Source image rejected: A signature was required, but no signature exists",
        subject=name,
        hint=f"{file} wants {name} to be signed",
    )


def _path_scopes(place: str, reference: str) -> Iterator[str]:
    """Yield the scopes that fit a file or directory; standard input has none."""
    if not place:
        return
    path = os.path.realpath(place)
    if reference:
        yield f"{path}:{reference}"
    while path != "/":
        yield path
        path = os.path.dirname(path)


# -- the file --------------------------------------------------------------------------------------


def _policy(value: dict[str, Any], path: str) -> Policy:
    _check_fields(value, ("default", "transports"), path, "top level")
    if "default" not in value:
        raise _invalid(path, "default", "is missing")
    transports = _object(value.get("transports", {}), path, "transports")
    return Policy(
        file=path,
        default=_requirements(value["default"], path, "default"),
        transports={
            transport: {
                scope: _requirements(one, path, f"{transport} {scope!r}")
                for scope, one in _object(scopes, path, transport).items()
            }
            for transport, scopes in transports.items()
        },
    )


def _requirements(value: object, path: str, where: str) -> tuple[Requirement, ...]:
    if not isinstance(value, list) or not value:
        raise _invalid(path, where, "must be a list of requirements, and not empty")
    return tuple(_requirement(_object(one, path, where), path, where) for one in value)


def _requirement(value: dict[str, Any], path: str, where: str) -> Requirement:
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise _invalid(path, where, f"unknown type {str(kind)[:64]!r}")
    _check_fields(value, ("type", *_FIELDS[kind]), path, where)
    if kind != "sigstoreSigned":
        return Requirement(kind=kind)
    given = [key for key in (*_KEYS, *_KEYLESS) if key in value]
    if len(given) != 1:
        raise _invalid(path, where, f"must have exactly one of {', '.join((*_KEYS, *_KEYLESS))}")
    key_paths = _words(value, ("keyPath", "keyPaths"), path, where)
    datas = _words(value, ("keyData", "keyDatas"), path, where)
    try:
        keys = tuple(base64.b64decode(data, validate=True) for data in datas)
    except (binascii.Error, ValueError) as error:
        raise _invalid(path, where, "keyData is not base64") from error
    return Requirement(
        kind=kind,
        keys=keys,
        key_paths=key_paths,
        identity=_identity(value.get("signedIdentity"), path, where),
        besides=tuple(key for key in (*_KEYLESS, *_REKOR, *_REKOR_DATA) if key in value),
    )


def _identity(value: object, path: str, where: str) -> Identity:
    if value is None:
        return Identity()
    fields = _object(value, path, f"{where} signedIdentity")
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _IDENTITIES:
        raise _invalid(path, where, f"unknown signedIdentity {str(kind)[:64]!r}")
    wanted = _IDENTITIES[kind]
    _check_fields(fields, ("type", *wanted), path, where)
    words = [fields.get(name) for name in wanted]
    if not all(isinstance(word, str) and word for word in words):
        raise _invalid(path, where, f"{kind} wants {' and '.join(wanted)}")
    padded = [*map(str, words), "", ""]
    return Identity(kind=kind, word=padded[0], other=padded[1])


def _words(value: dict[str, Any], names: tuple[str, str], path: str, where: str) -> tuple[str, ...]:
    """Return the text under the first name, or the texts of the list under the second."""
    one, many = (value.get(name) for name in names)
    found = many if many is not None else [] if one is None else [one]
    is_list = isinstance(found, list) and (found or many is None)
    if not is_list or not all(isinstance(word, str) and word for word in found):
        raise _invalid(path, where, f"{' or '.join(names)} is no text")
    return tuple(found)


def _object(value: object, path: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(path, where, "is not an object")
    return value


def _check_fields(value: dict[str, Any], known: tuple[str, ...], path: str, where: str) -> None:
    """Refuse what nobody knows: it could be a requirement that would not be looked at."""
    for name in value:
        if name not in known:
            raise _invalid(path, where, f"unknown field {name[:64]!r}")


def _invalid(path: str, where: str, why: str) -> InvalidInput:
    return InvalidInput(f"cannot read {path}: {where}: {why}", subject=path, where=where)
