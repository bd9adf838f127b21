"""What pyrunc-oci does without Python goes by the same constants."""

from __future__ import annotations

import re
import signal

import pytest

from pyrunc.cli.oci_lifecycle import signal_number
from pyrunc.runtime import container_state
from tests.harness.engine import SOURCE

HEADER = (SOURCE / "csrc/quick.h").read_text()
COMMANDS = (SOURCE / "csrc/quick.c").read_text()
STATE = (SOURCE / "csrc/quick_state.c").read_text()
SIGNALS = dict(re.findall(r'\{"([A-Z0-9]+)", (SIG[A-Z0-9]+)\}', COMMANDS))


def test_version_and_root_are_the_same() -> None:
    assert f'#define OCI_VERSION "{container_state.SPEC_VERSION}"\n' in HEADER
    assert f'#define DEFAULT_ROOT "{container_state.DEFAULT_ROOT}"\n' in COMMANDS


def test_fields_of_the_state_are_fields_of_the_record() -> None:
    known = set(re.findall(r'"\\"(\w+)\\":', STATE))

    assert len(known) == 13
    assert known <= set(container_state.ContainerState.record_fields)


@pytest.mark.parametrize("name", SIGNALS)
def test_signal_has_the_same_name(name: str) -> None:
    assert SIGNALS[name] == f"SIG{name}"
    assert signal_number(name.lower()) == signal.Signals[f"SIG{name}"]


def test_all_signals_with_a_number_below_32_are_known() -> None:
    missing = {number for number in range(1, 32) if number != 16} - {
        signal_number(name) for name in SIGNALS
    }

    assert not missing
