"""Which process does exec want, and in which cgroups?"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import InvalidInput
from pyrunc.kernel.cgroup_layout import CgroupLayout, Hierarchy
from pyrunc.runtime.entering import chosen_cgroups
from pyrunc.runtime.exec_request import ExecOptions, check_terminal, requested_process
from pyrunc.runtime.passed_descriptors import Passed, find_passed
from pyrunc.runtime.plan_exec import cpu_mask

FIRST: dict[str, Any] = {
    "args": ["first"],
    "cwd": "/srv",
    "env": ["PATH=/bin"],
    "terminal": True,
    "consoleSize": {"height": 1, "width": 2},
    "user": {"uid": 1, "gid": 2, "umask": 7, "additionalGids": [3]},
    "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"]},
    "noNewPrivileges": True,
    "oomScoreAdj": 100,
    "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
}


def process(**options: Any) -> dict[str, Any]:
    return requested_process({"process": FIRST}, ExecOptions(args=("ls",), **options))


def test_command_line_changes_the_containers_own_process() -> None:
    changed = process(cwd="/", environment=("A=b",), user="5:6", additional_gids=(7,))
    assert changed == FIRST | {
        "args": ["ls"],
        "cwd": "/",
        "env": ["PATH=/bin", "A=b"],
        "terminal": False,
        "consoleSize": None,
        "user": {"uid": 5, "gid": 6, "umask": 7, "additionalGids": [3, 7]},
    }
    assert FIRST["env"] == ["PATH=/bin"]


def test_user_alone_keeps_the_group() -> None:
    assert process(user="5")["user"]["gid"] == 2


@pytest.mark.parametrize(
    "user", ["x", "1:", ":1", "+1", " 1", "1 ", "-1", "0x1", "1e3", "4294967295", "1:2:3", "٣"]
)
def test_user_that_is_no_number_is_refused(user: str) -> None:
    with pytest.raises(InvalidInput, match=r"^parsing .* as int for [ug]id failed: "):
        process(user=user)


def test_capability_is_never_made_inheritable() -> None:
    changed = process(capabilities=("CAP_CHOWN",))["capabilities"]
    assert changed == {
        "bounding": ["CAP_KILL", "CAP_CHOWN"],
        "effective": ["CAP_KILL", "CAP_CHOWN"],
        "permitted": ["CAP_CHOWN"],
    }


def test_capability_is_ambient_where_some_are_inheritable() -> None:
    first = FIRST | {"capabilities": {"inheritable": ["CAP_KILL"]}}
    options = ExecOptions(args=("ls",), capabilities=("CAP_CHOWN",))
    changed = requested_process({"process": first}, options)["capabilities"]
    assert (changed["ambient"], changed["inheritable"]) == (["CAP_CHOWN"], ["CAP_KILL"])


def test_described_process_takes_only_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    described = {"args": ["x"], "cwd": "/", "user": {"uid": 0}, "capabilities": None}
    path.write_text(json.dumps(described | {"oomScoreAdj": 5}))
    found = requested_process({"process": FIRST}, ExecOptions(process_file=str(path)))
    assert found == {
        "args": ["x"],
        "cwd": "/",
        "user": {"uid": 0, "umask": 7},
        "capabilities": FIRST["capabilities"],
        "oomScoreAdj": 5,
        "rlimits": FIRST["rlimits"],
    }


def test_described_process_may_ask_for_a_score_of_zero(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    path.write_text(json.dumps({"args": ["x"], "cwd": "/", "oomScoreAdj": 0, "capabilities": {}}))
    found = requested_process({"process": FIRST}, ExecOptions(process_file=str(path)))
    assert (found["oomScoreAdj"], found["capabilities"]) == (0, {})


@pytest.mark.parametrize(
    ("described", "told"),
    [
        ({"cwd": "/"}, "args must not be empty"),
        ({"args": [], "cwd": "/"}, "args must not be empty"),
        ({"args": ["x"]}, "Cwd property must not be empty"),
        ({"args": ["x"], "cwd": "x"}, "Cwd must be an absolute path"),
    ],
)
def test_described_process_that_is_none_is_refused(
    tmp_path: Path, described: dict[str, Any], told: str
) -> None:
    path = tmp_path / "process.json"
    path.write_text(json.dumps(described))
    with pytest.raises(InvalidInput, match=f"^{told}$"):
        requested_process({"process": FIRST}, ExecOptions(process_file=str(path)))


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("socket", ["", "/socket"])
def test_terminal_goes_to_a_socket_exactly_when_nobody_stays(
    terminal: bool, detach: bool, socket: str
) -> None:
    options = ExecOptions(detach=detach, console_socket=socket)
    if bool(socket) == (terminal and detach):
        check_terminal({"terminal": terminal}, options)
    else:
        with pytest.raises(InvalidInput, match=r"^cannot (allocate tty|use console socket) if"):
            check_terminal({"terminal": terminal}, options)


@pytest.mark.parametrize(
    ("cpus", "mask"),
    [("0", 1), ("0-3,7", 0x8F), ("64", 1 << 64), ("1, 3", 0b1010), ("0,0-1", 0b11)],
)
def test_list_of_processors_becomes_a_mask_of_whole_words(cpus: str, mask: int) -> None:
    raw = cpu_mask(cpus)
    assert int.from_bytes(raw, "little") == mask
    assert len(raw) % 8 == 0


HYBRID = CgroupLayout(
    hierarchies=(
        Hierarchy(controllers=("cpu", "cpuacct"), mount_point="/c/cpu"),
        Hierarchy(controllers=("name=systemd",), mount_point="/c/systemd"),
    ),
    unified="/c/unified",
)
OWN = ("/c/cpu/x", "/c/systemd/x", "/c/unified/x")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ((), OWN),
        (("a",), ("/c/cpu/x/a", "/c/systemd/x/a", "/c/unified/x/a")),
        (("/a/../b",), ("/c/cpu/x/b", "/c/systemd/x/b", "/c/unified/x/b")),
        (("cpu:a",), ("/c/cpu/x/a", "/c/systemd/x", "/c/unified/x")),
        (("cpu,cpuacct:a", "name=systemd:b"), ("/c/cpu/x/a", "/c/systemd/x/b", "/c/unified/x")),
    ],
)
def test_cgroups_are_the_containers_or_below(
    wanted: tuple[str, ...], found: tuple[str, ...]
) -> None:
    assert chosen_cgroups(OWN, HYBRID, wanted).all() == found


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (("../y",), "../y is not a sub cgroup path"),
        (("../xy",), "../xy is not a sub cgroup path"),
        (("cpu:a/../..",), "a/../.. is not a sub cgroup path"),
        (("foo:a",), "unknown controller foo in SubCgroupPaths"),
        (("a", "b"), r"invalid --cgroup argument: a \(missing <controller>: prefix\)"),
        (("a:b:c",), "invalid --cgroup argument: a:b:c"),
        ((",cpu:b",), r"invalid --cgroup argument: ,cpu:b \(empty <controller> prefix\)"),
        (("cpu:a", "cpu:b"), "controller cpu specified multiple times"),
    ],
)
def test_cgroup_that_is_not_below_is_refused(wanted: tuple[str, ...], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        chosen_cgroups(OWN, HYBRID, wanted)


def test_environment_tells_of_descriptors_of_socket_activation() -> None:
    passed = Passed(listening=2, names="a:b", preserved=1)
    assert passed.environment(["A=b", "LISTEN_FDS=9"]) == [
        "A=b",
        "LISTEN_FDS=2",
        "LISTEN_PID=1",
        "LISTEN_FDNAMES=a:b",
    ]
    assert Passed(preserved=1).environment(["LISTEN_FDS=9"]) == ["LISTEN_FDS=9"]
    assert passed.numbers() == {"preserved-0": 3, "preserved-1": 4, "preserved-2": 5}


@pytest.mark.parametrize("pid", ["", "1", "x"])
def test_descriptors_of_socket_activation_for_others_are_not_ours(
    monkeypatch: pytest.MonkeyPatch, pid: str
) -> None:
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", pid)
    assert find_passed(0).count == 0


def test_descriptor_that_was_not_given_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "4000")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    with pytest.raises(InvalidInput, match=r"^unable to stat LISTEN_FDS descriptor"):
        find_passed(0)
    monkeypatch.delenv("LISTEN_FDS")
    with pytest.raises(InvalidInput, match=r"^unable to stat preserved-fd \d+ \(of 4000\): "):
        find_passed(4000)
