"""inspect: docker's fields, types and words."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import Engine
from tests.tutorials import shape

NONE = ("--network", "none")


@pytest.fixture(scope="module")
def made(module_engine: Engine) -> Iterator[Engine]:
    """Return an engine with the containers that docker's fields were written down from."""
    for line in shape.MADE:
        module_engine(*shlex.split(line), check=True)
    yield module_engine
    module_engine("rm", "-f", "one", "two", "three", check=True)


def document(engine: Engine, name: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.json("inspect", *words, name)[0]
    return found


def test_every_field_is_dockers_and_of_its_type(made: Engine) -> None:
    found = made.json("inspect", "one", "two", "three")

    differences = shape.differences(shape.read_shape(), shape.shape(found))
    assert set(differences) == set(shape.reasons("fields")), differences


def test_what_was_asked_for_is_what_is_shown(made: Engine) -> None:
    one = document(made, "one")
    config, host = one["Config"], one["HostConfig"]

    assert (one["Path"], one["Args"], one["Name"]) == ("sleep", ["1000"], "/one")
    assert (config["Cmd"], config["Entrypoint"], config["WorkingDir"]) == (
        ["sleep", "1000"],
        None,
        "",
    )
    assert config["Env"][0] == "A=1"
    assert not any(entry.startswith(("HOME=", "HOSTNAME=")) for entry in config["Env"])
    assert (config["Labels"], config["AttachStdout"], config["StdinOnce"]) == (
        {"a": "b"},
        False,
        False,
    )
    assert (host["Memory"], host["NanoCpus"], host["CpuQuota"]) == (64 << 20, 500_000_000, 0)
    assert (host["Binds"], host["CapAdd"]) == (["/tmp:/mnt:ro", "data:/data"], ["CAP_NET_ADMIN"])
    assert host["Ulimits"] == [{"Name": "nofile", "Hard": 2000, "Soft": 1000}]
    bound, volume = one["Mounts"]
    assert (bound["Destination"], bound["RW"], volume["Name"]) == ("/mnt", False, "data")
    for name in ("UpperDir", "WorkDir"):
        assert Path(one["GraphDriver"]["Data"][name]).is_dir()
    assert all(Path(path).is_dir() for path in one["GraphDriver"]["Data"]["LowerDir"].split(":"))
    assert Path(one["LogPath"]).is_file()
    three = document(made, "three")
    assert (three["Config"]["StopSignal"], three["Config"]["AttachStdout"]) == ("INT", True)


def test_state_and_addresses_are_those_of_the_moment(made: Engine) -> None:
    one, two, three = (document(made, name) for name in ("one", "two", "three"))

    assert one["NetworkSettings"]["IPAddress"].startswith(made.gateway.rpartition(".")[0])
    assert one["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert Path(one["NetworkSettings"]["SandboxKey"]).exists()
    for gone in (two, three):
        settings = gone["NetworkSettings"]
        assert (settings["IPAddress"], settings["MacAddress"], settings["SandboxKey"]) == (
            "",
            "",
            "",
        )
        assert settings["Networks"]["bridge"]["IPAddress"] == ""
    assert (two["State"]["Status"], two["State"]["StartedAt"]) == (
        "created",
        "0001-01-01T00:00:00Z",
    )
    assert (three["State"]["Status"], three["State"]["Running"]) == ("exited", False)
    assert (one["State"]["Running"], one["State"]["FinishedAt"]) == (True, "0001-01-01T00:00:00Z")


def test_started_again_it_still_tells_when_it_ended_last(shared: Engine) -> None:
    shared("run", *NONE, "--name", "again", "busybox", "test", "-e", "/gone", check=False)
    before = document(shared, "again")["State"]
    shared("start", "again", check=True)
    shared("wait", "again", check=True)
    after = document(shared, "again")

    assert (before["ExitCode"], after["State"]["ExitCode"]) == (1, 1)
    assert after["State"]["StartedAt"] > before["FinishedAt"]
    assert after["Config"]["AttachStdout"] is True


def test_size_is_there_when_it_is_asked_for(shared: Engine) -> None:
    shared("run", *NONE, "--name", "box", "busybox", "sh", "-c", "echo hello >/file", check=True)
    plain, sized = document(shared, "box"), document(shared, "box", "-s")

    assert "SizeRw" not in plain
    assert sized["SizeRw"] == 6
    assert sized["SizeRootFs"] > 1000
    assert document(shared, "box") == shared.json("container", "inspect", "box")[0]
    ignored = shared("inspect", "-s", "-f", "{{.Architecture}}", "busybox", check=True)
    assert ignored.stderr.startswith("WARNING: --size ignored for images")


@pytest.mark.parametrize(
    ("words", "code", "printed", "said"),
    [
        (["-f", "{{.Name}}", "one", "nosuch", "two"], 1, "/one\n/two\n", "No such object: nosuch"),
        (["nosuch"], 1, "[]\n", "Error: No such object: nosuch"),
        (["--type", "container", "busybox"], 1, "[]\n", "No such container: busybox"),
        (["--type", "image", "one"], 1, "[]\n", "No such image: one"),
        (["--type", "foo", "one"], 1, "", 'unknown type: "foo": must be one of '),
        (["-f", "{{.Nope}}", "one"], 1, "", 'map has no entry for key "Nope"'),
        (["-f", "{{", "one"], 64, "", "template parsing error: template: :1: unclosed action"),
        (["-f", "{{.State.Health}} {{.SizeRw}} {{.HostConfig.Tmpfs}}", "two"], 0,
         "<nil> <nil> map[]\n", ""),
        (["-f", "{{.Config.StopSignal}}|{{.Config.Healthcheck}}", "two"], 0, "|<nil>\n", ""),
        (["-f", '{{len .HostConfig.Ulimits}} {{index .Config.Labels "a"}}', "one"], 0, "1 b\n", ""),
        (["-f", "{{.HostConfig.CapAdd}} {{.Config.Volumes}} {{len .ExecIDs}}", "two"], 0,
         "[] map[] 0\n", ""),
        (["-f", "{{json .HostConfig.CapAdd}} {{json .State.Health}}", "two"], 0, "null null\n", ""),
        (["-f", "{{range .Mounts}}{{.Destination}}{{end}}", "one"], 0, "/mnt/data\n", ""),
        (["--type", "container", "-f", "{{.Config.Image}}", "one"], 0, "busybox\n", ""),
    ],
)  # fmt: skip
def test_words_and_codes_are_dockers(
    made: Engine, words: list[str], code: int, printed: str, said: str
) -> None:
    done = made("inspect", *words)

    assert (done.returncode, done.stdout) == (code, printed)
    assert said in done.stderr


def test_json_leaves_out_what_docker_does(made: Engine) -> None:
    state = json.loads(made("inspect", "-f", "{{json .State}}", "two").stdout)

    assert list(state) == [
        "Status", "Running", "Paused", "Restarting", "OOMKilled", "Dead", "Pid", "ExitCode",
        "Error", "StartedAt", "FinishedAt",
    ]  # fmt: skip


def test_network_that_is_not_there_is_said_in_docker_s_words(pyrunc: Engine) -> None:
    missing = pyrunc("inspect", "--type", "network", "mine", "yours")
    bridge = pyrunc("inspect", "--type", "network", "bridge")

    assert (missing.returncode, missing.stdout) == (1, "[]\n")
    assert missing.stderr == (
        "Error: No such network: mine\nError: No such network: yours\n"
        "hint: there are bridge, host and none; networks of one's own cannot be made yet\n"
    )
    assert (bridge.returncode, bridge.stdout, bridge.stderr) == (
        1, "", "pyrunc: cannot inspect network 'bridge': networks are not shown yet\n"
    )  # fmt: skip
