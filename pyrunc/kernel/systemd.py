"""How is the machine's systemd asked to make, change and stop a unit?

The only import of jeepney, which lays out and reads D-Bus messages; the socket is ours, blocking.
Policy free: unit names and properties come from the callers.  Source: org.freedesktop.systemd1(5);
the D-Bus specification.
"""

from __future__ import annotations

import os
import time
from errno import ECONNREFUSED

from ..errors import UnitError, Unsupported, errno_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from types import TracebackType
    from typing import Any, Self

# The bus is the interface that systemd promises; its private socket is there without a bus, too.
BUS = "/run/dbus/system_bus_socket"
PRIVATE = "/run/systemd/private"

CALL_SECONDS = 25.0  # as sd-bus waits
JOB_SECONDS = 30.0

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = f"{_NAME}.Manager"
_UNKNOWN_UNIT = (f"{_NAME}.NoSuchUnit", f"{_NAME}.LoadFailed")
_NOT_ON_BUS = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
)
UNIT_EXISTS = f"{_NAME}.UnitExists"

# A unit's property: its name, and its value as D-Bus has it: ("t", 4096), ("a(ss)", [("a", "b")]).
Property = tuple[str, tuple[str, "Any"]]


def connect(places: tuple[str, ...] = (BUS, PRIVATE)) -> Systemd:
    """Return a connection to the systemd that is the first process, by the place that answers.

    Raises: Unsupported where there is no systemd; UnitError where it does not let us in.
    """
    if not _is_first_process():
        raise Unsupported(
            "cannot use the systemd cgroup driver: systemd is not running here",
            feature="systemd",
            needs="systemd as the first process, or the driver cgroupfs",
        )
    reasons = []
    for place in places:
        try:
            return Systemd(_open(place), is_bus=place == BUS)
        except OSError as error:
            why = errno_reason(error.errno) if error.errno else "no answer in time"
            reasons.append(f"{place}: {why}")
        except UnitError as error:
            reasons.append(f"{place}: {error}")
            if error.name not in _NOT_ON_BUS:
                break
    raise UnitError("cannot reach systemd: " + "; ".join(reasons))


def _is_first_process() -> bool:
    """Tell whether systemd runs this machine, and sees our processes under the numbers we see.

    Security: sockets may have been mounted into a pid namespace of its own, where a number that we
    tell systemd would be that of somebody else's process.  Source: sd_booted(3).
    """
    try:
        with open("/proc/1/comm", "rb") as file:
            return os.path.isdir("/run/systemd/system") and file.read() == b"systemd\n"
    except OSError:
        return False


