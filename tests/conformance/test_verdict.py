"""Does the judge of the conformance suite see what is wrong?"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import page
from tests.conformance.tap import Outcome
from tests.conformance.verdict import MOST_FAILED, Exceptions, Reason, complaints, read_exceptions

GOOD = Outcome(4, 0, 0, (), "")
BAD = Outcome(3, 1, 0, ("has a limit",), "")


def exceptions(reasons: dict[tuple[str, str], Reason]) -> Exceptions:
    none: frozenset[str] = frozenset()
    return Exceptions(reasons, none, none, none, frozenset(("pyrunc-oci", "runc")))


def judged(
    reasons: dict[tuple[str, str], Reason], stated: dict[str, Outcome] | None = None, **row: Outcome
) -> list[str]:
    """Return the complaints about one program, `kill`."""
    results = {"kill": {name.replace("_", "-"): one for name, one in row.items()}}
    return complaints(results, exceptions(reasons), stated or {})


def test_failure_without_a_reason_is_a_complaint() -> None:
    assert judged({}, pyrunc_oci=BAD) == [
        "kill fails with pyrunc-oci, and nobody says why: has a limit"
    ]
    assert judged({("kill", "pyrunc-oci"): Reason("why", False)}, pyrunc_oci=BAD) == []


def test_exception_that_passes_is_a_complaint_unless_chance_decides() -> None:
    key = ("kill", "pyrunc-oci")

    assert judged({key: Reason("why", False)}, pyrunc_oci=GOOD) == [
        "kill passes with pyrunc-oci, but exceptions.toml says that it can't"
    ]
    assert judged({key: Reason("why", True)}, pyrunc_oci=GOOD) == []


def test_what_another_runtime_passes_has_to_pass() -> None:
    reasons = {("kill", "pyrunc-oci"): Reason("why", False)}

    assert judged(reasons, pyrunc_oci=BAD, runc=GOOD) == [
        "kill fails with pyrunc-oci, but passes with runc"
    ]


def test_version_that_the_reasons_are_not_about_is_not_judged() -> None:
    assert judged({}, pyrunc_oci=GOOD, runc=BAD)
    assert not judged({}, pyrunc_oci=GOOD, crun=BAD)


def test_fewer_results_than_stated_are_a_complaint() -> None:
    fewer = Outcome(3, 0, 0, (), "")

    assert judged({}, {"kill": GOOD}, pyrunc_oci=fewer) == ["kill: 3/0/0, the document says 4/0/0"]


def test_too_many_failures_are_a_complaint_however_well_explained() -> None:
    names = [f"program{number}" for number in range(MOST_FAILED + 1)]
    results = {name: {"pyrunc-oci": BAD} for name in names}
    reasons = {(name, "pyrunc-oci"): Reason("why", False) for name in names}

    (line,) = complaints(results, exceptions(reasons), {})
    assert line.startswith(f"{MOST_FAILED + 1} programs fail")


def test_what_a_program_is_blind_for_does_not_count() -> None:
    names = [f"program{number}" for number in range(MOST_FAILED + 1)]
    results = {name: {"pyrunc-oci": BAD} for name in names}
    reasons = {(name, "pyrunc-oci"): Reason("why") for name in names[1:]}
    reasons[names[0], "pyrunc-oci"] = Reason("why", is_blind=True)

    assert complaints(results, exceptions(reasons), {}) == []


def test_reason_for_a_program_that_is_not_there_is_a_complaint() -> None:
    reasons = {("fly", "runc"): Reason("why", False)}

    assert judged(reasons, pyrunc_oci=GOOD) == [
        "exceptions.toml explains fly, which is not in the suite"
    ]


def test_data_file_is_read_and_a_misspelt_key_refused(directory: Path) -> None:
    assert "prestart" in read_exceptions().silent
    wrong = directory / "wrong.toml"
    wrong.write_text(
        'silent = []\nracy = []\nunhurried = []\n[versions]\n[[exception]]\nprogram = ["kill"]\n'
    )

    with pytest.raises(AssertionError, match="program"):
        read_exceptions(wrong)


def test_page_promises_what_it_shows() -> None:
    stated = page.stated()

    assert len(stated) == 58
    assert stated["state"] == Outcome(3, 0, 0, (), "")
