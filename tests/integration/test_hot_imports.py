"""What do `run` and `exec` import?  The list is pinned: start-up is the product's headline."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.harness.engine import SOURCE, Engine
from tests.harness.host_kind import KINDS

# What the interpreter has before our first line, and what of the standard library may be added.
ALLOWED = {
    "__future__", "_abc", "_blake2", "_cffi_backend", "_codecs", "_collections_abc",
    "_frozen_importlib", "_frozen_importlib_external", "_functools", "_imp", "_io", "_json",
    "_signal", "_socket", "_sqlite3", "_stat", "_struct", "_thread", "_warnings", "_weakref", "abc",
    "codecs", "encodings", "encodings.aliases", "encodings.utf_8", "errno", "fcntl", "genericpath",
    "io", "marshal", "os", "os.path", "posix", "posixpath", "select", "stat", "sys", "time",
    "zipimport",
}  # fmt: skip

ONLY_WITH_APPARMOR = {"pyrunc.engine.confinement", "pyrunc.runtime.apparmor"}

CODE = """
import sys
sys.path += sys.argv[1].split("\\n")
del sys.argv[:2]
from pyrunc.cli.entry import main
sys.exit(main())
"""


def imported(engine: Engine, *words: str) -> set[str]:
    """Run one command as csrc/command.c does, and return the names of the modules it imported."""
    site = next(path for path in sys.path if path.endswith("-packages"))
    argv = [sys.executable, "-I", "-S", "-X", "utf8", "-X", "importtime", "-c", CODE]
    done = subprocess.run(
        [*argv, f"{SOURCE}\n{site}", "pyrunc", *words],
        env=engine.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)) - {"package"}


def foreign(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] != "pyrunc"}


def test_run_imports_only_the_pinned_list(loaded: Engine) -> None:
    words = ["run", "--rm", "busybox", "true"]
    loaded(*words, check=True)  # the network is set up now, and the seccomp program compiled
    found = imported(loaded, *words)

    assert foreign(found) - ALLOWED == set()
    of_apparmor = {name for name in found if "apparmor" in name or "confinement" in name}
    assert of_apparmor == (ONLY_WITH_APPARMOR if KINDS["AppArmor"] else set())


def test_run_with_many_options_imports_only_the_pinned_list(loaded: Engine) -> None:
    words = ["run", "--rm", "--network", "none", "-e", "A=b", "-w", "/tmp", "-m", "64m", "--cpus"]
    words += ["0.5", "-u", "1:1", "--tmpfs", "/x", "--read-only", "--cap-drop", "all", "busybox"]
    loaded(*words, "true", check=True)

    assert foreign(imported(loaded, *words, "true")) - ALLOWED == set()


def test_stop_imports_only_the_pinned_list(loaded: Engine) -> None:
    loaded("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "100", check=True)

    assert foreign(imported(loaded, "stop", "-t", "0", "-s", "KILL", "box")) - ALLOWED == set()
    assert loaded("ps", "-q").stdout == ""


def test_start_imports_only_the_pinned_list(loaded: Engine) -> None:
    loaded("create", "--network", "none", "--name", "box", "busybox", "true", check=True)
    loaded("start", "box", check=True)
    loaded("wait", "box", check=True)

    assert foreign(imported(loaded, "start", "box")) - ALLOWED == set()
    loaded("rm", "-f", "box", check=True)


def test_commands_about_lives_import_only_the_pinned_list(loaded: Engine) -> None:
    loaded("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "100", check=True)
    found = imported(loaded, "ps", "-a")
    found |= imported(loaded, "pause", "box") | imported(loaded, "unpause", "box")
    found |= imported(loaded, "restart", "-t", "0", "box") | imported(loaded, "kill", "box")
    found |= imported(loaded, "rm", "-f", "box")

    assert foreign(found) - ALLOWED == set()
    assert loaded("ps", "-aq").stdout == ""


def test_exec_imports_only_the_pinned_list(loaded: Engine) -> None:
    loaded("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "100", check=True)
    words = ["exec", "-e", "A=b", "-u", "1:1", "-w", "/tmp", "box", "true"]
    loaded(*words, check=True)  # its seccomp program is compiled now
    found = imported(loaded, *words)
    loaded("rm", "-f", "box", check=True)

    assert foreign(found) - ALLOWED == set()


def test_what_the_monitor_calls_imports_no_command_line(loaded: Engine) -> None:
    loaded("run", "-d", "--network", "none", "--name", "box", "--health-cmd", "true",
           "--health-interval", "1h", "busybox", "sleep", "100", check=True)  # fmt: skip
    container_id = loaded("inspect", "-f", "{{.Id}}", "box", check=True).stdout.strip()
    loaded("exec", "box", "true", check=True)  # its seccomp program is compiled now
    found = imported(loaded, "container", "health-check", container_id)
    loaded("stop", "-t", "0", "box", check=True)
    found |= imported(loaded, "container", "cleanup", container_id)

    assert foreign(found) - ALLOWED == set()
