"""Options come back from the database as they were."""

from __future__ import annotations

import json

from pyrunc.engine import run_options
from pyrunc.engine.stored_options import from_document, to_document

FLAGS: dict[str, object] = {
    "name": "box", "interactive": True, "tty": True, "rm": True, "init": True,
    "env": ["A=1", "B=ä"], "user": "1:2", "group-add": ["5"], "workdir": "/w",
    "label": ["a=b"], "entrypoint": "", "read-only": True, "volume": ["/a:/b:ro", "name:/c", "/d"],
    "mount": ["type=volume,dst=/e,volume-label=a=b"], "volumes-from": ["x:ro"],
    "tmpfs": ["/t:size=1m"], "device": ["/dev/null:/dev/x:r"], "shm-size": "1m",
    "memory": "64m", "memory-swap": "-1", "cpus": "1.5", "cpuset-cpus": "0",
    "cgroup-parent": "a.slice",
    "pids-limit": "5", "ulimit": ["nofile=1:2"], "cap-add": ["CHOWN"], "cap-drop": ["ALL"],
    "security-opt": ["no-new-privileges", "seccomp=unconfined", "apparmor=x"],
    "sysctl": ["net.a=1"],
    "network": ["none"], "hostname": "h", "domainname": "d", "dns": ["1.1.1.1"],
    "dns-search": ["x"], "dns-option": ["ndots:1"], "add-host": ["a:1.2.3.4"],
    "memory-reservation": "32m", "cpu-shares": "512", "cpu-rt-period": "1000",
    "cpu-rt-runtime": "500", "cpuset-mems": "0", "blkio-weight": "100",
    "stop-timeout": "7", "stop-signal": "INT", "health-cmd": "x",
    "log-opt": ["max-size=1k", "max-file=2", "labels=a"],
}  # fmt: skip


def test_every_option_comes_back() -> None:
    options = run_options.from_flags(FLAGS, "image", ["cmd", "arg"], {})
    # what goes only without --cpus
    options = options.replace(cpu_quota_us=5000, cpu_period_us=10_000)
    document = json.loads(json.dumps(to_document(options)))

    assert from_document(document) == options
    told = {name for name in document if name != "image"}
    kept = set(run_options.RunOptions.record_defaults) - {
        *(
            "cidfile",
            "trace",
            "quiet",
            "pull",
            "platform",
            "detach",
            "privileged",
            "seccomp_profile",
        ),
        *("restart", "gives_input", "detach_keys", "sig_proxy", "hold"),
    }
    assert kept <= told


def test_defaults_are_not_stored() -> None:
    options = run_options.from_flags({"pull": "never", "quiet": True}, "image", [], {})

    assert to_document(options) == {"image": "image"}
