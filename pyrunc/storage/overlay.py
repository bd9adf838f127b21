"""How do layers and a writable directory become one root?

An overlay made as a detached mount: it has no place in any mount namespace until the container
attaches it, so there is nothing on the host to unmount.  Hot.
Source: kernel Documentation/filesystems/overlayfs.rst; fsopen(2), mount(2).
"""

from __future__ import annotations

import errno
import os

from ..errors import KernelError, NotFound
from ..kernel import syscalls
from .unsettled import settle_if_needed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..oci.image_record import ImageRecord
    from ..paths import Paths

# Set on the root of a layer whose tar had no entry for it: its mode says nothing.
IMPLIED_ROOT = "trusted.pyrunc.implied"

# Whatever the host's defaults for the module are, an upper directory must stay readable alone.
_OPTIONS = (("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"))
# Kernel: fsconfig(2) takes strings below 256 bytes; mount(2) data is one page.
_STRING_LIMIT = 255
_PAGE_LIMIT = 4095
_CLONE_NEWNS = 0x20000
_MS_REC = 0x4000
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def lower_paths(paths: Paths, image: ImageRecord) -> list[str]:
    """Return the directories of an image's layers, lowest first."""
    return [layer_tree(paths, layer) for layer in image.layers]


def layer_tree(paths: Paths, layer: str) -> str:
    """Return where the tree of one unpacked layer lies."""
    return f"{paths.layers()}/{layer}/tree"


def mount_rootfs(
    paths: Paths,
    layers: Sequence[str],
    bundle: str,
    *,
    volatile: bool,
    read_only: bool = False,
    nodev: bool = True,
) -> int:
    """Make the detached overlay of some layers (lowest first) and the bundle's upper directory.

    Makes `upper` and `work` in the bundle if they are missing; the upper root gets owner and mode
    of the image's root.  `volatile` skips all syncing, for containers that nobody will see again.
    `read_only` leaves the upper directory out.  Image-made device nodes are dead (`nodev`), also
    where no device rules hold.
    Returns: a descriptor of the mount, O_CLOEXEC; the caller closes it, or gives it away.
    Raises: KernelError, NotFound for a layer that is not there.
    """
    settle_if_needed(paths)
    trees = [layer_tree(paths, layer) for layer in layers]
    if not trees:
        trees = [_empty_layer(paths, "tree")]
    upper = "" if read_only else f"{bundle}/upper"
    if upper:
        _make_upper(trees, bundle)
    elif len(trees) == 1:
        # Kernel: without an upper directory an overlay wants two lower ones.
        trees.insert(0, _empty_layer(paths, "below"))
    attributes = syscalls.MOUNT_ATTR_NODEV if nodev else 0
    attributes |= syscalls.MOUNT_ATTR_RDONLY if read_only else 0
    return mount_overlay(
        trees, upper, upper and f"{bundle}/work", volatile=volatile, attributes=attributes
    )


def mount_view(paths: Paths, layers: Sequence[str], upper: str = "") -> int:
    """Make a detached read-only view of some layers (lowest first), with an upper directory on top.

    A container may run on the upper directory: the view shows what it has now, and may miss what
    it does meanwhile.
    Returns: a descriptor of the mount; the caller closes it.  Raises: KernelError, NotFound.
    """
    settle_if_needed(paths)
    trees = [layer_tree(paths, layer) for layer in layers]
    # Kernel: without an upper directory an overlay wants two lower ones; the same one twice is
    # refused.  As a lower one, the upper directory of somebody else is only read.
    fillers = [_empty_layer(paths, name) for name in ("below", "tree")]
    trees = fillers[: max(0, 2 - len(trees) - bool(upper))] + trees + ([upper] if upper else [])
    return mount_overlay(trees, attributes=syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NODEV)


def mount_overlay(
    lower: Sequence[str],
    upper: str = "",
    work: str = "",
    *,
    volatile: bool = False,
    attributes: int = 0,
) -> int:
    """Make a detached overlay of any directories, lowest first.  See `mount_rootfs`.

    PYRUNC_OVERLAY=mount takes the way for kernels before 6.7 on any kernel.
    """
    way = _mount_old if os.environ.get("PYRUNC_OVERLAY") == "mount" else _mount_new
    try:
        fd = way(lower, upper, work, volatile)
    except _NoLowerPlus:
        fd = _mount_old(lower, upper, work, volatile)
    try:
        if attributes:
            syscalls.mount_setattr(fd, "", set_attributes=attributes)
    except OSError as error:
        os.close(fd)
        raise KernelError("set attributes of overlay on", errno=error.errno or 0) from error
    return fd


class _NoLowerPlus(Exception):
    """The kernel is older than 6.7, or it refuses for a reason that the old way finds again."""


def _mount_new(lower: Sequence[str], upper: str, work: str, volatile: bool) -> int:
    held: list[int] = []
    fs_fd = _call("open filesystem overlay for", upper, lambda: syscalls.fsopen("overlay"))
    held.append(fs_fd)
    try:
        for path in reversed(lower):
            try:
                syscalls.fsconfig_set_string(fs_fd, "lowerdir+", _short(path, held))
            except OSError as error:
                if error.errno == errno.EINVAL:
                    raise _NoLowerPlus from error
                raise _layer_error(error, path) from error
        if upper:
            _set(fs_fd, "upperdir", _short(upper, held))
            _set(fs_fd, "workdir", _short(work, held))
            if volatile:
                _call(
                    "set volatile of overlay on",
                    upper,
                    lambda: syscalls.fsconfig_set_flag(fs_fd, "volatile"),
                )
        for key, value in _OPTIONS:
            _set(fs_fd, key, value)
        _create(fs_fd, upper)
        return _call("mount overlay on", upper, lambda: syscalls.fsmount(fs_fd))
    finally:
        for fd in held:
            os.close(fd)


