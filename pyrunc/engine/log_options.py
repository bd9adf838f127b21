"""Where does what a container prints go, and how much of it is kept?

Drivers: json-file and local (the monitor writes a file: csrc/log_file.c), journald and syslog (it
sends: csrc/log_socket.c), and none.  Source: docker's pages about its logging drivers, and moby's
daemon/logger, for the options and their words.
"""

from __future__ import annotations

from ..errors import InvalidInput, Unsupported
from ..oci import document
from ..oci.record import Record
from . import log_tag
from .go_values import boolean, decimal_bytes, integer, size_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

JSON_FILE, LOCAL, JOURNALD, SYSLOG, NONE = "json-file", "local", "journald", "syslog", "none"
DRIVERS = (JSON_FILE, LOCAL, JOURNALD, SYSLOG, NONE)

_LATER = ("awslogs", "fluentd", "gcplogs", "gelf", "splunk")  # docker's others

_FILE_KEYS = ("compress", "max-file", "max-size")
_ATTRIBUTE_KEYS = ("env", "env-regex", "labels", "labels-regex")
_TLS_KEYS = (
    "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify",
)  # fmt: skip
_KEYS: dict[str, tuple[str, ...]] = {
    JSON_FILE: (*_FILE_KEYS, *_ATTRIBUTE_KEYS, "tag"),
    LOCAL: _FILE_KEYS,
    JOURNALD: (*_ATTRIBUTE_KEYS, "tag"),
    SYSLOG: (
        *_ATTRIBUTE_KEYS, *_TLS_KEYS, "syslog-address", "syslog-facility", "syslog-format", "tag",
    ),
}  # fmt: skip
# For every driver; those of the copy for `logs` matter where the driver itself can't be read.
_COMMON_KEYS = (
    "mode", "max-buffer-size", "cache-disabled", "cache-max-size", "cache-max-file",
    "cache-compress",
)  # fmt: skip

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
)  # fmt: skip
FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
_DAEMON = 3

_LOCAL_BYTES, _LOCAL_FILES = 20 << 20, 5
_BUFFER_BYTES = 1 << 20
_FILES_LIMIT = 1000


class LogOptions(Record):
    """--log-driver and --log-opt, parsed."""

    driver: str = JSON_FILE
    max_bytes: int = 0  # of one file; 0: no limit
    max_files: int = 1
    labels: tuple[str, ...] = ()  # names of labels and variables that every entry carries
    variables: tuple[str, ...] = ()
    given: tuple[tuple[str, str], ...] = ()  # as typed, for inspect
    compress: bool = False  # the files that are full
    labels_pattern: str = ""  # regular expressions for more names
    variables_pattern: str = ""
    tag: str = ""  # a template
    buffer_bytes: int = 0  # what may wait to be sent; 0: the container waits instead
    address: str = ""  # of a syslog, "" for the machine's own
    facility: int = _DAEMON
    format: str = ""  # one of FORMATS
    is_readable: bool = True  # `logs` has something to read


def parse(driver: str, raw_options: Sequence[str]) -> LogOptions:
    """Parse the two flags.  Raises: InvalidInput in docker's words; Unsupported."""
    driver = driver or JSON_FILE
    if driver in _LATER:
        raise Unsupported(
            f"--log-driver {driver} is not supported yet",
            feature="--log-driver",
            hint=f"the drivers of this version are {', '.join(DRIVERS)}",
        )
    if driver not in DRIVERS:
        raise InvalidInput(
            f'error looking up logging plugin {driver}: plugin "{driver}" not found',
            where="--log-driver",
            hint=f"the drivers of this version are {', '.join(DRIVERS)}",
        )
    options = dict(_pair(raw) for raw in raw_options)
    if driver == NONE:
        if options:
            raise InvalidInput("invalid logging opts for driver none", where="--log-opt")
        return LogOptions(driver=NONE, is_readable=False)
    values = _sending(options)
    _check_keys(driver, options)
    values |= _file(driver, options)
    values |= _attributes(driver, options)
    if driver == SYSLOG:
        values |= _syslog(options)
    return LogOptions(driver=driver, given=tuple(options.items())).replace(**values)


def attributes(
    options: LogOptions, labels: dict[str, str], environment: Sequence[str]
) -> dict[str, str]:
    """Return what every entry of a container's log carries beside its text."""
    variables = dict(entry.partition("=")[::2] for entry in environment)
    found = {name: labels[name] for name in options.labels if name in labels}
    found |= _matching(options.labels_pattern, labels)
    found |= {name: variables[name] for name in options.variables if name in variables}
    return found | _matching(options.variables_pattern, variables)


def attributes_json(found: dict[str, str]) -> bytes:
    """Return them as a member of an entry, with a comma before it; empty for none."""
    return b',"attrs":' + document.dump(found) if found else b""


def _matching(pattern: str, values: dict[str, str]) -> dict[str, str]:
    if not pattern:
        return {}
    import re

    known = re.compile(pattern)
    return {name: value for name, value in values.items() if known.search(name)}


def _pair(raw: str) -> tuple[str, str]:
    key, equals, value = raw.partition("=")
    if not equals:
        raise InvalidInput(
            f'invalid argument "{raw}" for "--log-opt" flag: must be KEY=VALUE', where="--log-opt"
        )
    return key, value


def _check_keys(driver: str, options: dict[str, str]) -> None:
    for key, value in options.items():
        if key not in _KEYS[driver] and key not in _COMMON_KEYS:
            kind = f"log driver {driver}" if driver == LOCAL else f"{driver} log driver"
            raise InvalidInput(f"unknown log opt '{key}' for {kind}", where="--log-opt")
        if key in _TLS_KEYS:
            raise Unsupported(
                f"--log-opt {key}={value} is not supported yet",
                feature="--log-opt",
                hint="send to a syslog of this machine that forwards by TLS",
            )


