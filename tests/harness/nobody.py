"""How is pyrunc run by a user who is not root?"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.harness.engine import SOURCE, Completed, Engine, command

NOBODY = 65534

# An ordinary user can't run what lies in a directory of root's own (a clone in /root): there, in a
# mount namespace of the test's own, the sources are put below directories that are open.
_OPEN_SOURCES = """
closed=$1 sources=$2; shift 2
if [ -n "$closed" ]; then
    mount --bind "$sources" /mnt
    mount -t tmpfs -o mode=755 tmpfs "$closed" && mkdir -p "$sources"
    mount --bind /mnt "$sources"
fi
exec "$@"
"""


def as_nobody(engine: Engine, *words: str | Path, **environment: str) -> Completed:
    """Run pyrunc as a user who owns nothing; `environment` names trees that this user may make."""
    trees = {"PYRUNC_ROOT": "/nonexistent/root", "PYRUNC_RUNROOT": "/nonexistent/run"}
    opened = ["unshare", "-m", "sh", "-c", _OPEN_SOURCES, "sh", _closed_parent(), str(SOURCE)]
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run(
        [*opened, *become, str(command()), *map(str, words)],
        env=engine.environment | trees | environment,
        capture_output=True,
        text=True,
        cwd="/",
    )


def _closed_parent() -> str:
    """Return the topmost directory above the sources that only root may enter, "" for none."""
    closed = [path for path in SOURCE.parents if not path.stat().st_mode & 0o001]
    return str(closed[-1]) if closed else ""
