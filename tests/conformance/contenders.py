"""How is a runtime given to the suite?

As a script that calls it with a state directory of its own: the programs know only $RUNTIME.  They
run in a mount namespace of their own, because some ask for containers without one.  crun refuses
hybrid cgroups, so there its programs see no v2 hierarchy; the machine's own mounts are not touched.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.harness.engine import command

NAMES = ("pyrunc-oci", "runc", "crun")
UNIFIED = Path("/sys/fs/cgroup/unified")
OWN_MOUNTS = ["unshare", "--mount", "--propagation", "private"]
# crun 1.8 gives what it has as stdio to the container's user, the host's /dev/null too.
OWN_NULL = (
    "mount -t tmpfs none /mnt && mknod -m 666 /mnt/null c 1 3 && mount --bind /mnt/null /dev/null"
)


class Contender(NamedTuple):
    """One runtime, with places of its own."""

    name: str
    script: Path
    state: Path  # its --root
    bundles: Path  # TMPDIR of the programs

    def argv(self, *words: str | Path) -> list[str]:
        """Return the command line that runs something with this runtime's view of the host."""
        hides = self.name == "crun" and UNIFIED.is_mount()
        view = f"{OWN_NULL} && umount {UNIFIED}" if hides else OWN_NULL
        script = f'{view} && exec "$@" </dev/null'
        return [*OWN_MOUNTS, "sh", "-c", script, "sh", *map(str, words)]

    def clean(self) -> None:
        """Remove what a program has left: containers, bundles."""
        for container in sorted(self.state.iterdir()) if self.state.exists() else ():
            words = self.argv(self.script, "delete", "--force", container.name)
            subprocess.run(words, capture_output=True, timeout=60)
        for bundle in self.bundles.iterdir():
            shutil.rmtree(bundle)


def prepare(name: str, directory: Path, *, unhurried: bool = False) -> Contender:
    """Write the script of a runtime; what runs at the same time needs a directory of its own.

    With `unhurried`, a signal waits until the container's command is ready for it.
    """
    program = command(name) if name == "pyrunc-oci" else shutil.which(name)
    if program is None:
        raise FileNotFoundError(f"no {name}: the tests need its package")
    contender = Contender(name, directory / name, directory / "state", directory / "bundles")
    contender.bundles.mkdir(parents=True)
    wait = '[ "$1" != kill ] || sleep 0.5\n' if unhurried else ""
    line = f'exec {program} --root {contender.state} "$@"\n'
    contender.script.write_text(f"#!/bin/sh\n{wait}{line}")
    contender.script.chmod(0o755)
    return contender
