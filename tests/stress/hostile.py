"""Every hostile layer by commands: load, pull and import, and rmi of what was taken in.

The suite does the same in one process (tests/security/test_unpack_attacks); here are also the
layers that are only large.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from pyrunc.paths import Paths
from pyrunc.storage.atomic import remove_tree
from tests.fuzz import stacks
from tests.harness import raw_tar
from tests.harness.engine import Completed, Engine
from tests.harness.raw_tar import END, directory, file, pax, symlink
from tests.harness.registry_double import Double, running_double
from tests.harness.slow_clock import SLOWNESS
from tests.harness.store import Rootfs, snapshot
from tests.security.attacks import TABLE, Attack, aimed

_NUMBER = 4093
_SHOWN = 5
_PATIENCE_SECONDS = 60
_MANY = 30_000
_LARGE = {
    "100,000 entries": [b"".join(file(f"{i % 100}/{i}", b"") for i in range(100_000))],
    "links to one directory, and files through all of them": [
        directory("d") + b"".join(symlink(f"l{i}", "d") for i in range(_MANY)),
        b"".join(file(f"l{i}/{i}") for i in range(_MANY)),
    ],
    "hard links to files of the layer below": [
        b"".join(file(f"f{i}") for i in range(_MANY)),
        b"".join(raw_tar.hardlink(f"h{i}", f"f{i}") for i in range(_MANY)),
    ],
    "names of 57 KB": [pax({"path": b"/".join([b"d" * 30] * 1900) + b"/f"}) + file("x")],
}


def layer_stack_problems(seeds: Iterable[int]) -> list[str]:
    """Return where the program and the plain model differ, for random stacks of layers."""
    problems: list[str] = []
    for seed in seeds:
        chance = random.Random(seed)
        layers = stacks.stack(chance)
        raw = [stacks.written(entries, chance) for entries in layers]
        with tempfile.TemporaryDirectory(prefix="pyrunc-stack-", dir="/var/tmp") as place:
            ours = stacks.by_pyrunc(raw, Path(place))
        found = stacks.differences(ours, stacks.by_model(layers))
        problems += [f"seed {seed}: {one}" for one in found[:_SHOWN]]
    return problems


def layers_by_commands() -> list[str]:
    """Return what went wrong, of all attacks in all ways."""
    place = Path(tempfile.mkdtemp(prefix="pyrunc-stress-", dir="/var/tmp"))
    canary = place / "canary"
    canary.mkdir()
    (canary / "file").write_text("top secret")
    before = snapshot(canary)
    engine = Engine(place, _NUMBER)
    problems: list[str] = []
    try:
        with running_double() as registry:
            for name, layers, attack in _cases(canary):
                for words in _ways(place, registry, layers):
                    found = list(_play(engine, words, attack))
                    problems += [f"{name}, {words[0]}: {problem}" for problem in found]
                if snapshot(canary) != before:
                    return [*problems, f"{name}: the canary has changed"]
        problems += engine("system", "check", "--repair").stdout.splitlines()
        return problems
    finally:
        remove_tree(str(engine.root))
        engine.remove()


def _cases(canary: Path) -> Iterator[tuple[str, list[bytes], Attack | None]]:
    for group, attacks in TABLE.items():
        for attack in attacks:
            end = b"" if attack.raw else END
            layers = [aimed(layer, str(canary)) + end for layer in attack.layers]
            yield f"{group}: {attack.name}", layers, attack
    for name, layers in _LARGE.items():
        yield name, [layer + END for layer in layers], None


def _ways(place: Path, registry: Double, layers: list[bytes]) -> Iterator[list[str]]:
    archive = raw_tar.docker_archive(place / "a.tar", layers)
    yield ["load", "-i", str(archive)]
    registry.blobs.clear()
    registry.add_image("attack:latest", layers)
    yield ["pull", f"{registry.host}/attack"]
    if len(layers) == 1 and layers[0]:
        (place / "rootfs.tar").write_bytes(layers[0])
        yield ["import", str(place / "rootfs.tar"), "attack"]


def _play(engine: Engine, words: list[str], attack: Attack | None) -> Iterator[str]:
    begun = time.monotonic()
    done = engine(*words, timeout=600)
    if time.monotonic() - begun > _PATIENCE_SECONDS * SLOWNESS:
        yield f"it takes {time.monotonic() - begun:.0f} s"
    name = words[1] if words[0] == "pull" else "attack"
    if attack is not None and attack.wanted == "refuse":
        yield from _refused(done, attack)
    elif done.returncode != 0:
        yield f"it is refused: {done.stderr[:300]!r}"
    else:
        with Rootfs(Paths(root=str(engine.root), runroot=str(engine.runroot)), name) as root:
            if attack is not None and not attack.check(root):
                yield "its tree is not as it should be"
        begun = time.monotonic()
        removed = engine("rmi", "-f", name, timeout=600)
        if removed.returncode or time.monotonic() - begun > _PATIENCE_SECONDS * SLOWNESS:
            yield f"it cannot be removed: {removed.stderr[:300]!r}"
    for left in ("layers", "oci/blobs/sha256", "images", "tmp"):
        # `empty` is no layer: what overlays of one layer have below it.
        if (engine.root / left).is_dir() and set(os.listdir(engine.root / left)) - {"empty"}:
            yield f"something is left in {left}"


def _refused(done: Completed, attack: Attack) -> Iterator[str]:
    lines = done.stderr.splitlines()
    if done.returncode != 1 or not lines:
        yield f"it is not refused: exit code {done.returncode}"
        return
    said = [line for line in lines if not line.startswith("hint: ")]
    is_clean = said[-1].startswith("pyrunc: ") and "internal error" not in done.stderr
    if not is_clean or attack.words not in said[-1] or "top secret" in done.stderr:
        yield f"its words are not right: {done.stderr[:300]!r}"
