"""What is the launcher told about a container's log?"""

from __future__ import annotations

import os
import sys
from _struct import pack

from .. import paths as paths_module
from ..errors import PyruncError
from . import log_options, log_tag
from .log_options import JOURNALD, JSON_FILE, LOCAL, SYSLOG, LogOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .create import Container

JOURNAL_SOCKET = "/run/systemd/journal/socket"

_KINDS = (JOURNALD, SYSLOG)  # enum log_sink_kind
_HOSTNAME_BYTES = 72
_ADDRESS_BYTES = 112


def check(options: LogOptions) -> None:
    """Raise PyruncError, in docker's words, for a driver whose receiver is not on this machine."""
    if options.driver == JOURNALD:
        _journal()
    elif options.driver == SYSLOG:
        from . import syslog_address

        syslog_address.find(options.address)


def job_fields(container: Container, options: LogOptions) -> dict[str, Any]:
    """Return the fields of the launcher's `Job` that are about the log.  Raises: as `check`."""
    row, process = container.row, container.spec["process"]
    found = log_options.attributes(options, row.document["labels"], process["env"])
    tag = log_tag.render(options.tag, row, process)
    if options.driver == JSON_FILE and tag:
        found["tag"] = tag
    fields: dict[str, Any] = {}
    if options.driver in (JSON_FILE, LOCAL) or (options.driver == SYSLOG and options.is_readable):
        fields = {
            "log_path": container.engine.paths.log(row.id),
            "log_max_bytes": options.max_bytes,
            "log_max_files": options.max_files,
            "log_attributes": log_options.attributes_json(found),
        }
        if options.compress:
            fields["log_compress_argv"] = _compress_argv(fields["log_path"])
    if options.driver == JOURNALD:
        fields["log_sink"] = _journal_sink(container, options, tag, found)
    elif options.driver == SYSLOG:
        fields["log_sink"] = _syslog_sink(options, tag)
    return fields


def _compress_argv(path: str) -> tuple[str, ...]:
    """Return the command that compresses the newest of the files that were moved aside."""
    package_parent = paths_module.__file__.rpartition("/")[0].rpartition("/")[0]
    program = (
        f"import sys; sys.path.insert(0, {package_parent!r}); "
        "from pyrunc.storage.log_compressor import compress; compress(sys.argv[1])"
    )
    return (sys.executable, "-I", "-S", "-c", program, f"{path}.1")


def _journal() -> str:
    if not os.path.exists(JOURNAL_SOCKET):
        raise PyruncError(
            "failed to initialize logging driver: journald is not enabled on this host",
            subject=JOURNALD,
            hint=f"there is no {JOURNAL_SOCKET}; use --log-driver local",
        )
    return JOURNAL_SOCKET


def _journal_sink(
    container: Container, options: LogOptions, tag: str, attributes: dict[str, str]
) -> bytes:
    from _socket import AF_UNIX

    row = container.row
    fields = {_field_name(name): value for name, value in attributes.items()}
    fields |= {
        "CONTAINER_ID": row.id[:12],
        "CONTAINER_ID_FULL": row.id,
        "CONTAINER_NAME": row.name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": row.image,
        "SYSLOG_IDENTIFIER": tag,
    }
    text = b"".join(_field(name, value) for name, value in fields.items() if name)
    address = pack("=H", AF_UNIX) + _journal().encode() + b"\0"
    return _sink(options, address, text)


def _field_name(name: str) -> str:
    """Return a name that the journal takes; docker's way of making one."""
    upper = "".join(c.upper() if c.isascii() and c.isalnum() else "_" for c in name)
    return upper.lstrip("_")


def _field(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "surrogateescape")
    if b"\n" in raw:
        return name.encode() + b"\n" + pack("<Q", len(raw)) + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"


def _syslog_sink(options: LogOptions, tag: str) -> bytes:
    from . import syslog_address

    receiver = syslog_address.find(options.address)
    text = tag.encode("utf-8", "surrogateescape")[:128] + b"\0"
    return _sink(options, receiver.address, text, is_stream=receiver.is_stream)


def _sink(options: LogOptions, address: bytes, text: bytes, *, is_stream: bool = False) -> bytes:
    head = pack(
        "=8I",
        _KINDS.index(options.driver),
        log_options.FORMATS.index(options.format),
        options.facility,
        is_stream,
        options.buffer_bytes,
        len(address),
        len(text),
        0,
    )
    hostname = os.uname().nodename.encode()[: _HOSTNAME_BYTES - 1]
    return (
        head + address.ljust(_ADDRESS_BYTES, b"\0") + hostname.ljust(_HOSTNAME_BYTES, b"\0") + text
    )
