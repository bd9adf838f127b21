"""Is a container confined by AppArmor where the kernel has it, and what is said where it is not?

Those of the first half need AppArmor: the machine of `make vm-test` has it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunc.runtime import apparmor, apparmor_loader
from tests.harness.engine import Completed, Engine

from .exec_box import Box

LABEL = ("cat", "/proc/self/attr/current")
DEFAULT = apparmor.default_name()
CONFINED = f"{DEFAULT} (enforce)\n"
RUN = ("run", "--rm", "--network", "none")
ONLY_APPARMOR = ("--privileged", "--security-opt", "apparmor=pyrunc-default")

OUTER = """
profile pyrunc-test-confined { file, capability, mount, umount, pivot_root, network, signal, ptrace,
  change_profile, }
profile pyrunc-test-named flags=(unconfined) { file, }
profile pyrunc-test-open flags=(attach_disconnected) { file, capability, signal, }
profile pyrunc-test-user flags=(attach_disconnected) { file, capability, signal,
  deny /etc/passwd r, }
"""

with_apparmor = pytest.mark.host("AppArmor")


@pytest.fixture(scope="module")
def engine(busybox_archive: Path) -> Iterator[Engine]:
    """Yield one engine with an image for all tests of this file."""
    engine = Engine(Path(tempfile.mkdtemp(prefix="pyrunc-test-", dir="/var/tmp")), 4001)
    engine("load", "-q", "-i", busybox_archive, check=True)
    yield engine
    engine.remove()


@pytest.fixture(scope="module")
def users_profiles() -> Iterator[None]:
    """Load what a user may have: a profile for containers, and two to start pyrunc under."""
    _parse("--replace", OUTER)
    yield
    _parse("--remove", OUTER)


@pytest.fixture
def box(engine: Engine) -> Iterator[Engine]:
    """Yield the engine with a container `box`, which ends by SIGTERM with 3."""
    script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    engine("run", "-d", "--network", "none", "--name", "box", "--health-cmd", " ".join(LABEL),
           "--health-interval", "100ms", "busybox", "sh", "-c", script, check=True)  # fmt: skip
    yield engine
    engine("rm", "-f", "box", check=True)


def _parse(verb: str, text: str) -> None:
    words = ["apparmor_parser", "--quiet", "--skip-cache", verb]
    subprocess.run(words, input=text, text=True, check=True)


def _unload() -> None:
    """Take the default profile away; nobody may be confined by it, or is not any more."""
    if apparmor.is_loaded(DEFAULT):
        _parse("--remove", apparmor_loader.rendered(DEFAULT).decode())


def _without(path: str, engine: Engine, *words: str) -> Completed:
    """Run pyrunc where a file, or what is mounted on a directory, and the profile is not there."""
    hide = f"umount -l {path}" if Path(path).is_dir() else f"mount --bind /dev/null {path}"
    return _while_unloaded(engine, hide, *words)


def _while_unloaded(engine: Engine, hide: str, *words: str) -> Completed:
    """Run pyrunc while the profile is not loaded; a lane beside this one loads it when it likes."""
    argv = ["unshare", "--mount", "sh", "-ec", f'{hide}; exec "$@"', "sh", *engine.argv(*words)]
    for _ in range(20):
        _unload()
        done = subprocess.run(argv, env=engine.environment, capture_output=True, text=True)
        if not apparmor.is_loaded(DEFAULT):
            break
    return done


def _inside(engine: Engine, flags: tuple[str, ...], script: str) -> list[str]:
    return engine(*RUN, *flags, "busybox", "sh", "-c", script, check=True).stdout.split("\n")[:-1]


@with_apparmor
def test_default_profile_confines_run_exec_and_health_check(box: Engine) -> None:
    assert box(*RUN, "busybox", *LABEL).stdout == CONFINED
    assert box("exec", "box", *LABEL).stdout == CONFINED
    assert box("exec", "--privileged", "box", *LABEL).stdout == CONFINED  # as docker has it
    document = box.json("inspect", "box")[0]
    assert document["AppArmorProfile"] == DEFAULT
    while not document["State"]["Health"]["Log"]:
        time.sleep(0.05)
        document = box.json("inspect", "box")[0]
    assert document["State"]["Health"]["Log"][0]["Output"] == CONFINED


@with_apparmor
def test_profile_is_loaded_when_it_is_missing_by_two_at_once(engine: Engine) -> None:
    _unload()
    words = engine.argv(*RUN, "busybox", *LABEL)
    both = [
        subprocess.Popen(words, env=engine.environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [one.communicate(timeout=60)[0] for one in both] == [CONFINED] * 2
    traced = engine(*RUN, "--trace", "busybox", "true", check=True).stderr
    assert "load-apparmor-profile" not in traced
    assert f"set-security-label:{DEFAULT}" in traced


@with_apparmor
def test_exec_loads_a_profile_that_was_taken_away(box: Engine) -> None:
    _unload()
    assert box("exec", "box", *LABEL).stdout == CONFINED


@with_apparmor
def test_mount_is_denied_even_with_the_capability(engine: Engine) -> None:
    script = "mount -t tmpfs x /tmp 2>&1; mount --bind /etc /tmp 2>&1; umount /dev/shm && echo gone"
    first, second, last = _inside(engine, ("--cap-add", "SYS_ADMIN"), script)

    assert "ermission denied" in first
    assert "ermission denied" in second
    assert last == "gone"


@with_apparmor
def test_profile_alone_protects_the_hosts_settings(engine: Engine) -> None:
    """Nothing else is left that would: --privileged has no read-only paths and no filter."""
    denied = (
        "/proc/sys/vm/swappiness", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/domainname", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
        "/sys/kernel/mm/ksm/run", "/sys/module/kernel/parameters/panic", "/sys/power/state",
    )  # fmt: skip
    allowed = ("/proc/self/oom_score_adj", "/proc/sys/kernel/shm_rmid_forced", "/dev/shm/x")
    script = f"for f in {' '.join(denied + allowed)}; do (: >>$f) 2>/dev/null && echo $f; done"
    script += (
        "; head -c 1 /proc/kcore; mkdir /sys/fs/cgroup/x && rmdir /sys/fs/cgroup/x && echo made"
    )

    opened = _inside(engine, ONLY_APPARMOR, script)

    assert opened == [*allowed, "made"]


@with_apparmor
def test_init_is_as_confined_as_its_command(engine: Engine) -> None:
    script = "cat /proc/1/attr/current; kill -0 1 && echo reached"
    for flags in ((), ("-u", "1000", "--security-opt", "no-new-privileges")):
        assert _inside(engine, ("--init", *flags), script) == [CONFINED.strip(), "reached"]


@with_apparmor
def test_signals_reach_a_confined_container(box: Engine) -> None:
    box("kill", "-s", "CONT", "box", check=True)
    box("stop", "-t", "30", "box", check=True)
    assert box.json("inspect", "box")[0]["State"]["ExitCode"] == 3
    box("start", "box", check=True)
    box("kill", "box", check=True)
    assert box("wait", "box").stdout == "137\n"


@with_apparmor
def test_signal_is_passed_on_by_the_client(engine: Engine) -> None:
    script = "trap 'exit 4' HUP; echo ready; while :; do sleep 0.05; done"
    words = engine.argv(*RUN, "busybox", "sh", "-c", script)
    client = subprocess.Popen(words, env=engine.environment, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None and client.stdout.readline() == "ready\n"
    client.send_signal(1)
    assert client.wait(60) == 4
    client.stdout.close()


@with_apparmor
def test_user_chooses_the_profile(engine: Engine, users_profiles: None) -> None:
    chosen = {
        "unconfined": ("--security-opt", "apparmor=unconfined"),
        "privileged": ("--privileged",),
        "default": ONLY_APPARMOR,
        "own": ("--security-opt", "apparmor=pyrunc-test-user"),
    }
    run = ("run", "--network", "none", "--name")
    labels = [engine(*run, name, *flags, "busybox", *LABEL) for name, flags in chosen.items()]
    documents = engine.json("inspect", *chosen)
    engine("rm", *chosen, check=True)

    own = "pyrunc-test-user (enforce)\n"
    assert [one.stdout for one in labels] == ["unconfined\n", "unconfined\n", CONFINED, own]
    assert [one["AppArmorProfile"] for one in documents] == [
        "unconfined", "unconfined", DEFAULT, "pyrunc-test-user"
    ]  # fmt: skip


@with_apparmor
def test_users_profile_confines_the_command_and_not_the_launch(
    engine: Engine, users_profiles: None
) -> None:
    flags = ("--init", "-u", "1000", "--security-opt", "apparmor=pyrunc-test-user")
    assert _inside(engine, flags, "cat /etc/passwd || cat /proc/1/attr/current") == [
        "pyrunc-test-user (enforce)"
    ]


@with_apparmor
def test_unknown_profile_is_refused_and_leaves_nothing(engine: Engine) -> None:
    done = engine(*RUN, "--security-opt", "apparmor=nope", "busybox", "true")

    assert done.returncode == 125
    assert done.stderr.startswith("pyrunc: cannot set security label 'nope' ")
    assert "no such profile (ENOENT)\nhint: load it with apparmor_parser" in done.stderr
    assert engine("ps", "-aq").stdout == ""


@with_apparmor
def test_info_says_that_containers_are_confined(engine: Engine) -> None:
    found = engine.json("info", "--format", "json")
    assert (found["SecurityOptions"][0], found["Warnings"]) == ("name=apparmor", [])


@with_apparmor
@pytest.mark.parametrize(
    ("missing", "why"),
    [
        (apparmor.parser() or "/sbin/apparmor_parser", "apparmor_parser, which would load it, is"),
        ("/sys/kernel/security", "securityfs is not mounted on /sys/kernel/security"),
    ],
)
def test_without_means_to_load_it_containers_run_unconfined(
    engine: Engine, missing: str, why: str
) -> None:
    missing = str(Path(missing).resolve())
    told = _without(missing, engine, "info")
    assert f"WARNING: containers are not confined by AppArmor: {why}" in told.stderr
    assert "apparmor" not in told.stdout
    assert _without(missing, engine, *RUN, "busybox", *LABEL).stdout == "unconfined\n"
    wanted = _without(missing, engine, *RUN, *ONLY_APPARMOR, "busybox", "true")
    assert wanted.returncode == 125
    assert f"cannot be applied: {why}" in wanted.stderr


@with_apparmor
def test_pyrunc_that_is_confined_itself_says_so(engine: Engine, users_profiles: None) -> None:
    def info(profile: str) -> Completed:
        words = ["aa-exec", "-p", profile, "--", *engine.argv("info")]
        return subprocess.run(words, env=engine.environment, capture_output=True, text=True)

    why = "this process is confined itself, by 'pyrunc-test-confined (enforce)'"
    assert why in info("pyrunc-test-confined").stderr
    assert info("pyrunc-test-named").stderr == ""


@with_apparmor
def test_profile_that_the_parser_refuses_is_an_error(engine: Engine) -> None:
    engine("create", "--name", "box", "--network", "none", "busybox", *LABEL, check=True)
    broken = engine.directory / "parser"
    broken.write_text("#!/bin/sh\necho 'syntax error in line 7' >&2\nexit 1\n")
    broken.chmod(0o755)
    hide = f"mount --bind {broken} {apparmor.parser()}"
    done = _while_unloaded(engine, hide, "start", "box")
    engine("rm", "box", check=True)

    assert done.returncode == 1
    assert f"cannot load the AppArmor profile '{DEFAULT}': syntax error in line 7" in done.stderr
    assert "hint: containers without it: --security-opt apparmor=unconfined" in done.stderr


@with_apparmor
def test_bundle_with_a_profile_and_a_process_with_another(
    directory: Path, users_profiles: None
) -> None:
    box = Box(directory)
    box.bundle.spec["process"]["apparmorProfile"] = "pyrunc-test-user"
    try:
        box.start()
        first = Path(f"/proc/{box.pid}/attr/current").read_text()
        same = box.output(*LABEL)
        other = box.output("--apparmor", "pyrunc-test-open", "--", *LABEL)
    finally:
        box.oci("delete", "--force", box.name)

    assert first == same == "pyrunc-test-user (enforce)\n"
    assert other == "pyrunc-test-open (enforce)\n"


# -- wherever ----------------------------------------------------------------------------------


@pytest.mark.host("no AppArmor")
def test_profile_named_without_apparmor_is_refused_and_leaves_nothing(engine: Engine) -> None:
    done = engine(*RUN, "--security-opt", "apparmor=docker-default", "busybox", "true")

    assert (done.returncode, done.stdout) == (125, "")
    words = (
        "AppArmor profile 'docker-default' specified, but AppArmor is not enabled on this system"
    )
    assert done.stderr == f"pyrunc: {words}\n"
    assert engine("ps", "-aq").stdout == ""


@pytest.mark.host("no AppArmor")
def test_info_without_apparmor_does_not_speak_of_it(engine: Engine) -> None:
    done = engine("info")
    assert "apparmor" not in (done.stdout + done.stderr).lower()


def test_unconfined_is_taken_everywhere_and_shown(engine: Engine) -> None:
    create = ("create", "--network", "none", "--security-opt")
    engine(*create, "apparmor=unconfined", "--name", "new", "busybox", *LABEL, check=True)
    engine(*create, "apparmor:unconfined", "--name", "old", "busybox", *LABEL, check=True)
    documents: list[dict[str, Any]] = engine.json("inspect", "new", "old")
    engine("rm", "new", "old", check=True)

    for document in documents:
        assert document["HostConfig"]["SecurityOpt"] == ["apparmor=unconfined"]
        assert document["AppArmorProfile"] in ("", "unconfined")
