"""`pull` and `run` of names without a registry, where registries.conf names a mode for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.harness.engine import SLOWNESS, Engine
from tests.harness.registry_double import Double, running_double, tar_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Two:
    """Two registries, and an engine that looks in both."""

    def __init__(self, engine: Engine, first: Double, second: Double) -> None:
        """Let the second alone have `x`."""
        self.engine, self.first, self.second = engine, first, second
        second.add_image("x:latest", [tar_of({"a": b"1"})])

    def configure(self, mode: str, more: str = "") -> None:
        """Write registries.conf."""
        path = self.engine.directory / ".config/containers/registries.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'unqualified-search-registries = ["{self.first.host}", "{self.second.host}"]\n'
            f'short-name-mode = "{mode}"\n{more}'
        )

    def name(self) -> str:
        return f"{self.second.host}/x:latest"


@pytest.fixture
def two(pyrunc: Engine) -> Iterator[Two]:
    with running_double() as first, running_double() as second:
        yield Two(pyrunc, first, second)


@pytest.mark.parametrize("mode", ["disabled", "permissive"])
def test_registries_are_tried_in_order(two: Two, mode: str) -> None:
    two.configure(mode)

    done = two.engine("pull", "-q", "x")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{two.name()}\n", "")
    assert two.first.asked("GET", "/x/manifests/latest")
    none = two.engine("pull", "-q", "y")
    assert none.returncode == 1
    assert none.stderr.startswith("pyrunc: 2 errors occurred while pulling:\n  ")
    assert f"\n  {two.second.host}/y:latest: " in none.stderr


def test_enforcing_wants_a_terminal(two: Two) -> None:
    two.configure("enforcing")

    done = two.engine("pull", "x")

    assert done.returncode == 1
    assert "short-name resolution enforced but cannot prompt without a TTY" in done.stderr
    assert not two.first.requests + two.second.requests


def test_alias_needs_no_terminal(two: Two) -> None:
    two.configure("enforcing", f'[aliases]\nother = "{two.second.host}/x"\n')

    assert two.engine("pull", "-q", "other", check=True).stdout == f"{two.name()}\n"
    assert not two.first.requests


def test_choice_at_a_terminal_is_kept(two: Two) -> None:
    two.configure("enforcing")
    argv = two.engine.argv("pull", "-q", "x")
    child = pexpect.spawn(
        argv[0], argv[1:], env=two.engine.environment, timeout=20 * SLOWNESS, encoding="utf-8"
    )

    child.expect_exact("Please select an image [1-2]: ")
    child.sendline("2")
    child.expect_exact(two.name())
    child.expect(pexpect.EOF)
    child.close()
    again = two.engine("pull", "-q", "x", check=True)

    assert child.exitstatus == 0
    assert again.stdout == f"{two.name()}\n"
    assert not two.first.requests
    recorded = Path(two.engine.root, "short-name-aliases.conf").read_text()
    assert recorded == f'[aliases]\n"x" = "{two.second.host}/x"\n'


def test_run_takes_what_is_there_by_its_longer_name(two: Two) -> None:
    two.configure("disabled")
    two.engine("pull", "-q", "x", check=True)
    asked = len(two.first.requests) + len(two.second.requests)

    done = two.engine("create", "--network", "none", "--pull", "never", "x", "/a")
    other = two.engine("create", "--network", "none", "--pull", "never", "y", "/a")

    assert (done.returncode, done.stderr) == (0, "")
    assert len(two.first.requests) + len(two.second.requests) == asked
    assert (other.returncode, "No such image: y:latest" in other.stderr) == (125, True)


def test_without_a_mode_it_is_docker_s_name(two: Two) -> None:
    two.configure("")

    done = two.engine("create", "--pull", "never", "x")

    assert "No such image: x:latest" in done.stderr
    assert not two.first.requests
