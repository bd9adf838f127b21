"""Is every property of config.json either applied or refused, none neither and none both?

Walks the JSON schemas of the specification (schema/) and holds them against schema_table.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.errors import InvalidInput, PyruncError
from pyrunc.runtime import seccomp
from pyrunc.runtime.plan import compile_plan
from pyrunc.runtime.validate import check_shape

from .schema_table import APPLIED, OTHER, REFUSED
from .test_validate import CONTEXT, FACTS, spec_with

SCHEMA = Path(__file__).parent / "schema"
SOURCE = Path(__file__).parents[3]
DOCUMENTS = {path.name: json.loads(path.read_text()) for path in SCHEMA.glob("*.json")}


# -- the walk --------------------------------------------------------------------------------


def resolve(reference: str, here: str) -> tuple[dict[str, Any] | None, str]:
    """Return what a $ref names and the file it is in; None for a file of another platform."""
    file, _, path = reference.partition("#")
    file = file or here
    if file not in DOCUMENTS:
        return None, file
    node: dict[str, Any] = DOCUMENTS[file]
    for key in path.strip("/").split("/"):
        node = node[key]
    return node, file


def leaves(node: dict[str, Any], file: str, path: str) -> Iterator[str]:
    """Yield the path of every property without properties of its own: "mounts[].options[]"."""
    if "$ref" in node:
        target, file = resolve(node["$ref"], file)
        yield from leaves(target, file, path) if target is not None else iter((path,))
        return
    below = [(child, path) for key in ("anyOf", "oneOf", "allOf") for child in node.get(key, ())]
    below += [(c, f"{path}.{name}".lstrip(".")) for name, c in node.get("properties", {}).items()]
    below += [(c, f"{path}.*") for c in node.get("patternProperties", {}).values()]
    if isinstance(node.get("additionalProperties"), dict):
        below.append((node["additionalProperties"], f"{path}.*"))
    if "items" in node:
        below.append((node["items"], f"{path}[]"))
    if not below and node.get("type") != "null":
        yield path
    for child, place in below:
        yield from leaves(child, file, place)


def expand(pattern: str) -> Iterator[str]:
    """Yield the alternatives of a pattern with braces."""
    before, brace, rest = pattern.partition("{")
    if not brace:
        yield pattern
        return
    words, _, after = rest.partition("}")
    for word in words.split(","):
        yield from expand(before + word + after)


LEAVES = sorted(
    {
        path
        for name in ("config-schema.json", "added.json")
        for path in leaves(DOCUMENTS[name], name, "")
    }
)
TESTS = {path: node for pattern, node in APPLIED.items() for path in expand(pattern)}


def test_the_walk_finds_the_whole_document() -> None:
    assert len(LEAVES) > 175
    assert {"process.args[]", "linux.resources.rdma.*.hcaObjects", "windows"} <= set(LEAVES)


def test_every_property_is_applied_or_refused_and_none_is_both() -> None:
    tables = [set(TESTS), set(REFUSED), set(OTHER)]
    known: set[str] = set().union(*tables)
    assert sorted(set(LEAVES) - known) == []  # neither
    assert sorted(known - set(LEAVES)) == []  # no such property
    assert sum(map(len, tables)) == len(known)  # both


def test_every_pattern_of_the_table_is_its_own() -> None:
    assert len(TESTS) == sum(1 for pattern in APPLIED for _ in expand(pattern))


# -- applied ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """Return the integration tests that pytest finds, those of other kinds of hosts too."""
    files = sorted({node.partition("::")[0] for node in TESTS.values()})
    line = [sys.executable, "-m", "pytest", "--collect-only", "-q", *files]
    environment = os.environ | {"PYRUNC_COLLECT_ALL": "1"}
    done = subprocess.run(line, cwd=SOURCE, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}


def test_each_applied_property_names_a_test_that_is_there(collected: set[str]) -> None:
    assert {path: node for path, node in TESTS.items() if node not in collected} == {}


def full_document() -> dict[str, Any]:
    """Return a document with every applied property in it, each of the right shape."""
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    device = {"major": 8, "minor": 0}
    hook = {"path": "/x", "args": ["x"], "env": ["A=b"], "timeout": 1}
    kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")
    comparison = {"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_EQ"}
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [comparison]}
    sets = ("bounding", "permitted", "effective", "inheritable", "ambient")
    spec = spec_with("hostname", "h")
    mount = {"destination": "/a", "type": "bind", "source": "/srv", "options": ["bind"]}
    spec["mounts"].insert(0, mount | {"uidMappings": maps, "gidMappings": maps})
    spec |= {"domainname": "d", "annotations": {"key": "value"}}
    spec["hooks"] = {kind: [dict(hook)] for kind in (*kinds, "poststop")}
    spec["root"]["readonly"] = True
    spec["process"] |= {
        "consoleSize": {"height": 1, "width": 1},
        "user": {"uid": 0, "gid": 0, "umask": 0, "additionalGids": [1]},
        "env": ["A=b"],
        "capabilities": {name: ["CAP_KILL"] for name in sets},
        "noNewPrivileges": True,
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        "oomScoreAdj": 1,
        "scheduler": {
            "policy": "SCHED_OTHER",
            "nice": 0,
            "priority": 0,
            "flags": ["SCHED_FLAG_RESET_ON_FORK"],
            "runtime": 0,
            "deadline": 0,
            "period": 0,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1},
        "execCPUAffinity": {"initial": "0", "final": "0"},
    }
    spec["linux"] |= {
        "devices": [device | {"path": "/d", "type": "c", "fileMode": 0, "uid": 0, "gid": 0}],
        "namespaces": [{"type": "network", "path": "/x"}, *spec["linux"]["namespaces"]],
        "uidMappings": maps,
        "gidMappings": maps,
        "timeOffsets": {"boottime": {"secs": 1, "nanosecs": 1}},
        "cgroupsPath": "/x",
        "rootfsPropagation": "private",
        "sysctl": {"net.core.somaxconn": "1"},
        "mountLabel": "l",
        "netDevices": {"eth9": {"name": "eth0"}},
        "personality": {"domain": "LINUX"},
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/x",
            "listenerMetadata": "x",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [rule],
        },
    }
    names = ("Read", "Write")
    throttles = [f"throttle{way}{unit}Device" for way in names for unit in ("Bps", "IOPS")]
    spec["linux"]["resources"] = {
        "devices": [device | {"allow": True, "type": "c", "access": "r"}],
        "pids": {"limit": 1},
        "cpu": dict.fromkeys(
            ("shares", "quota", "period", "burst", "realtimePeriod", "realtimeRuntime", "idle"), 1
        )
        | {"cpus": "0", "mems": "0"},
        "memory": dict.fromkeys(
            ("limit", "reservation", "swap", "kernel", "kernelTCP", "swappiness"), 1
        )
        | dict.fromkeys(("disableOOMKiller", "useHierarchy", "checkBeforeUpdate"), True),
        "blockIO": {name: [device | {"rate": 1}] for name in throttles}
        | {"weight": 10, "weightDevice": [device | {"weight": 10}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
        "network": {"classID": 1, "priorities": [{"name": "lo", "priority": 1}]},
        "unified": {"memory.high": "1"},
    }
    return spec


def with_wrong_value(path: str) -> tuple[dict[str, Any], str]:
    """Return the full document with a value of no type's at `path`, and where that is told."""
    spec = json.loads(json.dumps(full_document()))
    holder: Any = None
    place: Any = spec
    key: Any = None
    where = ""
    for part in path.replace("[]", ".[]").split("."):
        key = 0 if part == "[]" else next(iter(place)) if part == "*" else part
        is_map = part == "*" and where != "linux.timeOffsets"
        where += "[0]" if part == "[]" else f"[{key!r}]" if is_map else f".{key}"
        where = where.lstrip(".")
        holder, place = place, place[key]
    holder[key] = 1.5
    return spec, where


