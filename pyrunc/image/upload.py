"""How does a blob get into a registry, over a line that breaks?

HEAD, then a mount from a repository beside it, then an upload in chunks.  Where the upload is and
how far it came is written down, so that the next command goes on with it.
Source: distribution-spec 1.1, "Pushing blobs", "Pushing manifests".
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..errors import AuthRequired, IntegrityError, Interrupted, InvalidInput, RegistryError
from ..oci import document
from .blob_file import BlobFile, BlobPart
from .registry_errors import error_codes, error_text
from .transport import AGAIN
from .urls import check_url, join_url, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from .registry import Repository
    from .transport import Body, Response

# A registry that takes an upload apart on its side may need minutes for its end.
ANSWER_SECONDS = 900.0
CHUNK_BYTES = 64 << 20
_WHOLE_BYTES = 1 << 20  # below that one request is enough
_LEAST_LIMIT_BYTES = 1 << 40
_STATE_LIMIT_BYTES = 1 << 16
_NO_OCI = "a registry that does not know OCI's media types may take docker's: --format docker"


class _Lost(Exception):
    """The upload has to begin again: the registry does not know it any more, or `error`."""

    def __init__(self, why: str, error: RegistryError | None = None) -> None:
        super().__init__(why)
        self.error = error


class Uploader:
    """Pushes to one repository; threads share it."""

    def __init__(self, repository: Repository, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Take a repository that was made for PUSH."""
        self.repository = repository
        self._transport = repository.transport
        self._chunk_bytes = chunk_bytes
        self._path = repository.origin().repository

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository has a blob.  Raises: AuthRequired, RegistryError."""
        response = self._send("HEAD", f"blobs/{digest}")
        self._transport.close(response)
        if response.status in (401, 403):
            raise self._denied(response.status, "requested access to the resource is denied")
        return response.status in (200, 307)

    def mount_blob(self, digest: str, other: str) -> bool:
        """Tell whether a blob is there now, taken from another repository if need be."""
        return self.has_blob(digest) or self._mount(digest, other)

    def push_blob(
        self,
        blob: BlobFile,
        *,
        mounts: tuple[str, ...] = (),
        tell: Callable[[int], object],
        tell_resumed: Callable[[int], object] = lambda _: None,
    ) -> str:
        """Bring a blob into the repository if it is not there.

        `mounts` are repositories of the same registry that may have it.
        Returns: "", the repository it was mounted from, or "pushed".
        """
        if self.has_blob(blob.digest):
            return ""
        for other in mounts:
            if self._mount(blob.digest, other):
                return other
        for attempt in range(self._transport.patience.tries):
            try:
                self._upload(blob, tell, tell_resumed)
            except _Lost as lost:
                self._forget(blob)
                url = self._url("blobs/uploads/")
                if attempt + 1 == self._transport.patience.tries:
                    raise lost.error or RegistryError(
                        f"cannot push blob {blob.digest}: the registry loses the upload: {lost}",
                        url=shown(url),
                    ) from lost
                self._transport.pause(attempt, url)
                continue
            self._forget(blob)
            return "pushed"
        raise AssertionError("no tries at all")

    def push_manifest(self, raw: bytes, media_type: str, word: str, digest: str) -> str:
        """Put a manifest under a tag or its digest; returns OCI-Subject, "" if there is none.

        Raises: IntegrityError if the registry says that it has other bytes.
        """
        response = self._send(
            "PUT",
            f"manifests/{word}",
            headers={"Content-Type": media_type},
            body=raw,
            is_repeatable=True,
        )
        if response.status not in (200, 201, 202):
            is_oci = media_type.startswith("application/vnd.oci.")
            hint = _NO_OCI if is_oci and response.status in (400, 415) else ""
            self._refuse(response, f"manifest {word}", hint)
        said = response.headers.get("Docker-Content-Digest", "")
        subject = response.headers.get("OCI-Subject", "")
        self._transport.finish(response)
        if said.partition(":")[0] == digest.partition(":")[0] and said != digest:
            raise IntegrityError(
                f"cannot trust the push of {word}: the registry says that its digest is {said}, not"
                f" {digest}",
                expected=digest,
                actual=said,
                subject=word,
            )
        return subject

    # -- one blob --------------------------------------------------------------------------------

    def _mount(self, digest: str, other: str) -> bool:
        path = f"blobs/uploads/?mount={quote(digest, safe=':')}&from={quote(other, safe='/')}"
        try:
            response = self._send("POST", path, more=(f"repository:{other}:pull",), body=b"")
        except AuthRequired:
            return False
        location = response.headers.get("Location", "")
        self._transport.finish(response)
        if response.status == 202 and location:
            # It does not want to: leave no upload behind.
            with contextlib.suppress(RegistryError):
                url = join_url(str(response.url), location)
                self._transport.finish(self._send("DELETE", "", url=url, tries=1))
        return response.status == 201

    def _upload(
        self,
        blob: BlobFile,
        tell: Callable[[int], object],
        tell_resumed: Callable[[int], object],
    ) -> None:
        url, offset = self._resumed(blob)
        if url:
            tell_resumed(offset)
        else:
            url = self._begin(blob)
        if blob.size > _WHOLE_BYTES or offset:
            self._upload_chunks(url, offset, blob, tell)
            return
        whole = BlobPart(blob, 0, blob.size, tell, self._transport.is_cancelled)
        try:
            self._finish(url, blob, whole)
        except RegistryError as error:
            self._abandon(url, blob)
            if not _is_passing(error):
                raise
            raise _Lost(str(error), error) from error

    def _upload_chunks(
        self, url: str, offset: int, blob: BlobFile, tell: Callable[[int], object]
    ) -> None:
        """Send what the registry has not; an upload that it refuses is taken back.

        What a broken line leaves stays there, for the next command.
        """
        failures = 0
        while offset < blob.size:
            end = min(blob.size, offset + self._chunk_bytes)
            try:
                start = offset
                url, offset = self._chunk(url, blob, (start, end), tell)
                if offset <= start:
                    raise RegistryError(
                        f"cannot push blob {blob.digest}: the registry takes no byte after the"
                        f" first {offset}",
                        url=shown(url),
                    )
                self._note(blob, url)
                failures = 0
            except RegistryError as error:
                if not _is_passing(error):
                    self._abandon(url, blob)
                    raise
                failures += 1
                if failures >= self._transport.patience.tries:
                    raise
                self._transport.pause(failures - 1, url)
                url, offset = self._status(url)
        try:
            self._finish(url, blob, None)
        except RegistryError as error:
            if not _is_passing(error):
                self._abandon(url, blob)
            raise

    def _abandon(self, url: str, blob: BlobFile) -> None:
        """Take an upload back; who cannot hear that forgets it some day.

        Spec: distribution-spec, "Cancel a blob upload": DELETE of its location.
        """
        with contextlib.suppress(RegistryError):
            self._transport.finish(self._send("DELETE", "", url=url, tries=1))
        self._forget(blob)  # not where the user interrupts this

    def _begin(self, blob: BlobFile) -> str:
        # An upload that nobody uses does no harm.
        response = self._send("POST", "blobs/uploads/", body=b"", is_repeatable=True)
        if response.status != 202:
            self._refuse(response, f"blob {blob.digest}")
        least = response.headers.get("OCI-Chunk-Min-Length", "")
        if least.isascii() and least.isdigit():
            self._chunk_bytes = max(self._chunk_bytes, min(int(least[:12]), _LEAST_LIMIT_BYTES))
        self._transport.finish(response)
        url = self._location(response)
        if blob.size > _WHOLE_BYTES:
            self._note(blob, url)
        return url

    def _chunk(
        self, url: str, blob: BlobFile, span: tuple[int, int], tell: Callable[[int], object]
    ) -> tuple[str, int]:
        """Send one chunk; returns where the next one goes, and its offset."""
        start, end = span
        response = self._send(
            "PATCH",
            "",
            url=url,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(end - start),
                "Content-Range": f"{start}-{end - 1}",
            },
            body=lambda: BlobPart(blob, start, end, tell, self._transport.is_cancelled),
            is_repeatable=False,
        )
        if response.status == 416:
            self._transport.finish(response)
            return self._status(url)
        if response.status == 404:
            self._transport.finish(response)
            raise _Lost("404")
        if response.status not in (201, 202, 204):
            self._refuse(response, f"blob {blob.digest}")
        self._transport.finish(response)
        return self._location(response), _end_of_range(response, end)

    def _status(self, url: str) -> tuple[str, int]:
        """Ask how far an upload came."""
        response = self._send("GET", "", url=url)
        self._transport.finish(response)
        if response.status not in (200, 202, 204):
            raise _Lost(str(response.status))
        location = response.headers.get("Location", "")
        # What is relative is so to the host that answered, which may be another one.
        next_url = join_url(str(response.url), location) if location else url
        return next_url, _end_of_range(response, 0)

    def _finish(self, url: str, blob: BlobFile, whole: BlobPart | None) -> None:
        joint = "&" if "?" in url else "?"
        headers = {"Content-Type": "application/octet-stream"}
        body: Body = b""
        if whole is not None:
            headers["Content-Length"] = str(blob.size)
            body = whole.again
        response = self._send(
            "PUT",
            "",
            url=f"{url}{joint}digest={quote(blob.digest, safe=':')}",
            headers=headers,
            body=body,
            is_repeatable=whole is None,
        )
        if response.status == 404:
            self._transport.finish(response)
            raise _Lost("404")
        if response.status not in (201, 204):
            self._refuse(response, f"blob {blob.digest}")
        self._transport.finish(response)

    # -- what outlives this command --------------------------------------------------------------

    def _note(self, blob: BlobFile, url: str) -> None:
        if not blob.notes:
            return
        os.makedirs(os.path.dirname(blob.notes), 0o700, exist_ok=True)
        fresh = f"{blob.notes}.new"
        # Security: an upload's URL may hold a secret of the registry's.
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(
                document.dump({"url": url, "digest": blob.digest, "least": self._chunk_bytes})
            )
        os.replace(fresh, blob.notes)

    def _resumed(self, blob: BlobFile) -> tuple[str, int]:
        """Return the upload of an earlier command, and how far it came."""
        if not blob.notes:
            return "", 0
        try:
            with open(blob.notes, "rb") as file:
                noted = document.load_object(file.read(_STATE_LIMIT_BYTES), blob.notes)
            url = str(noted.get("url") or "")
            if noted.get("digest") != blob.digest or not url:
                return "", 0
            least = noted.get("least")
            if isinstance(least, int):
                self._chunk_bytes = max(self._chunk_bytes, min(least, _LEAST_LIMIT_BYTES))
            url, offset = self._status(check_url(url))
        except Interrupted:
            raise
        except (FileNotFoundError, InvalidInput, RegistryError, _Lost):
            return "", 0
        return (url, offset) if 0 < offset <= blob.size else ("", 0)

    def _forget(self, blob: BlobFile) -> None:
        if blob.notes:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(blob.notes)

    # -- asking ----------------------------------------------------------------------------------

    def _send(
        self,
        method: str,
        path: str,
        *,
        url: str = "",
        headers: dict[str, str] | None = None,
        body: Body = None,
        more: tuple[str, ...] = (),
        is_repeatable: bool | None = None,
        tries: int | None = None,
    ) -> Response:
        session, _ = self.repository.session()
        return session.send(
            method,
            url or self._url(path),
            scopes=self.repository.scopes + more,
            headers=headers,
            body=body,
            is_repeatable=is_repeatable,
            read_seconds=None if method in ("HEAD", "GET", "DELETE") else ANSWER_SECONDS,
            tries=tries,
        )

    def _url(self, path: str) -> str:
        _, base = self.repository.session()
        return f"{base}/{self._path}/{path}"

    def _location(self, response: Response) -> str:
        location = response.headers.get("Location", "")
        if not location:
            raise RegistryError(
                "cannot push: the registry does not say where the upload goes (no Location)",
                url=shown(str(response.url)),
                status=response.status,
            )
        return join_url(str(response.url), location)

    def _refuse(self, response: Response, what: str, hint: str = "") -> None:
        raw = self._transport.read(response)
        words = error_text(raw) or str(response.reason or "").lower()
        if response.status in (401, 403):
            raise self._denied(response.status, words)
        codes = error_codes(raw)
        raise RegistryError(
            f"cannot push {what} to {self.repository.reference.familiar_name()}:"
            f" {words} ({response.status})",
            url=shown(str(response.url)),
            status=response.status,
            code=codes[0] if codes else None,
            hint=None if "BLOB_UNKNOWN" in "".join(codes[:1]) else hint or None,
        )

    def _denied(self, status: int, words: str) -> AuthRequired:
        text = words if words.startswith(("denied", "unauthorized")) else f"denied: {words}"
        return AuthRequired(
            text,
            url=shown(self._url("")),
            status=status,
            code="DENIED",
            hint=f"log in with: pyrunc login {self.repository.reference.domain}",
        )


def _is_passing(error: RegistryError) -> bool:
    """Tell whether an upload may go on after an error: a broken connection, a busy registry."""
    return not isinstance(error, AuthRequired) and (error.status is None or error.status in AGAIN)


def _end_of_range(response: Response, otherwise: int) -> int:
    """Return the offset after what the registry has: Range: 0-99 is 100."""
    said = response.headers.get("Range", "").strip().removeprefix("bytes=")
    start, dash, end = said.partition("-")
    if not dash or not start.isdigit() or not end.isdigit():
        return otherwise
    # Spec: nothing yet is "0-0" for some, which one byte would be, too.
    return int(end) + 1 if int(end) else 0
