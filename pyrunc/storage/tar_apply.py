"""How does a layer's tar become a directory, when nobody trusts the tar?

Python reads, decompresses and hashes, on a thread a layer; `pyrunc-unpack`, confined before it
reads the first byte, gets plain tar through a pipe and reports at the end (csrc/unpack_report.c).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import socket

from ..errors import (
    Interrupted,
    KernelError,
    UnsafeArchive,
    errno_hint,
    errno_name,
    errno_reason,
)
from ..kernel import spawn
from ..oci.compression import MAGIC_BYTES, PLAIN, decompressed, detect
from ..oci.record import Record
from . import whiteouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..oci.compression import Reader

UNPACKER = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/libexec/pyrunc-unpack"

_CHUNK_BYTES = 1 << 20
_PIPE_BYTES = 1 << 20
_PACKET_BYTES = 1 << 18
# Security: a name of 60 KB may stand for two thousand directories, each with a name that long.
_REPORT_BYTES = 128 << 20
_RATIO_LIMIT = 250
_RATIO_FREE_BYTES = 4 << 30

# By number, as in csrc/unpack.h; 1 is a system call's errno.
_FAILURES = {
    2: "the archive ends in the middle",
    3: "a header's checksum is wrong",
    4: "a number in its header is malformed",
    5: "its size is impossible",
    6: "its type is unknown",
    7: "its name is empty",
    8: "there is a NUL in its name",
    9: "its name climbs with '..'",
    10: "its name is too long",
    11: "the root may only be a directory",
    12: "it is no proper whiteout",
    13: "its parent is no directory",
    14: "too many levels of symbolic links",
    15: "its hard link's target is not in the layer, nor below",
    16: "it is a hard link to itself",
    17: "it is a hard link to a directory",
    18: "its owner is impossible",
    19: "its device number is impossible",
    20: "a pax record is malformed",
    21: "its extended headers are too large or too many",
    22: "its map of holes is malformed",
    23: "there is an entry behind a block of zeros",
    24: "the layer is larger than the limit",
    25: "the layer has more entries than the limit",
    26: "the disk is almost full",
    27: "its tables need too much memory",
    28: "the unpacker could not confine itself",
    29: "it has content and may have none",
    30: "its extended attributes are too large for this filesystem",
}
# What the host lacks, not what the archive did.
_HOST_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
)


class Limits(Record):
    """What a layer may cost before it is refused."""

    layer_bytes: int = 256 << 30
    entries: int = 20_000_000
    reserve_bytes: int = 32 << 20  # of the disk that stay free


class Report(Record):
    """What the unpacker said; names as they are on disk."""

    entries: int
    content_bytes: int
    is_root_explicit: bool
    is_root_opaque: bool
    implied: tuple[bytes, ...] = ()
    vain: frozenset[bytes] = frozenset()  # those of them with nothing of the layer in them
    passed: tuple[bytes, ...] = ()  # directories that were implied when something went into them
    links: tuple[tuple[bytes, bytes], ...] = ()
    xattrs_skipped: int = 0
    has_end: bool = True
    doubt: Exception | None = None  # refused, unless the layers below change what entries mean

    def needs_below(self) -> bool:
        """Tell whether the tree is unfinished without the layers below."""
        return bool(self.implied or self.passed or self.links or self.doubt)


class Applied(Record):
    """One layer that was read to its end."""

    diff_id: str
    digest: str
    size: int
    compression: str
    report: Report | None  # None: nothing was unpacked


class Target(Record):
    """Where the bytes go: into a tree, a blob, both or none."""

    holder: str = ""  # a directory; gets tree/ and removed/
    blob: str = ""
    lock_fd: int = -1  # kept open by the unpacker
    view_fd: int = -1  # the layers below, if what is read needs them


def apply(
    source: Reader,
    target: Target,
    subject: str,
    *,
    limits: Limits,
    is_cancelled: Callable[[], bool] = lambda: False,
    algorithms: tuple[str, str] = ("sha256", "sha256"),
) -> Applied:
    """Read a layer once: hash it as it is and decompressed, keep it, unpack it.

    `algorithms` are those of the digest and of the diff-id.  They are only reported: the caller
    compares them, and throws everything away if they are not what they must be.
    Raises: UnsafeArchive, IntegrityError, KernelError; then target is garbage.
    """
    algorithm, plain_algorithm = algorithms
    intake = _Intake(source, target.blob, algorithm)
    child = _Child.start(target, limits, subject) if target.holder else None
    try:
        start = intake.peek(MAGIC_BYTES)
        compression = detect(start)
        plain = decompressed(compression, intake, subject)
        feed = _Feed(child.stdin_fd if child else -1, intake, limits, is_cancelled, subject)
        if compression != PLAIN or plain_algorithm != algorithm:
            feed.digest = hashlib.new(plain_algorithm)
        feed.run(plain)
        intake.drain()
        report = child.finish() if child else None
    except BaseException:
        if child:
            child.kill()
        raise
    finally:
        intake.close()
    digest = f"{algorithm}:{intake.digest.hexdigest()}"
    return Applied(
        diff_id=f"{plain_algorithm}:{feed.digest.hexdigest()}" if feed.digest else digest,
        digest=digest,
        size=intake.size,
        compression=compression,
        report=report,
    )


class _Intake:
    """The bytes as they come: hashed, and written to the blob."""

    def __init__(self, source: Reader, blob: str, algorithm: str) -> None:
        self._source = source
        self._start = b""
        self._blob_fd = -1
        if blob:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._blob_fd = os.open(blob, flags, 0o600)
        self.digest = hashlib.new(algorithm)
        self.size = 0

    def peek(self, size: int) -> bytes:
        buffer = memoryview(bytearray(size))
        count = 0
        while count < size and (got := self._read(buffer[count:])):
            count += got
        self._start = bytes(buffer[:count])
        return self._start

    def readinto(self, buffer: memoryview) -> int:
        if self._start:
            count = min(len(buffer), len(self._start))
            buffer[:count] = self._start[:count]
            self._start = self._start[count:]
            return count
        return self._read(buffer)

    def drain(self) -> None:
        """Read what a decoder left: it belongs to the blob, and to its digest."""
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while self._read(buffer):
            pass

    def close(self) -> None:
        if self._blob_fd >= 0:
            os.close(self._blob_fd)
            self._blob_fd = -1

    def _read(self, buffer: memoryview) -> int:
        count = self._source.readinto(buffer)
        view = buffer[:count]
        self.digest.update(view)
        self.size += count
        while self._blob_fd >= 0 and view:
            view = view[os.write(self._blob_fd, view) :]
        return count


class _Feed:
    """From the plain stream into the pipe."""

    def __init__(
        self,
        pipe_fd: int,
        intake: _Intake,
        limits: Limits,
        is_cancelled: Callable[[], bool],
        subject: str,
    ) -> None:
        self._pipe_fd = pipe_fd
        self._intake = intake
        self._limits = limits
        self._is_cancelled = is_cancelled
        self._subject = subject
        self.digest: hashlib._Hash | None = None  # where the intake's is not that of the tar
        self.size = 0

    def run(self, plain: Reader) -> None:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while count := plain.readinto(buffer):
            view = buffer[:count]
            if self.digest:
                self.digest.update(view)
            self.size += count
            self._check()
            if not self._write(view):
                return

    def _write(self, view: memoryview) -> bool:
        try:
            while self._pipe_fd >= 0 and view:
                view = view[os.write(self._pipe_fd, view) :]
        except BrokenPipeError:
            return False  # its report says why
        return True

    def _check(self) -> None:
        if self._is_cancelled():
            raise Interrupted("interrupted", signal=signal.SIGINT)
        too_dense = self.size > _RATIO_FREE_BYTES + self._intake.size * _RATIO_LIMIT
        if self.size > self._limits.layer_bytes or too_dense:
            raise UnsafeArchive(
                f"cannot unpack {self._subject}: {self.size} bytes came out of"
                f" {self._intake.size}, and more to come",
                entry="",
                subject=self._subject,
            )


class _Child:
    """One running unpacker."""

    def __init__(
        self,
        process: spawn.Process,
        stdin_fd: int,
        report: socket.socket,
        holder: str,
        subject: str,
    ) -> None:
        self._process: spawn.Process | None = process
        self._report = report
        self._holder = holder
        self._subject = subject
        self.stdin_fd = stdin_fd

    @classmethod
    def start(cls, target: Target, limits: Limits, subject: str) -> _Child:
        for name, mode in (("tree", 0o755), ("removed", 0o700)):
            os.mkdir(f"{target.holder}/{name}", mode)
            os.chmod(f"{target.holder}/{name}", mode)
        words = (limits.layer_bytes, limits.entries, limits.reserve_bytes)
        holder_fd = os.open(target.holder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(PermissionError):  # pipes used up; a small one is only slower
            fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        fds = {0: read_fd, 3: theirs.fileno(), 4: holder_fd}
        argv = [UNPACKER, *map(str, words)]
        if target.lock_fd >= 0:
            fds[5] = target.lock_fd
        if target.view_fd >= 0:
            fds[6] = target.view_fd
            argv.append("below")
        try:
            process = spawn.start(argv, fds, environment={})
        except BaseException:
            os.close(write_fd)
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(read_fd)
            os.close(holder_fd)
        return cls(process, write_fd, ours, target.holder, subject)

    def finish(self) -> Report:
        """Let the unpacker end, and return its report.  Raises what it said."""
        self._close_stdin()
        report = self._read_report()
        self._report.close()
        code = self._end()
        if report is None or code != 0:
            raise KernelError(
                "unpack",
                errno=errno.ECHILD,
                subject=self._subject,
                why=f"the unpacker ended without a report (exit code {code})",
            )
        return report

    def kill(self) -> None:
        """End it, whatever it does."""
        self._close_stdin()
        self._report.close()
        if self._process:
            self._process.kill()
            self._end()

    def _end(self) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        return process.wait()

    def _close_stdin(self) -> None:
        if self.stdin_fd >= 0:
            os.close(self.stdin_fd)
            self.stdin_fd = -1

    def _read_report(self) -> Report | None:
        device = os.stat(self._holder).st_dev
        listed: dict[bytes, list[bytes]] = {kind: [] for kind in (b"D", b"V", b"P", b"H")}
        size = 0
        while True:
            packet, fds, _, _ = socket.recv_fds(self._report, _PACKET_BYTES, 1)
            try:
                for fd in fds:
                    whiteouts.mark_opaque(fd, device)
            finally:
                for fd in fds:
                    os.close(fd)
            kind, body = packet[:1], packet[1:]
            size += len(body)
            if size > _REPORT_BYTES:
                raise UnsafeArchive(
                    f"cannot unpack {self._subject}: {_FAILURES[27]}",
                    entry="",
                    subject=self._subject,
                )
            if kind in listed:
                listed[kind].append(body)
                if kind == b"V":
                    listed[b"D"].append(body)  # in their order: parents first
            elif kind == b"F":
                return _report(body, listed)
            elif kind == b"A":
                return _report(b"0 0 0 0 0 0 0", listed, _failure(body, self._subject))
            elif kind == b"E":
                raise _failure(body, self._subject)
            elif not packet:
                return None


def _report(
    body: bytes, listed: dict[bytes, list[bytes]], doubt: Exception | None = None
) -> Report:
    entries, content, root, opaque, xattrs, ended, _ = (int(word) for word in body.split())
    links = (body.partition(b"\0") for body in listed[b"H"])
    return Report(
        entries=entries,
        content_bytes=content,
        is_root_explicit=bool(root),
        is_root_opaque=bool(opaque),
        implied=tuple(listed[b"D"]),
        vain=frozenset(listed[b"V"]),
        passed=tuple(listed[b"P"]),
        links=tuple((name, goal) for name, _, goal in links),
        xattrs_skipped=xattrs,
        has_end=bool(ended),
        doubt=doubt,
    )


def _failure(body: bytes, subject: str) -> Exception:
    raw_why, raw_errno, raw_offset, name = body.split(b" ", 3)
    why, number = int(raw_why), int(raw_errno)
    entry = name.decode("utf-8", "backslashreplace")
    about = f"entry {entry!r}: " if entry else ""
    place = f"offset {int(raw_offset)}"
    if why in (26, 28) or (why == 1 and number in _HOST_ERRORS):
        return KernelError(
            "unpack",
            errno=number,
            subject=subject,
            why=f"{about}{_FAILURES.get(why) or errno_reason(number)}",
            hint=errno_hint(number),
        )
    words = _FAILURES.get(why) or f"{errno_reason(number)} ({errno_name(number)})"
    return UnsafeArchive(
        f"cannot unpack {subject}: {about}{words} ({place})", entry=entry, subject=subject
    )
