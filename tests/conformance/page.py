"""docs/conformance.md: the table that the last run gave, and what it promises.

On a host with nothing but cgroup v2 that is docs/conformance-v2.md.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping

from tests.conformance.contenders import NAMES
from tests.conformance.tap import Outcome
from tests.conformance.verdict import (
    OURS,
    Exceptions,
    Reason,
    Results,
    counts,
    version_of,
)
from tests.harness.engine import SOURCE
from tests.harness.host_kind import KINDS

IS_V2 = KINDS["v2 alone"]
PAGE = SOURCE / f"docs/conformance{'-v2' if IS_V2 else ''}.md"
ROW = re.compile(r"\| (?P<name>\w+) \| (?P<word>\w+) (?P<ok>\d+)/(?P<not_ok>\d+)/(?P<skip>\d+) \|")

HEAD = """\
# Conformance{where}

The validation suite of [runtime-tools](https://github.com/opencontainers/runtime-tools), the Open
Container Initiative's own, is a set of programs that make a bundle, drive a runtime through it and
look at the container from inside and outside.  `make conformance` builds it from Debian's source
(version {version}), runs every program with pyrunc-oci, runc and crun, and writes this page.  It
fails if pyrunc-oci does worse than this page says, if runc or crun passes what pyrunc-oci does not,
or if [exceptions.toml](../tests/conformance/exceptions.toml) does not explain a failure.

"""

TABLE = """\
Numbers are results: ok/not ok/skipped.  A program in *italics* claims no result: it passes by being
silent.{crun}

| program | {names} |
|---|{rules}|
"""

CRUN = "  crun refuses hybrid cgroups, so its programs do not see the v2 hierarchy."


def write(results: Results, exceptions: Exceptions, version: str) -> None:
    """Replace the page."""
    head = HEAD.format(version=version, where=" on cgroup v2" if IS_V2 else "")
    lines = [head, *_summary(results, exceptions), "\n"]
    rules = "|".join("---" for _ in NAMES)
    lines.append(TABLE.format(crun="" if IS_V2 else CRUN, names=" | ".join(NAMES), rules=rules))
    for name, row in results.items():
        shown = f"*{name}*" if name in exceptions.silent else name
        cells = [_cell(row[n], exceptions.reasons.get((name, n))) for n in NAMES]
        lines.append(f"| {shown} | {' | '.join(cells)} |\n")
    lines += ["\n## What does not pass, and why\n\n", *_reasons(results, exceptions)]
    PAGE.write_text("".join(lines))


def stated() -> Mapping[str, Outcome]:
    """Return what the page promises of pyrunc-oci; nothing of what chance decides."""
    if not PAGE.exists():
        return {}
    return {
        row["name"]: Outcome(int(row["ok"]), int(row["not_ok"]), int(row["skip"]), (), "")
        for row in map(ROW.match, PAGE.read_text().replace("*", "").splitlines())
        if row
    }


def _cell(one: Outcome, reason: Reason | None) -> str:
    if reason is not None and reason.is_chance:
        return "by chance"
    return f"{'pass' if one.passed else 'FAIL'} {counts(one)}"


def _summary(results: Results, exceptions: Exceptions) -> list[str]:
    chance = {key for key, reason in exceptions.reasons.items() if reason.is_chance}
    lines = [f"On Linux {platform.release().split('-')[0]}, {platform.machine()}:\n\n"]
    for runtime in NAMES:
        unsure = sum((name, runtime) in chance for name in results)
        passed = sum(
            row[runtime].passed for name, row in results.items() if (name, runtime) not in chance
        )
        by_chance = f", {unsure} more by chance" if unsure else ""
        lines.append(f"* {_version(runtime)}: {passed} of {len(results)} pass{by_chance}\n")
    return lines


def _version(runtime: str) -> str:
    return runtime if runtime == OURS else f"{runtime} {version_of(runtime)}"


def _reasons(results: Results, exceptions: Exceptions) -> list[str]:
    """Return one line for each reason, with what it explains."""
    explained: dict[str, tuple[list[str], list[str]]] = {}
    for (name, runtime), reason in exceptions.reasons.items():
        programs, runtimes = explained.setdefault(reason.why, ([], []))
        for value, values in ((name, programs), (runtime, runtimes)):
            if value not in values:
                values.append(value)
    return [
        f"* **{', '.join(programs)}** ({', '.join(runtimes)}): {why}\n"
        for why, (programs, runtimes) in explained.items()
    ]
