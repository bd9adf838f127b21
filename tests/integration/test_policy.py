"""Does policy.json keep out what it says, and do only right signatures open the door?

Signatures are made here as cosign makes them: a layer that is signed, the signature beside it.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pyrunc.engine.progress import Progress
from pyrunc.engine.pull import pull
from pyrunc.errors import PyruncError
from pyrunc.image.access import Access, AccessOptions
from pyrunc.paths import Paths
from pyrunc.storage import images
from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, file
from tests.harness.registry_double import (
    CONFIG,
    INDEX,
    MANIFEST,
    Double,
    descriptor,
    digest_of,
    running_double,
    tar_of,
)
from tests.harness.store import contents
from tests.integration.pulls import QUICK, nothing_is_there

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

Sign = Callable[[bytes], bytes]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
NOBODY_SIGNED = "A signature was required, but no signature exists"
NONE_ACCEPTED = "None of the signatures were accepted, reasons: "


def public(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signature_of(key: PrivateKey, payload: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(payload, ec.ECDSA(SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(payload, padding.PKCS1v15(), SHA256())
    return key.sign(payload)


class Gate:
    """A registry with an image, and a store behind a policy."""

    def __init__(self, double: Double, directory: Path) -> None:
        """Let the registry have the image."""
        self.double = double
        self.directory = directory
        self.paths = Paths(root=str(directory / "root"), runroot=str(directory / "run"))
        self.name = f"{double.host}/x:1"
        self.image = double.add_image("x:1", [tar_of({"a": b"1"})])

    def wants(self, key: PrivateKey = KEY, identity: object = "matchRepository") -> None:
        """Have the policy want a signature."""
        (self.directory / "key.pub").write_bytes(public(key))
        wanted = {"type": identity} if isinstance(identity, str) else identity
        self.write([
            {
                "type": "sigstoreSigned", "keyPath": str(self.directory / "key.pub"),
                **({"signedIdentity": wanted} if wanted else {}),
            }
        ])  # fmt: skip

    def write(self, default: list[dict[str, Any]]) -> None:
        """Write the policy."""
        path = self.directory / "containers/policy.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"default": default}))

    def sign(
        self, digest: str, key: PrivateKey = KEY, *, raw: bytes | Sign | None = None, **changes: str
    ) -> None:
        """Put a signature beside a manifest, as `cosign sign --key` does."""
        critical = {
            "identity": {"docker-reference": changes.get("name", f"{self.double.host}/x")},
            "image": {"docker-manifest-digest": changes.get("about", digest)},
            "type": changes.get("kind", "cosign container image signature"),
        }
        payload = json.dumps({"critical": critical, "optional": None}).encode()
        if callable(raw):
            raw = raw(payload)
        signed = signature_of(key, payload) if raw is None else raw
        self.double.add_blob(payload)
        kind = "application/vnd.dev.cosign.simplesigning.v1+json"
        layer = descriptor(kind, payload) | {
            "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(signed).decode()}
        }
        tag = f"x:{digest.replace(':', '-')}.sig"
        known = json.loads(self.double.manifests[tag][1]) if tag in self.double.manifests else {}
        self.double.put(
            tag,
            MANIFEST,
            {
                "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, b"{}"),
                "layers": [*known.get("layers", ()), layer],
            },
        )  # fmt: skip

    def pull(self, name: str = "") -> None:
        """Pull in this process."""
        options = AccessOptions(patience=QUICK, roots=(str(self.directory),))
        pull(self.paths, name or self.name, Access({}, options), Progress(str))

    def refuses(self, words: str, name: str = "") -> bool:
        """Tell whether a pull is refused in these words, and nothing of it is there."""
        with pytest.raises(PyruncError) as refused:
            self.pull(name)
        return words in str(refused.value) and nothing_is_there(self.paths)


@pytest.fixture
def gate(directory: Path) -> Iterator[Gate]:
    with running_double() as double:
        yield Gate(double, directory)


def test_rejected_image_is_not_even_asked_for(gate: Gate) -> None:
    gate.write([{"type": "reject"}])

    assert gate.refuses(f"Running image docker://{gate.name} is rejected by policy.")
    assert not gate.double.requests


def test_image_that_is_accepted_comes(gate: Gate) -> None:
    gate.write([{"type": "insecureAcceptAnything"}])

    gate.pull()


@pytest.mark.parametrize(
    "key",
    [KEY, rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()],
    ids=["ecdsa", "rsa", "ed25519"],
)
def test_signed_image_comes(key: PrivateKey, gate: Gate) -> None:
    gate.wants(key)
    gate.sign(gate.image["digest"], OTHER)
    gate.sign(gate.image["digest"], key)

    gate.pull()

    assert images.resolve(gate.paths, gate.name).manifest_digest == gate.image["digest"]


def test_signature_that_openssl_made_counts(gate: Gate) -> None:
    key = gate.directory / "openssl.key"
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "genpkey", *curve, "-out", key], check=True, capture_output=True)
    gate.wants()
    public_key = gate.directory / "key.pub"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public_key], check=True)

    def sign(payload: bytes) -> bytes:
        words = ["openssl", "dgst", "-sha256", "-sign", str(key)]
        return subprocess.run(words, input=payload, check=True, capture_output=True).stdout

    gate.sign(gate.image["digest"], raw=sign)

    gate.pull()


def test_what_somebody_else_signed_is_refused(gate: Gate) -> None:
    gate.wants()
    assert gate.refuses(NOBODY_SIGNED)

    gate.sign(gate.image["digest"], OTHER)

    assert gate.refuses(f"{NONE_ACCEPTED}cryptographic signature verification failed")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"about": f"sha256:{'0' * 64}"}, "signature for digest 'sha256:000"),
        ({"name": "somebody/else"}, "signature for identity 'somebody/else' is not accepted"),
        ({"kind": "atomic container signature"}, "unrecognized signature type 'atomic"),
        ({"raw": b"\x30\x06\x02\x01\x00\x02\x01\x00"}, "cryptographic signature verification"),
        ({"raw": b"no DER at all"}, "cryptographic signature verification failed"),
        ({"raw": b""}, ""),
    ],
)
def test_signature_of_something_else_is_refused(
    changes: dict[str, Any], why: str, gate: Gate
) -> None:
    gate.wants()
    gate.sign(gate.image["digest"], **changes)

    assert gate.refuses(NONE_ACCEPTED + why if why else NOBODY_SIGNED)


def test_payload_that_was_changed_is_refused(gate: Gate) -> None:
    gate.wants()
    gate.sign(gate.image["digest"])
    payload = next(raw for raw in gate.double.blobs.values() if b"critical" in raw)
    tag = f"x:{gate.image['digest'].replace(':', '-')}.sig"
    manifest = json.loads(gate.double.manifests[tag][1])
    changed = payload + b" "
    manifest["layers"][0] |= {"digest": gate.double.add_blob(changed), "size": len(changed)}
    gate.double.put(tag, MANIFEST, manifest)

    assert gate.refuses(f"{NONE_ACCEPTED}cryptographic signature verification failed")


def test_tag_counts_unless_the_policy_says_otherwise(gate: Gate) -> None:
    """A signature without a tag, as cosign makes them, would let a registry exchange tags."""
    gate.wants(identity=None)
    gate.sign(gate.image["digest"])
    assert gate.refuses(f"{NONE_ACCEPTED}signature for identity")

    gate.sign(gate.image["digest"], name=gate.name)

    gate.pull()


def test_signed_index_speaks_for_its_images(gate: Gate) -> None:
    gate.wants()
    index = gate.double.put("x:all", INDEX, {"schemaVersion": 2, "manifests": [gate.image]})
    name = f"{gate.double.host}/x:all"
    assert gate.refuses(NOBODY_SIGNED, name)

    gate.sign(index["digest"])

    gate.pull(name)


def test_image_that_is_there_is_asked_for_again(gate: Gate) -> None:
    gate.pull()
    gate.wants()

    with pytest.raises(PyruncError, match=NOBODY_SIGNED):
        gate.pull()
    gate.sign(gate.image["digest"])
    gate.pull()


@pytest.mark.parametrize("content", [None, b"no key", b""])
def test_key_that_is_none_accepts_nothing(content: bytes | None, gate: Gate) -> None:
    gate.wants()
    gate.sign(gate.image["digest"])
    key = gate.directory / "key.pub"
    key.unlink() if content is None else key.write_bytes(content)

    assert gate.refuses("public key")


ACCEPT, REJECT = '[{"type":"insecureAcceptAnything"}]', '[{"type":"reject"}]'


@pytest.mark.parametrize(
    ("policy", "is_accepted"),
    [
        (f'{{"default":{ACCEPT}}}', True),
        (f'{{"default":{REJECT}}}', False),
        (f'{{"default":{REJECT},"transports":{{"docker":{{"":{ACCEPT}}}}}}}', True),
        (f'{{"default":{REJECT},"transports":{{"docker":{{"HOST":{ACCEPT}}}}}}}', True),
        (f'{{"default":{REJECT},"transports":{{"docker":{{"HOST/x":{ACCEPT}}}}}}}', True),
        (f'{{"default":{REJECT},"transports":{{"docker":{{"HOST/x:1":{ACCEPT}}}}}}}', True),
        (f'{{"default":{REJECT},"transports":{{"docker":{{"HOST/x:2":{ACCEPT}}}}}}}', False),
        (f'{{"default":{ACCEPT},"transports":{{"docker":{{"HOST":{ACCEPT},"HOST/x":{REJECT}}}}}}}',
         False),
        (f'{{"default":{ACCEPT},"transports":{{"oci":{{"":{REJECT}}}}}}}', True),
        (f'{{"default":{ACCEPT},"more":1}}', False),
        (f'{{"default":{ACCEPT},"default":{ACCEPT}}}', False),
        ('{"default":[{"type":"insecureAcceptAnything","more":1}]}', False),
        ('{"default":[]}', False),
        ("{}", False),
        ("", False),
    ],
)  # fmt: skip
def test_skopeo_says_the_same(policy: str, is_accepted: bool, gate: Gate) -> None:
    """Debian's has sigstore switched off, so that it can't be asked about signatures."""
    gate.write([])
    path = gate.directory / "containers/policy.json"
    path.write_text(policy.replace("HOST", gate.double.host))
    words = ["skopeo", "--policy", str(path), "copy", "--src-tls-verify=false"]
    words += [f"docker://{gate.name}", f"dir:{gate.directory}/out"]

    theirs = subprocess.run(words, capture_output=True, encoding="utf-8")
    try:
        gate.pull()
        is_ours = True
    except PyruncError:
        is_ours = False

    assert (theirs.returncode == 0, is_ours) == (is_accepted, is_accepted), theirs


def test_every_command_that_takes_images_in_asks(pyrunc: Engine, gate: Gate) -> None:
    place = pyrunc.directory
    raw_tar.docker_archive(place / "x.tar", [file("a") + END], name="x:1")
    raw_tar.layout(place / "layout", [file("a") + END], name="x:1")
    (place / "root.tar").write_bytes(file("a") + END)
    (place / ".config/containers").mkdir(parents=True)
    policy = place / ".config/containers/policy.json"
    policy.write_text(json.dumps({"default": [{"type": "reject"}]}))
    lines = [
        ("pull", gate.name),
        ("pull", "-a", f"{gate.double.host}/x"),
        ("run", "--rm", gate.name),
        ("load", "-i", f"{place}/x.tar"),
        ("load", "-i", f"{place}/layout"),
        ("run", "--rm", f"oci:{place}/layout"),
        ("import", f"{place}/root.tar"),
        ("artifact", "pull", gate.name),
        ("pull", "docker-daemon:x"),
    ]

    done = [pyrunc(*line) for line in lines]
    policy.write_text('{"default":[{"type":"reject"}],"x":1}')
    broken = pyrunc("pull", gate.name)

    for line, one in zip(lines, done, strict=True):
        assert one.returncode == (125 if line[0] == "run" else 1), one
        assert "is rejected by policy.\n" in one.stderr
        assert f"hint: {policy} says so\n" in one.stderr
    assert broken.stderr == f"pyrunc: cannot read {policy}: top level: unknown field 'x'\n"
    assert contents(pyrunc.root) <= {"pyrunc.db", "pyrunc.db-shm", "pyrunc.db-wal"}
    assert pyrunc("run", "--rm", "--network", "none", "hello").returncode == 0


def test_digest_is_that_of_the_manifest(gate: Gate) -> None:
    """What the tests sign is what they mean to."""
    assert gate.image["digest"] == digest_of(gate.double.manifests["x:1"][1])
