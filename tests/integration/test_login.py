"""Do login, logout and search say and keep what docker's users expect?"""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Engine
from tests.harness.registry_double import Double, Request, running_double

ADA = f"Basic {base64.b64encode(b'ada:love:lace').decode()}"


@pytest.fixture
def registry() -> Iterator[Double]:
    """Yield a registry that lets ada in, and nobody else."""

    def guard(request: Request) -> bool:
        if request.authorization == ADA:
            return False
        request.handler.rfile.read(int(request.headers.get("Content-Length") or 0))
        body = b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}'
        request.answer(401, body, {"WWW-Authenticate": 'Basic realm="it"'})
        return True

    with running_double() as double:
        double.faults.append(guard)
        yield double


def config(engine: Engine) -> Path:
    return engine.directory / ".docker/config.json"


def test_login_asks_first_and_keeps_what_was_right(pyrunc: Engine, registry: Double) -> None:
    wrong = pyrunc("login", "-u", "ada", "--password-stdin", registry.host, input="no")
    assert not config(pyrunc).exists()
    right = pyrunc("login", "-u", "ada", "-p", "love:lace", f"http://{registry.host}/v1/")
    again = pyrunc("login", registry.host)
    out = pyrunc("logout", registry.host)
    twice = pyrunc("logout", registry.host)

    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "unauthorized: wrong password" in wrong.stderr
    assert (right.returncode, right.stdout) == (0, "Login Succeeded\n")
    assert right.stderr == (
        "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n\n"
        f"WARNING! Your credentials are stored unencrypted in '{config(pyrunc)}'.\n"
        "Configure a credential helper to remove this warning. See\n"
        "https://docs.docker.com/go/credential-store/\n\n"
    )
    assert again.stdout.startswith("Authenticating with existing credentials... [Username: ada]\n")
    assert "unencrypted" not in again.stderr  # it was kept already: nothing is written
    assert [one.returncode for one in (again, out, twice)] == [0, 0, 0]
    assert out.stdout == twice.stdout == f"Removing login credentials for {registry.host}\n"
    assert json.loads(config(pyrunc).read_text()) == {"auths": {}}
    assert config(pyrunc).stat().st_mode & 0o777 == 0o600


def test_login_on_a_terminal_hides_the_password(pyrunc: Engine, registry: Double) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        pyrunc.argv("login", registry.host), env=pyrunc.environment,
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    said = b""
    for prompt, answer in ((b"Username: ", b"ada\n"), (b"Password: ", b"love:lace\n")):
        while prompt not in said:
            said += os.read(controller, 1024)
        os.write(controller, answer)
    try:
        while chunk := os.read(controller, 1024):
            said += chunk
    except OSError:
        pass  # the terminal has no other end any more
    os.close(controller)

    assert process.wait(60) == 0
    assert b"Login Succeeded" in said
    assert b"love:lace" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-u", "ada"], "pyrunc: Cannot perform an interactive login from a non TTY device"),
        ([], "pyrunc: Cannot perform an interactive login from a non TTY device"),
        (["--password-stdin"], "the --password-stdin option requires --username to be set"),
        (["-u", "a", "-p", "b", "--password-stdin"],
         "conflicting options: cannot specify both --password and --password-stdin"),
        (["-u", "", "-p", "x"], "username is empty"),
        (["-u", "a", "--password-stdin"], "password is empty"),
        (["--tls-verify=false", "ada@example.com"], "SERVER is the name of a registry"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(pyrunc: Engine, words: list[str], message: str) -> None:
    done = pyrunc("login", *words)

    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_search_has_docker_s_columns(pyrunc: Engine) -> None:
    results = [
        {"name": "box", "description": "A " + "long " * 20, "star_count": 7, "is_official": True},
        {"name": "me/box", "description": "", "star_count": 2, "is_official": False},
    ]
    with running_double() as registry:

        def finds(request: Request) -> bool:
            if request.path != "/v1/search":
                return False
            assert request.query == {"q": "bo/x", "n": "5"}
            request.answer(200, json.dumps({"results": results}).encode())
            return True

        registry.faults.append(finds)
        term = f"{registry.host}/bo/x"
        shown = pyrunc("search", "--limit", "5", term, check=True).stdout.splitlines()
        chosen = pyrunc(
            "search", "--limit", "5", "-f", "stars=3", "-f", "is-official=true",
            "--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}", term, check=True,
        ).stdout  # fmt: skip
        bad = pyrunc("search", "--limit", "101", term)

    assert shown[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert shown[1].split()[-2:] == ["7", "[OK]"]
    assert "…" in shown[1]
    assert shown[2].split() == ["me/box", "2"]
    assert chosen == "box 7 [OK]\n"
    assert (bad.returncode, bad.stderr) == (
        1, "pyrunc: limit 101 is outside the range of [1, 100]\n"
    )  # fmt: skip


def test_search_reads_the_catalog_or_says_that_there_is_none(pyrunc: Engine) -> None:
    with running_double() as registry:
        none = pyrunc("search", f"{registry.host}/x")

        def lists(request: Request) -> bool:
            if request.path != "/v2/_catalog":
                return False
            request.answer(200, b'{"repositories": ["a/x", "b/y", "x"]}')
            return True

        registry.faults.append(lists)
        found = pyrunc("search", "--format", "{{.Name}}", f"{registry.host}/x", check=True)

    assert none.returncode == 1
    assert "offers neither a search nor a catalog" in none.stderr
    assert found.stdout == f"{registry.host}/a/x\n{registry.host}/x\n"
