"""How do tar files become `/`?

A layer whose tar is self-contained is unpacked once, beside others, and stored by diff-id for all
images.  One that leaves something to the layers below (storage/below) is finished after them,
seen through them (read once more where its order decides), and stored by chain-id.  Nothing but
this file and storage/overlay knows that a layer is a directory: `layers/<name>/tree`, with
`layer.json` beside it.

Reading path 2/8 · before: engine/run.py · after: runtime/plan.py
Source: image-spec layer.md; architecture, section 5.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack

from ..errors import IntegrityError, InvalidInput
from ..kernel import syscalls
from ..oci import document
from ..oci.chain_id import chain_ids
from ..oci.compression import MAGIC_BYTES, detect
from ..oci.digest import digest_digits
from ..oci.record import Record
from . import below, content, overlay, tar_apply
from .atomic import make_directory, remove_tree, sync_directory
from .containers import boot_id
from .layer_names import all_names, chain_name, diff_name
from .lease import Kept, Lease
from .locks import DEFAULT_TIMEOUT_SECONDS, locked
from .tar_apply import Applied, Limits, Target
from .workspace import BOOT, INTENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Protocol, Self

    from ..oci.compression import Reader
    from ..paths import Paths
    from .workspace import Workspace

    class Member(Protocol):
        """Bytes that can be read again and again."""

        size: int

        def open(self) -> Reader:
            """Read them from the start."""

        def adopt(self, path: str) -> bool:
            """Move them to a path instead of copying, if that is possible."""

    class Source(Protocol):
        """One layer as it comes in."""

        @property
        def member(self) -> Member:
            """Its bytes."""

        @property
        def diff_id(self) -> str:
            """What its tar's digest must be."""

        @property
        def digest(self) -> str:
            """What its own digest must be, "" if nobody said."""


# Reading, hashing and decompressing wait for each other little; more threads only cost memory.
_PARALLEL = max(2, min(8, os.cpu_count() or 2)) + 1


class Stored(Record):
    """What layer.json says about a layer."""

    name: str
    diff_id: str
    content_bytes: int
    entries: int
    is_root_opaque: bool


class Blob(Record):
    """The blob that a layer came as."""

    digest: str
    size: int
    compression: str


