"""Does every import point the way that docs/architecture.md says?

    cli -> engine (and build) -> {image, storage, network, runtime, monitor} -> kernel
        -> {oci, errors, paths, log}

Siblings never import each other; they meet in engine.  Exception: cli/oci*.py call runtime.
"""

from __future__ import annotations

import re
from collections import deque

import pytest

from tests.unit.static.imports import Import, imports, modules

MIDDLE = {"image", "storage", "network", "runtime", "monitor"}
GROUND = {"oci", "errors", "paths", "log", ""}

MAY_IMPORT: dict[str, set[str]] = {
    "cli": {"cli", "engine", "build"} | GROUND,
    "build": {"build", "engine"} | MIDDLE | {"kernel"} | GROUND,
    "engine": {"engine"} | MIDDLE | {"kernel"} | GROUND,
    **{area: {area, "kernel"} | GROUND for area in MIDDLE},
    "kernel": {"kernel"} | GROUND,
    "oci": {"oci", "errors", ""},
    "log": {"log", "errors", ""},
    "paths": {"oci", "errors", ""},
    "errors": {"errors", ""},
    "": {""},
}
# The runtime's own command line has no engine above it: cli/oci.py and its cli/oci_*.py.
EXCEPTIONS = {"pyrunc.cli.oci": {"runtime", "kernel"}}

ALL = imports()
OWN = [one for one in ALL if one.imported.split(".")[0] == "pyrunc"]


def area(module: str) -> str:
    """Return the second part of a name: "storage" of pyrunc.storage.layers; "" for pyrunc."""
    return [*module.split("."), ""][1]


def is_allowed(one: Import) -> bool:
    family = one.importer.partition("_")[0]
    if area(one.imported) in EXCEPTIONS.get(family, ()):
        return True
    return area(one.imported) in MAY_IMPORT[area(one.importer)]


def chain_to(module: str) -> list[str]:
    """Return the shortest way by which a command comes to import `module`."""
    ways: dict[str, list[str]] = {one: [one] for one in modules() if area(one) == "cli"}
    queue = deque(ways)
    while queue:
        here = queue.popleft()
        for one in OWN:
            if one.importer == here and one.imported not in ways:
                ways[one.imported] = [*ways[here], one.imported]
                queue.append(one.imported)
    return ways.get(module, [module])


def test_every_area_has_a_rule() -> None:
    assert {area(module) for module in modules()} <= set(MAY_IMPORT)


def test_imports_follow_the_direction_of_dependency() -> None:
    wrong = [
        " -> ".join([*chain_to(one.importer), one.imported]) + f"  (line {one.line})"
        for one in OWN
        if not is_allowed(one)
    ]

    assert not wrong, "against the direction of dependency:\n" + "\n".join(wrong)


# Each third-party package has one door.
DOORS = {
    "pyroute2": {"pyrunc.kernel.netlink"},
    "prctl": {"pyrunc.kernel.prctl"},
    "jeepney": {"pyrunc.kernel.systemd"},
    "subprocess": set[str](),
    "tarfile": set[str](),
    "urllib3": {"pyrunc.image.transport", "pyrunc.image.unreachable"},
    "rich": {"pyrunc.cli.output", "pyrunc.cli.progress"},
}


@pytest.mark.parametrize("package", sorted(DOORS))
def test_package_is_imported_through_its_one_door(package: str) -> None:
    through = {one.importer for one in ALL if one.imported.split(".")[0] == package}

    assert through <= DOORS[package]


def test_oci_documents_do_no_input_or_output() -> None:
    doors = {"socket", "io", "pathlib", "shutil", "tempfile", "_sqlite3", "sqlite3", "urllib3"}
    guilty = [one for one in ALL if area(one.importer) == "oci" and one.imported in doors]
    calls = re.compile(r"\bopen\(|(?<!\")\bos\.(?!uname)\w+")  # what this machine is may be asked
    found = [
        f"{name}: {match.group()}"
        for name, path in modules().items()
        if area(name) == "oci"
        for match in calls.finditer(path.read_text())
    ]

    assert (guilty, found) == ([], [])
