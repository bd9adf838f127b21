"""Does each hook run when, where and as the specification says, and undo all if it fails?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.harness.engine import command
from tests.harness.slow_clock import SLOWNESS

from .oci import Bundle, Runtime, cgroups_named

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
AT_CREATE = KINDS[:3]
IN_CALLER = ("prestart", "createRuntime", "poststart", "poststop")

# Writes what it sees into DIRECTORY/KIND.N, as one JSON object; the state as it came.
REPORTER = """\
#!/bin/bash
out=$1/$2
state=$(cat)
fds=$(ls /proc/self/fd | tr '\\n' ' ')
{
  printf '{"argv0": "%s", "directory": "%s", "args": "%s", ' "$0" "$PWD" "$*"
  for kind in mnt net pid uts; do
    printf '"%s": "%s", ' $kind "$(readlink /proc/self/ns/$kind)"
  done
  printf '"fds": "%s", "state": %s}' "$fds" "$state"
} > "$out"
echo "$2" >> "$1/order"
"""


def script(bundle: Bundle, text: str) -> str:
    """Write an executable beside the bundle; return its path."""
    path = bundle.directory / f"hook-{uuid.uuid4().hex[:6]}"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def hook(bundle: Bundle, kind: str, text: str, **more: Any) -> None:
    """Add a hook with this text; a startContainer hook's lies in the root filesystem."""
    path = script(bundle, text)
    if kind == "startContainer":
        inside = bundle.rootfs / Path(path).name
        Path(path).rename(inside)
        path = f"/{inside.name}"
    bundle.spec.setdefault("hooks", {}).setdefault(kind, []).append({"path": path, **more})


def report_all(bundle: Bundle) -> Path:
    """Add a reporting hook of every kind but startContainer; return where they report."""
    out = bundle.directory / "out"
    out.mkdir()
    for kind in KINDS:
        if kind != "startContainer":
            hook(bundle, kind, REPORTER, args=["name of its own", str(out), kind])
    shell = (
        '#!/bin/sh\ncat > /tmp/state; readlink /proc/self/ns/mnt > /tmp/mnt; echo "$0" > /tmp/0\n'
    )
    hook(bundle, "startContainer", shell, args=["inside"], env=["PATH=/bin"])
    bundle.spec["root"]["readonly"] = False
    return out


def reported(out: Path, kind: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / kind).read_text())
    return report


def _link(path: str) -> str:
    return str(Path(path).readlink())


def fails(oci: Runtime, *words: str | Path) -> str:
    done = oci(*words)
    assert done.returncode == 1, done
    return done.stderr


def nothing_left(oci: Runtime, name: str) -> bool:
    return not (oci.root / name).exists() and not cgroups_named(name)


