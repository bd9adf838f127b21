"""Which fields does a JSON document have, and of which types?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Maps with free keys, whose values are all of one kind.
FREE = (
    "Labels", "Ports", "Networks", "ExposedPorts", "Volumes", "PortBindings", "Tmpfs", "Sysctls",
    "LogConfig.Config",
)  # fmt: skip

# The containers whose documents are compared, as words behind `pyrunc` or `docker`.
MADE = (
    "run -d --name one -m 64m --cpus 0.5 -l a=b -e A=1 --cap-add NET_ADMIN "
    "-v /tmp:/mnt:ro -v data:/data --tmpfs /t --ulimit nofile=1000:2000 "
    "--device /dev/null:/dev/x --init --health-cmd true --health-interval 1h "
    "--restart on-failure:2 busybox sleep 1000",
    "create --name two busybox true",
    "run --name three --stop-signal INT busybox true",
)

Shape = dict[str, set[str]]


def shape(documents: Iterable[Any]) -> Shape:
    """Return the paths of all fields with the types that they have in any of the documents."""
    found: Shape = {}
    for document in documents:
        _add(found, "", document)
    found.pop("")
    return found


def _add(found: Shape, path: str, value: Any) -> None:
    kinds = {type(None): "null", bool: "bool", int: "number", float: "number", str: "text"}
    if isinstance(value, dict):
        found.setdefault(path, set()).add("map")
        for key, item in value.items():
            name = "*" if path.endswith(FREE) else key
            _add(found, f"{path}.{name}".lstrip("."), item)
    elif isinstance(value, list):
        found.setdefault(path, set()).add("list")
        for item in value:
            _add(found, f"{path}[]", item)
    else:
        found.setdefault(path, set()).add(kinds[type(value)])


def read_shape() -> Shape:
    """Return docker's, as it was written down; test_tutorials of tests/engines compares."""
    lines = (HERE / "docker_inspect.txt").read_text().splitlines()
    return {path: set(kinds.split("|")) for path, kinds in (line.split() for line in lines)}


def write_shape(found: Shape) -> str:
    """Return the text of that file."""
    return "".join(f"{path} {'|'.join(sorted(kinds))}\n" for path, kinds in sorted(found.items()))


def reasons(table: str) -> dict[str, str]:
    """Return which "fields" or "values" differ, and why."""
    with (HERE / "inspect_differences.toml").open("rb") as file:
        found: dict[str, str] = tomllib.load(file)[table]
    return found


def differences(docker: Shape, ours: Shape) -> dict[str, str]:
    """Return what is missing, added, or of a type that docker's users do not expect.

    null is as good as an empty list or map: Go's templates and most programs take both.
    """
    found = {path: "missing" for path in docker.keys() - ours.keys()}
    found |= {path: "added" for path in ours.keys() - docker.keys()}
    for path in docker.keys() & ours.keys():
        kinds = ours[path] - docker[path] - {"null"}
        if kinds and not (docker[path] == {"null"} and kinds <= {"list", "map"}):
            found[path] = f"{'|'.join(sorted(kinds))} instead of {'|'.join(sorted(docker[path]))}"
    return dict(sorted(found.items()))


# What differs between any two containers, or any two engines' directories.
_VOLATILE = re.compile(
    r"[0-9a-f]{12,64}|\d{4}-\d\d-\d\dT[\d:.]+Z|(?<=\.)0001-01-01T00:00:00Z"
    r"|(?:(?:<home>)?/(?!tmp|mnt|t\b|dev|proc|sys|usr)[\w./:-]+)+|\b(?:\d+\.){3}\d+\b|02:42[:0-9a-f]+"
)
_NUMBERS = ("State.Pid", "NetworkSettings.IPPrefixLen", "NetworkSettings.Networks.*.IPPrefixLen")


def values(documents: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the values of all fields, in order, with what is of one run only made equal."""
    found: dict[str, list[Any]] = {}
    for document in documents:
        _collect(found, "", document)
    return found


def _collect(found: dict[str, list[Any]], path: str, value: Any) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            name = "*" if path.endswith(FREE) else key
            _collect(found, f"{path}.{name}".lstrip("."), item)
    elif isinstance(value, list) and value:
        for item in sorted(value, key=str):
            _collect(found, f"{path}[]", item)
    elif isinstance(value, str):
        # docker's client of 28 writes CAP_NET_ADMIN, that of 20.10 what was typed
        text = value.removeprefix("CAP_") if path == "HostConfig.CapAdd[]" else value
        found.setdefault(path, []).append(_VOLATILE.sub("…", text))
    elif path in _NUMBERS:
        found.setdefault(path, []).append(bool(value))
    elif value not in ([], {}, None):
        found.setdefault(path, []).append(value)


def different_values(docker: dict[str, list[Any]], ours: dict[str, list[Any]]) -> set[str]:
    """Return the fields that both have, with other values."""
    return {path for path in docker.keys() & ours.keys() if docker[path] != ours[path]}
