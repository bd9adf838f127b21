"""Can the configuration that the pages on engines show be read, and does it name pyrunc-oci?"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import SOURCE

PAGES = ("containerd", "docker", "nomad", "podman")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    text = (SOURCE / "docs" / f"{page}.md").read_text()
    return [content for kind, content in BLOCK.findall(text) if kind == language]


def test_docker_page_makes_pyrunc_a_runtime_and_the_default() -> None:
    (text,) = blocks("docker", "json")
    configuration = json.loads(text)
    name = configuration["default-runtime"]
    assert configuration["runtimes"][name] == {"path": "/usr/local/bin/pyrunc-oci"}
    assert name != "runc"


def test_podman_page_names_the_file_in_each_list() -> None:
    (text,) = blocks("podman", "toml")
    engine = tomllib.loads(text)["engine"]
    assert engine["runtime"] in engine["runtimes"]
    for key in ("json", "nocgroup", "nocgroups"):
        assert "pyrunc-oci" in engine[f"runtime_supports_{key}"]
    assert {Path(path).name for path in engine["runtimes"]["pyrunc-oci"]} == {"pyrunc-oci"}


def runtime_of(configuration: dict[str, Any]) -> dict[str, Any]:
    (plugin,) = configuration["plugins"].values()
    found: dict[str, Any] = plugin["containerd"]["runtimes"]["pyrunc"]
    return found


def test_containerd_page_gives_the_shim_of_runc_another_program() -> None:
    documents = [tomllib.loads(text) for text in blocks("containerd", "toml")]
    assert [document["version"] for document in documents] == [2, 3]
    for document in documents:
        runtime = runtime_of(document)
        assert runtime["runtime_type"] == "io.containerd.runc.v2"
        assert runtime["options"]["BinaryName"] == "/usr/local/bin/pyrunc-oci"


@pytest.mark.parametrize("page", PAGES)
def test_page_says_what_was_tried_and_names_tests_that_are_there(page: str) -> None:
    text = (SOURCE / "docs" / f"{page}.md").read_text()
    assert "## What was tried" in text
    named = re.findall(r"tests/\w+/test_\w+\.py", text)
    assert all((SOURCE / path).is_file() for path in named), named
