"""How do 58 programs run for three runtimes in a minute or two?

Most of their time is waiting: several run at once.  Those that use the same cgroup, whose name is
written into them, run one after another.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tests.conformance import contenders
from tests.conformance.suite import Suite
from tests.conformance.tap import Outcome, outcome
from tests.conformance.verdict import Exceptions
from tests.harness.slow_clock import SLOWNESS

LIMIT_SECONDS = 60 * SLOWNESS
AT_ONCE = 6
ATTEMPTS = 3  # of a program that races
CGROUP_NAMES = ("cgrouptest", "testdir")
SHARE_A_CGROUP = ("linux_cgroups", "delete_resources", "delete_only_create_resources")

Results = dict[str, dict[str, Outcome]]  # by program, then by runtime


def run_all(
    suite: Suite, runtimes: Iterable[str], exceptions: Exceptions, directory: Path
) -> Results:
    """Run every program with every runtime; containers, bundles and cgroups of theirs are gone."""
    runtimes = list(runtimes)
    directory.chmod(0o755)  # roots of user namespaces look for their bundles there
    waiting: dict[tuple[str, str], Future[Outcome]] = {}

    def submit(pool: ThreadPoolExecutor, names: Iterable[str]) -> None:
        for name in names:
            for runtime in runtimes:
                place = directory / runtime / name
                waiting[name, runtime] = pool.submit(_run, suite, name, runtime, place, exceptions)

    sharing = [name for name in suite.names if name.startswith(SHARE_A_CGROUP)]
    others = set(suite.names) - exceptions.racy - set(sharing)
    with ThreadPoolExecutor(AT_ONCE) as many, ThreadPoolExecutor(1) as single:
        submit(single, sharing)
        submit(many, sorted(others))
    with ThreadPoolExecutor(1) as single:
        submit(single, sorted(exceptions.racy))
    return {
        name: {runtime: waiting[name, runtime].result() for runtime in runtimes}
        for name in suite.names
    }


def _run(suite: Suite, name: str, runtime: str, directory: Path, exceptions: Exceptions) -> Outcome:
    for attempt in range(ATTEMPTS if name in exceptions.racy else 1):
        place = directory / str(attempt)
        one = _run_once(suite, name, runtime, place, exceptions)
        if one.passed:
            break
    return one


def _run_once(
    suite: Suite, name: str, runtime: str, directory: Path, exceptions: Exceptions
) -> Outcome:
    contender = contenders.prepare(runtime, directory, unhurried=name in exceptions.unhurried)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TMPDIR": str(contender.bundles),
        "RUNTIME": str(contender.script),
    }
    output, errors = directory / "stdout", directory / "stderr"
    try:
        with output.open("wb") as stdout, errors.open("wb") as stderr:
            words = contender.argv(suite.program(name))
            code = _wait(words, suite.directory, environment, (stdout, stderr))
    finally:
        contender.clean()
        if name.startswith(SHARE_A_CGROUP):
            remove_cgroups()
    said, complained = (path.read_text(errors="replace") for path in (output, errors))
    return outcome(said, complained, code, may_be_silent=name in exceptions.silent)


def _wait(
    words: list[str],
    directory: Path,
    environment: Mapping[str, str],
    streams: tuple[BinaryIO, BinaryIO],
) -> int | None:
    """Return the exit code, None if it takes too long; no process of the program is left.

    Its streams are files: a container may outlive it, and would keep a pipe open.
    """
    process = subprocess.Popen(
        words,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=streams[0],
        stderr=streams[1],
        start_new_session=True,
    )
    try:
        return process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def remove_cgroups() -> None:
    """Remove the cgroups that the programs name, children first; nobody else has such names."""
    for path, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if set(CGROUP_NAMES) & set(path.split("/")):
            with suppress(FileNotFoundError):
                Path(path).rmdir()