class Incoming:
    """Layers on their way into the store: fetched in parallel, stacked in order, then published.

    Holds a lock a diff-id from `fetch` to the end of the block, so that of several loads of a layer
    the first unpacks and the others find it.
    """

    def __init__(
        self,
        paths: Paths,
        workspace: Workspace,
        limits: Limits,
        *,
        cancel: Callable[[], object] = lambda: None,
        lock_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        is_afresh: bool = False,
    ) -> None:
        """Begin with nothing.

        `cancel` is called when reading has to end early, for sources that wait for others;
        `lock_seconds` is how long another load of the same layer may take.  With `is_afresh`,
        layers are unpacked although they are there, to be compared.
        """
        self._is_afresh = is_afresh
        self._paths = paths
        self._cancel = cancel
        self._lock_seconds = lock_seconds
        self._workspace = workspace
        self._limits = limits
        self.lease = Lease(paths, workspace)
        self._locks = ExitStack()
        self._cancelled = threading.Event()
        self._number = 0
        self._applied: dict[str, tuple[Applied, str]] = {}  # diff-id: what, and the holder
        self._sources: dict[str, Source] = {}
        self._staged: dict[str, tuple[str, Stored]] = {}  # layer name: holder, what
        self._staged_blobs: dict[str, str] = {}  # digest: path
        self._blobs: dict[tuple[str, str], Blob] = {}  # diff-id, promised digest: what came

    def __enter__(self) -> Self:
        """Take nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the next load go on."""
        self._locks.close()

    # -- fetch -----------------------------------------------------------------------------------

    def fetch(self, images_of_sources: Sequence[Sequence[Source]]) -> None:
        """Read what is not in the store yet, each layer once, several at a time.

        Raises: IntegrityError, UnsafeArchive, KernelError: the first one that occurs.
        """
        jobs: dict[tuple[str, str], tuple[Source, bool]] = {}
        unpacked: set[str] = set()
        for diff_id in sorted({one.diff_id for sources in images_of_sources for one in sources}):
            path = _lock_path(self._paths, diff_id)
            self._locks.enter_context(
                locked(path, timeout_seconds=self._lock_seconds, passing=True)
            )
        self._lease_all(images_of_sources)
        for sources in images_of_sources:
            names = self._names([one.diff_id for one in sources])
            for source, name in zip(sources, names, strict=True):
                key = (source.diff_id, source.digest)
                self._sources.setdefault(source.diff_id, source)
                wanted = not name and source.diff_id not in unpacked
                unpacked |= {source.diff_id} if wanted else set()
                if wanted or (key not in jobs and self._known_blob(source) is None):
                    jobs[key] = (source, wanted)
        self._run(list(jobs.values()))

    def _lease_all(self, images_of_sources: Sequence[Sequence[Source]]) -> None:
        kept = Kept()
        for sources in images_of_sources:
            diff_ids = [one.diff_id for one in sources]
            kept.add(
                blobs=[one.digest or one.diff_id for one in sources],
                layers=all_names(diff_ids),
            )
        self.lease.keep(blobs=kept.blobs, layers=kept.layers)

    def _names(self, diff_ids: Sequence[str]) -> list[str]:
        """Return the names under which layers are in the store, "" for those that are not."""
        result = []
        for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True):
            names = (diff_name(diff_id), chain_name(chain_id))
            there = (name for name in names if self._stored(name) is not None)
            result.append(next(there, ""))
        return result

    def _stored(self, name: str) -> Stored | None:
        return None if self._is_afresh else read_stored(self._paths, name)

    def are_there(self, sources: Sequence[Source]) -> list[bool]:
        """Tell of each layer of an image whether nothing of it has to be read."""
        names = self._names([one.diff_id for one in sources])
        return [
            bool(name) and content.has_blob(self._paths, source.digest or source.diff_id)
            for source, name in zip(sources, names, strict=True)
        ]

    def _known_blob(self, source: Source) -> Blob | None:
        # Without a promised digest the tar may lie there as it is, which its diff-id then names.
        digest = source.digest or source.diff_id
        if (source.diff_id, source.digest) in self._blobs:
            return self._blobs[source.diff_id, source.digest]
        if not content.has_blob(self._paths, digest):
            return None
        path = content.blob_path(self._paths, digest)
        with open(path, "rb") as file:
            compression = detect(file.read(MAGIC_BYTES))
        blob = Blob(digest=digest, size=os.path.getsize(path), compression=compression)
        self._blobs[source.diff_id, source.digest] = blob
        return blob

    def _run(self, jobs: list[tuple[Source, bool]]) -> None:
        # The largest first: it decides how long everything takes.
        jobs.sort(key=lambda job: -job[0].member.size)
        if not jobs:
            return
        with ThreadPoolExecutor(min(_PARALLEL, len(jobs))) as pool:
            futures = [pool.submit(self._read, source, wanted) for source, wanted in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self._cancelled.set()
                self._cancel()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _read(self, source: Source, is_tree_wanted: bool, view_fd: int | None = None) -> None:
        holder = self._new_directory("layer") if is_tree_wanted else ""
        blob_path = (
            "" if self._known_blob(source) else f"{self._workspace.path}/{self._next('blob')}"
        )
        reader = source.member.open()
        is_adopted = bool(blob_path) and source.member.adopt(blob_path)
        applied = tar_apply.apply(
            reader,
            Target(
                holder=holder,
                blob="" if is_adopted else blob_path,
                lock_fd=self._workspace.lock_fd,
                view_fd=-1 if view_fd is None else view_fd,
            ),
            f"layer {source.diff_id}",
            limits=self._limits,
            is_cancelled=self._cancelled.is_set,
            algorithms=_algorithms(source),
        )
        _check(source, applied)
        if holder:
            self._applied[source.diff_id] = (applied, holder)
        if blob_path:
            self._staged_blobs.setdefault(applied.digest, blob_path)
        self._blobs[source.diff_id, source.digest] = Blob(
            digest=applied.digest, size=applied.size, compression=applied.compression
        )

    def _next(self, word: str) -> str:
        self._number += 1
        return f"{word}-{self._number}"

    def _new_directory(self, word: str) -> str:
        return self._workspace.subdirectory(self._next(word))

    # -- stack -----------------------------------------------------------------------------------

    def stack(self, diff_ids: Sequence[str]) -> list[Stored]:
        """Finish the layers of one image, lowest first, and return what each became.

        Raises: UnsafeArchive, KernelError.
        """
        stack: list[Stored] = []
        for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True):
            stack.append(self._place(diff_id, chain_id, stack))
        return stack

    def blobs(self, sources: Iterable[Source]) -> list[Blob]:
        """Return the blobs of layers, for a manifest."""
        return [self._blobs[source.diff_id, source.digest] for source in sources]

    def _place(self, diff_id: str, chain_id: str, lower: list[Stored]) -> Stored:
        for name in (diff_name(diff_id), chain_name(chain_id)):
            if name in self._staged:
                return self._staged[name][1]
            stored = self._stored(name)
            if stored is not None:
                return stored
        if diff_id not in self._applied:
            # Finished for another stack already: once more, for this one.
            self._read(self._sources[diff_id], True)
        applied, holder = self._applied.pop(diff_id)
        assert applied.report is not None
        if not applied.report.needs_below():
            return self._stage(diff_name(diff_id), holder, applied)
        trees = [self.tree(one.name) for one in effective(lower)]
        view_fd = self._view(trees) if trees else None
        try:
            if below.is_order_decisive(view_fd, applied.report, f"layer {diff_id}"):
                remove_tree(holder)
                self._read(self._sources[diff_id], True, view_fd)
                applied, holder = self._applied.pop(diff_id)
            assert applied.report is not None
            below.finish_tree(f"{holder}/tree", view_fd, applied.report, f"layer {diff_id}")
        finally:
            if view_fd is not None:
                os.close(view_fd)
        return self._stage(chain_name(chain_id), holder, applied)

    def _view(self, trees: list[str]) -> int:
        """Return a read-only overlay of some trees."""
        if len(trees) == 1:
            # Kernel: without an upper directory an overlay wants two lower ones.
            trees = [self._new_directory("empty"), *trees]
        attributes = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NODEV
        return overlay.mount_overlay(trees, attributes=attributes)

    def tree(self, name: str) -> str:
        """Return where the tree of a layer lies now."""
        if name in self._staged:
            return f"{self._staged[name][0]}/tree"
        return overlay.layer_tree(self._paths, name)

    def _stage(self, name: str, holder: str, applied: Applied) -> Stored:
        report = applied.report
        assert report is not None
        stored = Stored(
            name=name,
            diff_id=applied.diff_id,
            content_bytes=report.content_bytes,
            entries=report.entries,
            is_root_opaque=report.is_root_opaque,
        )
        if not report.is_root_explicit:
            os.setxattr(f"{holder}/tree", overlay.IMPLIED_ROOT, b"y")
        remove_tree(f"{holder}/removed")
        with open(f"{holder}/layer.json", "wb") as file:
            file.write(document.dump(stored.as_dict()))
        os.chmod(holder, 0o755)  # noqa: S103  # below a directory that only root enters
        self._staged[name] = (holder, stored)
        return stored

    # -- publish ---------------------------------------------------------------------------------

    def replace_tree(self, name: str, bin_path: str) -> None:
        """Put a layer in the place of the one in the store, which goes to `bin_path`."""
        holder, _ = self._staged[name]
        syscalls.syncfs(self._workspace.lock_fd)
        target = f"{self._paths.layers()}/{name}"
        if os.path.isdir(target):
            os.rename(target, bin_path)
        os.rename(holder, target)
        sync_directory(self._paths.layers())

    def stage_blob(self, raw: bytes, like: str = "sha256:") -> str:
        """Add a manifest or config.  Returns: its digest, by the algorithm of another one."""
        path, digest = content.stage_bytes(self._workspace.path, raw, like)
        self._staged_blobs[digest] = path
        return digest

    def publish(self, image_ids: Sequence[str]) -> None:
        """Move everything to its places; images are still unknown.

        On disk is then what was moved, and in which boot; the sync of its content follows when the
        workspace ends (storage/settle).
        """
        make_directory(self._paths.layers())
        intent = Kept()
        intent.add(self._staged_blobs, self._staged, image_ids)
        os.symlink(boot_id(), f"{self._workspace.path}/{BOOT}")
        self.lease.write(INTENT, intent, durable=True)
        sync_directory(self._paths.temporary())
        self._workspace.is_published = True
        for name, (holder, _) in self._staged.items():
            target = f"{self._paths.layers()}/{name}"
            remove_tree(target)  # a broken one: read_stored did not take it
            os.rename(holder, target)
        for digest, path in self._staged_blobs.items():
            content.publish(self._paths, path, digest)


