"""Do the lines for v1 and the program for v2 decide alike?"""

from __future__ import annotations

import pytest

from pyrunc.runtime.device_rules import device_rules, program

from .bpf_machine import run_device_program

DENY_ALL = {"allow": False, "access": "rwm"}


def test_lines_deny_first_and_defaults_come_last() -> None:
    rules = device_rules([DENY_ALL, {"allow": True, "type": "c", "major": 10, "minor": 229}])
    assert [(rule.allow, rule.line()) for rule in rules[:3]] == [
        (False, "a"),
        (True, "c 10:229 rwm"),
        (True, "c *:* m"),
    ]
    assert (True, "c 136:* rwm") in [(rule.allow, rule.line()) for rule in rules]


def test_everything_allowed_is_one_line() -> None:
    rules = device_rules([DENY_ALL, {"allow": True, "access": "rwm"}])
    assert [(rule.allow, rule.line()) for rule in rules] == [(True, "a")]


@pytest.mark.parametrize(
    ("entries", "device", "access", "allowed"),
    [
        ([], ("c", 1, 3), "rw", True),
        ([], ("c", 1, 3), "m", True),
        ([], ("c", 10, 200), "r", False),
        ([], ("c", 10, 200), "m", True),
        ([], ("b", 8, 0), "r", False),
        ([], ("b", 8, 0), "m", True),
        ([], ("c", 136, 77), "rw", True),
        ([{"allow": True, "type": "b", "major": 8, "access": "r"}], ("b", 8, 1), "r", True),
        ([{"allow": True, "type": "b", "major": 8, "access": "r"}], ("b", 8, 1), "rw", False),
        ([{"allow": True, "type": "b", "major": 8, "access": "r"}], ("c", 8, 1), "r", False),
        ([{"allow": True}, {"allow": False, "type": "c", "major": 5}], ("c", 4, 1), "w", True),
        ([{"allow": True}, {"allow": False, "type": "c", "major": 6}], ("c", 6, 1), "w", False),
        (
            [{"allow": True}, {"allow": False, "type": "c", "major": 6, "access": "w"}],
            ("c", 6, 1),
            "rw",
            False,
        ),
        (
            [{"allow": True}, {"allow": False, "type": "c", "major": 6, "access": "w"}],
            ("c", 6, 1),
            "r",
            True,
        ),
    ],
)
def test_program_decides(
    entries: list[dict[str, object]], device: tuple[str, int, int], access: str, allowed: bool
) -> None:
    compiled = program(device_rules(entries))
    assert run_device_program(compiled, *device, access) is allowed
