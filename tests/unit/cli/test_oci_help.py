"""Does every command and every option of pyrunc-oci explain itself?"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from pyrunc.cli.oci import main
from pyrunc.cli.oci_table import COMMANDS, GLOBAL_OPTIONS, UNSUPPORTED_COMMANDS


def test_program_help_names_every_command_and_option(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capfd.readouterr().out
    assert shown.startswith("NAME:\n   pyrunc-oci - ")
    assert all(f"\n   {name} " in shown for name in COMMANDS)
    assert all(f"--{names.split(', ')[0]}" in shown for names, _, _ in GLOBAL_OPTIONS)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - UNSUPPORTED_COMMANDS))
def test_command_help_names_every_option(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    shown = capfd.readouterr().out
    assert main(["help", command]) == 0
    assert capfd.readouterr().out == shown
    assert f"   pyrunc-oci {command} - " in shown
    assert all(f"--{names.split(', ')[0]}" in shown for names, _, _ in COMMANDS[command][5])


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_command_names_a_function_that_is_there(command: str) -> None:
    module, _, function = COMMANDS[command][0].partition(".")
    assert callable(getattr(importlib.import_module(f"pyrunc.cli.{module}"), function))


@pytest.mark.parametrize("command", sorted(UNSUPPORTED_COMMANDS))
@pytest.mark.parametrize(
    "words", [["--help"], ["x"], ["--image-path", "i", "--tcp-close", "x"], []]
)
def test_checkpoint_and_restore_refuse(
    command: str, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([command, *words]) == 1
    captured = capfd.readouterr()
    assert f"{command} is not supported" in captured.err
    assert captured.out == ""


def test_restore_asks_for_the_value_of_lsm_mount_context(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", "--lsm-mount-context"]) == 1
    assert "flag needs an argument: -lsm-mount-context" in capfd.readouterr().err


@pytest.mark.parametrize("value", ["true", "false", "auto", "0", "1"])
def test_rootless_takes_a_boolean_or_auto(value: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = [f"--rootless={value}", "state", "nobody"]
    assert main(["--root", "/nonexistent", *words]) == 1
    assert "container does not exist" in capfd.readouterr().err


def test_rootless_refuses_other_words(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--rootless", "maybe", "state", "x"]) == 1
    assert 'invalid value \\"maybe\\" for flag -rootless' in capfd.readouterr().err


def test_debug_tells_the_call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    words = ["--debug", "--log", str(log), "--log-format=json", "--root", str(tmp_path)]
    assert main([*words, "-criu", "x", "delete", "-f", "nobody"]) == 0
    assert json.loads(log.read_text())["level"] == "debug"
    assert capfd.readouterr().err == ""


def test_help_for_what_is_no_command_exits_3(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "bogus"]) == 3
    assert "No help topic for 'bogus'" in capfd.readouterr().err