def _create(fs_fd: int, upper: str) -> None:
    try:
        syscalls.fsconfig_create(fs_fd)
    except OSError as error:
        # Kernel: before 6.5 overlayfs takes any option at first and reads them all here.  Where the
        # reason is another one, the old way meets it again.
        if error.errno == errno.EINVAL:
            raise _NoLowerPlus from error
        raise KernelError("mount overlay on", errno=error.errno or 0, subject=upper) from error


def _mount_old(lower: Sequence[str], upper: str, work: str, volatile: bool) -> int:
    """Mount by mount(2) in a mount namespace that only one thread has, and clone it from there."""
    import _thread

    result: list[int | BaseException] = []
    done = _thread.allocate_lock()
    done.acquire()

    def mount() -> None:
        try:
            result.append(_mount_privately(lower, upper, work, volatile))
        except BaseException as error:  # noqa: BLE001  # handed to the caller's thread
            result.append(error)
        finally:
            done.release()

    _thread.start_new_thread(mount, ())
    done.acquire()
    outcome = result[0]
    if isinstance(outcome, OSError):
        raise KernelError("mount overlay on", errno=outcome.errno or 0, subject=upper) from outcome
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _mount_privately(lower: Sequence[str], upper: str, work: str, volatile: bool) -> int:
    # Runs in a thread of its own: unshare gives it its own root, working directory and mounts.
    # All paths are numbers of descriptors, relative to /proc/self/fd: short, and nothing to escape.
    held: list[int] = []
    try:
        syscalls.unshare(_CLONE_NEWNS)
        syscalls.mount("", "/", "", _MS_REC | syscalls.MS_PRIVATE)
        # Kernel: the directories must be seen through this namespace (check_mnt of overlayfs).
        options = f"lowerdir={':'.join(_hold(path, held) for path in reversed(lower))}"
        if upper:
            options += f",upperdir={_hold(upper, held)},workdir={_hold(work, held)}"
            options += ",volatile" if volatile else ""
        options += "".join(f",{key}={value}" for key, value in _OPTIONS)
        if len(options) > _PAGE_LIMIT:
            raise KernelError(
                "mount overlay on",
                errno=errno.E2BIG,
                subject=upper,
                why=f"{len(lower)} layers do not fit into one page of options",
                hint="kernels from 6.7 on have no such limit",
            )
        os.chdir("/proc/self/fd")
        syscalls.mount("overlay", "/", "overlay", 0, options)
        # Kernel: "/" stays below the new mount, ".." of the root steps onto it.
        return syscalls.open_tree(
            syscalls.AT_FDCWD, "/..", syscalls.OPEN_TREE_CLONE | syscalls.OPEN_TREE_CLOEXEC
        )
    finally:
        for fd in held:
            os.close(fd)


def _make_upper(trees: Sequence[str], bundle: str) -> None:
    upper, work = f"{bundle}/upper", f"{bundle}/work"
    try:  # noqa: SIM105  # contextlib is not for hot paths
        os.mkdir(work, 0o700)
    except FileExistsError:
        pass
    try:
        os.mkdir(upper, 0o700)
    except FileExistsError:
        return
    owner, group, mode = _root_attributes(trees)
    os.chown(upper, owner, group)
    os.chmod(upper, mode)


def _root_attributes(trees: Sequence[str]) -> tuple[int, int, int]:
    for tree in reversed(trees):
        try:
            os.getxattr(tree, IMPLIED_ROOT)
        except FileNotFoundError as error:
            raise _layer_error(error, tree) from error
        except OSError:  # ENODATA: the layer's tar has an entry for its root
            status = os.stat(tree)
            return status.st_uid, status.st_gid, status.st_mode & 0o7777
    return 0, 0, 0o755


def _empty_layer(paths: Paths, name: str) -> str:
    path = f"{paths.layers()}/empty/{name}"
    os.makedirs(path, 0o755, exist_ok=True)
    return path


def _short(path: str, held: list[int]) -> str:
    if len(os.fsencode(path)) <= _STRING_LIMIT:
        return path
    return f"/proc/self/fd/{_hold(path, held)}"


def _hold(path: str, held: list[int]) -> str:
    try:
        held.append(os.open(path, _DIRECTORY))
    except OSError as error:
        raise _layer_error(error, path) from error
    return str(held[-1])


def _layer_error(error: OSError, path: str) -> KernelError | NotFound:
    if error.errno == errno.ENOENT:
        return NotFound(
            f"cannot find layer {path!r}: it is not on disk (ENOENT)",
            kind="layer",
            name=path,
            hint="load the image again; what is intact is reused",
        )
    return KernelError("use as an overlay's directory", errno=error.errno or 0, subject=path)


def _set(fs_fd: int, key: str, value: str) -> None:
    _call(
        f"set {key} of overlay to", value, lambda: syscalls.fsconfig_set_string(fs_fd, key, value)
    )


def _call(what: str, subject: str, call: Callable[[], int | None]) -> int:
    try:
        return call() or 0
    except OSError as error:
        raise KernelError(what, errno=error.errno or 0, subject=subject) from error
