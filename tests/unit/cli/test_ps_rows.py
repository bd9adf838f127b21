"""ps and stats: how one row is worded."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pyrunc.cli import commands_look, ps_table
from pyrunc.engine.ps import ContainerSummary
from pyrunc.engine.stats import Sample

SECOND = 1_000_000_000


def summary(**changes: Any) -> ContainerSummary:
    now = time.time_ns()
    values: dict[str, Any] = {
        "id": "ab" * 32, "name": "box", "image": "busybox", "image_id": "sha256:" + "cd" * 32,
        "layers": (), "command": ("sleep", "1000"), "created_ns": now - 180 * SECOND,
        "state": "running", "exit_code": None, "started_ns": now - 180 * SECOND,
        "finished_ns": None, "health": "none", "labels": {}, "networks": ("bridge",),
        "exposed_ports": (), "published_ports": {}, "mounts": (),
    }  # fmt: skip
    return ContainerSummary(**values | changes)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * 20, "x" * 20),
        ("x" * 21, "x" * 19 + "…"),
        ("ä" * 21, "ä" * 19 + "…"),
        ("漢" * 10, "漢" * 10),
        ("漢" * 11, "漢" * 9 + "…"),
        ("", ""),
    ],
)
def test_a_long_text_is_cut_by_columns(text: str, shown: str) -> None:
    assert ps_table.ellipsis(text, 20) == shown


@pytest.mark.parametrize(
    ("exposed", "shown"),
    [
        ((), ""),
        (("80/tcp",), "80/tcp"),
        (("80/tcp", "443/tcp", "81/tcp", "53/udp"), "80-81/tcp, 443/tcp, 53/udp"),
        (("8000-8010/tcp", "8011"), "8000-8011/tcp"),
        (("what", "80/tcp"), "80/tcp, what"),
    ],
)
def test_exposed_ports_are_joined_to_ranges(exposed: tuple[str, ...], shown: str) -> None:
    assert ps_table.ports_text(summary(exposed_ports=exposed)) == shown


def test_published_ports_come_first_and_only_while_it_runs() -> None:
    ports = {
        "80/tcp": [
            {"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"},
        ]
    }  # fmt: skip
    found = summary(published_ports=ports, exposed_ports=("80/tcp", "90/tcp"))

    assert ps_table.ports_text(found) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 90/tcp"
    assert ps_table.ports_text(found.replace(state="exited")) == ""


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "Up 3 minutes"),
        ({"state": "paused"}, "Up 3 minutes (Paused)"),
        ({"health": "starting"}, "Up 3 minutes (health: starting)"),
        ({"health": "healthy"}, "Up 3 minutes (healthy)"),
        ({"state": "created", "started_ns": None}, "Created"),
        ({"state": "dead"}, "Dead"),
        ({"state": "removing"}, "Removal In Progress"),
    ],
)
def test_status_is_worded_as_dockers(changes: dict[str, Any], shown: str) -> None:
    assert ps_table.status_text(summary(**changes)) == shown


def test_status_of_one_that_ended_tells_code_and_age() -> None:
    ended = summary(state="exited", exit_code=137, finished_ns=time.time_ns() - 5 * SECOND)

    assert ps_table.status_text(ended) == "Exited (137) 5 seconds ago"


def test_percentages_and_units_of_stats() -> None:
    before = Sample(asked_for="box", id="ab" * 32, name="box", taken_ns=0, cpu_ns=0)
    now = before.replace(
        is_running=True, taken_ns=2 * SECOND, cpu_ns=3 * SECOND, memory_bytes=3 << 20,
        memory_limit_bytes=64 << 20, received_bytes=1_234_567, sent_bytes=999, pids=3,
    )  # fmt: skip
    row = commands_look.stats_row(now, before)

    assert (row["CPUPerc"], row["MemPerc"], row["PIDs"]) == ("150.00%", "4.69%", "3")
    assert (row["MemUsage"], row["NetIO"]) == ("3MiB / 64MiB", "1.23MB / 999B")
    assert commands_look.stats_row(before, before)["CPUPerc"] == "0.00%"
