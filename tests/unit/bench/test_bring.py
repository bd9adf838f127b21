"""Is everybody measured as often, and who cannot do it told in their own words?"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.bring import Begun, Refused, Row, Use, Way, bring, chosen, execute, last_words


def way(tool: str) -> Way:
    return Way(Row("gzip", tool, "registry"), lambda _: Begun(["true"]), [])


def test_round_before_those_that_count_is_not_counted() -> None:
    seen: list[str] = []

    def measure(one: Way) -> Use:
        seen.append(one.row.tool)
        return Use(len(seen), 0, 0, 0)

    outcomes = bring([way("a"), way("b")], 3, measure)

    assert [len(one.uses) for one in outcomes] == [3, 3]
    assert sorted(seen) == ["a"] * 4 + ["b"] * 4
    assert min(use.seconds for one in outcomes for use in one.uses) == 3


def test_who_refuses_at_first_is_asked_no_more() -> None:
    asked: list[str] = []

    def measure(one: Way) -> Use:
        asked.append(one.row.tool)
        if one.row.tool == "b":
            raise Refused("no zstd")
        return Use(1, 1, 1, 1)

    a, b = bring([way("a"), way("b")], 2, measure)

    assert (len(a.uses), a.refusal) == (2, "")
    assert (b.uses, b.refusal) == ([], "no zstd")
    assert asked.count("b") == 1


def test_who_refuses_later_ends_it() -> None:
    times = iter([Use(1, 1, 1, 1)])

    def measure(_: Way) -> Use:
        for use in times:
            return use
        raise Refused("the disk is full")

    with pytest.raises(Refused, match="the disk is full"):
        bring([way("a")], 1, measure)


def test_command_that_fails_says_why(tmp_path: Path) -> None:
    script = "import sys; print('first\\nlast', file=sys.stderr); sys.exit(3)"

    with pytest.raises(Refused) as caught:
        execute([sys.executable, "-c", script], tmp_path / "said")

    assert str(caught.value) == "last"


def test_command_that_fails_silently_says_its_code(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        execute(["false"], tmp_path / "said")

    assert str(caught.value) == "exit code 1"


def test_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        execute(["no-such-tool"], tmp_path / "said")

    assert str(caught.value) == "there is no no-such-tool here"


def test_long_last_line_loses_its_middle() -> None:
    words = last_words("before\n" + "a" * 100 + "b" * 100 + "\n\n")

    assert words == "a" * 80 + " … " + "b" * 80


def test_only_tools_that_were_named_are_measured() -> None:
    ways = [way("pyrunc"), way("docker")]

    assert chosen(ways, []) == ways
    assert chosen(ways, ["docker"]) == ways[1:]
    with pytest.raises(ValueError, match="no runc here"):
        chosen(ways, ["runc"])
