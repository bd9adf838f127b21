"""ps: which containers it chooses, and how it shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine

NONE = ("--network", "none")


@pytest.fixture(scope="module")
def crowd(module_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Return an engine with an ended, a created, a paused and a running container."""
    box, source = module_engine, tmp_path_factory.mktemp("bound")
    box(
        *("run", *NONE, "--name", "ended", "-l", "a=1", "-l", "com.me.x-y=2", "busybox"),
        *("sh", "-c", "echo hello >/file; exit 3"),
    )
    box("create", "--name", "made", "-v", f"{source}:/inside:ro", "busybox", "true", check=True)
    box("run", "-d", *NONE, "--name", "still", "busybox", "sleep", "1000", check=True)
    long = ("sh", "-c", "echo one two; sleep 1000")
    box("run", "-d", *NONE, "-l", "a=2", "--name", "running", "busybox", *long, check=True)
    box("pause", "still", check=True)
    box.directory.joinpath("source").write_text(str(source))
    yield box
    box("rm", "-f", *box("ps", "-aq").stdout.split(), check=True)


def names(engine: Engine, *words: str) -> list[str]:
    return engine("ps", "--format", "{{.Names}}", *words, check=True).stdout.split()


def test_only_those_that_run_are_shown_unless_others_are_asked_for(crowd: Engine) -> None:
    assert names(crowd) == ["running", "still"]
    assert names(crowd, "-a") == ["running", "still", "made", "ended"]
    assert names(crowd, "-n", "3") == ["running", "still", "made"]
    assert names(crowd, "-l") == ["running"]
    assert crowd("container", "list", "-q").stdout == crowd("ps", "-q").stdout
    assert crowd("container", "ps", "-q").stdout == crowd("container", "ls", "-q").stdout


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (["status=exited"], "ended"),
        (["status=created", "status=paused"], "still made"),
        (["name=^/?(run|made)"], "running made"),
        (["name=e.d"], "ended"),
        (["name=["], ""),
        (["label=a"], "running ended"),
        (["label=a=2"], "running"),
        (["label=a", "label=com.me.x-y=2"], "ended"),
        (["label!=a"], "still made"),
        (["exited=3"], "ended"),
        (["exited=0"], ""),
        (["before=still"], "made ended"),
        (["since=made"], "running still"),
        (["since=ended", "before=running"], "still made"),
        (["ancestor=busybox"], "running still made ended"),
        (["ancestor=busybox:latest", "status=running"], "running"),
        (["ancestor=nosuch"], ""),
        (["volume=/inside"], "made"),
        (["volume=/elsewhere"], ""),
        (["network=none"], "running still ended"),
        (["network=bridge"], "made"),
        (["health=none"], "running still made ended"),
        (["health=healthy"], ""),
        (["is-task=false"], "running still made ended"),
        (["is-task=true"], ""),
        (["publish=80"], ""),
        (["expose=1-65535/udp"], ""),
        (["status=exited", "label=a=2"], ""),
    ],
)
def test_filters_choose_as_docker(crowd: Engine, filters: list[str], wanted: str) -> None:
    words = [word for one in filters for word in ("-f", one)]

    assert names(crowd, "-a", *words) == wanted.split()


