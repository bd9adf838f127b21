"""Where does what a container prints go, and how much of it is kept?

Drivers: json-file (the monitor writes it: csrc/log.c) and none.  Source: docker's "JSON File
logging driver" page for the options and their words.
"""

from __future__ import annotations

from ..errors import InvalidInput, Unsupported
from ..oci import document
from ..oci.record import Record
from .go_values import integer, size_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

JSON_FILE, NONE = "json-file", "none"
DRIVERS = (JSON_FILE, NONE)

# docker's other drivers, and options of json-file that this version does not have
_LATER = (
    "awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "local", "splunk", "syslog",
)  # fmt: skip
_OPTIONS_LATER = ("compress", "env-regex", "labels-regex", "max-buffer-size", "tag")


class LogOptions(Record):
    """--log-driver and --log-opt, parsed."""

    driver: str = JSON_FILE
    max_bytes: int = 0  # of one file; 0: no limit
    max_files: int = 1
    labels: tuple[str, ...] = ()  # names of labels and variables that every entry carries
    variables: tuple[str, ...] = ()
    given: tuple[tuple[str, str], ...] = ()  # as typed, for inspect


def parse(driver: str, raw_options: Sequence[str]) -> LogOptions:
    """Parse the two flags.  Raises: InvalidInput in docker's words; Unsupported."""
    driver = driver or JSON_FILE
    if driver in _LATER:
        raise Unsupported(
            f"--log-driver {driver} is not supported yet",
            feature="--log-driver",
            hint=f"the drivers of this version are {' and '.join(DRIVERS)}",
        )
    if driver not in DRIVERS:
        raise InvalidInput(f'logger: no log driver named "{driver}" is registered', where=driver)
    options = dict(_pair(raw) for raw in raw_options)
    if driver == NONE and options:
        raise InvalidInput("invalid logging opts for driver none", where="--log-opt")
    values: dict[str, object] = {}
    for key, value in options.items():
        values |= _option(key, value)
    return LogOptions(driver=driver, given=tuple(options.items())).replace(**values)


def attributes(
    options: LogOptions, labels: dict[str, str], environment: Sequence[str]
) -> dict[str, str]:
    """Return what every entry of a container's log carries beside its text."""
    variables = dict(entry.partition("=")[::2] for entry in environment)
    found = {name: labels[name] for name in options.labels if name in labels}
    return found | {name: variables[name] for name in options.variables if name in variables}


def attributes_json(found: dict[str, str]) -> bytes:
    """Return them as a member of an entry, with a comma before it; empty for none."""
    return b',"attrs":' + document.dump(found) if found else b""


def _pair(raw: str) -> tuple[str, str]:
    key, equals, value = raw.partition("=")
    if not equals:
        raise InvalidInput(
            f'invalid argument "{raw}" for "--log-opt" flag: must be KEY=VALUE', where="--log-opt"
        )
    return key, value


def _option(key: str, value: str) -> dict[str, object]:
    if key == "max-size":
        try:
            size = size_bytes(value)
        except ValueError as error:
            raise InvalidInput(str(error), where="--log-opt max-size") from error
        if size <= 0:
            raise InvalidInput("max-size must be a positive number", where="--log-opt max-size")
        return {"max_bytes": size}
    if key == "max-file":
        try:
            number = integer(value)
        except ValueError as error:
            raise InvalidInput(f"max-file: {error}", where="--log-opt max-file") from error
        if not 1 <= number <= 1000:
            problem = "max-file cannot be less than 1" if number < 1 else "max-file is above 1000"
            raise InvalidInput(problem, where="--log-opt max-file")
        return {"max_files": number}
    if key in ("labels", "env"):
        names = tuple(name for name in value.split(",") if name)
        return {"labels" if key == "labels" else "variables": names}
    if key == "mode":
        if value == "blocking":
            return {}
        if value != "non-blocking":
            raise InvalidInput(f"logger: logging mode not supported: {value}", where="--log-opt")
    if key == "mode" or key in _OPTIONS_LATER:
        raise Unsupported(f"--log-opt {key}={value} is not supported yet", feature="--log-opt")
    raise InvalidInput(f"unknown log opt '{key}' for json-file log driver", where="--log-opt")
