"""Is runc's command line read as runc reads it?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyrunc.cli.oci import main, parse
from pyrunc.cli.oci_lifecycle import signal_number
from pyrunc.cli.oci_table import GLOBAL_OPTIONS, RUN_OPTIONS, UsageError
from tests.harness.engine import SOURCE


@pytest.mark.parametrize(
    ("words", "options", "rest"),
    [
        (["--root", "/r", "state", "x"], {"root": "/r"}, ["state", "x"]),
        (["--root=/r", "--debug", "state"], {"root": "/r", "debug": "true"}, ["state"]),
        (["-root", "/r", "state"], {"root": "/r"}, ["state"]),
        (["--log-format=json", "--log", "f", "x"], {"log-format": "json", "log": "f"}, ["x"]),
        (["--debug=false", "x"], {}, ["x"]),
        (["-v"], {"version": "true"}, []),
        (["--", "--x"], {}, ["--x"]),
        ([], {}, []),
        (["--root="], {"root": ""}, []),
    ],
)
def test_global_options_are_read(
    words: list[str], options: dict[str, str], rest: list[str]
) -> None:
    assert parse(words, GLOBAL_OPTIONS, "") == (options, rest)


def test_options_end_at_the_first_word() -> None:
    assert parse(["-b", "x", "id", "-d"], RUN_OPTIONS, "run") == ({"bundle": "x"}, ["id", "-d"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nonsense"], "flag provided but not defined: -nonsense"),
        (["--root"], "flag needs an argument: -root"),
        (["--debug=x"], 'invalid boolean value "x" for  -debug: parse error'),
        (["---root", "x"], "flag provided but not defined: --root"),
    ],
)
def test_wrong_options_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words, GLOBAL_OPTIONS, "")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "number"),
    [("9", 9), ("KILL", 9), ("SIGKILL", 9), ("0", 0), ("sigterm", 15), ("usr1", 10)],
)
def test_signals_are_read_by_number_and_name(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "65", "-9", "FOO", "SIG_DFL", "_DFL", "٩", "9 "])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="unknown signal"):
        signal_number(text)


def test_unknown_command_exits_3(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bogus"]) == 3
    assert "No help topic for 'bogus'" in capfd.readouterr().err


def test_wrong_number_of_arguments_prints_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["state"]) == 1
    captured = capfd.readouterr()
    assert '\\"state\\" requires exactly 1 argument(s)' in captured.err
    assert captured.out.startswith("NAME:")


def test_log_file_is_made_and_holds_one_json_object(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.json"
    root = str(tmp_path / "root")
    flags = ["--root", root, "--log", str(log), "--log-format", "json"]
    assert main([*flags, "delete", "--force", "x"]) == 0
    assert log.read_bytes() == b""
    assert main([*flags, "state", 'x"']) == 1
    assert main([*flags, "state", "x"]) == 1
    first, second = (json.loads(line) for line in log.read_text().splitlines())
    assert first["msg"] == "invalid container ID format"
    assert (second["level"], second["msg"]) == ("error", "container does not exist")
    assert capfd.readouterr().err == "invalid container ID format\ncontainer does not exist\n"


def test_text_log_looks_like_runcs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path), "state", "x"]) == 1
    line = capfd.readouterr().err
    assert line.startswith('time="20')
    assert line.endswith('Z" level=error msg="container does not exist"\n')


@pytest.mark.parametrize("word", ["state", "start", "delete", "kill", "create"])
def test_hot_commands_import_no_heavy_module(word: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path += sys.argv[1:3]; from pyrunc.cli.oci import main;"
        f"main(['--root', {str(tmp_path)!r}, {word!r}, 'x']); print(*sys.modules)"
    )
    site = next(path for path in sys.path if path.endswith("-packages"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(SOURCE), site],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    heavy = {"re", "enum", "typing", "json", "click", "msgspec", "pathlib", "subprocess"}
    heavy |= {"dataclasses", "ctypes", "signal", "socket", "contextlib", "functools", "collections"}
    assert not heavy & set(done.stdout.split()), done.stderr
