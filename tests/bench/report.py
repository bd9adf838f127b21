"""How do outcomes become tables that can stand in docs/performance.md, and a file for machines?"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.bring import Outcome, Use

PYRUNC = "pyrunc"
PEERS = ("dockerd", "podman", "skopeo", "umoci", "igzip", "zstd", "tar")
FLOOR = "tar alone"  # decompression and tar, and nothing else


class Goal(NamedTuple):
    """How many times as long as pyrunc another must take."""

    other: str
    times: float
    words: str


GOALS = (
    Goal("docker", 4.0, "≥ 4 times as fast as docker"),
    Goal("skopeo", 3.0, "≥ 3 times as fast as skopeo into containers-storage"),
    Goal(FLOOR, 0.5, "within 2 times of decompressing into tar"),
)


def medians(outcome: Outcome) -> Use:
    """Return the median of each column."""
    return Use._make(statistics.median(column) for column in zip(*outcome.uses, strict=True))


def ratios(outcome: Outcome, outcomes: Sequence[Outcome]) -> Use | None:
    """Return the tool's medians divided by pyrunc's on the same data; None if one is not there."""
    row = outcome.row
    ours = next(
        (
            one
            for one in outcomes
            if one.row.tool == PYRUNC
            and (one.row.layers, one.row.source) == (row.layers, row.source)
        ),
        None,
    )
    if ours is None or not ours.uses or not outcome.uses:
        return None
    pairs = zip(medians(outcome), medians(ours), strict=True)
    return Use._make(theirs / max(own, 1e-9) for theirs, own in pairs)


def markdown(title: str, facts: str, outcomes: Sequence[Outcome]) -> str:
    """Return a section with both tables."""
    parts = [f"## {title}", facts, measured(outcomes), goals(outcomes)]
    return "\n\n".join(part for part in parts if part)


def facts() -> str:
    """Return what machine this is, how busy it is now, and who is compared."""
    system, _, _, _, _ = os.uname()
    lines = [f"{system} {platform.release()}", f"{os.cpu_count()} processors"]
    lines += [f"load average {os.getloadavg()[0]:.1f} before"]
    lines += [f"{tool} {version}" for tool, version in versions().items()]
    return ", ".join(lines) + "."


def versions() -> dict[str, str]:
    """Return the versions of the tools that are installed here."""
    found = {}
    for tool in PEERS:
        if shutil.which(tool):
            said = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout
            if match := re.search(r"\d+\.\d[\w.]*", said):
                found[tool] = match.group()
    return found


def measured(outcomes: Sequence[Outcome]) -> str:
    """Return the table of what each needed, and of its ratios to pyrunc."""
    head = ["layers", "from", "tool", "s", "fastest to slowest", "s, synced", "memory, MiB"]
    head += ["written, MiB", "time / pyrunc", "synced", "memory", "written"]
    return table(head, [_cells(one, outcomes) for one in outcomes])


def _cells(outcome: Outcome, outcomes: Sequence[Outcome]) -> list[str]:
    row = outcome.row
    name = [row.layers, row.source, row.tool]
    if not outcome.uses:
        return [*name, f"cannot: {outcome.refusal}"]
    use = medians(outcome)
    times = [one.seconds for one in outcome.uses]
    cells = [f"{use.seconds:.2f}", f"{min(times):.2f} to {max(times):.2f}"]
    cells += [f"{use.synced_seconds:.2f}"]
    cells += [f"{use.memory_bytes / 2**20:.0f}", f"{use.written_bytes / 2**20:.0f}"]
    against = ratios(outcome, outcomes)
    if against is None or row.tool == PYRUNC:
        return name + cells
    return name + cells + [f"{ratio:.2f}" for ratio in against]


def goals(outcomes: Sequence[Outcome]) -> str:
    """Return the table of goals, a line for each row that one is about; "" if there is none."""
    lines = []
    for goal in GOALS:
        for one in outcomes:
            against = ratios(one, outcomes) if one.row.tool == goal.other else None
            if against is not None:
                reached = f"{against.seconds:.3f} (synced {against.synced_seconds:.3f})"
                is_met = "yes" if against.seconds >= goal.times else "no"
                where = f"{one.row.layers}, {one.row.source}"
                lines.append([goal.words, where, f"{goal.times:g}", reached, is_met])
    head = ["goal", "layers", "other / pyrunc ≥", "reached", "met"]
    return table(head, lines) if lines else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; short rows are filled up."""

    def line(cells: Sequence[str]) -> str:
        filled = [*cells, *[""] * (len(head) - len(cells))]
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in filled)} |"

    return "\n".join([line(head), f"|{'---|' * len(head)}", *map(line, rows)])


def write_json(path: Path, what: str, outcomes: Sequence[Outcome]) -> None:
    """Write every single number, beside those of other benchmarks that are in the file."""
    document = json.loads(path.read_text()) if path.exists() else {}
    document[what] = {
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "outcomes": [
            one.row._asdict()
            | {"refusal": one.refusal, "uses": [use._asdict() for use in one.uses]}
            for one in outcomes
        ],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
