"""Commands about images and containers, as scripts written for docker use them."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.nobody import as_nobody


def made(engine: Engine, name: str, *options: str, command: tuple[str, ...] = ("true",)) -> str:
    """Make a container that has ended; return its ID."""
    cidfile = engine.directory / f"{name}.cid"
    engine(
        "run", "--network", "none", "--name", name, "--cidfile", cidfile, *options,
        "busybox", *command,
    )  # fmt: skip
    return cidfile.read_text()


def test_loaded_image_is_listed_with_docker_columns(loaded: Engine) -> None:
    lines = loaded("images", check=True).stdout.splitlines()

    assert lines[0].split("  ")[0] == "REPOSITORY"
    assert [word for word in lines[0].split("  ") if word.strip()] == [
        "REPOSITORY", " TAG", " IMAGE ID", " CREATED", " SIZE",
    ]  # fmt: skip
    assert lines[1].split()[:2] == ["busybox", "latest"]
    assert loaded("images", "nope", check=True).stdout.count("\n") == 1
    assert loaded("image", "ls", "-q", check=True).stdout.count("\n") == 1


def test_load_takes_stdin_and_names_what_came(pyrunc: Engine, busybox_archive: Path) -> None:
    with busybox_archive.open("rb") as archive:
        done = subprocess.run(
            pyrunc.argv("load"), stdin=archive, env=pyrunc.environment, capture_output=True
        )

    assert (done.returncode, done.stdout) == (0, b"Loaded image: busybox:latest\n")


def test_image_inspect_prints_the_found_and_fails_for_the_missing(loaded: Engine) -> None:
    done = loaded("image", "inspect", "busybox", "nope", "-f", "{{.Architecture}}")

    assert (done.returncode, done.stdout) == (1, "amd64\n")
    assert done.stderr.startswith("Error: No such image: nope")


def test_inspect_of_nothing_prints_an_empty_array(loaded: Engine) -> None:
    done = loaded("inspect", "nope")

    assert (done.returncode, done.stdout) == (1, "[]\n")
    assert done.stderr == "Error: No such object: nope\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["inspect", "one", "-f", "{{.Id"], 64),
        (["inspect", "one", "-f", "{{.Gone}}"], 1),
        (["info", "-f", "{{.Name"], 64),
        (["version", "-f", "{{"], 64),
        (["ps", "-a", "--format", "{{.ID"], 1),
        (["ps", "-a", "--format", "{{.Gone}}"], 1),
        (["images", "--format", "{{"], 1),
    ],
)
def test_bad_template_has_docker_exit_code(loaded: Engine, words: list[str], code: int) -> None:
    made(loaded, "one")

    done = loaded(*words)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("pyrunc: template parsing error: template: :1")


def test_ps_filters_and_formats(loaded: Engine) -> None:
    first = made(loaded, "one", "--label", "a=1", "--label", "b=2")
    second = made(loaded, "two", "--label", "a=1", command=("sh", "-c", "exit 3"))

    def names(*words: str) -> list[str]:
        return loaded("ps", "--format", "{{.Names}}", *words, check=True).stdout.split()

    assert names() == []
    assert names("-a") == ["two", "one"]
    assert names("-l") == ["two"]
    assert names("-n", "1") == ["two"]
    assert names("-a", "-f", "label=a", "-f", "label=b") == ["one"]
    assert names("-a", "-f", "name=on", "-f", "name=tw") == ["two", "one"]
    assert names("-a", "-f", "exited=3") == ["two"]
    assert names("-f", "status=exited") == ["two", "one"]
    assert names("-a", "-f", f"id={first[:12]}") == ["one"]
    assert names("-a", "-f", "before=two") == ["one"]
    assert names("-a", "-f", "since=one") == ["two"]
    assert names("-a", "-f", "ancestor=busybox") == ["two", "one"]
    assert names("-a", "-f", "network=none", "-f", "exited=0") == ["one"]
    assert loaded("ps", "-aq", "--no-trunc", check=True).stdout == f"{second}\n{first}\n"
    assert loaded("ps", "-aq", check=True).stdout == f"{second[:12]}\n{first[:12]}\n"
    rows = loaded("ps", "-a", "--format", "json", check=True).stdout.splitlines()
    assert [json.loads(row)["Names"] for row in rows] == ["two", "one"]
    label = loaded("ps", "-a", "--format", 'table {{.ID}}\\t{{.Label "b"}}', check=True).stdout
    assert label.splitlines()[2] == f"{first[:12]}   2"


def test_ps_shows_the_command_quoted_and_cut(loaded: Engine) -> None:
    made(loaded, "one", command=("sh", "-c", "exit 0 # a long line"))

    lines = loaded("ps", "-a", check=True).stdout.splitlines()

    assert "CONTAINER ID   IMAGE     COMMAND" in lines[0]
    assert '"sh -c \'exit 0 # a l…"' in lines[1]


def test_rm_goes_on_after_an_error_and_prints_names(loaded: Engine) -> None:
    made(loaded, "one")
    made(loaded, "two")

    done = loaded("rm", "one", "nope", "two")

    assert (done.returncode, done.stdout) == (1, "one\ntwo\n")
    assert "No such container: nope" in done.stderr
    assert loaded("rm", "-f", "nope").returncode == 0


def test_cidfile_that_is_there_is_left_alone(loaded: Engine) -> None:
    taken = loaded.directory / "cid"
    taken.write_text("mine")

    done = loaded("run", "--rm", "--cidfile", taken, "busybox", "true")

    assert done.returncode == 125
    assert "container ID file found" in done.stderr
    assert taken.read_text() == "mine"


def test_cidfile_of_a_run_that_fails_is_gone(loaded: Engine) -> None:
    path = loaded.directory / "cid"

    done = loaded("run", "--rm", "--network", "none", "--cidfile", path, "-u", "nobody2", "busybox")

    assert done.returncode == 125
    assert not path.exists()


def test_terminal_without_a_terminal_is_refused(loaded: Engine) -> None:
    done = loaded("run", "-it", "--rm", "busybox", "true")

    assert done.returncode == 1
    assert "the input device is not a TTY" in done.stderr


def test_completion_knows_images_and_containers(loaded: Engine) -> None:
    made(loaded, "one")

    def completed(line: str) -> list[str]:
        asked = {"_PYRUNC_COMPLETE": "bash_complete", "COMP_WORDS": line}
        words = loaded(env={**asked, "COMP_CWORD": str(line.count(" "))}).stdout.splitlines()
        return [word.partition(",")[2] for word in words]

    assert completed("pyrunc rm ") == ["one"]
    assert completed("pyrunc run --rm bus") == ["busybox:latest", "busybox"]
    assert completed("pyrunc inspect ") == ["one", "busybox:latest", "busybox"]


def test_odd_surroundings_change_nothing(loaded: Engine) -> None:
    """Section 4, row 35 of the reliability matrix: the same results, no traceback."""
    gone = loaded.directory / "gone"
    gone.mkdir()
    run = " ".join(loaded.argv("run", "--rm", "--network", "none", "busybox", "echo", "ok"))
    for surroundings in (
        "exec 0<&-; {}",
        "ulimit -n 64; {}",
        "umask 077; {}",
        "nice -n 19 {}",
        f"cd {gone}; rmdir {gone}; {{}}",
        "LANG=C LC_ALL=C {}",
        "unset HOME TERM LANG; {}",
        "BIG=$(head -c 100000 /dev/zero | tr '\\0' x) {}",
        "2>&- {}",
    ):
        done = subprocess.run(
            ["sh", "-c", surroundings.format(run)],
            env=loaded.environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", ""), surroundings


def test_closed_stdout_is_no_failure_of_the_container(loaded: Engine) -> None:
    run = " ".join(loaded.argv("run", "--rm", "--network", "none", "busybox", "sh", "-c"))
    done = subprocess.run(
        ["sh", "-c", f"{run} 'echo x; exit 5' >&-"],
        env=loaded.environment,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (5, "")


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ('exec "$0" ps >/dev/full', 1,
         "cannot write 'standard output': no space left on device (ENOSPC)"),
        ('ulimit -n 6; exec "$0" ps', 1,
         "cannot use '{root}/pyrunc.db': too many open files (EMFILE)\n"
         "hint: raise the limit on open files (ulimit -n)"),
        ('ulimit -n 18; exec "$0" run --network none busybox true', 125,
         "cannot use a file: too many open files (EMFILE)\n"
         "hint: raise the limit on open files (ulimit -n)"),
        ('exec "$0" volume rm "$(printf \'a\\377\')"', 1,
         "an argument is not valid UTF-8: a\\udcff\n"
         "hint: names and values are text in UTF-8; type it so"),
        ('exec "$0" run --health-cmd "$(printf \'a\\377\')" busybox', 125,
         "an argument is not valid UTF-8: a\\udcff\n"
         "hint: names and values are text in UTF-8; type it so"),
    ],
    ids=["no room to print", "six descriptors", "18 descriptors", "volume", "check"],
)  # fmt: skip
def test_refusal_of_the_surroundings_is_said_in_one_line(
    loaded: Engine, script: str, code: int, said: str
) -> None:
    binary, *options = loaded.argv()
    done = subprocess.run(
        ["/bin/sh", "-c", script.replace('"$0"', shlex.join([binary, *options]))],
        env=loaded.environment, capture_output=True, text=True,
    )  # fmt: skip

    assert done.stderr == f"pyrunc: {said.format(root=loaded.root)}\n"
    assert (done.returncode, done.stdout) == (code, "")


def test_who_is_not_root_is_told_to_be(loaded: Engine) -> None:
    trees = {"PYRUNC_ROOT": str(loaded.root), "PYRUNC_RUNROOT": str(loaded.runroot)}
    done = as_nobody(loaded, "exec", "box", "true", **trees)

    assert done.stderr == (
        f"pyrunc: cannot use '{loaded.root}': permission denied (EACCES)\n"
        "hint: this needs root: put sudo in front\n"
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_image_unmount_wants_a_name(loaded: Engine) -> None:
    done = loaded("image", "unmount")

    assert done.returncode == 1
    assert done.stderr.startswith("pyrunc: 'pyrunc image unmount' requires at least 1 argument\n")
