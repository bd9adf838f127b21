"""The way in: what it imports, how it ends, and what it says when something breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3]

# Beside what a bare interpreter has: everything that `run` imports before the engine begins.
PINNED = {
    "_json", "errno", "pyrunc", "pyrunc.cli", "pyrunc.cli.entry", "pyrunc.cli.option_table",
    "pyrunc.cli.output", "pyrunc.cli.run_command", "pyrunc.cli.thin_parser", "pyrunc.engine",
    "pyrunc.engine.environment", "pyrunc.engine.flag_grammar", "pyrunc.engine.go_values",
    "pyrunc.engine.limits",
    "pyrunc.engine.mount_grammar", "pyrunc.engine.run_options", "pyrunc.errors", "pyrunc.kernel",
    "pyrunc.kernel.capabilities", "pyrunc.oci", "pyrunc.oci.document", "pyrunc.oci.record",
    "pyrunc.paths",
}  # fmt: skip

PROLOGUE = f"""
import __future__
import os
import sys
bare = set(sys.modules)
sys.path.append({str(SOURCE)!r})
from pyrunc.cli import entry
"""


def python(
    code: str, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code as the installed command runs it, libraries within reach."""
    libraries = [path for path in sys.path if path.endswith("-packages")]
    reach = f"import sys; sys.path += {libraries!r}\n"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", reach + PROLOGUE + code, *words],
        capture_output=True,
        text=True,
        env=env,
    )


def pyrunc(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return python("sys.argv[0] = 'pyrunc'\nentry.main()", *words, env=env)


def test_run_imports_nothing_but_the_pinned_list_before_the_engine() -> None:
    code = """
entry.make_engine = lambda flags: None
from pyrunc.cli import run_command
def show(engine, options):
    print(*sorted(set(sys.modules) - bare), file=sys.stderr)
    return 7
run_command.execute = show
entry.main(["--root", "/x", "run", "--rm", "-it", "-e", "A=1", "-m", "64m", "-v", "/a:/b",
            "--cap-add", "net_admin", "--network", "none", "debian", "sh", "-c", "x"])
"""
    done = python(code)

    assert (done.returncode, done.stdout) == (7, "")
    assert set(done.stderr.split()) == PINNED


def test_bare_help_works_without_anything_on_disk() -> None:
    done = pyrunc("--help")

    assert done.returncode == 0
    assert done.stdout.startswith("Usage:  pyrunc [OPTIONS] COMMAND\n")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "code", "first"),
    [
        (["run"], 1, "'pyrunc run' requires at least 1 argument"),
        (["run", "--foo", "x"], 125, "unknown flag: --foo"),
        (["container", "run", "--foo", "x"], 125, "unknown flag: --foo"),
        (["--foo"], 125, "unknown flag: --foo"),
        (["run", "-m", "x", "a"], 125,
         "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'"),
        (["run", "-p", "80:80", "a"], 125, "--publish is not supported yet"),
        (["run", "-v", "/x:y", "a"], 125, "invalid volume specification: '/x:y': invalid mount "
         "path: 'y' mount path must be absolute"),
        (["run", "–d", "a"], 125, "invalid reference format"),
        (["ps", "a"], 1, "'pyrunc ps' accepts no arguments"),
        (["container", "ls", "a"], 1, "'pyrunc container ls' accepts no arguments"),
        (["images", "a", "b"], 1, "'pyrunc images' requires at most 1 argument"),
        (["completion"], 1, "'pyrunc completion' requires 1 argument"),
        (["rm"], 1, "'pyrunc rm' requires at least 1 argument"),
        (["rm", "-force", "x"], 125, "unknown shorthand flag: 'o' in -orce"),
        (["start", "--checkpoint", "x", "y"], 125, "--checkpoint is not supported yet"),
        (["ps", "-f", "x"], 125, 'invalid argument "x" for "-f, --filter" flag: bad format of '
         "filter (expected name=value)"),
        (["ps", "-f", "foo=bar"], 1, "invalid filter 'foo'"),
        (["ps", "-n", "x"], 125, 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: '
         'parsing "x": invalid syntax'),
        (["foo"], 1, "unknown command: pyrunc foo"),
        (["image", "foo"], 1, "unknown command: pyrunc image foo"),
        (["plugin", "x"], 1, "'pyrunc plugin' is not supported yet"),
        (["image", "build", "x"], 1, "'pyrunc image build' is not supported yet"),
        (["explain", "--format", "x", "a"], 125,
         'invalid argument "x" for "--format" flag: must be text, json or oci'),
        (["inspect", "--type", "x", "y"], 1,
         'unknown type: "x": must be one of "container", "image", "network", "volume"'),
        (["--bridge", "a/b", "run", "x"], 125, "invalid bridge name 'a/b'"),
        (["run", "--trace=/nope/x", "--cidfile", "/tmp", "a"], 125,
         "container ID file found, make sure the other container isn't running or delete /tmp"),
    ],
)  # fmt: skip
def test_refusal_has_docker_words_and_exit_code(words: list[str], code: int, first: str) -> None:
    done = pyrunc(*words)

    assert done.stderr.splitlines()[0] == f"pyrunc: {first}"
    assert (done.returncode, done.stdout) == (code, "")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["run", "–d", "a"], "'–d' begins with a typographic dash (en dash); did you mean -d?"),
        (["run", "—rm", "a"], "'—rm' begins with a typographic dash (em dash); did you mean --rm?"),
        (["run", "-name", "x", "a"], "did you mean --name?"),
        (["rm", "-force", "x"], "did you mean --force?"),
        (["run", "--nmae", "x"], "did you mean --name?"),
        (["imges"], "did you mean 'images'?"),
        (["swarm", "init"], "for clusters, put pyrunc-oci under Docker Swarm, Kubernetes or Nomad"),
    ],
)
def test_typing_error_gets_a_hint(words: list[str], hint: str) -> None:
    assert pyrunc(*words).stderr.splitlines()[1] == f"hint: {hint}"


