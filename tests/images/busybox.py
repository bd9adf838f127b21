"""The image that most tests run: Debian's static busybox, with every applet as a link.

The links are hard ones, as in docker's image of that name: to make a symbolic link takes ext4 as
long as to copy a hundred kilobytes, and there are 270 of them.

python -m tests.images.busybox FILE writes it as a docker-archive, for trying things by hand.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from tests.images import pack

BUSYBOX = Path("/bin/busybox")
NAME = "docker.io/library/busybox:latest"
CONFIG: dict[str, Any] = {
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    "Cmd": ["sh"],
}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:nobody\nnogroup:x:65534:\n",
}
DIRECTORIES = {"bin": 0o755, "dev": 0o755, "etc": 0o755, "proc": 0o755, "root": 0o700} | {
    "sys": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "var": 0o755,
}


def write_layer(into: Path, programs: dict[str, Path] | None = None) -> pack.Layer:
    """Write the root filesystem as one layer; `programs` adds files by their name inside."""
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, mode in DIRECTORIES.items():
            _add(archive, name, mode, kind=tarfile.DIRTYPE)
        for name, text in FILES.items():
            _add(archive, name, 0o644, data=text.encode())
        _add(archive, "bin/busybox", 0o755, data=BUSYBOX.read_bytes())
        for name, path in (programs or {}).items():
            _add(archive, name, 0o755, data=path.read_bytes())
        for applet in _applets():
            _add(archive, f"bin/{applet}", 0o755, kind=tarfile.LNKTYPE, target="bin/busybox")
    return pack.layer(into)


def make_archive(
    into: Path,
    name: str = NAME,
    config: dict[str, Any] | None = None,
    programs: dict[str, Path] | None = None,
) -> pack.Image:
    """Write a docker-archive; `config` and `programs` add to what is in the image."""
    layer = write_layer(into.with_suffix(".layer"), programs)
    image = pack.Image(name, [layer], CONFIG | (config or {}))
    pack.write_docker_archive(image, into)
    layer.tar.unlink()
    return image


def _applets() -> list[str]:
    done = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    return sorted(set(done.stdout.split()) - {"busybox"})


def _add(
    archive: tarfile.TarFile,
    name: str,
    mode: int,
    *,
    kind: bytes = tarfile.REGTYPE,
    data: bytes = b"",
    target: str = "",
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, pack.TIME
    member.size, member.linkname = len(data), target
    archive.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    make_archive(Path(sys.argv[1]))
