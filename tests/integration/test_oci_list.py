"""Do list and ps tell of containers as runc's callers expect it?"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from .oci import Bundle, Runtime, cgroups_named

RUNC = "/usr/sbin/runc"


@pytest.mark.parametrize("options", [[], ["-f", "json"], ["--format=table"], ["-q"]])
def test_list_of_no_containers_is_runcs(oci: Runtime, options: list[str]) -> None:
    theirs = Runtime(RUNC, oci.root.parent)
    done = oci("list", *options, check=True)
    assert (done.stdout, done.stderr) == (theirs("list", *options).stdout, "")
    assert not oci.root.exists()


def test_list_shows_containers_as_table_json_and_ids(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.spec["annotations"] = {"a": "b"}
    oci.create(bundle.write("sleep", "60"), name)
    state = oci.state(name)
    (listed,) = json.loads(oci("list", "-f", "json", check=True).stdout)
    assert listed == state | {"owner": "root"}
    head, row = oci("list", check=True).stdout.splitlines()
    assert head.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert row.split() == [
        name,
        str(state["pid"]),
        "created",
        state["bundle"],
        state["created"],
        "root",
    ]
    starts = [head.index(title) for title in head.split()]
    assert [row[start - 1 : start + 1].strip() == row[start] for start in starts[1:]] == [True] * 5
    assert oci("list", "-q", check=True).stdout == f"{name}\n"


def test_list_leaves_out_what_is_broken(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("sleep", "60"), name)
    (oci.root / "broken").mkdir()
    (oci.root / "broken/state.json").write_text("{")
    (oci.root / "half").mkdir()
    (oci.root / "file").touch()
    done = oci("list", "-f", "json", check=True)
    assert [container["id"] for container in json.loads(done.stdout)] == [name]
    assert "load container broken" in done.stderr


def test_list_refuses_other_formats_and_arguments(oci: Runtime) -> None:
    assert "invalid format option" in oci("list", "-f", "xml").stderr
    done = oci("list", "x")
    assert (done.returncode, '\\"list\\" requires exactly 0 argument(s)' in done.stderr) == (
        1,
        True,
    )


def pids_named(word: str) -> list[int]:
    """Return the processes whose command line holds a word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return sorted(found)


def wait_for_pids(word: str, count: int) -> list[int]:
    deadline = time.monotonic() + 60
    while len(pids := pids_named(word)) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(pids) == count
    return pids


def test_ps_shows_every_process_with_its_pid_on_the_host(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    word = f"{os.getpid()}.77"
    bundle.write("sh", "-c", f"sleep {word} & sleep {word} & exec sleep {word}")
    oci.create(bundle.path, name)
    oci("start", name, check=True)
    pids = wait_for_pids(word, 3)
    assert json.loads(oci("ps", "--format", "json", name, check=True).stdout) == pids
    lines = oci("ps", name, check=True).stdout.splitlines()
    assert "PID" in lines[0]
    assert sorted(int(line.split()[1]) for line in lines[1:]) == pids
    lines = oci("ps", name, "-o", "pid,comm", check=True).stdout.splitlines()
    assert lines[0].split() == ["PID", "COMMAND"]
    assert all(line.split()[1] == "sleep" for line in lines[1:])


def test_ps_sees_processes_in_a_cgroup_below(bundle: Bundle, oci: Runtime, name: str) -> None:
    word = f"{os.getpid()}.78"
    oci.create(bundle.write("sh", "-c", f"sleep {word} & exec sleep {word}"), name)
    oci("start", name, check=True)
    pids = wait_for_pids(word, 2)
    for directory in cgroups_named(name):
        if "/cpuset/" in directory:
            continue  # one below would have to be filled first
        below = Path(directory, "below")
        below.mkdir()
        (below / "cgroup.procs").write_text(str(pids[1]))
    assert json.loads(oci("ps", "-f", "json", name, check=True).stdout) == pids
    oci("delete", "--force", name, check=True)
    assert not cgroups_named(name)


def test_ps_sees_what_exec_has_started(bundle: Bundle, oci: Runtime, name: str) -> None:
    word = f"{os.getpid()}.79"
    oci.create(bundle.write("sleep", word), name)
    oci("start", name, check=True)
    null = subprocess.DEVNULL
    line = [oci.program, "--root", str(oci.root), "exec", "--detach", name, "sleep", word]
    subprocess.run(line, stdin=null, stdout=null, stderr=null, check=True, timeout=60)
    pids = wait_for_pids(word, 2)
    assert json.loads(oci("ps", "-f", "json", name, check=True).stdout) == pids


def test_ps_of_a_stopped_container_is_empty(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("true"), name)
    oci("start", name, check=True)
    oci.wait_for(name, "stopped")
    assert oci("ps", "-f", "json", name, check=True).stdout == "null\n"
    assert len(oci("ps", name, check=True).stdout.splitlines()) == 1


def test_ps_tells_what_is_wrong(bundle: Bundle, oci: Runtime, name: str) -> None:
    oci.create(bundle.write("sleep", "60"), name)
    assert "couldn't find PID field in ps output" in oci("ps", name, "-o", "comm").stderr
    assert "ps: exit status 1" in oci("ps", name, "--nonsense").stderr
    assert "container does not exist" in oci("ps", "nobody").stderr