def effective(stack: Sequence[Stored]) -> list[Stored]:
    """Return the layers that an overlay needs of a stack, lowest first.

    Empty ones show nothing; below a layer that hides its root nothing shows (overlayfs itself
    ignores the mark on a root); and of a layer that occurs twice the upper one says all (overlayfs
    refuses the same directory twice).
    """
    result: list[Stored] = []
    for stored in stack:
        if stored.is_root_opaque:
            result.clear()
        result = [one for one in result if one.name != stored.name]
        if stored.entries:
            result.append(stored)
    return result


def read_stored(paths: Paths, name: str) -> Stored | None:
    """Return what layer.json says, None if the layer is not there, or the file is broken."""
    path = f"{paths.layers()}/{name}/layer.json"
    try:
        with open(path, "rb") as file:
            found = Stored(**document.load_object(file.read(), path))
        kinds = [
            type(one) for one in (found.name, found.diff_id, found.content_bytes, found.entries)
        ]
        return found if kinds == [str, str, int, int] else None
    except (FileNotFoundError, NotADirectoryError, TypeError, InvalidInput):
        return None


def _algorithms(source: Source) -> tuple[str, str]:
    """Return by what a layer's digest and its diff-id were made."""
    digest = source.digest or source.diff_id
    return digest.partition(":")[0], source.diff_id.partition(":")[0]


def _check(source: Source, applied: Applied) -> None:
    pairs = (
        ("digest", source.digest or applied.digest, applied.digest),
        ("diff_id", source.diff_id, applied.diff_id),
    )
    for what, wanted, actual in pairs:
        if wanted != actual:
            raise IntegrityError(
                f"cannot use layer {source.digest or source.diff_id}: its {what} is {actual}, not"
                f" {wanted}",
                expected=wanted,
                actual=actual,
                subject=wanted,
                hint="the bytes are not those that the image was made of",
            )


def _lock_path(paths: Paths, diff_id: str) -> str:
    return f"{paths.locks()}/layer-{digest_digits(diff_id)}"
