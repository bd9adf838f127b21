"""How does a test get an engine of its own?

An `Engine` is the installed `pyrunc` command with a root, a runroot, a bridge and a subnet that no
other test uses, on a real disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness import trees
from tests.harness.slow_clock import SLOWNESS

__all__ = ["SLOWNESS", "SOURCE", "Completed", "Engine", "command"]

SOURCE = Path(__file__).resolve().parents[2]

Completed = subprocess.CompletedProcess[str]


def command(name: str = "pyrunc") -> Path:
    """Return the command under test: PYRUNC_BIN's, else `make build`'s, else this environment's."""
    places = [Path(os.environ.get("PYRUNC_BIN", SOURCE / "build/bin")), Path(sys.executable).parent]
    for place in places:
        if (place / name).exists():
            return place / name
    raise FileNotFoundError(f"no {name} in {places}: run `make build` first")


class Engine:
    """One engine; calling it runs one command and waits for it."""

    def __init__(self, directory: Path, number: int) -> None:
        """Claim names; nothing is made yet.  `number` is below 4096 and nobody else's."""
        self.directory = directory
        self.root = directory / "root"
        self.runroot = directory / "run"
        self.bridge = f"pyt{number}"
        self.gateway = f"10.{200 + number // 256}.{number % 256}.1"
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(directory),
            "PYRUNC_ROOT": str(self.root),
            "PYRUNC_RUNROOT": str(self.runroot),
            "PYRUNC_BRIDGE": self.bridge,
            "PYRUNC_BIP": f"{self.gateway}/24",
        }

    def argv(self, *words: str | Path) -> list[str]:
        """Return the whole command line, for tests that start it in their own way."""
        return [str(command()), *map(str, words)]

    def __call__(
        self,
        *words: str | Path,
        input: str = "",
        timeout: float = 60,
        check: bool = False,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Completed:
        """Run `pyrunc WORDS…`; with `check`, a failure fails the test and shows what was said."""
        done = subprocess.run(
            self.argv(*words),
            input=input,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
            env=self.environment | (env or {}),
            cwd=cwd or self.directory,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"pyrunc {' '.join(map(str, words))} exited with {done.returncode}\n"
                f"stdout: {done.stdout}\nstderr: {done.stderr}"
            )
        return done

    def oci(self, *words: str | Path, timeout: float = 60, input: str = "") -> Completed:
        """Run `pyrunc-oci --root …` with a state directory of this engine's own."""
        argv = [str(command("pyrunc-oci")), "--root", str(self.directory / "oci"), *map(str, words)]
        return subprocess.run(
            argv,
            input=input,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=timeout,
            env=self.environment,
            cwd=self.directory,
        )

    def json(self, *words: str | Path) -> Any:
        """Run a command that must succeed; return the JSON it printed."""
        return json.loads(self(*words, check=True).stdout)

    def take_copy(self, other: Engine) -> None:
        """Have the store of an engine that has made no containers, as if it had loaded that."""
        trees.copy(other.root, self.root)
        with contextlib.closing(sqlite3.connect(self.root / "pyrunc.db")) as database:
            database.execute("PRAGMA synchronous=OFF")
            database.execute(
                "UPDATE settings SET value = ? WHERE name = 'runroot'", [str(self.runroot)]
            )
            database.commit()

    def containers(self) -> list[str]:
        """Return the ids of all containers, read as anybody can; none of a broken database."""
        place = f"file:{self.root}/pyrunc.db?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(place, uri=True)) as database:
                return [one for (one,) in database.execute("SELECT id FROM containers")]
        except sqlite3.Error:
            return []

    def remove(self) -> None:
        """Undo what tests leave on purpose: containers, the bridge, its filter, the trees."""
        if made := self.containers():
            self("rm", "-f", *made)
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True)
        for family in ("inet", "ip", "ip6"):
            table = ["table", family, f"pyrunc-{self.bridge}"]
            subprocess.run(["nft", "delete", *table], capture_output=True)
        mounts = Path("/proc/self/mountinfo").read_text()
        assert f" {self.directory}/" not in mounts, f"a mount is left: {mounts}"
        shutil.rmtree(self.directory)
