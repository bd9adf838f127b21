"""How does an image move between this store and a docker daemon: `docker-daemon:NAME`?

Through a pipe: the daemon's archive is loaded as it comes, ours is sent as it is written.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from ..errors import PyruncError
from ..image.docker_daemon import TRANSPORT, export_to, import_from
from ..oci.reference import Reference, parse_reference
from ..oci.transports import DOCKER_ARCHIVE, Place
from .load import load
from .policy import refuse_daemons
from .save import save

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..paths import Paths

__all__ = ["TRANSPORT", "pull_from_daemon", "push_to_daemon"]


def pull_from_daemon(
    paths: Paths,
    word: str,
    environment: Mapping[str, str],
    *,
    platforms: Sequence[str] = (),
    tell: Callable[[str], object] = lambda _: None,
) -> list[str]:
    """Load "docker-daemon:NAME" or "docker-daemon:sha256:ID"; returns its names, or its ID.

    Raises: NotFound in the daemon's words; as load.
    """
    name = word.removeprefix(TRANSPORT)
    if not name.startswith("sha256:"):
        reference = parse_reference(name)
        refuse_daemons(reference)
        name = reference.familiar()
    else:
        refuse_daemons(Reference(domain="", path=name))
    reading, writing = os.pipe2(os.O_CLOEXEC)

    def fetch() -> None:
        # A load that has failed already reads no more.
        with os.fdopen(writing, "wb") as target, suppress(BrokenPipeError):
            export_to(name, environment, target)

    with _Beside(fetch) as beside, os.fdopen(reading, "rb") as source:
        try:
            return load(paths, source.fileno(), platforms=platforms, tell=tell, is_trusted=True)
        except PyruncError as error:
            beside.join(error)
            raise


def push_to_daemon(
    paths: Paths, word: str, place: str, environment: Mapping[str, str], *, platform: str = ""
) -> None:
    """Give an image to the daemon under the name behind "docker-daemon:".

    Raises: NotFound, RegistryError with the daemon's words, KernelError.
    """
    name = parse_reference(place.removeprefix(TRANSPORT)).full()
    reading, writing = os.pipe2(os.O_CLOEXEC)
    target = Place(transport=DOCKER_ARCHIVE, path=f"/proc/self/fd/{writing}", reference=name)

    def write() -> None:
        try:
            with suppress(BrokenPipeError):
                save(paths, [word], target, platform=platform)
        finally:
            os.close(writing)

    with _Beside(write) as beside, os.fdopen(reading, "rb") as source:
        try:
            import_from(source, environment)
        except PyruncError as error:
            source.close()
            beside.join(error)
            raise


class _Beside:
    """The other end of the pipe, on a thread; what it fails with is the reason for both."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._problem: PyruncError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Beside:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.join(None)

    def join(self, error: PyruncError | None) -> None:
        """Wait for the thread; raises what ended it."""
        self._thread.join()
        if self._problem is not None:
            raise self._problem from error

    def _run(self) -> None:
        try:
            self._act()
        except PyruncError as error:
            self._problem = error