@pytest.mark.parametrize("path", sorted(TESTS))
def test_each_applied_property_is_looked_at(path: str, tmp_path: Path) -> None:
    """A value of the wrong type is an error that names its place, so it is not passed over."""
    spec, where = with_wrong_value(path)
    with pytest.raises(InvalidInput) as caught:
        check_shape(spec)
        seccomp.program(spec["linux"]["seccomp"], frozenset(), FACTS, str(tmp_path))
    assert caught.value.where == where
    assert str(caught.value).startswith(f"{where}: ")
    assert str(caught.value).endswith(".md)")  # the clause


# -- refused, and other platforms ------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(REFUSED))
def test_each_refused_property_is_an_error_at_its_place(path: str) -> None:
    place, value, words = REFUSED[path]
    with pytest.raises(PyruncError) as caught:
        compile_plan(spec_with(place, value), FACTS, CONTEXT)
    assert str(caught.value).startswith(place)
    assert words in str(caught.value)


@pytest.mark.parametrize("path", sorted(OTHER))
def test_parts_for_other_platforms(path: str) -> None:
    value, words = OTHER[path]
    spec = spec_with(path, value)
    if not words:
        assert compile_plan(spec, FACTS, CONTEXT) == compile_plan(
            spec_with("hostname", "h"), FACTS, CONTEXT
        )
        return
    with pytest.raises(PyruncError) as caught:
        compile_plan(spec, FACTS, CONTEXT)
    assert str(caught.value) == words