def _sending(options: dict[str, str]) -> dict[str, Any]:
    """Parse what happens when nobody takes what is sent."""
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidInput(f"logger: logging mode not supported: {mode}", where="--log-opt mode")
    raw_size = options.get("max-buffer-size")
    if raw_size is not None and mode != "non-blocking":
        raise InvalidInput(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            where="--log-opt max-buffer-size",
        )
    if mode != "non-blocking":
        return {}
    try:
        size = size_bytes(raw_size) if raw_size is not None else _BUFFER_BYTES
    except ValueError as error:
        raise InvalidInput(
            f"error parsing option max-buffer-size: {error}", where="--log-opt max-buffer-size"
        ) from error
    return {"buffer_bytes": min(max(size, 1), 1 << 30)}


def _file(driver: str, options: dict[str, str]) -> dict[str, Any]:
    """Parse the limits of a file: the log itself, or the copy of it that `logs` reads."""
    if driver == JSON_FILE:
        return _json_file(options)
    if driver == LOCAL:
        return _local(options, "")
    if driver == JOURNALD:
        return {}
    if _value(options, "cache-disabled", boolean, False):
        return {"is_readable": False}
    return _local(options, "cache-")


def _json_file(options: dict[str, str]) -> dict[str, Any]:
    limit = _value(options, "max-size", decimal_bytes, -1)
    if limit == 0:
        raise _refused("max-size must be a positive number", "max-size")
    files = _value(options, "max-file", _go_int, 1)
    _check_files(files, 1, "max-file cannot be less than 1")
    compress = _value(options, "compress", boolean, False)
    if compress and (files < 2 or limit < 0):
        problem = "compress cannot be true when max-file is less than 2 or max-size is not set"
        raise _refused(problem, "compress")
    return {"max_bytes": max(limit, 0), "max_files": files, "compress": compress}


def _local(options: dict[str, str], prefix: str) -> dict[str, Any]:
    """Parse what docker's local driver takes; as the copy of another's log, with "cache-"."""
    wrong = "invalid value for {key}: {value}: {error}"
    limit = _value(options, f"{prefix}max-size", decimal_bytes, _LOCAL_BYTES, wrong)
    if limit == 0:
        raise _refused("max size should be a positive number", f"{prefix}max-size")
    files = _value(options, f"{prefix}max-file", _go_int, _LOCAL_FILES, wrong)
    _check_files(files, 0, "max file count cannot be less than 0")
    wrong = "error reading compress log option: {error}"
    compress = _value(options, f"{prefix}compress", boolean, True, wrong)
    if compress and files <= 1:
        problem = "compression cannot be enabled when max file count is 1"
        raise _refused(problem, f"{prefix}max-file")
    return {"max_bytes": limit, "max_files": max(files, 1), "compress": compress}


def _check_files(number: int, least: int, problem: str) -> None:
    if number < least:
        raise _refused(problem, "max-file")
    if number > _FILES_LIMIT:
        raise _refused(f"max-file is above {_FILES_LIMIT}", "max-file")


def _attributes(driver: str, options: dict[str, str]) -> dict[str, Any]:
    """Parse what every entry carries; local has none of these."""
    log_tag.check(options.get("tag", ""))
    for key in ("labels-regex", "env-regex"):
        _check_pattern(options.get(key, ""), key)
    return {
        "labels": _names(options.get("labels", "")),
        "variables": _names(options.get("env", "")),
        "labels_pattern": options.get("labels-regex", ""),
        "variables_pattern": options.get("env-regex", ""),
        "tag": options.get("tag", "") or (log_tag.SHORT_ID if driver in (JOURNALD, SYSLOG) else ""),
    }


def _names(raw: str) -> tuple[str, ...]:
    return tuple(name for name in raw.split(",") if name)


def _check_pattern(pattern: str, key: str) -> None:
    if not pattern:
        return
    import re

    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise _refused(f"error parsing regexp: {error}: `{pattern[:64]}`", key) from error


def _syslog(options: dict[str, str]) -> dict[str, Any]:
    from .syslog_address import check

    facility, form = options.get("syslog-facility", ""), options.get("syslog-format", "")
    check(options.get("syslog-address", ""))
    if form not in FORMATS:
        raise InvalidInput("Invalid syslog format", where="--log-opt syslog-format")
    return {
        "address": options.get("syslog-address", ""),
        "facility": _facility(facility) if facility else _DAEMON,
        "format": form,
    }


def _facility(raw: str) -> int:
    if raw in FACILITIES:
        return FACILITIES.index(raw)
    if not (raw.isascii() and raw.isdigit() and len(raw) < 3 and int(raw) < len(FACILITIES)):
        raise InvalidInput("invalid syslog facility", where="--log-opt syslog-facility")
    return int(raw)


def _value(
    options: dict[str, str],
    key: str,
    read: Callable[[str], Any],
    default: object,
    wording: str = "{error}",
) -> Any:  # noqa: ANN401  # what `read` returns
    raw = options.get(key)
    if raw is None:
        return default
    try:
        return read(raw)
    except ValueError as error:
        problem = wording.format(key=key, value=raw[:64], error=error)
        raise _refused(problem, key) from error


def _go_int(raw: str) -> int:
    """Parse as Go's strconv.Atoi."""
    try:
        return integer(raw, base=10)
    except ValueError as error:
        raise ValueError(str(error).replace("ParseInt", "Atoi")) from error


def _refused(problem: str, key: str) -> InvalidInput:
    """Word what docker finds when the container starts, and we before it is made."""
    return InvalidInput(f"failed to initialize logging driver: {problem}", where=f"--log-opt {key}")
