"""What holds for every test: no skip hides in a continuous run, and each has what it asks for."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import host, lanes, slow_clock, trees
from tests.harness.engine import Engine
from tests.harness.host_kind import KINDS
from tests.harness.outcomes import Recorder
from tests.harness.store import await_settled
from tests.images import busybox

MUST_RUN = os.environ.get("PYRUNC_MUST_RUN", "") not in ("", "0")
_numbers = itertools.count(os.getpid() % 97 * 37)
_GIVEN_NUMBERS = 4000  # from there on, numbers stand in files of tests
# The files that take longest go first: a lane that comes to one last keeps all the others waiting.
_LONGEST = (
    *("test_debian_node.py", "test_load_crash.py", "test_faults.py", "test_python_style.py"),
    *("test_stress.py", "test_tutorials.py", "test_settle.py", "test_unpack_attacks.py"),
)
# A machine that stands still for a moment is no failure, and two runs try the same.
settings.register_profile(
    "pyrunc",
    deadline=None,
    derandomize="PYRUNC_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pyrunc")


_kill = os.kill


def kill_one(pid: int, signal_number: int) -> None:
    """Send a signal to a process; 0 is none, but the group of whoever runs the tests."""
    assert pid > 0, "a state tells pid 0 of what is not running"
    _kill(pid, signal_number)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --clauses, which `make clauses` uses, and --outcomes, for tests/vm/compare.py."""
    parser.addoption("--clauses", action="store_true", help="list specification clauses and tests")
    parser.addoption("--outcomes", type=Path, metavar="FILE", help="write how each test ended")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give slow machines more time, and write outcomes if that is asked for."""
    slow_clock.install()
    os.kill = kill_one
    # A job in the background of a shell ignores SIGINT, and so would every command under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: true of the tests alone
        signal.signal(signal.SIGHUP, lambda *_: None)
    if config.option.timeout is None:
        config.option.timeout = float(config.getini("timeout")) * slow_clock.SLOWNESS
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    path = config.getoption("--outcomes")
    if path and worker in ("", lanes.FIRST):
        config.pluginmanager.register(Recorder(path, is_worker=bool(worker)), "outcomes")
    if worker:
        lanes.enter(worker)
    elif config.getoption("numprocesses", None) and os.getuid() == 0 and not host.IS_SHARED:
        config.pluginmanager.register(WholeRun(), "whole run")


class WholeRun:
    """What runs in lanes leaves the machine as it was, too."""

    def __init__(self) -> None:
        """Look before the first worker is there."""
        self._before = host.snapshot()
        self._left: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run for what is left of it."""
        self._left = host.wait_until_unchanged(self._before)
        if self._left:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what it is."""
        for line in self._left:
            terminalreporter.line(f"the host has changed: {line}", red=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Print which sentence of a specification is held by which test."""
    if not session.config.getoption("--clauses"):
        return
    rows = [
        (*mark.args, item.nodeid) for item in session.items for mark in item.iter_markers("clause")
    ]
    print(f"\n{len(rows)} clauses are held by a test")
    for section, text, nodeid in sorted(rows):
        print(f"{section}: {text}\n    {nodeid}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest first, and leave out tests about another kind of host than this one."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)
    if os.environ.get("PYRUNC_COLLECT_ALL"):  # for a list of what there is, not for a run
        return
    recorder = config.pluginmanager.get_plugin("outcomes")
    other = {item: kind for item in items if (kind := _missing_kind(item))}
    if not other:
        return
    config.hook.pytest_deselected(items=list(other))
    items[:] = [item for item in items if item not in other]
    for item, kind in other.items():
        if recorder:
            recorder.leave_out(item, kind)


def _missing_kind(item: pytest.Item) -> str:
    """Return what this host would have to be for the test, empty if it is."""
    kinds = [mark.args[0] for mark in item.iter_markers("host")]
    return next((kind for kind in kinds if not KINDS[kind]), "")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn every skip into a failure when PYRUNC_MUST_RUN is set: a skipped test proves nothing."""
    report = yield
    if MUST_RUN and report.skipped and not hasattr(report, "wasxfail"):  # type: ignore[attr-defined]  # what a wrapped hook returns is not in the signature
        report.outcome = "failed"  # type: ignore[attr-defined]  # as above
        report.longrepr = f"skipped where everything must run: {report.longrepr}"  # type: ignore[attr-defined]  # as above
    return report


@pytest.fixture
def directory() -> Iterator[Path]:
    """Yield an empty directory on a real disk; /tmp may be a tmpfs, which can't hold everything."""
    with tempfile.TemporaryDirectory(prefix="pyrunc-test-", dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture
def pyrunc() -> Iterator[Engine]:
    """Yield an engine of this test's own; afterwards nothing of it is left."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp"))
    engine = Engine(path, next(_numbers) % _GIVEN_NUMBERS)
    yield engine
    engine.remove()


@pytest.fixture(scope="session")
def busybox_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a docker-archive of one layer: static busybox with all its links, named busybox."""
    path = tmp_path_factory.mktemp("images") / "busybox.tar"
    busybox.make_archive(path)
    return path


@pytest.fixture(scope="session")
def store(busybox_archive: Path) -> Engine:
    """Return an engine that has loaded `busybox` and does nothing more: a store to be copied."""
    engine = Engine(trees.kept(), next(_numbers) % _GIVEN_NUMBERS)
    engine("load", "-q", "-i", busybox_archive, check=True)
    await_settled(engine.root)
    return engine


@pytest.fixture
def loaded(pyrunc: Engine, store: Engine) -> Engine:
    """Return an engine that has the image `busybox`, in a copy of a store that has."""
    pyrunc.take_copy(store)
    return pyrunc


@pytest.fixture(scope="module")
def module_engine(store: Engine) -> Iterator[Engine]:
    """Yield an engine that has `busybox`, for all tests of a file; see `shared`."""
    path = Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp"))
    engine = Engine(path, next(_numbers) % _GIVEN_NUMBERS)
    engine.take_copy(store)
    # What is made once and stays, its bridge above all, is there before any test looks at the host.
    engine("run", "--rm", "busybox", "true", check=True)
    yield engine
    engine.remove()


@pytest.fixture
def shared(module_engine: Engine) -> Iterator[Engine]:
    """Return the engine of this file; the containers that a test makes go with it."""
    before = set(module_engine.containers())
    yield module_engine
    if made := [one for one in module_engine.containers() if one not in before]:
        module_engine("rm", "-f", *made, check=True)
