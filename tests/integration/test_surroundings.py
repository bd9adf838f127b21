"""The same results whatever the caller's process is like."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.slow_clock import SLOWNESS

# What a shell does before it becomes pyrunc.
SURROUNDINGS = {
    "plain": "",
    "few descriptors": "ulimit -n 64;",
    "fewer descriptors than the monitor could watch": "ulimit -n 32;",
    "no stdin": "exec <&-;",
    "no stderr": "exec 2>&-;",
    "no terminal type": "unset TERM;",
    "no home": "unset HOME;",
    "no path": "unset PATH;",
    "C locale": "export LANG=C LC_ALL=C;",
    "unknown locale": "export LANG=xx_YY.bad LC_ALL=xx_YY.bad;",
    "strict umask": "umask 077;",
    "open umask": "umask 0;",
    "nice": "renice -n 19 $$ >/dev/null;",
    "huge environment": "for i in 1 2 3 4 5 6 7 8; do export V$i=$(printf %0100000d 7); done;",
    "open descriptors": "exec 9</ 8</etc/passwd 7>/dev/null;",
    "no working directory": "mkdir gone$$ && cd gone$$ && rmdir ../gone$$;",
    "ignored signals": "trap '' HUP INT TERM PIPE CHLD USR1;",
    "small stack": "ulimit -s 1024;",
    "core dumps": "ulimit -c unlimited;",
    "python settings": "export PYTHONPATH=/nonexistent PYTHONHOME=/nonexistent PYTHONSTARTUP=/x;",
    "loader settings": "export TMPDIR=/nonexistent XDG_RUNTIME_DIR=/nonexistent;",
}
INSIDE = (
    "id; umask; pwd; echo $HOME $LANG $V1; ls /proc/self/fd; stat -c %a / /etc/hosts /dev /tmp;"
    " grep -E '^(Cap|Sig(Ign|Blk)|Seccomp|NoNew)' /proc/self/status; echo err >&2; exit 3"
)


@pytest.mark.parametrize("before", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
def test_container_is_the_same(loaded: Engine, before: str) -> None:
    words = ("run", "--rm", "--network", "none", "busybox", "sh", "-c", INSIDE)
    plain = loaded(*words)
    done = subprocess.run(
        ["/bin/sh", "-c", f'{before} exec "$0" "$@"', *loaded.argv(*words)],
        env=loaded.environment,
        cwd=loaded.directory,
        capture_output=True,
        text=True,
        timeout=30 * SLOWNESS,
    )
    assert plain.returncode == 3, plain.stderr
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout), done.stderr
    assert done.stderr == ("" if "2>&-" in before else plain.stderr)


def test_closed_stdout_changes_nothing_else(loaded: Engine) -> None:
    words = ("run", "--rm", "--network", "none", "busybox", "sh", "-c", INSIDE)
    argv = ["/bin/sh", "-c", 'exec >&-; exec "$0" "$@"', *loaded.argv(*words)]
    done = subprocess.run(
        argv, env=loaded.environment, cwd=loaded.directory, capture_output=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"err\n")


@pytest.mark.parametrize(
    "before", ["ulimit -n 64;", "exec <&- >&- 2>&-;", "umask 077;", "unset PATH;"]
)
def test_load_and_lists_work_too(loaded: Engine, busybox_archive: object, before: str) -> None:
    for words in (["load", "-q", "-i", str(busybox_archive)], ["images"], ["ps", "-a"]):
        argv = ["/bin/sh", "-c", f'{before} exec "$0" "$@"', *loaded.argv(*words)]
        done = subprocess.run(
            argv, env=loaded.environment, cwd=loaded.directory, capture_output=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""


def test_images_load_and_run_where_all_mounts_are_shared(
    pyrunc: Engine, busybox_archive: Path
) -> None:
    """The way systemd leaves them; copies of shared mounts are shared, too."""
    script = f"{shlex.join(pyrunc.argv())} load -q -i {busybox_archive} && " + shlex.join(
        pyrunc.argv("run", "--rm", "--network", "none", "busybox", "echo", "fine")
    )
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "shared", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env=pyrunc.environment,
    )
    assert done.stdout.endswith("fine\n"), done.stderr
