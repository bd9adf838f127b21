"""Does policy.json say for each image what containers-policy.json(5) says it does?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import InvalidInput, KernelError, PyruncError, Unsupported
from pyrunc.image.policy import Identity, Policy, read_policy, registry_scopes
from pyrunc.image.sigstore import is_identity
from pyrunc.oci.reference import parse_reference

ACCEPT = [{"type": "insecureAcceptAnything"}]
REJECT = [{"type": "reject"}]


def written(directory: Path, value: object) -> Policy:
    """Write a policy, and read it."""
    path = directory / "containers/policy.json"
    path.parent.mkdir(parents=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    found = read_policy({}, (str(directory / "nothing"), str(directory)))
    assert found is not None
    return found


def is_accepted(policy: Policy, name: str) -> bool:
    try:
        return policy.check("docker", registry_scopes(parse_reference(name)), name) == ()
    except PyruncError as error:
        assert "is rejected by policy" in str(error)
        return False


def test_no_file_is_no_policy(tmp_path: Path) -> None:
    assert read_policy({}, (str(tmp_path),)) is None
    assert read_policy({"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}, ()) is None


def test_users_own_file_is_read_first(tmp_path: Path) -> None:
    for name, default in (("own", REJECT), ("etc", ACCEPT)):
        (tmp_path / name / "containers").mkdir(parents=True)
        file = tmp_path / name / "containers/policy.json"
        file.write_text(json.dumps({"default": default}))

    found = read_policy({}, (str(tmp_path / "own"), str(tmp_path / "etc")))

    assert found is not None
    assert not is_accepted(found, "x")


@pytest.mark.parametrize(
    ("scope", "fitting", "others"),
    [
        ("docker.io", ["busybox", "a/b:1"], ["quay.io/a", "docker.io.evil.com/x"]),
        ("docker.io/library/busybox", ["busybox", "busybox:1"], ["busyboxes", "a/busybox"]),
        ("docker.io/library/busybox:1", ["busybox:1"], ["busybox", "busybox:12"]),
        ("r.io:5/team", ["r.io:5/team/a/b", "r.io:5/team"], ["r.io:5/teams", "r.io/team/a"]),
        ("*.example.com", ["a.example.com/x", "b.a.example.com:5/x"], ["example.com/x", "x"]),
        (f"r.io/x@sha256:{'a' * 64}", [f"r.io/x@sha256:{'a' * 64}"], ["r.io/x:latest"]),
    ],
)
def test_scope_fits_what_lies_below(
    scope: str, fitting: list[str], others: list[str], tmp_path: Path
) -> None:
    policy = written(tmp_path, {"default": REJECT, "transports": {"docker": {scope: ACCEPT}}})

    assert [name for name in fitting + others if is_accepted(policy, name)] == fitting


def test_narrowest_scope_alone_decides(tmp_path: Path) -> None:
    scopes = {"": ACCEPT, "r.io": REJECT, "r.io/a": ACCEPT, "r.io/a/b": REJECT}
    policy = written(tmp_path, {"default": REJECT, "transports": {"docker": scopes}})

    names = ("other.io/x", "r.io/x", "r.io/a/x", "r.io/a/b", "r.io/a/b:1")
    assert [is_accepted(policy, name) for name in names] == [True, False, True, False, False]


def test_all_of_a_list_must_be_met(tmp_path: Path) -> None:
    assert not is_accepted(written(tmp_path, {"default": [*ACCEPT, *REJECT]}), "x")


def test_paths_are_scopes_of_directories(tmp_path: Path) -> None:
    place = str(tmp_path / "images/x")
    scopes = {f"{tmp_path}/images": ACCEPT, f"{place}:bad": REJECT}
    policy = written(tmp_path, {"default": REJECT, "transports": {"oci": scopes}})

    policy.check_local("oci", place)
    for transport, path, reference in (
        ("oci", place, "bad"),
        ("oci", f"{tmp_path}/images2", ""),
        ("dir", place, ""),
        ("oci", f"{place}/../../y", ""),
    ):
        with pytest.raises(PyruncError, match="is rejected by policy"):
            policy.check_local(transport, path, reference)


SIGSTORE: dict[str, Any] = {"type": "sigstoreSigned", "keyPath": "/key"}


@pytest.mark.parametrize(
    "requirement",
    [
        {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"},
        {"type": "signedBaseLayer", "baseLayerIdentity": {}},
        {"type": "sigstoreSigned", "fulcio": {}, "rekorPublicKeyPath": "/x"},
        SIGSTORE | {"rekorPublicKeyPath": "/rekor"},
    ],
)
def test_what_cannot_be_verified_is_refused(requirement: dict[str, Any], tmp_path: Path) -> None:
    policy = written(tmp_path, {"default": [*ACCEPT, requirement]})

    with pytest.raises(Unsupported, match="asks for a signature that pyrunc cannot verify"):
        policy.check("docker", registry_scopes(parse_reference("x")), "x")


def test_signature_is_asked_for_and_a_directory_has_none(tmp_path: Path) -> None:
    policy = written(tmp_path, {"default": [SIGSTORE]})

    (wanted,) = policy.check("docker", registry_scopes(parse_reference("x")), "x")

    assert (wanted.key_paths, wanted.identity.kind) == (("/key",), "matchRepoDigestOrExact")
    with pytest.raises(PyruncError, match="A signature was required, but no signature exists"):
        policy.check_local("dir", "/somewhere")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"default":[{"type":"reject"}],"default":[{"type":"reject"}]}', "twice"),
        ({}, "default: is missing"),
        ({"default": []}, "not empty"),
        ({"default": "reject"}, "must be a list"),
        ({"default": ["reject"]}, "is not an object"),
        ({"default": [{"type": "accept"}]}, "unknown type 'accept'"),
        ({"default": [{}]}, "unknown type 'None'"),
        ({"default": [{"type": "reject", "not": "x"}]}, "unknown field 'not'"),
        ({"default": REJECT, "transport": {}}, "unknown field 'transport'"),
        ({"default": REJECT, "transports": []}, "is not an object"),
        ({"default": REJECT, "transports": {"docker": {"x": []}}}, "docker 'x': must be a list"),
        ({"default": [{"type": "sigstoreSigned"}]}, "exactly one of keyPath"),
        ({"default": [SIGSTORE | {"keyData": "eA=="}]}, "exactly one of keyPath"),
        ({"default": [{"type": "sigstoreSigned", "keyData": "!"}]}, "keyData is not base64"),
        ({"default": [{"type": "sigstoreSigned", "keyPath": 1}]}, "is no text"),
        ({"default": [{"type": "sigstoreSigned", "keyPaths": []}]}, "is no text"),
        ({"default": [SIGSTORE | {"signedIdentity": {"type": "any"}}]}, "signedIdentity 'any'"),
        (
            {"default": [SIGSTORE | {"signedIdentity": {"type": "exactReference"}}]},
            "exactReference wants dockerReference",
        ),
        (
            {"default": [SIGSTORE | {"signedIdentity": {"type": "matchExact", "prefix": "x"}}]},
            "unknown field 'prefix'",
        ),
    ],
)
def test_file_that_is_off_in_one_field_is_refused(value: object, why: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        written(tmp_path, value)

    assert why in str(refused.value)
    assert "policy.json" in str(refused.value)


def test_file_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "containers/policy.json").mkdir(parents=True)

    with pytest.raises(KernelError, match="is a directory"):
        read_policy({}, (str(tmp_path),))


DIGEST = f"r.io/a/x@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("identity", "image", "accepted"),
    [
        (Identity(), "r.io/a/x:1", ["r.io/a/x:1"]),
        (Identity(), DIGEST, ["r.io/a/x", "r.io/a/x:1", "r.io/a/x:2", DIGEST]),
        (Identity(kind="matchExact"), "r.io/a/x:1", ["r.io/a/x:1"]),
        (Identity(kind="matchExact"), DIGEST, [DIGEST]),
        (
            Identity(kind="matchRepository"),
            "r.io/a/x:1",
            ["r.io/a/x", "r.io/a/x:1", "r.io/a/x:2", DIGEST],
        ),
        (Identity(kind="exactReference", word="s.io/b:1"), "r.io/a/x:1", ["s.io/b:1"]),
        (Identity(kind="exactRepository", word="s.io/b"), "r.io/a/x:1", ["s.io/b:1", "s.io/b"]),
        (Identity(kind="remapIdentity", word="r.io/a", other="s.io"), "r.io/a/b:1", ["s.io/b:1"]),
        (Identity(kind="remapIdentity", word="r.io/a", other="s.io"), "r.io/ab:1", ["r.io/ab:1"]),
    ],
)
def test_identity(identity: Identity, image: str, accepted: list[str]) -> None:
    signed = [
        *("r.io/a/x", "r.io/a/x:1", "r.io/a/x:2", "r.io/x:1", "s.io/b:1", "s.io/b", "r.io/ab:1"),
        *(DIGEST, "", "R.io/A", "r.io/a/x:1\n"),
    ]
    reference = parse_reference(image)

    assert [name for name in signed if is_identity(identity, reference, name)] == accepted
