"""Is what a validation program says understood, and silence not taken for a pass?"""

from __future__ import annotations

from tests.conformance.tap import outcome

STREAM = """TAP version 13
ok 1 - has a name
not ok 2 - has a limit
  ---
  {
    "error": "exit status 1"
  }
  ...
ok 3 # SKIP nothing to look at
not ok 4 - not there yet # TODO
1..4
"""


def test_results_are_counted_and_failures_named() -> None:
    one = outcome(STREAM, "", 0)

    assert (one.ok, one.not_ok, one.skip) == (1, 1, 2)
    assert one.problems == ("has a limit",)


def test_program_that_gives_up_does_not_pass() -> None:
    one = outcome("TAP version 13\nok 1 - one\n1..1\n", "first\nexit status 1\n", 1)

    assert one.problems == ("gives up: exit status 1",)


def test_program_that_takes_too_long_does_not_pass() -> None:
    assert outcome("ok 1 - one\n", "", None).problems == ("takes too long",)


def test_program_that_says_nothing_does_not_pass() -> None:
    assert outcome("TAP version 13\n1..0\n", "", 0).problems == ("says nothing",)


def test_program_that_ends_early_does_not_pass() -> None:
    assert outcome("1..3\nok 1 - one\n", "", 0).problems == ("3 results were announced, 1 came",)


def test_silent_program_passes_until_it_complains() -> None:
    complaint = (
        'TAP version 13\n  ---\n  {\n    "error": "Hooks MUST be called"\n  }\n  ...\n1..0\n'
    )

    assert outcome("TAP version 13\n1..0\n", "", 0, may_be_silent=True).passed
    assert outcome(complaint, "", 0, may_be_silent=True).problems == ("Hooks MUST be called",)
