"""Limits: from flags to linux.resources."""

from __future__ import annotations

import pytest

from pyrunc.engine import limits
from pyrunc.engine.run_options import RunOptions
from pyrunc.errors import InvalidInput

DEFAULTS = RunOptions.record_defaults


def resources(**flags: str) -> dict[str, object]:
    values = limits.from_flags({name.replace("_", "-"): raw for name, raw in flags.items()})
    limits.check(DEFAULTS | values)
    return limits.resources(DEFAULTS | values)


def test_nothing_asked_is_nothing_limited() -> None:
    assert resources() == {}


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({"memory": "64m"}, {"memory": {"limit": 64 << 20, "swap": 128 << 20}}),
        ({"memory": "64m", "memory_swap": "-1"}, {"memory": {"limit": 64 << 20, "swap": -1}}),
        ({"memory_reservation": "7m"}, {"memory": {"reservation": 7 << 20}}),
        ({"cpus": "0.5"}, {"cpu": {"quota": 50_000, "period": 100_000}}),
        ({"cpu_quota": "5000"}, {"cpu": {"quota": 5000, "period": 100_000}}),
        (
            {"cpu_quota": "5000", "cpu_period": "10000"},
            {"cpu": {"quota": 5000, "period": 10_000}},
        ),
        ({"cpu_shares": "1"}, {"cpu": {"shares": 2}}),
        ({"cpu_shares": "9999999"}, {"cpu": {"shares": 262_144}}),
        ({"cpuset_mems": "0", "cpuset_cpus": "0"}, {"cpu": {"cpus": "0", "mems": "0"}}),
        ({"blkio_weight": "10"}, {"blockIO": {"weight": 10}}),
        ({"pids_limit": "0"}, {"pids": {"limit": -1}}),
    ],
)
def test_a_flag_becomes_a_resource(flags: dict[str, str], wanted: dict[str, object]) -> None:
    assert resources(**flags) == wanted


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"memory": "1m"}, "Minimum memory limit allowed is 6MB"),
        ({"memory": "8m", "memory_reservation": "9m"}, "can not be less than memory reservation"),
        ({"memory_swap": "8m"}, "You should always set the Memory limit"),
        ({"memory": "9m", "memory_swap": "8m"}, "should be larger than memory limit"),
        ({"cpus": "1", "cpu_quota": "5000"}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"cpus": "1", "cpu_period": "5000"}, "Nano CPUs and CPU Period cannot both be set"),
        ({"cpu_quota": "5"}, "CPU cfs quota can not be less than 1ms"),
        ({"cpu_rt_runtime": "9", "cpu_rt_period": "8"}, "runtime cannot be higher than"),
        ({"blkio_weight": "1001"}, "Range of blkio weight is from 10 to 1000"),
        ({"blkio_weight": "70000"}, "value out of range"),
        ({"cpuset_mems": "99"}, "Requested memory nodes are not available - requested 99"),
    ],
)
def test_what_can_not_be_is_refused(flags: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        resources(**flags)
