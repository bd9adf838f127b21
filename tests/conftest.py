"""What holds for every test: no skip hides in a continuous run, and each has what it asks for."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.host_kind import KINDS
from tests.images import busybox

MUST_RUN = os.environ.get("PYRUNC_MUST_RUN", "") not in ("", "0")
_numbers = itertools.count(os.getpid() % 97 * 37)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --clauses, which `make clauses` uses."""
    parser.addoption("--clauses", action="store_true", help="list specification clauses and tests")


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
    """Leave out tests about another kind of host than this one."""
    if os.environ.get("PYRUNC_COLLECT_ALL"):  # for a list of what there is, not for a run
        return
    other = [
        item for item in items if not all(KINDS[mark.args[0]] for mark in item.iter_markers("host"))
    ]
    if other:
        config.hook.pytest_deselected(items=other)
        items[:] = [item for item in items if item not in other]


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
    engine = Engine(path, next(_numbers) % 4096)
    yield engine
    engine.remove()


@pytest.fixture(scope="session")
def busybox_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a docker-archive of one layer: static busybox with all its links, named busybox."""
    path = tmp_path_factory.mktemp("images") / "busybox.tar"
    busybox.make_archive(path)
    return path


@pytest.fixture
def loaded(pyrunc: Engine, busybox_archive: Path) -> Engine:
    """Return an engine that has the image `busybox`."""
    pyrunc("load", "-q", "-i", busybox_archive, check=True)
    return pyrunc
