"""The plan's vocabulary and buffer: Python and C must mean the same by every number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyrunc.kernel import launch_plan
from pyrunc.kernel.launch_plan import KINDS, STAGES, Job, LaunchPlan, Step, encode, step_names

HEADER = (Path(__file__).parents[3] / "csrc/launcher.h").read_text()


def enum_of(name: str, prefix: str) -> list[str]:
    """Return the constants of an enum of launcher.h as Python spells them."""
    found = re.search(rf"enum {name} \{{(.*?)\}};", HEADER, re.DOTALL)
    assert found
    body = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
    names = re.findall(rf"{prefix}(\w+)", body)
    return [constant.lower().replace("_", "-") for constant in names]


def offset_of(buffer: bytes, step: int, field: int) -> int:
    """Return a u32 field of a step: 0 path, 1 target, 2 data, 3 data_size."""
    start = 168 + 40 * step + 8 + 4 * field
    return int.from_bytes(buffer[start : start + 4], "little")


def plan_of(*steps: Step, argv: tuple[str, ...] = ("true",)) -> LaunchPlan:
    return LaunchPlan(steps=steps, argv=argv, environment=())


def test_kinds_have_the_numbers_of_the_header() -> None:
    assert [*KINDS, "kinds"] == enum_of("step_kind", "STEP_")


def test_stages_have_the_numbers_of_the_header() -> None:
    assert list(STAGES) == enum_of("stage", "STAGE_")


def test_modes_have_the_numbers_of_the_header() -> None:
    assert list(launch_plan.MODES) == enum_of("launch_mode", "MODE_")


@pytest.mark.parametrize(
    "flag", ["RECURSIVE", "CREATE_FILE", "CREATE_DIRECTORY", "OPTIONAL", "NO_FOLLOW"]
)
def test_flags_have_the_numbers_of_the_header(flag: str) -> None:
    assert f"STEP_FLAG_{flag} = {getattr(launch_plan, flag)}," in HEADER


def test_encode_places_strings_behind_the_steps() -> None:
    buffer = encode(plan_of(Step(kind="mask", target="/proc/kcore")), Job())
    assert buffer.startswith(b"pyrunc\0\1")
    target = offset_of(buffer, 0, 1)
    assert buffer[target : target + 12] == b"/proc/kcore\0"
    assert offset_of(buffer, 0, 0) == 0


def test_encode_aligns_data_and_stores_equal_strings_once() -> None:
    twice = Step(kind="write-cgroup", stage="host", path="/odd", data=b"12345")
    buffer = encode(plan_of(twice, twice), Job(container_id="x"))
    assert offset_of(buffer, 0, 2) % 8 == 0
    assert offset_of(buffer, 0, 2) == offset_of(buffer, 1, 2)
    assert buffer.count(b"/odd\0") == 1
    assert int.from_bytes(buffer[8:12], "little") == len(buffer)


def test_encode_keeps_empty_and_equal_arguments_apart() -> None:
    buffer = encode(plan_of(argv=("sh", "", "sh")), Job())
    start, count = (int.from_bytes(buffer[i : i + 4], "little") for i in (56, 60))
    offsets = [int.from_bytes(buffer[start + 4 * i :][:4], "little") for i in range(count)]
    assert [buffer[o:].split(b"\0")[0] if o else b"" for o in offsets] == [b"sh", b"", b"sh"]


def test_encode_refuses_a_nul_inside_a_string() -> None:
    with pytest.raises(ValueError, match="NUL"):
        encode(plan_of(argv=("a\0b",)), Job())


def test_encode_refuses_a_descriptor_that_nobody_hands_over() -> None:
    with pytest.raises(KeyError):
        encode(plan_of(Step(kind="attach-rootfs", fd="rootfs")), Job())


def test_step_names_tell_equal_steps_apart() -> None:
    plan = plan_of(
        Step(kind="mask", target="/proc/keys"),
        Step(kind="mask", target="/proc/keys"),
        Step(kind="execute"),
    )
    assert step_names(plan) == ["mask:/proc/keys", "mask:/proc/keys#2", "execute"]
