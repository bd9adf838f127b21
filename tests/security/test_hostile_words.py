"""Words of a command line, and of an image, that aim at the terminal, the parser or the host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS
from tests.images import busybox

WORDS = {
    "escape": "\x1b[31mred",
    "newline": "a\nb",
    "right to left": "é\u202e",
    "C1 control": "\x9b31m",
    "huge": "x" * 50_000,
    "no UTF-8": "\udcff\udc80",
    "empty": "",
    "format": "%s%n{{.}}",
    "digit": "\u0661",
}
RUN = ("run", "--rm", "--network", "none")
PLACES: dict[str, tuple[str, ...]] = {
    "image": ("run", "WORD"),
    "command": (*RUN, "busybox", "WORD"),
    "name": (*RUN, "--name", "WORD", "busybox", "true"),
    "hostname": (*RUN, "--hostname", "WORD", "busybox", "true"),
    "network": ("run", "--network", "WORD", "busybox"),
    "memory": (*RUN, "-m", "WORD", "busybox", "true"),
    "user": (*RUN, "-u", "WORD", "busybox", "true"),
    "volume": (*RUN, "-v", "WORD:WORD", "busybox", "true"),
    "label": (*RUN, "--label", "WORD=WORD", "busybox", "true"),
    "entrypoint": (*RUN, "--entrypoint", "WORD", "busybox"),
    "sysctl": (*RUN, "--sysctl", "WORD=WORD", "busybox", "true"),
    "security": (*RUN, "--security-opt", "WORD", "busybox", "true"),
    "env file": (*RUN, "--env-file", "WORD", "busybox", "true"),
    "flag": ("run", "--WORD"),
    "archive": ("load", "-i", "WORD"),
    "inspect": ("inspect", "WORD"),
    "image inspect": ("image", "inspect", "WORD"),
    "remove": ("rm", "WORD"),
    "filter": ("ps", "--filter", "name=WORD"),
    "verb": ("WORD",),
}


def is_clean(output: bytes) -> bool:
    """Nothing that moves a terminal, and no sign of a mistake of ours."""
    text = output.decode("utf-8")  # raises for what is none
    bad = {chr(n) for n in [*range(9), *range(11, 32), *range(127, 160), 0x202E]}
    return not bad & set(text) and "internal error" not in text and "Traceback" not in text


def call(engine: Engine, words: list[str]) -> subprocess.CompletedProcess[bytes]:
    argv = [word.encode("utf-8", "surrogateescape") for word in engine.argv(*words)]
    return subprocess.run(
        argv,
        env=engine.environment,
        cwd=engine.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60 * SLOWNESS,
    )


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS.keys())
def test_words_are_refused_in_clean_words(loaded: Engine, word: str) -> None:
    unclean = {}
    for place, words in PLACES.items():
        done = call(loaded, [one.replace("WORD", word) for one in words])
        if not (is_clean(done.stderr) and is_clean(done.stdout)):
            unclean[place] = (done.stdout + done.stderr)[:300]
    assert unclean == {}
    assert loaded("ps", "-aq", check=True).stdout == ""


@pytest.mark.parametrize(
    "config",
    [
        {"Cmd": ["\x1b[2J\n", "\x9b"]},
        {"Env": ["A=\x1b[2J", "NOVALUE", "*", "=x", "PYRUNC_FAULT=execute:kill"]},
        {"Labels": {"\x1b[2J": "\x1b[2J", "io.pyrunc.hook": "/bin/sh"}},
        {"User": "4294967296"},
        {"User": "-1"},
        {"User": "\x1b[2J"},
        {"WorkingDir": "../../../etc"},
        {"WorkingDir": "/proc/self/fd/6"},
        {"WorkingDir": "\x1b[2J"},
        {"StopSignal": "\x1b[2J"},
        {"Volumes": {"/proc": {}, "/proc/self": {}, "../..": {}}},
        {"ExposedPorts": {"\x1b[2J": {}}},
        {"Cmd": ["a\0b"]},
        {"Env": ["A=\0"]},
        {"Env": ["A=\ud800"]},
        {"Cmd": 7},
        {"Healthcheck": {"Test": "\x1b"}},
    ],
    ids=str,
)
def test_images_are_data(pyrunc: Engine, directory: Path, config: dict[str, Any]) -> None:
    """CVE-2026-57231, CVE-2026-53488, CVE-2024-40635: nothing of it sets anything in the engine."""
    archive = directory / "hostile.tar"
    busybox.make_archive(archive, "docker.io/library/hostile:latest", config)
    env = {"NOVALUE": "host", "HOST_CANARY": "host"}
    outputs = []
    for words in (
        ["load", "-i", str(archive)],
        ["images"],
        ["image", "inspect", "hostile"],
        ["run", "--network", "none", "hostile"],
        ["ps", "-a", "--no-trunc"],
        ["explain", "hostile"],
        [*RUN, "hostile", "sh", "-c", "id -u; env"],
    ):
        done = subprocess.run(
            pyrunc.argv(*words),
            env=pyrunc.environment | env,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60 * SLOWNESS,
        )
        is_ours = words[-1] != "id -u; env"
        assert is_clean(done.stderr), (words, done.stderr)
        assert not is_ours or is_clean(done.stdout), (words, done.stdout)
        outputs.append(done.stdout)
    assert b"NOVALUE" not in outputs[-1] and b"HOST_CANARY" not in outputs[-1]
    if config.get("User") in ("4294967296", "-1"):
        assert outputs[-1] == b""
