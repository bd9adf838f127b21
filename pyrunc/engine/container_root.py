"""How does a command reach the files of a container as its processes see them?

Of one that runs, through the root of its first process, with all that is mounted there.  Of any
other, the same view is put together in a mount namespace that only one thread has: what the thread
leaves, the kernel unmounts.  Nobody enters anything: paths are resolved by the kernel below one
descriptor, so no program or library of the container is ever loaded (CVE-2019-14271).
"""

from __future__ import annotations

import os
import stat
import threading

from ..errors import InvalidState, LockTimeout
from ..kernel import syscalls
from ..storage import containers, overlay
from ..storage.place import Root
from . import journal
from .container_status import running_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ..storage.containers import ContainerRow
    from .engine import Engine

    Result = TypeVar("Result")

_CLONE_NEWNS = 0x20000
_MS_REC = 0x4000
_LOCK_SECONDS = 60.0
_ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def with_root(engine: Engine, row: ContainerRow, act: Callable[[Root], Result]) -> Result:
    """Call `act` with the container's root, writable; one that does not run can't start meanwhile.

    Raises: what `act` raises; LockTimeout while another command holds the container.
    """
    for _ in range(2):
        root_fd = _running_root(engine, row)
        if root_fd is not None:
            try:
                result = act(Root(root_fd))
            finally:
                os.close(root_fd)
            journal.note(engine.database(), row, "copy")
            return result
        had_run_dir = os.path.isdir(engine.paths.run_dir(row.id))
        lock_fd = containers.lock(engine.paths, row.id, timeout_seconds=_LOCK_SECONDS)
        if lock_fd is None:
            continue  # it may have been started meanwhile
        try:
            result = _in_own_namespace(lambda: act(_assembled(engine, row)))
            journal.note(engine.database(), row, "copy")
            return result
        finally:
            if not had_run_dir:
                containers.remove_run_dir(engine.paths, row.id)
            os.close(lock_fd)
    raise LockTimeout(
        f"cannot reach the files of container {row.name!r}: another command holds it",
        subject=row.id,
        hint="wait for that command to end, then try again",
    )


def check_writable(row: ContainerRow, root: Root, fd: int) -> None:
    """Refuse a directory that the container may not write to either.

    Raises: InvalidState in docker's words.
    """
    is_own = _mount_id(fd) == _mount_id(root.fd)
    if is_own and row.document.get("read_only"):
        raise InvalidState("container rootfs is marked read-only", state="ro", wanted="rw")
    if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
        raise InvalidState("mounted volume is marked read-only", state="ro", wanted="rw")


def _running_root(engine: Engine, row: ContainerRow) -> int | None:
    state = running_state(engine, row)
    if state is None:
        return None
    try:
        root_fd = os.open(f"/proc/{state.pid}/root", _ROOT_FLAGS)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if containers.is_alive(state):  # still the same process: the root was its own
        return root_fd
    os.close(root_fd)
    return None


def _in_own_namespace(act: Callable[[], Result]) -> Result:
    """Call in a thread with mounts of its own, and return what it returned or raise what it did."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            syscalls.unshare(_CLONE_NEWNS)
            syscalls.mount("", "/", "", _MS_REC | syscalls.MS_PRIVATE)
            results.append(act())
        except BaseException as failure:  # noqa: BLE001  # handed to the caller's thread
            failures.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _assembled(engine: Engine, row: ContainerRow) -> Root:
    """Mount the container's root and what belongs into it; the descriptor ends with the process."""
    bundle = engine.paths.bundle(row.id)
    mounts = sorted(row.document.get("mounts", ()), key=lambda one: one["target"].count("/"))
    sources = [_cloned(mount) for mount in mounts]
    rootfs_fd = overlay.mount_rootfs(
        engine.paths, tuple(row.document["layers"]), bundle, volatile=False
    )
    # Where it is attached matters to nobody: only this thread sees it.
    syscalls.move_mount(rootfs_fd, syscalls.AT_FDCWD, bundle)
    root = Root(os.open(bundle, _ROOT_FLAGS))
    for mount, source_fd in zip(mounts, sources, strict=True):
        if source_fd is not None:
            _attach(root, os.fsencode(mount["target"]), source_fd)
            os.close(source_fd)
    return root


def _cloned(mount: dict[str, Any]) -> int | None:
    """Return a detached copy of what a container's mount shows; None if it is not there."""
    try:
        fd = syscalls.open_tree(
            syscalls.AT_FDCWD, mount["source"], syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE
        )
    except FileNotFoundError:
        return None
    if mount["read_only"]:
        syscalls.mount_setattr(fd, "", set_attributes=syscalls.MOUNT_ATTR_RDONLY, recursive=True)
    return fd


def _attach(root: Root, target: bytes, source_fd: int) -> None:
    """Attach a mount on the very directory or file that its path leads to.

    Security: by descriptor, so that no path is resolved twice (CVE-2026-42306).  A container that
    was never started may lack the place; its start would make it, too.
    """
    try:
        target_fd = _place(root, target, is_directory=stat.S_ISDIR(os.fstat(source_fd).st_mode))
    except OSError:
        return  # the start will say what is wrong with it
    try:
        syscalls.move_mount(source_fd, target_fd)
    except NotADirectoryError:
        return  # a file where the mount is a directory, or the reverse
    finally:
        os.close(target_fd)


def _place(root: Root, target: bytes, *, is_directory: bool) -> int:
    try:
        return root.open(target, os.O_PATH)
    except FileNotFoundError:
        pass
    directory, _, name = target.rpartition(b"/")
    parent_fd = _place(root, directory or b"/", is_directory=True)
    try:
        if is_directory:
            os.mkdir(name, 0o755, dir_fd=parent_fd)
        else:
            os.mknod(name, 0o644 | stat.S_IFREG, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    return root.open(target, os.O_PATH)


def _mount_id(fd: int) -> str:
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith("mnt_id:"))
