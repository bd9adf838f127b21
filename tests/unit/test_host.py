"""What does the look at the host around a test take for left over?"""

from __future__ import annotations

from tests.harness.host import difference


def test_who_took_another_name_is_nobody_new() -> None:
    before = {"process": ["7 pyrunc-init: pyrunc-init"]}

    assert difference(before, {"process": ["7 pyrunc:monitor: pyrunc-init"]}) == []


def test_who_has_done_its_work_meanwhile_is_not_missed() -> None:
    before = {"process": ["7 pyrunc-settle: pyrunc-settle /x"], "link": ["veth1@if2"]}

    assert difference(before, {"process": [], "link": []}) == []


def test_what_is_new_and_what_is_missing_is_told() -> None:
    before = {"process": ["7 pyrunc:monitor: pyrunc-init"], "mount": ["/x"]}
    after = {"process": ["8 pyrunc:monitor: pyrunc-init"], "mount": []}

    assert difference(before, after) == ["+ process 8 pyrunc:monitor: pyrunc-init", "- mount /x"]
