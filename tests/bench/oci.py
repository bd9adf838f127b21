"""The runtime alone: create, start and delete of one bundle, against runc and crun."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Contender, interleaved, milliseconds, table
from tests.harness.engine import Engine
from tests.images import busybox

_numbers = itertools.count()


def make_bundle(directory: Path) -> Path:
    """Write a bundle: the configuration that `runc spec` proposes, and busybox."""
    bundle = directory / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    layer = busybox.write_layer(directory / "layer.tar")
    subprocess.run(["tar", "-x", "-f", layer.tar, "-C", bundle / "rootfs"], check=True)
    subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
    path = bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["process"] |= {"terminal": False, "args": ["/bin/true"], "rlimits": []}
    path.write_text(json.dumps(spec))
    return bundle


def life(program: str, root: Path, bundle: Path) -> float:
    """Create, start and delete one container; return the milliseconds of the three commands."""
    name = f"bench{next(_numbers)}"
    prefix = [program, "--root", str(root)]
    return (
        milliseconds([*prefix, "create", "--bundle", str(bundle), name])
        + milliseconds([*prefix, "start", name])
        + milliseconds([*prefix, "delete", "--force", name])
    )


def candidates(pyrunc: Engine) -> Iterator[tuple[str, str]]:
    """Yield the names and programs of the runtimes that are there."""
    yield "pyrunc-oci", str(Path(pyrunc.argv()[0]).with_name("pyrunc-oci"))
    for name in ("runc", "crun"):
        if path := shutil.which(name):
            yield name, path


def bench(directory: Path, pyrunc: Engine, rounds: int) -> str:
    """Run everybody in turn, and report; a runtime that refuses this host is left out by name."""
    bundle = make_bundle(directory)
    contenders: dict[str, Contender] = {}
    refused = []
    for name, program in candidates(pyrunc):
        try:
            life(program, directory / name, bundle)
        except RuntimeError as error:
            refused.append(f"  {name} does not take part: {error}")
            continue
        contenders[name] = lambda p=program, n=name: life(p, directory / n, bundle)  # type: ignore[misc]  # defaults of a lambda have no types
    times = interleaved(contenders, rounds)
    title = f"Runtime: create + start + delete of one bundle (median of {rounds})"
    return "\n".join([table(title, times, {"pyrunc-oci": ["runc", "crun"]}), *refused])
