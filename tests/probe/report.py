"""How is a probe's report made comparable?

Names, addresses and numbers that differ from start to start are replaced by words; nested values
become paths, so that a difference reads "devices/null: …".
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("probe.c")

Report = dict[str, str]


def build(into: Path) -> Path:
    """Compile the probe; static, so that it runs in any image."""
    words = ["gcc", "-std=gnu11", "-O1", "-static", str(SOURCE), "-o", str(into)]
    subprocess.run(words, check=True, capture_output=True)
    return into


def comparable(raw: dict[str, Any]) -> Report:
    """Return the report as path → value, free of what differs by chance."""
    seen = dict(raw)
    seen["mounts"] = dict(_mount(line) for line in seen["mounts"])
    seen["namespaces"] = {kind: _namespace(kind, link) for kind, link in seen["namespaces"].items()}
    seen["descriptors"] = " ".join(name for name in sorted(seen["descriptors"], key=int))
    seen["environment"] = dict(line.partition("=")[::2] for line in seen["environment"])
    seen["cgroup"] = dict(line.split(":", 1) for line in _without_numbers(seen["cgroup"]))
    seen["interfaces"] = " ".join(sorted(re.findall(r"(\w+):", " ".join(seen["interfaces"]))))
    seen["routes"] = str(len(seen["routes"]) - 1)
    return {path: _plain(value) for path, value in _flat(seen, "")}


def differences(one: Report, other: Report) -> dict[str, tuple[str, str]]:
    """Return path → both values where they differ; "" stands for absent."""
    return {
        path: (one.get(path, ""), other.get(path, ""))
        for path in sorted(one.keys() | other.keys())
        if one.get(path, "") != other.get(path, "")
    }


def _mount(line: str) -> tuple[str, str]:
    """Return a mount point, and options, type and the file system's own options of its mount."""
    left, right = line.split(" - ")
    fields, (kind, _, options) = left.split(), right.split(" ", 2)
    options = re.sub(r"(lowerdir|upperdir|workdir|size|nr_inodes)[^,=]*=[^,]*,?", "", options)
    return fields[4], f"{kind} {fields[5]} {','.join(sorted(options.strip(',').split(',')))}"


def _namespace(kind: str, link: str) -> str:
    host = Path(f"/proc/self/ns/{kind}")
    return "the host's" if host.exists() and str(host.readlink()) == link else "its own"


def _without_numbers(lines: list[str]) -> list[str]:
    return [line.partition(":")[2] for line in lines]


def _flat(value: object, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        pairs = [(f"{path}/{key}" if path else str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list):
        return [(path, " | ".join(str(one) for one in value))]
    else:
        return [(path, str(value))]
    return [row for where, inner in pairs for row in _flat(inner, where)]


def _plain(text: str) -> str:
    text = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b(?!:)", "ID", text)
    text = re.sub(r"\b\d+\.\d+\.\d+\.\d+\b", "ADDRESS", text)
    return re.sub(r"\s+", " ", text).strip()