BUG = """
from pyrunc.cli import run_command
entry.make_engine = lambda flags: None
def fail(engine, options):
    raise {error}
run_command.execute = fail
entry.main(["run", "image"])
"""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("KeyboardInterrupt", 130, ""),
        ("BrokenPipeError(32, 'x')", 141, ""),
        ("__import__('pyrunc.errors').errors.PyruncError('it is so', hint='do this')", 125,
         "pyrunc: it is so\nhint: do this\n"),
        ("__import__('pyrunc.errors').errors.CommandNotFound('execute', errno=2, step='execute', "
         "subject='x')", 127,
         "pyrunc: cannot execute 'x': no such file or directory (ENOENT)\n"),
        ("__import__('pyrunc.errors').errors.Interrupted('x', signal=15)", 143, ""),
        ("__import__('pyrunc.errors').errors.PyruncError('a\\x1b[2Jb')", 125,
         "pyrunc: a\\x1b[2Jb\n"),
    ],
)  # fmt: skip
def test_error_becomes_a_message_and_an_exit_code(error: str, code: int, said: str) -> None:
    done = python(BUG.format(error=error))

    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


@pytest.mark.parametrize("error", ["ValueError('secret')", "OSError(22, 'odd', '/x')"])
def test_bug_goes_to_a_file_only_its_owner_reads(error: str, tmp_path: Path) -> None:
    done = python(BUG.format(error=error), env={"TMPDIR": str(tmp_path)})

    (details,) = tmp_path.iterdir()
    assert done.returncode == 125
    assert "Traceback" not in done.stderr
    assert str(details) in done.stderr
    assert "Traceback" in details.read_text()
    assert details.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("OSError(24, 'many')",
         "cannot use a file: too many open files (EMFILE)\n"
         "hint: raise the limit on open files (ulimit -n)\n"),
        ("'a\\udcff'.encode()",
         "an argument is not valid UTF-8: a\\udcff\n"
         "hint: names and values are text in UTF-8; type it so\n"),
        ("ModuleNotFoundError('no', name='click')",
         "cannot find the library 'click' of Python\n"
         "hint: install pyrunc again, with its dependencies\n"),
    ],
)  # fmt: skip
def test_what_the_surroundings_lack_is_no_bug(error: str, said: str) -> None:
    done = python(BUG.format(error=error))

    assert (done.returncode, done.stderr) == (125, f"pyrunc: {said}")


def test_full_disk_is_no_bug(tmp_path: Path) -> None:
    done = python(BUG.format(error="OSError(28, 'full', '/x')"), env={"TMPDIR": str(tmp_path)})

    assert done.returncode == 125
    assert done.stderr == (
        "pyrunc: cannot use '/x': no space left on device (ENOSPC)\nhint: make room below --root\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_descriptors_are_no_reason_to_fail(closed: tuple[int, ...]) -> None:
    code = f"for fd in {closed}: os.close(fd)\nentry.main(['--version'])"
    done = python(code)

    assert done.returncode == 0
    assert done.stdout == ("" if 1 in closed else "pyrunc version 0.1.0\n")
    assert done.stderr == ""


def test_reader_that_is_gone_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROLOGUE + "entry.main(['run', '--help'])"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, "")


def test_words_that_are_no_utf8_come_out_as_they_went_in() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", PROLOGUE + "entry.main()", b"--f\xffo"],
        capture_output=True,
        env={"LC_ALL": "C"},
    )

    assert done.returncode == 125
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"pyrunc: unknown flag: --f")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_names_the_variable(shell: str) -> None:
    done = pyrunc("completion", shell)

    assert done.returncode == 0
    assert "_PYRUNC_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("line", "number", "expected"),
    [
        ("pyrunc ex", 1, ["explain", "exec", "export"]),
        ("pyrunc image l", 2, ["ls", "load"]),
        ("pyrunc run --cap-", 2, ["--cap-add", "--cap-drop"]),
        ("pyrunc completion ", 2, ["bash", "zsh", "fish"]),
        ("pyrunc rm -f --f", 3, ["--force"]),
        ("pyrunc --root", 1, ["--root"]),
    ],
)
def test_shell_gets_what_can_follow(line: str, number: int, expected: list[str]) -> None:
    environment = {
        "_PYRUNC_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(number),
    }
    done = pyrunc(env=environment)

    assert [word.partition(",")[2] for word in done.stdout.splitlines()] == expected
    assert done.stderr == ""