class Systemd:
    """A connection to one systemd.  Not shared between threads; close it, or use `with`."""

    def __init__(self, connection: socket, *, is_bus: bool) -> None:
        """Take over an authenticated connection; on a bus, ask to be told how jobs end."""
        from jeepney.low_level import Parser

        self._socket = connection
        self._parser = Parser()
        self._serial = 0
        self._ended_jobs: dict[str, str] = {}
        if is_bus:
            bus = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
            self._call(bus, "Hello")
            rule = f"type='signal',sender='{_NAME}',interface='{_MANAGER}',member='JobRemoved'"
            self._call(bus, "AddMatch", "s", (rule,))
        # The cgroup that systemd sees as its root; "" where that is the host's.
        self.control_group = str(self._manager_property("ControlGroup")).rstrip("/")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Let go of the connection; idempotent."""
        self._socket.close()

    def version(self) -> int:
        """Return systemd's version: 252 for "252.38-1~deb12u1"."""
        text = str(self._manager_property("Version"))
        digits = ""
        for character in text:
            if not character.isdigit():
                break
            digits += character
        return int(digits or 0)

    def start_transient_unit(self, unit: str, properties: list[Property]) -> None:
        """Make a unit of these properties and wait until it is there.

        Raises: UnitError, whose `name` is UNIT_EXISTS where there is one of that name.
        """
        doing = f"start unit {unit!r}"
        nothing_more: list[tuple[str, list[Property]]] = []
        body = (unit, "replace", properties, nothing_more)
        self._await_job(self._ask("StartTransientUnit", "ssa(sv)a(sa(sv))", body, doing), doing)

    def stop_unit(self, unit: str) -> None:
        """Stop a unit and wait until it is gone; one that is not there has gone already.

        Raises: UnitError.
        """
        doing = f"stop unit {unit!r}"
        try:
            job = self._ask("StopUnit", "ss", (unit, "replace"), doing)
        except UnitError as error:
            if error.name in _UNKNOWN_UNIT:
                return
            raise
        self._await_job(job, doing)

    def reset_failed_unit(self, unit: str) -> None:
        """Let systemd forget that a unit failed; nothing happens if there is none."""
        try:
            self._ask("ResetFailedUnit", "s", (unit,), f"reset unit {unit!r}")
        except UnitError as error:
            if error.name not in _UNKNOWN_UNIT:
                raise

    def set_unit_properties(self, unit: str, properties: list[Property]) -> None:
        """Change a unit until the machine restarts.  Raises: UnitError."""
        body = (unit, True, properties)
        self._ask("SetUnitProperties", "sba(sv)", body, f"change unit {unit!r}")

    def _manager_property(self, name: str) -> Any:
        place = (_NAME, _PATH, "org.freedesktop.DBus.Properties")
        return self._call(place, "Get", "ss", (_MANAGER, name))[0][1]

    def _ask(self, method: str, signature: str, body: tuple[Any, ...], doing: str) -> str:
        """Call a method of the manager; return its first word: a job's object path, or ""."""
        answer = self._call((_NAME, _PATH, _MANAGER), method, signature, body, doing)
        return str(answer[0]) if answer else ""

    def _await_job(self, job: str, doing: str) -> None:
        deadline = time.monotonic() + JOB_SECONDS
        while job not in self._ended_jobs:
            self._receive(deadline, doing)
        result = self._ended_jobs.pop(job)
        if result != "done":
            raise UnitError(f"cannot {doing}: systemd's job ended as {result!r}")

    def _call(
        self,
        place: tuple[str, str, str],
        method: str,
        signature: str | None = None,
        body: tuple[Any, ...] = (),
        doing: str = "talk to systemd",
    ) -> tuple[Any, ...]:
        """Call a method and wait for the answer; signals that come before it are kept.

        Raises: UnitError for an error that is answered, or a connection that ends.
        """
        from jeepney.low_level import HeaderFields, MessageFlag, MessageType
        from jeepney.wrappers import DBusAddress, new_method_call

        name, path, interface = place
        address = DBusAddress(path, bus_name=name, interface=interface)
        self._serial += 1
        message = new_method_call(address, method, signature, body)
        message.header.flags = MessageFlag.no_auto_start  # nobody but systemd starts systemd
        deadline = time.monotonic() + CALL_SECONDS
        try:
            self._socket.settimeout(CALL_SECONDS)
            self._socket.sendall(message.serialise(serial=self._serial))
        except OSError as error:
            raise UnitError(f"cannot {doing}: the connection to systemd ended") from error
        while True:
            reply = self._receive(deadline, doing)
            fields = reply.header.fields
            if fields.get(HeaderFields.reply_serial) != self._serial:
                continue
            if reply.header.message_type is MessageType.error:
                name = fields.get(HeaderFields.error_name, "")
                told = reply.body[0] if reply.body else name
                raise UnitError(f"cannot {doing}: {str(told).rstrip('.')} ({name})", name=name)
            answer: tuple[Any, ...] = reply.body
            return answer

    def _receive(self, deadline: float, doing: str) -> Any:
        """Return the next message; how a job ended is noted on the way."""
        from jeepney.low_level import HeaderFields

        message = self._parser.get_next_message()
        while message is None:
            patience = deadline - time.monotonic()
            try:
                self._socket.settimeout(max(patience, 0.001))
                data = self._socket.recv(4096)
            except TimeoutError as error:
                raise UnitError(f"cannot {doing}: systemd does not answer") from error
            except OSError as error:
                raise UnitError(f"cannot {doing}: the connection to systemd ended") from error
            if not data:
                raise UnitError(f"cannot {doing}: the connection to systemd ended")
            self._parser.add_data(data)
            message = self._parser.get_next_message()
        fields = message.header.fields
        if fields.get(HeaderFields.member) == "JobRemoved" and len(message.body) == 4:
            _, job, _, result = message.body
            self._ended_jobs[job] = result
        return message


def _open(place: str) -> socket:
    """Return an authenticated connection.  Raises: OSError; UnitError for a refusal."""
    from socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

    from jeepney.auth import BEGIN, AuthenticationError, Authenticator

    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        connection.settimeout(CALL_SECONDS)
        connection.connect(place)
        talk = Authenticator()
        # In one piece, as sd-bus does it: at its private socket, systemd 252 does not look at a
        # call that arrives together with a BEGIN of its own.
        connection.sendall((talk.data_to_send() or b"") + BEGIN)
        while not talk.authenticated:
            answer = connection.recv(1024)
            if not answer:
                raise ConnectionRefusedError(ECONNREFUSED, os.strerror(ECONNREFUSED))
            talk.feed(answer)
    except AuthenticationError as error:
        connection.close()
        raise UnitError(f"cannot reach systemd: {place} does not let us in: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection
