"""Is every way to end a test in the machine judged rightly?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm.compare import Expected, problems, read_expected

NOTHING = Expected({}, {})


@pytest.mark.parametrize(
    ("inside", "expected", "outside", "count"),
    [
        (("passed", ""), NOTHING, None, 0),
        (("failed", ""), NOTHING, None, 1),
        (("skipped", ""), NOTHING, ("passed", ""), 1),
        (("failed", ""), NOTHING, ("failed", ""), 0),
        (("failed", ""), NOTHING, ("deselected", "v2 alone"), 1),
        (("failed", ""), Expected({"a": "slow"}, {}), ("passed", ""), 0),
        (("passed", ""), Expected({"a": "slow"}, {}), None, 1),
        (("deselected", "cgroup v1"), NOTHING, ("passed", ""), 1),
        (("deselected", "cgroup v1"), Expected({}, {"cgroup v1": "none"}), ("passed", ""), 0),
    ],
)
def test_outcome_in_the_machine_is_excused_by_a_reason_alone(
    inside: tuple[str, str],
    expected: Expected,
    outside: tuple[str, str] | None,
    count: int,
) -> None:
    assert len(problems({"a": inside}, expected, {"a": outside} if outside else {})) == count


def test_what_one_kernel_cannot_do_is_expected_of_no_other(tmp_path: Path) -> None:
    path = tmp_path / "expected.toml"
    path.write_text('[tests]\na = "always"\n[kernel."6.1"]\nb = "not yet"\n')

    assert read_expected(path, "6.1.0-50-amd64\n").tests == {"a": "always", "b": "not yet"}
    assert read_expected(path, "6.12.9+bpo-amd64\n").tests == {"a": "always"}
