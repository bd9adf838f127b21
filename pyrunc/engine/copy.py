"""How do files come into a container, and out of it: `cp`.

What goes where is docker's table: a directory that is there gets the source inside it, a name that
is not there becomes the copy, "/." means what is in a directory.
Source: docker cp(1); docker/cli command/container/cp.go; moby pkg/archive/copy.go.
"""

from __future__ import annotations

import os
import stat

from ..errors import InvalidInput, InvalidState, KernelError, NotFound, PyruncError
from ..oci.record import Record
from ..storage.place import (
    Place,
    Root,
    asserts_content,
    asserts_directory,
    clean,
    find_place,
    is_device_directory,
    is_pseudo,
)
from ..storage.tree_copy import TreeCopy
from ..storage.tree_walk import Node, walk
from .container_files import find_container
from .container_root import check_writable, with_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..storage.containers import ContainerRow
    from ..storage.tar_apply import Report
    from .engine import Engine

    Write = Callable[[bytes | memoryview], object]


class CopyOptions(Record):
    """What the user said about all that is copied."""

    archive: bool = False  # keep owners; else all is root's
    follow_link: bool = False


def copy_out(engine: Engine, container: str, source: str, target: str, options: CopyOptions) -> int:
    """Copy from a container to a path of the host; returns how many bytes of content.

    Raises: NotFound, InvalidState, InvalidInput with docker's words; KernelError.
    """
    row = find_container(engine, container)
    _check_path(source)
    with _HostPlace(target) as there:

        def act(root: Root) -> int:
            here = _source(row, root, source, options)
            try:
                return _copy(
                    here, source, there, target, _owner(options), keep_devices=options.archive
                )
            finally:
                here.close()

        return with_root(engine, row, act)


def copy_in(engine: Engine, source: str, container: str, target: str, options: CopyOptions) -> int:
    """Copy from a path of the host into a container.  As `copy_out`."""
    row = find_container(engine, container)
    _check_path(target)
    host = _host_root()
    try:
        here = _host_source(host, source, options)
        try:

            def act(root: Root) -> int:
                there = _target(row, root, target)
                try:
                    return _copy(here, source, there, target, _owner(options), keep_devices=True)
                finally:
                    there.close()

            return with_root(engine, row, act)
        finally:
            here.close()
    finally:
        os.close(host.fd)


def write_out(
    engine: Engine, container: str, source: str, options: CopyOptions, write: Write
) -> None:
    """Write a file or directory of a container as a tar.  Raises: as `copy_out`."""
    from ..storage.layer_writer import write_nodes

    row = find_container(engine, container)
    _check_path(source)

    def act(root: Root) -> None:
        here = _source(row, root, source, options)
        try:
            name = b"." if asserts_content(source) else _base(source)
            write_nodes(_nodes(here, name), write, prefix=name)
        finally:
            here.close()

    with_root(engine, row, act)


