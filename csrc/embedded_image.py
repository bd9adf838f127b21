"""Pack the static `hello` program as an OCI image: embedded_image.py PROGRAM OUTPUT.

Run by CMake when the package is built.  The output is an oci-archive (a tar of an OCI
image-layout), the same bytes for the same program: times are zero, owners are root.
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

NAME = "docker.io/library/hello:latest"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "i686": "386"}


def main() -> None:
    """Read the program, write the archive."""
    program, output = map(Path, sys.argv[1:3])
    layer = tar([("hello", program.read_bytes(), 0o755)])
    compressed = gzip.compress(layer, mtime=0)
    config = document(
        {
            "created": "1970-01-01T00:00:00Z",
            "architecture": ARCHITECTURES.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Cmd": ["/hello"],
                "WorkingDir": "/",
                "Labels": {"org.opencontainers.image.title": "hello"},
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "csrc/hello.c"}],
        }
    )
    media = "application/vnd.oci.image."
    manifest = document(
        {
            "schemaVersion": 2,
            "mediaType": media + "manifest.v1+json",
            "config": descriptor(media + "config.v1+json", config),
            "layers": [descriptor(media + "layer.v1.tar+gzip", compressed)],
        }
    )
    index = document(
        {
            "schemaVersion": 2,
            "mediaType": media + "index.v1+json",
            "manifests": [
                descriptor(media + "manifest.v1+json", manifest)
                | {"annotations": {"org.opencontainers.image.ref.name": NAME}}
            ],
        }
    )
    blobs = sorted(
        (f"blobs/sha256/{digest(blob)[7:]}", blob, 0o644) for blob in (compressed, config, manifest)
    )
    layout = document({"imageLayoutVersion": "1.0.0"})
    members = [("oci-layout", layout, 0o644), ("index.json", index, 0o644), *blobs]
    output.write_bytes(tar(members))


def digest(data: bytes) -> str:
    """Return the digest as descriptors write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def document(value: object) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def descriptor(media_type: str, data: bytes) -> dict[str, object]:
    """Return the OCI descriptor of a blob."""
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def tar(members: list[tuple[str, bytes, int]]) -> bytes:
    """Return an uncompressed tar of regular files, the same for the same members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data, mode in members:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


if __name__ == "__main__":
    main()
