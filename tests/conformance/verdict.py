"""Is pyrunc-oci as good as it has to be, and is every failure explained?"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.conformance.tap import Outcome
from tests.harness.host_kind import KINDS

OURS = "pyrunc-oci"
MOST_FAILED = 17  # programs that claim results, and claim one that is not ok
DATA = Path(__file__).with_name("exceptions.toml")

Results = Mapping[str, Mapping[str, Outcome]]  # by program, then by runtime


class Reason(NamedTuple):
    """Why a program does not pass."""

    why: str
    is_chance: bool = False
    is_blind: bool = False  # the program can't see what it asks about


class Exceptions(NamedTuple):
    """What is in the data file, as far as this kind of host is concerned."""

    reasons: Mapping[tuple[str, str], Reason]  # (program, runtime)
    silent: frozenset[str]
    racy: frozenset[str]
    unhurried: frozenset[str]
    judged: frozenset[str]  # runtimes of the version that the reasons are about


def read_exceptions(path: Path = DATA) -> Exceptions:
    """Read the data file; a misspelt key or two reasons for one failure are errors."""
    document = tomllib.loads(path.read_text())
    reasons: dict[tuple[str, str], Reason] = {}
    for entry in document["exception"]:
        unknown = set(entry) - {"programs", "runtimes", "why", "only_on", "sometimes", "blind"}
        assert not unknown, f"{path}: {unknown} in {entry}"
        if "only_on" in entry and not KINDS[entry["only_on"]]:
            continue
        for program in entry["programs"]:
            for runtime in entry["runtimes"]:
                assert (program, runtime) not in reasons, f"{path}: twice {program} {runtime}"
                why = " ".join(entry["why"].split())
                chance, blind = entry.get("sometimes", False), entry.get("blind", False)
                reasons[program, runtime] = Reason(why, chance, blind)
    judged = {OURS} | {
        name for name, version in document["versions"].items() if version_of(name) == version
    }
    silent, racy, unhurried = (frozenset(document[key]) for key in ("silent", "racy", "unhurried"))
    return Exceptions(reasons, silent, racy, unhurried, frozenset(judged))


def version_of(runtime: str) -> str:
    """Return the version of another runtime, as "1.1.5", or "" if it is not there."""
    if shutil.which(runtime) is None:
        return ""
    done = subprocess.run([runtime, "--version"], capture_output=True, text=True, check=True)
    return re.split(r"[^0-9.]", done.stdout.splitlines()[0].split()[-1])[0]


def complaints(
    results: Results, exceptions: Exceptions, stated: Mapping[str, Outcome]
) -> list[str]:
    """Return what is not as it has to be, in sentences; `stated` is what the document promises."""
    lines = [*_unexplained(results, exceptions), *_behind_others(results, exceptions)]
    failed = [
        name
        for name, row in results.items()
        if not row[OURS].passed
        and name not in exceptions.silent
        and not exceptions.reasons.get((name, OURS), Reason("")).is_blind
    ]
    if len(failed) > MOST_FAILED:
        lines.append(f"{len(failed)} programs fail, {MOST_FAILED} at most may: {', '.join(failed)}")
    for name, row in results.items():
        promised = stated.get(name)
        chance = exceptions.reasons.get((name, OURS), Reason("")).is_chance
        if promised and not chance and _is_worse(row[OURS], promised):
            lines.append(f"{name}: {counts(row[OURS])}, the document says {counts(promised)}")
    return lines


def counts(one: Outcome) -> str:
    """Return "4/1/0": ok, not ok, skipped."""
    return f"{one.ok}/{one.not_ok}/{one.skip}"


def _unexplained(results: Results, exceptions: Exceptions) -> Iterator[str]:
    for name, row in results.items():
        for runtime, one in row.items():
            if runtime not in exceptions.judged:
                continue
            reason = exceptions.reasons.get((name, runtime))
            if reason is None and not one.passed:
                yield f"{name} fails with {runtime}, and nobody says why: {'; '.join(one.problems)}"
            if reason is not None and one.passed and not reason.is_chance:
                yield f"{name} passes with {runtime}, but {DATA.name} says that it can't"
    known = set(results)
    for name, _ in exceptions.reasons:
        if name not in known:
            yield f"{DATA.name} explains {name}, which is not in the suite"


def _behind_others(results: Results, exceptions: Exceptions) -> Iterator[str]:
    for name, row in results.items():
        reason = exceptions.reasons.get((name, OURS))
        others = [runtime for runtime, one in row.items() if one.passed]
        if others and not row[OURS].passed and not (reason and reason.is_chance):
            yield f"{name} fails with {OURS}, but passes with {' and '.join(others)}"


def _is_worse(now: Outcome, promised: Outcome) -> bool:
    return now.ok < promised.ok or now.not_ok > promised.not_ok or now.skip > promised.skip
