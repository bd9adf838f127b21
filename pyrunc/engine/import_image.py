"""How does the tar of a root filesystem become an image: `import`?"""

from __future__ import annotations

import os
import shlex
import time
from contextlib import closing

from ..errors import IntegrityError, InvalidInput, KernelError, NotFound, RegistryError, errno_hint
from ..oci.platform import host_platform, parse_platform
from ..storage import collect
from ..storage.layer_blob import NewLayer
from ..storage.tar_apply import Limits, Target, apply
from ..storage.workspace import Workspace
from .commit import full_name
from .image_changes import apply_changes
from .image_events import image_event
from .inspect import timestamp
from .new_image import store_image
from .policy import refuse_tarball

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from ..oci.compression import Reader
    from ..paths import Paths

    class Source(Reader, Protocol):
        """A stream that is closed afterwards."""

        def close(self) -> None:
            """Close it."""


_URLS = ("http://", "https://")


def import_image(
    paths: Paths,
    source: str,
    *,
    name: str = "",
    changes: Sequence[str] = (),
    message: str = "",
    platform: str = "",
) -> str:
    """Make an image of one layer; `source` is a file, a URL, or "-" for stdin.  Returns its ID.

    The layer's blob is the tar as it came, compressed or not.
    Raises: PyruncError; then nothing of it is in the store.
    """
    refuse_tarball()
    names = (full_name(name),) if name else ()
    target = parse_platform(platform) if platform else host_platform()
    now = timestamp(time.time_ns())
    comment = message or f"Imported from {source}"
    config = {
        "architecture": target.architecture,
        **({"variant": target.variant} if target.variant else {}),
        "os": target.os,
        "created": now,
        "comment": comment,
        "config": apply_changes({}, changes),
        "history": [{"created": now, "comment": comment}],
    }
    collect.sweep(paths)
    try:
        with Workspace(paths) as workspace:
            with closing(_open(source)) as reader:
                layer = _keep(reader, f"{workspace.path}/rootfs", source)
            try:
                image_id = store_image(paths, workspace, config, layers=[layer], names=names).id
            except IntegrityError as error:
                raise _worded(error, source, layer) from error
            image_event(paths, "import", image_id)
    except OSError as error:
        raise KernelError(
            "import", errno=error.errno or 0, subject=source, hint=errno_hint(error.errno)
        ) from error
    return image_id


def _keep(reader: Reader, path: str, source: str) -> NewLayer:
    """Write the stream into a file, and take both digests on the way."""
    subject = _shown(source)
    found = apply(reader, Target(blob=path), subject, limits=Limits())
    if not found.size:
        raise IntegrityError(f"cannot import {subject}: it is empty", subject=source)
    return NewLayer(
        path=path,
        diff_id=found.diff_id,
        digest=found.digest,
        size=found.size,
        compression=found.compression,
        plain_bytes=0,
    )


def _shown(source: str) -> str:
    return f"archive {source!r}" if source != "-" else "archive on standard input"


def _worded(error: IntegrityError, source: str, layer: NewLayer) -> IntegrityError:
    """Name the archive: nobody has heard of its layer's digest yet."""
    _, _, why = str(error).partition(f"layer {layer.diff_id}: ")
    return IntegrityError(
        f"cannot import {_shown(source)}: {why or error}",
        subject=source,
        hint=error.hint or "it must be the tar of a root filesystem, as export writes it",
    )


def _open(source: str) -> Source:
    if source == "-":
        return open(os.dup(0), "rb", buffering=0)
    if source.startswith(_URLS):
        return _Download(source)
    try:
        return open(source, "rb", buffering=0)
    except FileNotFoundError as error:
        raise NotFound(
            f"cannot open archive {source!r}: no such file or directory (ENOENT)",
            kind="file",
            name=source,
        ) from error
    except IsADirectoryError as error:
        raise InvalidInput(
            f"cannot import {source!r}: it is a directory (EISDIR)",
            subject=source,
            hint=f"pack it: tar -C {shlex.quote(source)} -c . | pyrunc import - NAME",
        ) from error


class _Download:
    """The body of a URL."""

    def __init__(self, url: str) -> None:
        from ..image.tls import Tls
        from ..image.transport import Request, Transport

        self._url = url
        transport = Transport(lambda _: Tls(), environment=os.environ)
        request = Request(
            method="GET", url=url, headers={"Accept-Encoding": "identity"}, may_be_plain=True
        )
        self._response = transport.send(request)
        if self._response.status != 200:
            status = self._response.status
            self.close()
            raise RegistryError(
                f"cannot import {url!r}: the server answered with status {status}",
                url=url,
                status=status,
            )

    def readinto(self, buffer: memoryview) -> int:
        from ..image.transport import BROKEN

        try:
            data = self._response.read(len(buffer), decode_content=False)
        except BROKEN as error:
            raise RegistryError(
                f"cannot import {self._url!r}: the connection broke off", url=self._url
            ) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._response.close()
