"""Whatever attached clients send, the container and its other clients go on; and whatever it prints
is in the log, as JSON has it.

The container echoes.  `python -m tests.fuzz.sanitized tests/fuzz/test_fuzz_monitor.py` runs it with
a monitor that is built with sanitizers.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyrunc.kernel.launch_plan import Job
from pyrunc.kernel.launcher import Launch, Output, Room, Started, connect
from tests.fuzz.test_fuzz_image import SLOW
from tests.harness.launches import begin, finish, make_root, simple, until_started

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

MONITOR = settings(SLOW, suppress_health_check=[*HealthCheck])
PACKET = 16383
TEXT = (b"a", b'"', b"\\", b"\0", b"\x1b[", "é€𝄞".encode())
NO_TEXT = (b"\xff", b"\xc3", b"\xf0\x9d", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80")
PIECES = st.sampled_from([*TEXT, *NO_TEXT]) | st.binary(max_size=8)
# Lines around the length at which an entry is cut, and short ones.
LINES = st.tuples(PIECES, st.sampled_from([1, 2, 100, 5461, 5462, 8192, 16383, 16384, 16385])).map(
    lambda pair: (pair[0] * pair[1]).replace(b"\n", b"") + b"\n"
)
# Not what would end it: a signal that is none, or that a container's first process ignores.
NOISE = st.one_of(
    st.tuples(st.sampled_from(b"TSYXNRHFLBU12GWC~\0"), st.binary(max_size=40)).map(
        lambda pair: bytes([pair[0]]) + pair[1]
    ),
    st.sampled_from([0, -1, 65, 1 << 30, 18, 28]).map(
        lambda number: b"K\0\0\0" + number.to_bytes(4, "little", signed=True)
    ),
    st.sampled_from([b"K", b"K\0\0\0", b"W", b"C", b"0", b"G" * 30_000]),
)


class Echo:
    """A container that runs `cat`, with a client of its own and a log."""

    def __init__(self, place: Path) -> None:
        """Start it."""
        self.log = place / "log"
        self.place = place
        job = Job(
            run_dir=str(place),
            state_prefix=b'{"id":"x"',
            interactive=True,
            stdin_stays=True,
            volatile=True,
            patience_ms=200,
            log_path=str(self.log),
        )
        self.launch = begin(simple(make_root(place / "root")), ["cat"], job)
        until_started(self.launch)
        self.position = 0

    def say(self, client: Launch, line: bytes) -> None:
        """Send a line, and have it come back to this client and to the one that started it."""
        for at in range(0, len(line), PACKET):
            assert client.send_stdin(line[at : at + PACKET])
            self._echoed(client, line[at : at + PACKET])

    def _echoed(self, client: Launch, data: bytes) -> None:
        for one in (client, self.launch):
            seen = b""
            while len(seen) < len(data) or not one._has_room:
                packet = one.receive()
                assert isinstance(packet, Output | Room), packet
                seen += packet.data if isinstance(packet, Output) else b""
            assert seen == data

    def logged(self) -> str:
        """Return what was logged since the last look."""
        with self.log.open("rb") as file:
            file.seek(self.position)
            raw = file.read()
        self.position += len(raw)
        assert raw.endswith(b"\n")
        return "".join(json.loads(line)["log"] for line in raw.splitlines())


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    echo = Echo(tmp_path_factory.mktemp("monitor"))
    yield echo
    echo.launch.signal(9)
    finish(echo.launch)


@MONITOR
@given(line=LINES, noise=st.lists(NOISE, max_size=8), clients=st.integers(1, 3))
def test_line_comes_back_through_noise_and_is_logged(
    echo: Echo, line: bytes, noise: list[bytes], clients: int
) -> None:
    with contextlib.ExitStack() as stack:
        others = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(clients)]
        for one in others:
            stack.enter_context(one)
            one.connect(str(echo.place / "attach"))
        for number, packet in enumerate(noise):
            with contextlib.suppress(ConnectionError):
                others[number % clients].send(packet)
        reader = connect(str(echo.place))
        stack.callback(reader.close)
        assert isinstance(reader.receive(), Started)
        echo.say(reader, line)

    assert echo.logged() == _as_json_has_it(line)


def _as_json_has_it(raw: bytes) -> str:
    """Return the text, with U+FFFD for each byte that is no UTF-8."""
    text, at = [], 0
    while at < len(raw):
        for size in range(1, 5):
            try:
                text.append(raw[at : at + size].decode())
            except UnicodeDecodeError:
                continue
            at += size
            break
        else:
            text.append("\ufffd")
            at += 1
    return "".join(text)