def test_filters_find_by_id_image_id_and_source(crowd: Engine) -> None:
    image = crowd("inspect", "-f", "{{.Image}}", "made").stdout.strip()
    container_id = crowd("inspect", "-f", "{{.Id}}", "made").stdout.strip()
    source = crowd.directory.joinpath("source").read_text()

    assert names(crowd, "-a", "-f", f"id={container_id[:9]}") == ["made"]
    assert names(crowd, "-a", "-f", f"before={container_id[:9]}") == ["ended"]
    assert len(names(crowd, "-a", "-f", f"ancestor={image[7:19]}")) == 4
    assert names(crowd, "-a", "-f", f"volume={source}") == ["made"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-f", "foo=bar"], 1, "invalid filter 'foo'"),
        (["-f", "status=foo"], 1, "invalid filter 'status=foo'"),
        (["-f", "health=x"], 1, "invalid filter 'health=x'"),
        (["-f", "is-task=x"], 1, "invalid filter 'is-task=x'"),
        (["-f", "exited=x"], 1, 'strconv.Atoi: parsing "x": invalid syntax'),
        (["-f", "publish=80:80"], 1, "filter for 'publish' should not contain ':': 80:80"),
        (["-f", "expose=9-1"], 1, "error while looking up for expose 9-1"),
        (["-f", "before=nosuch"], 1, "No such container: nosuch"),
        (["-f", "name"], 125, "bad format of filter (expected name=value)"),
        (["-n", "x"], 125, 'invalid argument "x" for "-n, --last" flag'),
        (["extra"], 1, "'pyrunc ps' accepts no arguments"),
    ],
)
def test_what_can_not_be_asked_is_refused(
    crowd: Engine, words: list[str], code: int, said: str
) -> None:
    done = crowd("ps", *words)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_the_table_is_dockers(crowd: Engine) -> None:
    header, *lines = crowd("ps", "-as", check=True).stdout.splitlines()

    assert re.split(r" {3,}", header) == [
        "CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES", "SIZE",
    ]  # fmt: skip
    assert [re.split(r" {3,}", line)[0] for line in lines] == crowd("ps", "-aq").stdout.split()
    running, still, made, ended = (re.split(r" {3,}", line) for line in lines)
    assert running[2] == '"sh -c \'echo one two…"'
    assert re.fullmatch(r"Up .* \(Paused\)", still[4])
    assert made[4] == "Created"
    assert re.fullmatch(r"Exited \(3\) .* ago", ended[4])
    assert re.fullmatch(r"6B \(virtual \d(\.\d+)?MB\)", ended[-1])


def test_every_placeholder_is_there(crowd: Engine) -> None:
    (row,) = crowd("ps", "-a", "-f", "name=ended", "--format", "json").stdout.splitlines()
    (sized,) = crowd("ps", "-a", "-f", "name=ended", "--format", "{{json .}}").stdout.splitlines()
    found, source = json.loads(row), crowd.directory.joinpath("source").read_text()

    assert list(found) == [
        "Command", "CreatedAt", "HealthStatus", "ID", "Image", "Labels", "LocalVolumes", "Mounts",
        "Names", "Networks", "Platform", "Ports", "RunningFor", "Size", "State", "Status",
    ]  # fmt: skip
    assert (found["Labels"], found["Networks"], found["State"]) == (
        "a=1,com.me.x-y=2",
        "none",
        "exited",
    )
    assert (found["LocalVolumes"], found["Ports"], found["Size"]) == ("0", "", "0B")
    assert json.loads(sized)["Size"].startswith("6B (virtual ")
    shown = crowd("ps", "-a", "--format", "{{.Mounts}}", "-f", "name=made").stdout
    assert shown == source[:14] + "…\n"
    shown = crowd("ps", "-a", "--no-trunc", "--format", "{{.Mounts}}", "-f", "name=made").stdout
    assert shown == source + "\n"


def test_templates_of_every_kind(crowd: Engine) -> None:
    one = ("ps", "-a", "-f", "name=ended", "--format")

    table = crowd(*one, 'table {{.Names}}\t{{.Label "com.me.x-y"}}').stdout.splitlines()
    assert [line.split() for line in table] == [["NAMES", "x", "y"], ["ended", "2"]]
    assert crowd(*one, "{{upper .Names}}\\t{{len .ID}}{{println}}").stdout == "ENDED\t12\n\n"
    assert crowd(*one, '{{if eq .State "exited"}}gone{{end}}').stdout == "gone\n"
    raw = crowd(*one, "raw").stdout.splitlines()
    assert raw[1:3] == ["image: busybox", 'command: "sh -c \'echo hello >…"']
    assert (raw[4], raw[6], raw[8], raw[9]) == ("state: exited", "names: ended", "ports:", "")
    assert crowd(*one, "raw", "-q").stdout.startswith("container_id: ")


def test_the_configuration_names_a_format(crowd: Engine, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"psFormat": "{{.Names}}!"}')

    assert crowd("--config", tmp_path, "ps").stdout == "running!\nstill!\n"
    assert crowd("ps", env={"DOCKER_CONFIG": str(tmp_path)}).stdout == "running!\nstill!\n"
    assert crowd("--config", tmp_path, "ps", "-q").stdout == crowd("ps", "-q").stdout
    assert crowd("--config", tmp_path, "ps", "--format", "{{.State}}").stdout == "running\npaused\n"
    (tmp_path / "config.json").write_text("{")
    broken = crowd("--config", tmp_path, "ps")
    assert (broken.returncode, broken.stdout.count("\n")) == (0, 3)
    assert "Error loading config file" in broken.stderr
