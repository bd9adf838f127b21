"""One more process in a container that runs: exec of `true`, against runc and crun.

Detached as engines call it, with a file that describes the process and one for its number, in a
container with docker's seccomp filter and in one without; and in the foreground, as a person does.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pyrunc.kernel.probe import probe
from pyrunc.runtime.default_spec import DEFAULT_CAPABILITIES
from pyrunc.runtime.seccomp import load_filter
from tests.bench.measure import interleaved, table
from tests.bench.oci import Contender, candidates, make_bundle
from tests.harness.engine import Engine

PEERS = {"pyrunc-oci": ["runc", "crun"]}


def bench(directory: Path, pyrunc: Engine, rounds: int) -> str:
    """Run everybody in turn, and report; a runtime that refuses this host is left out by name."""
    base = directory / "exec"
    bundle = make_bundle(base)
    path = bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["process"]["args"] = ["/bin/sleep", "10000"]
    spec["linux"].pop("seccomp", None)
    process = base / "process.json"
    process.write_text(json.dumps(spec["process"] | {"args": ["/bin/true"]}))
    detached = ["--detach", "--pid-file", str(base / "pid"), "--process", str(process)]
    path.write_text(json.dumps(spec))
    title = f"exec of a process in a container (median of {rounds})"
    lines = [_series(f"{title}, detached, no filter", pyrunc, base, (rounds, detached, []))]
    names = frozenset(DEFAULT_CAPABILITIES)
    spec["linux"]["seccomp"] = load_filter(None, names, probe(), str(base / "cache")).document
    path.write_text(json.dumps(spec))
    lines.append(_series(f"{title}, detached", pyrunc, base, (rounds, detached, [])))
    lines.append(_series(f"{title}, foreground", pyrunc, base, (rounds, [], ["/bin/true"])))
    return "\n".join(lines)


def _series(title: str, pyrunc: Engine, base: Path, words: tuple[int, list[str], list[str]]) -> str:
    rounds, flags, command = words
    with _running(pyrunc, base) as (runtimes, refused):
        contenders = {
            name: partial(one.timer, [*one.prefix, "exec", *flags, f"bench-{name}", *command])
            for name, one in runtimes.items()
        }
        return "\n".join([table(title, interleaved(contenders, rounds), PEERS), *refused])


@contextmanager
def _running(pyrunc: Engine, base: Path) -> Iterator[tuple[dict[str, Contender], list[str]]]:
    """Start one container a runtime; yield the runtimes, and the words of those that refuse."""
    runtimes: dict[str, Contender] = {}
    refused = []
    for name, one in candidates(pyrunc, base):
        try:
            one.timer([*one.prefix, "create", "--bundle", str(base / "bundle"), f"bench-{name}"])
            one.timer([*one.prefix, "start", f"bench-{name}"])
            runtimes[name] = one
        except RuntimeError as error:
            refused.append(f"  {name} does not take part: {error}")
    try:
        yield runtimes, refused
    finally:
        for name, one in runtimes.items():
            subprocess.run([*one.prefix, "delete", "--force", f"bench-{name}"], check=False)