def read_in(engine: Engine, fd: int, container: str, target: str, shown: str) -> int:
    """Unpack a tar, compressed or not, into a directory of a container, with the owners it names.

    It is unpacked beside the store first, by the program that unpacks layers: what that refuses,
    the container never sees.
    Raises: as `copy_out`; UnsafeArchive.
    """
    from ..storage.workspace import Workspace

    row = find_container(engine, container)
    _check_path(target)
    with Workspace(engine.paths) as workspace:

        def act(root: Root) -> int:
            there = _target(row, root, target)
            try:
                if not there.is_directory():
                    raise InvalidState(
                        f'destination "{shown}" must be a directory',
                        state="file",
                        wanted="directory",
                    )
                holder = workspace.subdirectory("incoming")
                report = _unpack(fd, holder, workspace.lock_fd)
                implied = frozenset(report.implied) | (
                    frozenset() if report.is_root_explicit else frozenset({b""})
                )
                copy = TreeCopy(there.fd, clean_shown(target), implied=implied)
                tree_fd = os.open(f"{holder}/tree", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    copy.tree(walk(tree_fd))
                finally:
                    os.close(tree_fd)
                return copy.bytes_copied
            finally:
                there.close()

        return with_root(engine, row, act)


def clean_shown(path: str) -> str:
    """Return a container's path as messages show it."""
    return "/" + clean(path)


# -- docker's table ------------------------------------------------------------------------------


def _copy(
    here: Place,
    source: str,
    there: Place,
    target: str,
    owner: tuple[int, int] | None,
    *,
    keep_devices: bool,
) -> int:
    is_directory = here.is_directory()
    name = there.name
    if there.is_directory():
        if is_directory and asserts_content(source):
            return _copy_tree(here, there.fd, target, owner, keep_devices)
        return _copy_named(here, there.fd, _base(source), target, owner, keep_devices)
    if there.status is not None and is_directory:
        raise InvalidState(
            "cannot copy directory", state="file", wanted="directory", subject=target
        )
    if there.status is None and not is_directory and asserts_directory(target):
        raise NotFound("no such directory", kind="path", name=target)
    return _copy_named(
        here, there.parent_fd, name, os.path.dirname(target.rstrip("/")), owner, keep_devices
    )


def _copy_named(
    here: Place,
    parent_fd: int,
    name: bytes,
    shown: str,
    owner: tuple[int, int] | None,
    keep_devices: bool,
) -> int:
    """Copy a file or directory under a name into a directory."""
    if not here.is_directory():
        assert here.status is not None
        copy = TreeCopy(parent_fd, shown or "/", owner=owner, devices=keep_devices)
        copy.file(Node(here.name, here.parent_fd, here.name, here.status, -1), name)
        return copy.bytes_copied
    copy = TreeCopy(parent_fd, shown or "/", owner=owner, devices=keep_devices)
    copy.tree(_nodes(here, name), name)
    return copy.bytes_copied


def _copy_tree(
    here: Place, top_fd: int, shown: str, owner: tuple[int, int] | None, keep_devices: bool
) -> int:
    copy = TreeCopy(top_fd, shown, owner=owner, devices=keep_devices)
    copy.tree(_nodes(here, b""))
    return copy.bytes_copied


def _nodes(here: Place, name: bytes) -> Iterator[Node]:
    if here.is_directory():
        yield from walk(here.fd, enter=_may_enter)
    else:
        assert here.status is not None
        yield Node(b"", here.parent_fd, here.name, here.status, -1)


def _may_enter(fd: int, is_mount: bool) -> bool:
    """Leave out what the kernel shows at /proc, and the engine at /dev; only an empty directory is
    copied then.
    """
    return not (is_mount and (is_pseudo(fd) or is_device_directory(fd)))


# -- both ends -----------------------------------------------------------------------------------


def _source(row: ContainerRow, root: Root, path: str, options: CopyOptions) -> Place:
    shown = clean_shown(path)
    try:
        place = find_place(root, path, follow=options.follow_link)
    except NotFound as error:
        raise _missing(row, shown) from error
    except OSError as error:
        raise KernelError("read", errno=error.errno or 0, subject=shown) from error
    is_device = place.status is not None and (
        stat.S_ISCHR(place.status.st_mode) or stat.S_ISBLK(place.status.st_mode)
    )
    if place.status is None or _is_hidden(place) or (is_device and not options.archive):
        place.close()
        raise _missing(row, shown)
    return place


def _target(row: ContainerRow, root: Root, path: str) -> Place:
    shown = clean_shown(path)
    try:
        place = find_place(root, path, follow=True)
    except NotFound as error:
        if isinstance(error.__cause__, NotADirectoryError):
            raise InvalidState(
                "extraction point is not a directory", state="file", wanted="directory"
            ) from error
        raise _missing(row, os.path.dirname(shown)) from error
    except OSError as error:
        raise KernelError("write", errno=error.errno or 0, subject=shown) from error
    try:
        if _is_hidden(place):
            raise _missing(row, shown)
        check_writable(row, root, place.fd if place.is_directory() else place.parent_fd)
    except BaseException:
        place.close()
        raise
    return place


def _is_hidden(place: Place) -> bool:
    return is_pseudo(place.fd if place.is_directory() else place.parent_fd)


def _host_source(host: Root, path: str, options: CopyOptions) -> Place:
    absolute = _absolute(path)
    try:
        place = find_place(host, absolute, follow=options.follow_link)
    except NotFound:
        place = None
    except OSError as error:
        raise KernelError("read", errno=error.errno or 0, subject=absolute) from error
    if place is None or place.status is None:
        raise NotFound(f"lstat {absolute}: no such file or directory", kind="path", name=absolute)
    return place


class _HostPlace:
    """Where on the host a copy goes; found before the container is touched."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._host = _host_root()
        self._place: Place | None = None

    def __enter__(self) -> Place:
        absolute = _absolute(self._path)
        try:
            self._place = find_place(self._host, absolute, follow=True)
        except NotFound as error:
            parent = os.path.dirname(absolute.rstrip("/"))
            raise InvalidInput(
                f'invalid output path: directory "{parent}" does not exist', subject=absolute
            ) from error
        except OSError as error:
            raise KernelError("write", errno=error.errno or 0, subject=absolute) from error
        status = self._place.status
        if status is not None and not (
            stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
        ):
            raise InvalidInput(
                f'invalid output path: "{absolute}" must be a directory or a regular file',
                subject=absolute,
            )
        return self._place

    def __exit__(self, *_: object) -> None:
        if self._place is not None:
            self._place.close()
        os.close(self._host.fd)


def _host_root() -> Root:
    return Root(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), is_host=True)


def _absolute(path: str) -> str:
    """Make a path of the host absolute; what stands at its end stays."""
    if path.startswith("/"):
        return path
    return f"{os.getcwd()}/{path}"


def _base(path: str) -> bytes:
    return os.fsencode(clean(path).rpartition("/")[2] or ".")


def _owner(options: CopyOptions) -> tuple[int, int] | None:
    return None if options.archive else (0, 0)


def _check_path(path: str) -> None:
    if not path:
        raise InvalidInput("bad parameter: path cannot be empty", where="CONTAINER:PATH")
    if "\0" in path:
        raise InvalidInput("a NUL character inside an argument", where="CONTAINER:PATH")


def _missing(row: ContainerRow, path: str) -> NotFound:
    return NotFound(
        f"Could not find the file {path} in container {row.name}", kind="path", name=path
    )


def _unpack(fd: int, holder: str, lock_fd: int) -> Report:
    from ..storage.tar_apply import Limits, Target, apply

    with open(fd, "rb", buffering=0, closefd=False) as stream:
        applied = apply(
            stream, Target(holder=holder, lock_fd=lock_fd), "standard input", limits=Limits()
        )
    assert applied.report is not None
    if applied.report.doubt:
        raise applied.report.doubt
    if applied.report.links:
        name = applied.report.links[0][0].decode("utf-8", "backslashreplace")
        raise PyruncError(
            f"cannot unpack standard input: entry {name[:200]!r}: its hard link's target is not in"
            " the archive"
        )
    return applied.report
