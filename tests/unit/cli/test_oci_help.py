"""Does every command and every option of pyrunc-oci explain itself?"""

from __future__ import annotations

import importlib

import pytest

from pyrunc.cli.oci import main
from pyrunc.cli.oci_table import COMMANDS, GLOBAL_OPTIONS, NOT_YET_COMMANDS


def test_program_help_names_every_command_and_option(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capfd.readouterr().out
    assert shown.startswith("NAME:\n   pyrunc-oci - ")
    assert all(f"\n   {name} " in shown for name in COMMANDS)
    assert all(f"--{names.split(', ')[0]}" in shown for names, _, _ in GLOBAL_OPTIONS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
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


def test_no_command_is_both_there_and_refused() -> None:
    assert not NOT_YET_COMMANDS & set(COMMANDS)


def test_help_for_what_is_no_command_exits_3(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "bogus"]) == 3
    assert "No help topic for 'bogus'" in capfd.readouterr().err
