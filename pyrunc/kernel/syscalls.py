"""How does Python make the system calls that `os` lacks?

Thin and hot: each function is one call and raises OSError with the kernel's errno.  Paths are str
or bytes; descriptors are plain numbers that belong to the caller, and every new one is
close-on-exec.  Constants carry the kernel's names.
"""

from __future__ import annotations

import os

from ._native import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Path = str | bytes

AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
AT_SYMLINK_NOFOLLOW: Final = 0x100

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC

MOVE_MOUNT_F_EMPTY_PATH: Final = 0x04
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40

MOUNT_ATTR_RDONLY: Final = 0x01
MOUNT_ATTR_NOSUID: Final = 0x02
MOUNT_ATTR_NODEV: Final = 0x04
MOUNT_ATTR_NOEXEC: Final = 0x08
MOUNT_ATTR_NOATIME: Final = 0x10
MOUNT_ATTR_STRICTATIME: Final = 0x20
MOUNT_ATTR__ATIME: Final = 0x70
MOUNT_ATTR_NODIRATIME: Final = 0x80
MOUNT_ATTR_IDMAP: Final = 0x100000
MOUNT_ATTR_NOSYMFOLLOW: Final = 0x200000

MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

MFD_CLOEXEC: Final = 1
MFD_ALLOW_SEALING: Final = 2
MFD_NOEXEC_SEAL: Final = 8
MFD_EXEC: Final = 16

OVERLAYFS_SUPER_MAGIC: Final = 0x794C7630
PROC_SUPER_MAGIC: Final = 0x9FA0
SYSFS_MAGIC: Final = 0x62656572
TMPFS_MAGIC: Final = 0x01021994
CGROUP_SUPER_MAGIC: Final = 0x27E0EB
CGROUP2_SUPER_MAGIC: Final = 0x63677270

_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_EAGAIN = 11


def openat2(dir_fd: int, path: Path, flags: int, mode: int = 0, *, resolve: int = 0) -> int:
    """Open relative to a directory fd, confined by RESOLVE_*; returns the new fd.

    Kernel: EAGAIN passes when renames elsewhere race with ".."; it is tried again, bounded.
    """
    raw = _path(path)
    for _ in range(128):
        result = lib.native_openat2(dir_fd, raw, flags | os.O_CLOEXEC, mode, resolve)
        if result != -_EAGAIN:
            break
    return _result(result, path)


def open_tree(dir_fd: int, path: Path, flags: int) -> int:
    """Return an fd of a mount, with OPEN_TREE_CLONE of a detached copy of it (O_PATH)."""
    return _result(lib.native_open_tree(dir_fd, _path(path), flags | OPEN_TREE_CLOEXEC), path)