def test_hooks_run_in_order_and_each_command_runs_its_own(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    out = report_all(bundle)
    order = out / "order"
    oci.create(bundle.write("sleep", "60"), name)
    assert order.read_text().split() == ["prestart", "createRuntime", "createContainer"]
    assert not (bundle.rootfs / "tmp/state").exists()
    oci("start", name, check=True)
    assert order.read_text().split()[3:] == ["poststart"]
    assert (bundle.rootfs / "tmp/state").exists()
    oci("kill", name, "KILL", check=True)
    oci.wait_for(name, "stopped")
    oci("delete", name, check=True)
    assert order.read_text().split()[4:] == ["poststop"]


def test_hooks_get_state_with_status_pid_bundle_and_annotations(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    out = report_all(bundle)
    bundle.spec["annotations"] = {"key": "välue"}
    oci.create(bundle.write("sleep", "60"), name)
    pid = oci.state(name)["pid"]
    oci("start", name, check=True)
    oci("delete", "--force", name, check=True)
    status = dict.fromkeys(KINDS, "created") | {"poststart": "running", "poststop": "stopped"}
    pids = dict.fromkeys(KINDS, pid) | {"createContainer": 1, "startContainer": 1, "poststop": 0}
    for kind in KINDS:
        inside = kind == "startContainer"
        text = (bundle.rootfs / "tmp/state").read_text() if inside else ""
        state = json.loads(text) if inside else reported(out, kind)["state"]
        expected = {
            "id": name,
            "status": status[kind],
            "pid": pids[kind],
            "bundle": str(bundle.path.resolve()),
            "annotations": {"key": "välue"},
        }
        assert {key: state[key] for key in expected} == expected, kind
        assert state["ociVersion"].startswith("1.")


def test_hooks_run_in_the_namespaces_of_their_kind(bundle: Bundle, oci: Runtime, name: str) -> None:
    out = report_all(bundle)
    oci.create(bundle.write("sleep", "60"), name)
    pid = oci.state(name)["pid"]
    inside = {kind: _link(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "net", "pid", "uts")}
    ours = {kind: _link(f"/proc/self/ns/{kind}") for kind in inside}
    oci("start", name, check=True)
    oci("delete", "--force", name, check=True)
    for kind in IN_CALLER:
        seen = reported(out, kind)
        assert {key: seen[key] for key in ours} == ours, kind
    seen = reported(out, "createContainer")
    assert {key: seen[key] for key in inside} == inside
    assert (bundle.rootfs / "tmp/mnt").read_text().strip() == inside["mnt"]


def test_hooks_have_their_own_arguments_directory_and_no_descriptor_of_ours(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    out = report_all(bundle)
    bundle.write("sleep", "60")
    leaked = os.open("/", os.O_RDONLY)
    high = os.dup2(leaked, 120)
    try:
        line = [oci.program, "--root", oci.root, "create", "-b", bundle.path, name]
        subprocess.run(
            [*map(str, line)], stdin=subprocess.DEVNULL, pass_fds=(leaked, high), check=True
        )
    finally:
        os.close(leaked)
        os.close(high)
    oci("start", name, check=True)
    oci("delete", "--force", name, check=True)
    for kind in KINDS:
        if kind == "startContainer":
            continue
        seen = reported(out, kind)
        assert seen["args"] == f"{out} {kind}"
        assert seen["directory"] == str(bundle.path.resolve()), kind
        assert seen["fds"].split() == ["0", "1", "2", "3"], kind  # 3 is the one that ls reads


def test_argv0_is_the_first_argument_and_environment_is_as_given(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    out = bundle.directory / "seen"
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(open('/proc/self/cmdline').read() + chr(10)"
    )
    code += " + open('/proc/self/environ').read())"
    for kind in AT_CREATE:
        bundle.spec.setdefault("hooks", {})[kind] = [
            {
                "path": "/usr/bin/python3",
                "args": ["libnetwork-setkey", "-I", "-c", code, f"{out}-{kind}"],
                "env": ["ONE=1", "TWO=a=b", "EMPTY="],
            }
        ]
    bundle.write("sleep", "60")
    oci.create(bundle.path, name)
    for kind in AT_CREATE:
        arguments, _, environment = Path(f"{out}-{kind}").read_text().partition("\n")
        assert arguments.startswith("libnetwork-setkey\0-I\0")
        assert environment == "ONE=1\0TWO=a=b\0EMPTY=\0"


def test_prestart_hook_can_enter_the_containers_network_as_dockerd_does(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    seen = bundle.directory / "namespace"
    text = f"""#!/bin/bash
pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/')
readlink /proc/$pid/ns/net > {seen}
nsenter --net=/proc/$pid/ns/net ip link add hooked type veth peer name other
"""
    hook(bundle, "prestart", text, env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
    bundle.spec["linux"]["sysctl"] = {"net.ipv4.conf.hooked.forwarding": "1"}
    oci.create(bundle.write("sleep", "60"), name)
    pid = oci.state(name)["pid"]
    assert seen.read_text().strip() == _link(f"/proc/{pid}/ns/net")
    shown = Path(f"/proc/{pid}/net/dev").read_text()
    assert "hooked" in shown


def test_prestart_hook_finds_a_joined_network_and_is_not_in_it(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    other = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        path = f"/proc/{other.pid}/ns/net"
        deadline = time.monotonic() + 60
        while _link(path) == _link("/proc/self/ns/net"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for namespace in bundle.linux["namespaces"]:
            if namespace["type"] == "network":
                namespace["path"] = path
        bundle.linux["sysctl"] = {}
        seen = bundle.directory / "seen"
        text = f"""#!/bin/bash
pid=$(sed 's/.*"pid":\\([0-9]*\\).*/\\1/')
readlink /proc/$pid/ns/net /proc/self/ns/net > {seen}
"""
        hook(bundle, "prestart", text, env=["PATH=/usr/bin:/bin"])
        oci.create(bundle.write("sleep", "60"), name)
        assert seen.read_text().split() == [_link(path), _link("/proc/self/ns/net")]
    finally:
        other.kill()
        other.wait()


def test_create_container_hook_can_mount_into_the_new_root(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    bundle.spec["root"]["readonly"] = True
    (bundle.directory / "extra").write_text("from outside\n")
    text = f"""#!/bin/bash
mkdir -p {bundle.rootfs}/extra && mount -t tmpfs none {bundle.rootfs}/extra
cp {bundle.directory}/extra {bundle.rootfs}/extra/file
"""
    hook(bundle, "createContainer", text, env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
    done = oci("run", "-b", bundle.write("cat", "/extra/file"), name)
    assert (done.stdout, done.stderr) == ("from outside\n", "")
    assert not (bundle.rootfs / "extra/file").exists()


@pytest.mark.parametrize("kind", AT_CREATE)
def test_failing_hook_of_create_undoes_everything_and_runs_poststop(
    bundle: Bundle, oci: Runtime, name: str, kind: str
) -> None:
    hook(bundle, kind, "#!/bin/sh\nexit 0\n")
    hook(bundle, kind, "#!/bin/sh\necho to stdout; echo to stderr >&2; exit 7\n")
    hook(bundle, "poststop", f"#!/bin/sh\n/bin/cat > {bundle.directory}/stopped\n")
    told = fails(oci, "create", "-b", bundle.write("sleep", "60"), name)
    words = "error running hook #1: error running hook: exit status 7, stdout: to stdout"
    assert words in told
    assert "stderr: to stderr" in told
    assert json.loads((bundle.directory / "stopped").read_text())["status"] == "stopped"
    assert nothing_left(oci, name)
    assert oci("delete", "--force", name).stderr == ""


def test_failing_launch_runs_poststop_only_after_another_hook_ran(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    stopped = bundle.directory / "stopped"
    hook(bundle, "poststop", f"#!/bin/sh\n/bin/cat > {stopped}\n")
    fails(oci, "create", "-b", bundle.write("nosuch"), name)
    assert not stopped.exists()
    hook(bundle, "createRuntime", "#!/bin/sh\nexit 0\n")
    fails(oci, "create", "-b", bundle.write("nosuch"), name)
    assert stopped.exists()
    assert nothing_left(oci, name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file or directory"),
        ("not a program", "permission denied"),
        ("#!/bin/sh\nkill -9 $$\n", "error running hook: signal: killed, stdout: , stderr: "),
    ],
)
def test_hook_that_does_not_run_is_told(
    bundle: Bundle, oci: Runtime, name: str, kind: str, text: str | None, words: str
) -> None:
    hook(bundle, kind, text or "")
    path = bundle.spec["hooks"][kind][0]["path"]
    where = bundle.rootfs / path[1:] if kind == "startContainer" else Path(path)
    if text is None:
        where.unlink()
    elif not text.startswith("#!"):
        where.chmod(0o644)
    bundle.write("sleep", "60")
    if kind in AT_CREATE:
        told = fails(oci, "create", "-b", bundle.path, name)
        assert nothing_left(oci, name)
    else:
        oci.create(bundle.path, name)
        done = oci("start", name)
        assert done.returncode == (1 if kind == "startContainer" else 0)
        told = done.stderr + oci("delete", "--force", name, check=True).stderr
    assert f"error running hook #0: {'' if text and '#!' in text else 'fork/exec '}" in told
    assert words in told


@pytest.mark.parametrize("kind", KINDS)
def test_hook_past_its_timeout_is_killed_with_what_it_started(
    bundle: Bundle, oci: Runtime, name: str, kind: str
) -> None:
    mark = f"1{uuid.uuid4().int % 10**8}"
    hook(bundle, kind, f"#!/bin/sh\n/bin/sleep {mark} & wait\n", timeout=1)
    begin = time.monotonic()
    bundle.write("sleep", "60")
    if kind in AT_CREATE:
        told = fails(oci, "create", "-b", bundle.path, name)
    else:
        oci.create(bundle.path, name)
        told = oci("start", name).stderr + oci("delete", "--force", name, check=True).stderr
    assert 1 / SLOWNESS <= time.monotonic() - begin < 60
    assert "hook ran past specified timeout of 1.0s" in told
    deadline = time.monotonic() + 60
    while subprocess.run(["pgrep", "-f", f"sleep {mark}"], capture_output=True).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if kind not in ("poststart", "startContainer"):
        assert nothing_left(oci, name)


@pytest.mark.parametrize("kind", KINDS)
def test_hook_that_reads_no_state_and_closes_all_is_no_failure(
    bundle: Bundle, oci: Runtime, name: str, kind: str
) -> None:
    hook(bundle, kind, "#!/bin/sh\nexec 0<&- 1>&- 2>&-\nexit 0\n")
    bundle.spec["annotations"] = {"large": "x" * 200_000}
    oci.create(bundle.write("sleep", "60"), name)
    done = oci("start", name, check=True)
    assert done.stderr + oci("delete", "--force", name, check=True).stderr == ""


@pytest.mark.parametrize("kind", KINDS)
def test_large_state_arrives_whole(bundle: Bundle, oci: Runtime, name: str, kind: str) -> None:
    out = bundle.rootfs / "tmp/state"
    where = "/tmp/state" if kind == "startContainer" else str(out)
    hook(bundle, kind, f"#!/bin/sh\n/bin/cat > {where}\n")
    bundle.spec["root"]["readonly"] = False
    bundle.spec["annotations"] = {"large": "x" * 200_000}
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    oci("delete", "--force", name, check=True)
    assert json.loads(out.read_text())["annotations"] == bundle.spec["annotations"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_hook_leaves_running_keeps_nobody_waiting(
    bundle: Bundle, oci: Runtime, name: str, kind: str
) -> None:
    left = bundle.directory / "left"
    text = f"#!/bin/sh\n(/bin/sleep 300; echo late) &\necho $! > {left}\n"
    if kind == "startContainer":
        text = "#!/bin/sh\n(/bin/sleep 300; echo late) &\n"
    hook(bundle, kind, text)
    begin = time.monotonic()
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    oci("delete", "--force", name, check=True)
    assert time.monotonic() - begin < 100
    if left.exists() and kind in IN_CALLER:
        os.kill(int(left.read_text()), signal.SIGKILL)


def test_failing_start_container_hook_ends_the_container_and_start_says_so(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    hook(bundle, "startContainer", "#!/bin/sh\necho no >&2; exit 3\n", env=["PATH=/bin"])
    hook(bundle, "poststart", f"#!/bin/sh\n/bin/touch {bundle.directory}/poststart\n")
    hook(bundle, "poststop", f"#!/bin/sh\n/bin/touch {bundle.directory}/poststop\n")
    bundle.spec["root"]["readonly"] = False
    oci.create(bundle.write("touch", "/started"), name)
    told = fails(oci, "start", name)
    assert "error running hook #0: error running hook: exit status 3, stdout: , stderr: no" in told
    oci.wait_for(name, "stopped")
    assert not (bundle.rootfs / "started").exists()
    assert not (bundle.directory / "poststart").exists()
    oci("delete", name, check=True)
    assert (bundle.directory / "poststop").exists()


def test_start_container_hook_runs_as_the_containers_user(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    text = "#!/bin/sh\nid -u > /tmp/id; grep CapEff /proc/self/status >> /tmp/id\n"
    hook(bundle, "startContainer", text, env=["PATH=/bin"])
    bundle.spec["process"]["user"] = {"uid": 1234, "gid": 1234}
    bundle.spec["root"]["readonly"] = False
    (bundle.rootfs / "tmp").chmod(0o777)
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    words = (bundle.rootfs / "tmp/id").read_text().split()
    assert words == ["1234", "CapEff:", "0000000000000000"]


@pytest.mark.parametrize("version", ["1.0.2", "1.2.1", "1.3.0"])
def test_failing_poststart_hook_warns_and_since_1_3_stops_the_container(
    bundle: Bundle, oci: Runtime, name: str, version: str
) -> None:
    second = bundle.directory / "second"
    hook(bundle, "poststart", "#!/bin/sh\nexit 3\n")
    hook(bundle, "poststart", f"#!/bin/sh\n/bin/touch {second}\n")
    bundle.spec["ociVersion"] = version
    oci.create(bundle.write("sleep", "60"), name)
    done = oci("start", name)
    assert "error running hook #0: error running hook: exit status 3" in done.stderr
    if version == "1.3.0":
        assert done.returncode == 1
        assert not second.exists()
        oci.wait_for(name, "stopped")
    else:
        assert done.returncode == 0
        assert "level=warning" in done.stderr
        assert second.exists()
        assert oci.state(name)["status"] == "running"


def test_failing_poststop_hook_only_warns(bundle: Bundle, oci: Runtime, name: str) -> None:
    second = bundle.directory / "second"
    hook(bundle, "poststop", "#!/bin/sh\nexit 3\n")
    hook(bundle, "poststop", f"#!/bin/sh\n/bin/touch {second}\n")
    oci.create(bundle.write("sleep", "60"), name)
    done = oci("delete", "--force", name, check=True)
    assert "level=warning" in done.stderr
    assert "error running hook #0: error running hook: exit status 3" in done.stderr
    assert second.exists()
    assert nothing_left(oci, name)


def test_run_runs_all_hooks(bundle: Bundle, oci: Runtime, name: str) -> None:
    out = report_all(bundle)
    hook(bundle, "poststart", f"#!/bin/sh\n/bin/touch {bundle.rootfs}/tmp/go\n")
    script = "while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 5"
    done = oci("run", "-b", bundle.write("sh", "-c", script), name)
    assert (done.returncode, done.stderr) == (5, "")
    ordered = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    assert (out / "order").read_text().split() == ordered
    assert reported(out, "poststart")["state"]["status"] == "running"
    assert (bundle.rootfs / "tmp/state").exists()


@pytest.mark.parametrize("kind", [*AT_CREATE, "startContainer"])
def test_failing_hook_of_run_undoes_everything(
    bundle: Bundle, oci: Runtime, name: str, kind: str
) -> None:
    hook(bundle, kind, "#!/bin/sh\nexit 7\n")
    bundle.spec["root"]["readonly"] = False
    told = fails(oci, "run", "-b", bundle.write("touch", "/started"), name)
    assert "error running hook #0: error running hook: exit status 7" in told
    assert not (bundle.rootfs / "started").exists()
    assert nothing_left(oci, name)


def test_later_hooks_are_those_of_create_whatever_the_bundle_says_then(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    out = report_all(bundle)
    oci.create(bundle.write("sleep", "60"), name)
    (bundle.path / "config.json").unlink()
    oci("start", name, check=True)
    oci("delete", "--force", name, check=True)
    assert (out / "order").read_text().split()[3:] == ["poststart", "poststop"]


@pytest.mark.parametrize(
    ("hooks", "words"),
    [
        ({"prestart": [{"path": "bin/true"}]}, "hooks.prestart[0].path: must be an absolute path"),
        ({"createRuntime": [{}]}, "hooks.createRuntime[0].path: is required"),
        (
            {"poststop": [{"path": "/bin/true", "timeout": 0}]},
            "hooks.poststop[0].timeout: 0 is not",
        ),
        ({"poststart": {"path": "/bin/true"}}, "hooks.poststart: must be a list"),
        (
            {"startContainer": [{"path": "/bin/true", "env": ["A=b"] * 1024}]},
            "hooks.startContainer[0]: 1025 arguments and variables are more than the limit of 1024",
        ),
    ],
)
def test_invalid_hook_is_refused_by_its_place(
    bundle: Bundle, oci: Runtime, name: str, hooks: dict[str, Any], words: str
) -> None:
    bundle.spec["hooks"] = hooks
    assert words in fails(oci, "create", "-b", bundle.write("true"), name)
    assert nothing_left(oci, name)


def test_container_without_hooks_is_not_attended(bundle: Bundle, oci: Runtime, name: str) -> None:
    hook(bundle, "prestart", "#!/bin/sh\nexit 0\n")
    oci.create(bundle.write("sleep", "60"), name)
    assert "attended" not in json.loads((oci.root / name / "state.json").read_text())


def test_killed_create_ends_the_launch_while_its_hook_runs(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    ready = hook_that_waits(bundle, "createRuntime")
    process = in_background(oci, ready, "create", "-b", bundle.write("sleep", "60"), name)
    path = bundle.spec["hooks"]["createRuntime"][0]["path"]
    found = subprocess.run(["pgrep", "-f", path], capture_output=True, text=True, check=True)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while cgroups_named(name):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(int(found.stdout), signal.SIGKILL)
    assert oci.state(name)["status"] == "stopped"
    oci("delete", "--force", name, check=True)
    assert nothing_left(oci, name)


@pytest.mark.parametrize("step", ["call-hooks", "await-hooks", "run-hook:createContainer #0"])
@pytest.mark.parametrize("action", ["EIO", "kill"])
def test_fault_at_a_step_of_hooks_leaves_nothing(
    bundle: Bundle, oci: Runtime, name: str, step: str, action: str
) -> None:
    hook(bundle, "prestart", "#!/bin/sh\nexit 0\n")
    hook(bundle, "createContainer", "#!/bin/sh\nexit 0\n")
    bundle.write("sleep", "60")
    done = oci("create", "-b", bundle.path, name, env={"PYRUNC_FAULT": f"{step}:{action}"})
    assert done.returncode == 1
    assert "unable to start container process" in done.stderr or action == "kill"
    deadline = time.monotonic() + 60
    while not nothing_left(oci, name):
        assert time.monotonic() < deadline, (step, action, done.stderr)
        time.sleep(0.01)


def test_fault_at_a_start_container_hook_is_told_by_nobody_but_ends_it(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    hook(bundle, "startContainer", "#!/bin/sh\nexit 0\n", env=["PATH=/bin"])
    bundle.write("sleep", "60")
    done = oci(
        "run", "-b", bundle.path, name, env={"PYRUNC_FAULT": "run-hook:startContainer #0:EIO"}
    )
    assert done.returncode == 1
    assert "run hook" in done.stderr
    assert nothing_left(oci, name)


def test_no_zombie_stays_in_the_container(bundle: Bundle, oci: Runtime, name: str) -> None:
    for kind in ("createContainer", "startContainer"):
        hook(bundle, kind, "#!/bin/sh\nexit 0\n", env=["PATH=/bin"])
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    (procs,) = [p for p in cgroups_named(name) if "/pids/" in p] or cgroups_named(name)[:1]
    assert Path(procs, "cgroup.procs").read_text().split() == [str(oci.state(name)["pid"])]


@pytest.mark.parametrize("verb", ["create", "run"])
def test_hook_may_ask_for_the_state_of_its_container(
    bundle: Bundle, oci: Runtime, name: str, verb: str
) -> None:
    told = bundle.rootfs / "tmp/told"
    text = f"""#!/bin/sh
{oci.program} --root {oci.root} state {name} >> {told}-$1 2>&1
/bin/touch {told}-$1-all
"""
    for kind in IN_CALLER:
        hook(bundle, kind, text, args=["ask", kind])
    bundle.write("sh", "-c", "while [ ! -e /tmp/told-poststart-all ]; do sleep 0.05; done")
    if verb == "create":
        oci.create(bundle.path, name)
        oci("start", name, check=True)
        oci("delete", "--force", name, check=True)
    else:
        oci("run", "-b", bundle.path, name, check=True)
    said = {kind: json.loads(Path(f"{told}-{kind}").read_text())["status"] for kind in IN_CALLER}
    expected = ("created", "created", "running", "stopped")
    assert said == dict(zip(IN_CALLER, expected, strict=True))


def hook_that_waits(bundle: Bundle, kind: str) -> Path:
    """Add a hook that says that it runs, and goes on for long; return where it says so."""
    ready = bundle.directory / f"ready-{kind}"
    hook(bundle, kind, f"#!/bin/sh\n/bin/touch {ready}\n/bin/sleep 300\n/bin/touch {ready}-end\n")
    return ready


def in_background(oci: Runtime, ready: Path, *words: str | Path) -> subprocess.Popen[str]:
    """Start a command and wait until its hook runs."""
    line = [oci.program, "--root", oci.root, *words]
    process = subprocess.Popen(
        [*map(str, line)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_interrupted_create_ends_its_hook_and_undoes_everything(
    bundle: Bundle, oci: Runtime, name: str, kind: str
) -> None:
    ready = hook_that_waits(bundle, kind)
    hook(bundle, "poststop", f"#!/bin/sh\n/bin/touch {bundle.directory}/stopped\n")
    process = in_background(oci, ready, "create", "-b", bundle.write("sleep", "60"), name)
    process.send_signal(signal.SIGINT)
    assert "interrupted" in process.communicate(timeout=60)[1]
    assert nothing_left(oci, name)
    assert (bundle.directory / "stopped").exists()
    deadline = time.monotonic() + 60
    while subprocess.run(["pgrep", "-f", str(ready)], capture_output=True).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_start_and_delete_leave_what_delete_ends(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    started = hook_that_waits(bundle, "poststart")
    stopped = bundle.directory / "stopped"
    text = (
        f"#!/bin/sh\nif [ -e {stopped} ]; then exit 0; fi\n/bin/touch {stopped}\n/bin/sleep 300\n"
    )
    hook(bundle, "poststop", text)
    oci.create(bundle.write("sleep", "60"), name)
    for ready, words in ((started, ["start"]), (stopped, ["delete", "--force"])):
        process = in_background(oci, ready, *words, name)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
        process.kill()
        process.communicate()
        for pid in children.stdout.split():
            os.killpg(int(pid), signal.SIGKILL)
        expected = "running" if words == ["start"] else "stopped"
        assert oci.state(name)["status"] == expected
    oci("delete", name, check=True)
    assert nothing_left(oci, name)


def test_hooks_of_a_bundle_are_explained(bundle: Bundle, directory: Path) -> None:
    for kind in KINDS:
        hook(bundle, kind, "#!/bin/sh\nexit 0\n", timeout=3)
    done = subprocess.run(
        [command("pyrunc"), "explain", bundle.write("sleep", "60")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for words in (
        "call-hooks",
        "await-hooks",
        "run-hook:createContainer #0",
        "run-hook:startContainer #0",
        "timeout_seconds=3",
    ):
        assert words in done.stdout


def test_create_container_hook_has_a_umask(bundle: Bundle, oci: Runtime, name: str) -> None:
    made = bundle.directory / "made"
    hook(bundle, "createContainer", f"#!/bin/sh\n/bin/touch {made}\n")
    oci.create(bundle.write("sleep", "60"), name)
    assert made.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_preserved_descriptors_are_the_commands_and_no_hooks(
    bundle: Bundle, oci: Runtime, name: str, no_new_privileges: bool
) -> None:
    text = "#!/bin/sh\nls /proc/self/fd > /tmp/hook\n"
    hook(bundle, "startContainer", text, env=["PATH=/bin"])
    bundle.spec["process"]["noNewPrivileges"] = no_new_privileges
    bundle.spec["root"]["readonly"] = False
    bundle.write("sh", "-c", "ls /proc/self/fd > /tmp/command; cat <&7 > /tmp/last; sleep 60")
    (bundle.directory / "last").write_text("the last one")
    opened = "3<.. 4<.. 5<.. 6<.. 7<" + str(bundle.directory / "last")
    line = [oci.program, "--root", oci.root, "create", "--preserve-fds", 5, "-b", bundle.path, name]
    subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {opened}', "sh", *map(str, line)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )
    oci("start", name, check=True)
    deadline = time.monotonic() + 60
    while not (bundle.rootfs / "tmp/last").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (bundle.rootfs / "tmp/hook").read_text().split() == ["0", "1", "2", "3"]
    expected = [str(number) for number in range(9)]  # 8 is the one that ls reads
    assert (bundle.rootfs / "tmp/command").read_text().split() == expected
    assert oci.state(name)["status"] == "running"


@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
def test_failing_hook_of_run_detached_leaves_nothing(
    bundle: Bundle, oci: Runtime, name: str, kind: str
) -> None:
    hook(bundle, kind, "#!/bin/sh\nexit 7\n", env=["PATH=/bin"])
    bundle.spec["ociVersion"] = "1.3.0"
    told = fails(oci, "run", "--detach", "-b", bundle.write("sleep", "60"), name)
    assert "error running hook #0: error running hook: exit status 7" in told
    assert nothing_left(oci, name)


def test_start_container_hook_runs_within_a_small_stack(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    text = "#!/bin/sh\necho $# $LAST > /tmp/seen\n"
    environment = [*(f"N{number}=x" for number in range(500)), "LAST=y"]
    hook(bundle, "startContainer", text, args=["a"] * 500, env=environment)
    limit = {"type": "RLIMIT_STACK", "soft": 160 << 10, "hard": 8 << 20}
    bundle.spec["process"]["rlimits"] = [limit]
    bundle.spec["root"]["readonly"] = False
    oci.create(bundle.write("sleep", "60"), name)
    oci("start", name, check=True)
    assert (bundle.rootfs / "tmp/seen").read_text() == "499 y\n"


def kill_alone(process: subprocess.Popen[str]) -> None:
    """Kill a command, and wait for none of those that have its stderr."""
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def test_launch_that_nobody_waits_for_leaves_no_created_container(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    ready, go = bundle.directory / "ready", bundle.directory / "go"
    wait = f"while [ ! -e {go} ]; do /bin/sleep 0.05; done"
    hook(bundle, "createContainer", f"#!/bin/sh\n/bin/touch {ready}\n{wait}\n")
    process = in_background(oci, ready, "create", "-b", bundle.write("sleep", "60"), name)
    kill_alone(process)
    oci("delete", "--force", name, check=True)  # comes before the launch is through
    go.touch()
    deadline = time.monotonic() + 60
    while cgroups_named(name):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    assert nothing_left(oci, name)


def test_created_container_is_not_left_where_its_create_was_killed(
    bundle: Bundle, oci: Runtime, name: str
) -> None:
    ready, go = bundle.directory / "ready", bundle.directory / "go"
    wait = f"while [ ! -e {go} ]; do /bin/sleep 0.05; done"
    hook(bundle, "createContainer", f"#!/bin/sh\n/bin/touch {ready}\n{wait}\n")
    process = in_background(oci, ready, "create", "-b", bundle.write("sleep", "60"), name)
    kill_alone(process)
    go.touch()
    deadline = time.monotonic() + 60
    while cgroups_named(name):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert oci.state(name)["status"] == "stopped"
