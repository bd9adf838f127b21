"""Do the tables say what was measured?"""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.bring import Outcome, Row, Use
from tests.bench.report import FLOOR, goals, markdown, measured, table, write_json

MIB = 1 << 20


def outcome(tool: str, *seconds: float, layers: str = "gzip", source: str = "registry") -> Outcome:
    uses = [Use(one, one + 1, one * 10 * MIB, one * 100 * MIB) for one in seconds]
    return Outcome(Row(layers, tool, source), uses)


def test_row_has_medians_and_ratios_to_pyrunc_on_the_same_data() -> None:
    outcomes = [
        outcome("pyrunc", 100, layers="plain"),
        outcome("pyrunc", 100, source="OCI layout"),
        outcome("pyrunc", 3, 1, 2),
        outcome("docker", 9, 8, 7),
    ]

    last = measured(outcomes).splitlines()[-1]

    assert last == (
        "| gzip | registry | docker | 8.00 | 7.00 to 9.00 | 9.00 | 80 | 800"
        " | 4.00 | 3.00 | 4.00 | 4.00 |"
    )


def test_pyrunc_has_no_ratios_to_itself() -> None:
    last = measured([outcome("pyrunc", 1)]).splitlines()[-1]

    assert (
        last == "| gzip | registry | pyrunc | 1.00 | 1.00 to 1.00 | 2.00 | 10 | 100 |  |  |  |  |"
    )


def test_who_cannot_do_it_says_why_in_the_table() -> None:
    refused = Outcome(Row("zstd", "docker", "registry"), [], "invalid tar | header")

    last = measured([outcome("pyrunc", 1, layers="zstd"), refused]).splitlines()[-1]

    assert last == f"| zstd | registry | docker | cannot: invalid tar \\| header |{'  |' * 8}"
    assert goals([outcome("pyrunc", 1, layers="zstd"), refused]) == ""


def test_goal_is_met_from_its_number_on() -> None:
    met = goals([outcome("pyrunc", 1), outcome("docker", 4), outcome(FLOOR, 0.5)]).splitlines()[2:]
    missed = goals(
        [outcome("pyrunc", 1), outcome("docker", 3.99), outcome(FLOOR, 0.49)]
    ).splitlines()[2:]

    assert [line.rsplit("|", 2)[1].strip() for line in met] == ["yes", "yes"]
    assert [line.rsplit("|", 2)[1].strip() for line in missed] == ["no", "no"]


def test_table_is_markdown() -> None:
    assert table(["a", "b"], [["1"]]) == "| a | b |\n|---|---|\n| 1 |  |"
    assert markdown("Pull", "Linux.", []).startswith("## Pull\n\nLinux.\n\n| layers |")


def test_numbers_of_both_benchmarks_stand_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"

    write_json(path, "load", [outcome("pyrunc", 1)])
    write_json(path, "pull", [outcome("pyrunc", 2), Outcome(Row("a", "b", "c"), [], "why")])

    document = json.loads(path.read_text())
    assert document["load"]["outcomes"][0]["uses"][0]["seconds"] == 1
    assert [one["refusal"] for one in document["pull"]["outcomes"]] == ["", "why"]