def move_mount(from_fd: int, to_fd: int, to_path: Path = "") -> None:
    """Attach the mount `from_fd` on `to_path` below `to_fd`, or on `to_fd` itself."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else MOVE_MOUNT_T_EMPTY_PATH)
    _result(lib.native_move_mount(from_fd, b"", to_fd, _path(to_path), flags), to_path)


def fsopen(filesystem: str) -> int:
    """Return the fd of a new, empty filesystem configuration."""
    return _result(lib.native_fsopen(filesystem.encode(), 1), filesystem)


def fsconfig_set_string(fs_fd: int, key: str, value: Path) -> None:
    """Set an option.  Kernel: a value holds 255 bytes at most (EINVAL)."""
    _result(lib.native_fsconfig(fs_fd, _FSCONFIG_SET_STRING, key.encode(), _path(value), 0), key)


def fsconfig_set_flag(fs_fd: int, key: str) -> None:
    """Set an option without a value."""
    _result(lib.native_fsconfig(fs_fd, _FSCONFIG_SET_FLAG, key.encode(), ffi.NULL, 0), key)


def fsconfig_create(fs_fd: int) -> None:
    """Make the filesystem as configured."""
    _result(lib.native_fsconfig(fs_fd, _FSCONFIG_CMD_CREATE, ffi.NULL, ffi.NULL, 0), "")


def fsmount(fs_fd: int, attributes: int = 0) -> int:
    """Return the fd of a detached mount of the filesystem; closing the last one unmounts it."""
    return _result(lib.native_fsmount(fs_fd, 1, attributes), "")


def mount_setattr(
    dir_fd: int,
    path: Path,
    *,
    set_attributes: int = 0,
    clear_attributes: int = 0,
    propagation: int = 0,
    userns_fd: int = -1,
    recursive: bool = False,
) -> None:
    """Change attributes and propagation of a mount; an empty path means `dir_fd` itself."""
    flags = (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    _result(
        lib.native_mount_setattr(
            dir_fd, _path(path), flags, set_attributes, clear_attributes, propagation, userns_fd
        ),
        path,
    )


def mount(source: Path, target: Path, filesystem: str, flags: int = 0, options: Path = "") -> None:
    """Mount by path, the old way.  Kernel: the options hold 4096 bytes at most."""
    _result(
        lib.native_mount(_path(source), _path(target), filesystem.encode(), flags, _path(options)),
        target,
    )


def umount2(target: Path, flags: int = 0) -> None:
    """Unmount by path; flags are MNT_*."""
    _result(lib.native_umount2(_path(target), flags), target)


def setns(fd: int, kind: int = 0) -> None:
    """Join the namespace that `fd` refers to; `kind` is a CLONE_NEW* or 0."""
    _result(lib.native_setns(fd, kind), "")


def unshare(flags: int) -> None:
    """Leave shared namespaces for new ones, CLONE_NEW*."""
    _result(lib.native_unshare(flags), "")


def pivot_root(new_root: Path, put_old: Path) -> None:
    """Swap the root mount of this mount namespace."""
    _result(lib.native_pivot_root(_path(new_root), _path(put_old)), new_root)


def memfd_create(name: str, flags: int = MFD_CLOEXEC) -> int:
    """Return an anonymous file in memory.

    Kernel: MFD_EXEC and MFD_NOEXEC_SEAL exist from 6.3 and give EINVAL before; vm.memfd_noexec=2
    refuses executable ones (EACCES).
    """
    return os.memfd_create(name, flags)


def pidfd_open(pid: int) -> int:
    """Return an fd of a process; it polls readable once the process has ended."""
    return _result(lib.native_pidfd_open(pid, 0), str(pid))


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """Send a signal to just that process, whatever its pid has become."""
    _result(lib.native_pidfd_send_signal(pidfd, number), "")


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Close descriptors, or with flags=4 mark them close-on-exec."""
    _result(lib.native_close_range(first, last, flags), "")


def mknodat(dir_fd: int, path: Path, mode: int, device: int = 0) -> None:
    """Make a device, FIFO or socket; `mode` holds the type (S_IFCHR …), the umask applies."""
    _result(lib.native_mknodat(dir_fd, _path(path), mode, device), path)


def statfs_type(fd: int) -> int:
    """Return the magic number of the filesystem that an fd lies on."""
    kind = int(lib.native_statfs_type(fd))
    return kind if kind >= 0 else _result(kind, "")


def syncfs(fd: int) -> None:
    """Write everything of one filesystem to its disk."""
    _result(lib.native_syncfs(fd), "")


def bpf(command: int, attributes: bytearray) -> int:
    """Make a bpf call with a union bpf_attr as bytes; the kernel may write into it."""
    return _result(lib.native_bpf(command, ffi.from_buffer(attributes), len(attributes)), "")


def seccomp_flags(flags: int) -> None:
    """Ask for a filter with these flags, and give none: EFAULT says that the kernel knows them."""
    _result(lib.native_seccomp_flags(flags), "")


def inotify_init1() -> int:
    """Return an fd that says what becomes of watched files; it does not block."""
    return _result(lib.native_inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "")


def inotify_add_watch(fd: int, path: Path, mask: int) -> int:
    """Watch a file, or all in a directory; IN_* of inotify(7)."""
    return _result(lib.native_inotify_add_watch(fd, _path(path), mask), path)


def _path(value: Path) -> bytes:
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if b"\0" in raw:
        raise ValueError(f"a NUL inside {value!r}")
    return raw


def _result(value: int, subject: Path) -> int:
    if value < 0:
        raise OSError(-value, os.strerror(-value), subject)
    return value
