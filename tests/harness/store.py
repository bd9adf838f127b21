"""What is in a store, and in the trees that images become?"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
from pathlib import Path
from typing import Any

from pyrunc.kernel import syscalls
from pyrunc.paths import Paths
from pyrunc.storage import images, overlay


def snapshot(top: Path) -> dict[str, tuple[Any, ...]]:
    """Return everything about a tree that an attack could change, by path."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        content = ""
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        xattrs = {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
        }
        found[str(path.relative_to(top))] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_nlink,
            status.st_mtime_ns,
            content,
            tuple(sorted(xattrs.items())),
        )
    return found


def await_settled(root: Path) -> None:
    """Wait until `pyrunc-settle` has nothing more to do in a store; the dead stay as they are."""
    end = time.monotonic() + 60
    while any(map(_is_settling, root.glob(f"tmp/{16 * '?'}"))):
        assert time.monotonic() < end, "not synced after 60 s"
        time.sleep(0.002)


def _is_settling(workspace: Path) -> bool:
    if (workspace / "lease.json").exists() or (workspace / "intent.json").exists():
        return False
    try:
        fd = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def contents(root: Path) -> set[str]:
    """Return every name in a store but locks and the empty directories it is made of.

    Waits for the sync of what was just loaded.
    """
    await_settled(root)
    names = {str(path.relative_to(root)) for path in root.rglob("*")}
    skeleton = {"locks", "tmp", "oci", "oci/blobs", "oci/blobs/sha256", "layers", "images"}
    return {name for name in names - skeleton if not name.startswith("locks/")}


class Rootfs:
    """The root of a loaded image, as a container would see it; close it."""

    def __init__(self, paths: Paths, word: str) -> None:
        """Mount it read-only, detached."""
        record = images.resolve(paths, word)
        self.fd = overlay.mount_rootfs(paths, record.layers, "", volatile=True, read_only=True)

    def close(self) -> None:
        """Unmount it."""
        os.close(self.fd)

    def __enter__(self) -> Rootfs:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def open(self, name: str | bytes, flags: int = os.O_RDONLY) -> int:
        """Open without following links anywhere."""
        resolve = syscalls.RESOLVE_IN_ROOT | syscalls.RESOLVE_NO_SYMLINKS
        return syscalls.openat2(self.fd, name, flags, resolve=resolve)

    def read(self, name: str | bytes) -> bytes:
        """Return the content of a file."""
        with os.fdopen(self.open(name), "rb") as file:
            return file.read()

    def stat(self, name: str | bytes) -> os.stat_result:
        """Return what lstat says."""
        fd = self.open(name, os.O_PATH | os.O_NOFOLLOW)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def readlink(self, name: str) -> str:
        """Return where a link leads."""
        fd = self.open(name, os.O_PATH | os.O_NOFOLLOW)
        try:
            return os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)

    def exists(self, name: str | bytes) -> bool:
        """Tell whether there is anything of that name."""
        try:
            self.stat(name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, name: str = ".") -> set[str]:
        """Return the names in a directory."""
        fd = self.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return set(os.listdir(fd))
        finally:
            os.close(fd)

    def xattrs(self, name: str) -> dict[str, bytes]:
        """Return a file's extended attributes."""
        fd = self.open(name, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return {key: os.getxattr(fd, key) for key in os.listxattr(fd)}
        finally:
            os.close(fd)

    def everything(self) -> dict[str, tuple[Any, ...]]:
        """Return the whole tree: mode, owner, size, time, link target, xattrs, by path."""
        found: dict[str, tuple[Any, ...]] = {}
        pending = ["."]
        while pending:
            at = pending.pop()
            for name in sorted(self.names(at)):
                path = name if at == "." else f"{at}/{name}"
                # Kernel: overlayfs lists whiteouts of a directory that only one layer has.
                if not self.exists(path):
                    continue
                status = self.stat(path)
                more: Any = None
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)
                elif stat.S_ISLNK(status.st_mode):
                    more = self.readlink(path)
                elif stat.S_ISREG(status.st_mode):
                    more = (self.read(path), self.xattrs(path))
                found[path] = (
                    status.st_mode,
                    status.st_uid,
                    status.st_gid,
                    status.st_mtime_ns,
                    status.st_rdev,
                    more,
                )
        return found
