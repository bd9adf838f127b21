"""What may a container engine leave behind, and is it there?

A `Snapshot` names everything on the host that pyrunc may touch, as lines of text, so that the
difference between two of them reads like a diff.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from tests.harness import lanes

# Made once for the machine and kept, as systemd keeps its slices.
KEPT_CGROUPS = re.compile(r"/pyrunc(/monitors)?$")
# What a rule matched or a set remembers is traffic, not configuration.
NFT_TRAFFIC = re.compile(r"counter packets \d+ bytes \d+|expires \S+")

# For a machine where others run pyrunc at the same time; continuous runs never set that.
IS_SHARED = os.environ.get("PYRUNC_TEST_SHARED_HOST") == "1"

# Who syncs what was loaded goes when it has; SYNC_SECONDS are what that may take on a busy disk.
SETTLER = " pyrunc:settle:"
SYNC_SECONDS = 60.0

Snapshot = dict[str, list[str]]


def snapshot() -> Snapshot:
    """Return what there is now: mounts, links, packet filter, cgroups, namespaces, processes."""
    return {
        "mount": _mounts(),
        "link": _links(),
        "nftables": _ruleset(),
        "cgroup": _cgroups(),
        "network namespace": _named_namespaces(),
        "process": _processes(),
    }


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """Return lines "+ link veth1" and "- mount /x", empty if nothing has changed."""
    lines: list[str] = []
    for kind, old in before.items():
        new = after[kind]
        known = {_identity(kind, item) for item in old}
        lines += [f"+ {kind} {item}" for item in new if _identity(kind, item) not in known]
        lines += [
            f"- {kind} {item}" for item in old if item not in new and not _is_passing(kind, item)
        ]
    return lines


def _identity(kind: str, item: str) -> str:
    """Return what stays of something: a process takes another name soon after its start."""
    return item.split(maxsplit=1)[0] if kind == "process" else item


def _is_passing(kind: str, item: str) -> bool:
    """Tell whether this goes by itself: an end of a veth pair that was dying, a process.

    Who syncs what was loaded for all tests of a file, say, or the monitor of what ran before.
    """
    return "@if" in item or kind == "process"


def wait_until_unchanged(before: Snapshot, patience_seconds: float = 30.0) -> list[str]:
    """Return the difference that stays.

    Kernel: network namespaces, and with them veth pairs, die asynchronously; a sync takes what it
    takes, for it writes what others wrote as well.
    """
    deadline = time.monotonic() + patience_seconds
    last = deadline + SYNC_SECONDS
    while lines := difference(before, snapshot()):
        if time.monotonic() > (last if all(SETTLER in line for line in lines) else deadline):
            break
        time.sleep(0.05)
    return lines


def is_alive(pid: int) -> bool:
    """Tell whether a process is there, and more than a zombie."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return words.rpartition(")")[2].split()[0] not in "ZX"


def _mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(re.sub(r"^\d+ \d+ \d+:\d+ ", "", line) for line in lines)


def _links() -> list[str]:
    done = subprocess.run(["ip", "-o", "link", "show"], capture_output=True, text=True, check=True)
    return sorted(line.split(":")[1].strip() for line in done.stdout.splitlines())


def _ruleset() -> list[str]:
    done = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    table, lines = "", []
    for line in done.stdout.splitlines():
        if line.startswith("table"):
            table = line.removesuffix(" {")
            lines.append(table)
        elif line.strip() not in ("", "}"):
            lines.append(f"{table}: {NFT_TRAFFIC.sub('', line).strip()}")
    return lines


def _cgroups() -> list[str]:
    found: list[str] = []
    if lanes.name():
        return found  # whose they are, nothing tells; they are compared around the whole run
    for directory, _, _ in os.walk("/sys/fs/cgroup"):
        if "/pyrunc" in directory and not KEPT_CGROUPS.search(directory):
            found.append(directory)
    return sorted(found)


def _named_namespaces() -> list[str]:
    directory = Path("/run/netns")
    return sorted(os.listdir(directory)) if directory.is_dir() else []


def _processes() -> list[str]:
    """Return pyrunc's processes; a zombie is none, and waits for the machine's own init."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            name = (directory / "comm").read_text().strip()
            if not name.startswith("pyrunc") or (
                lanes.name() and not lanes.is_ours(directory.name)
            ):
                continue
            state = (directory / "stat").read_text().rpartition(")")[2].split()[0]
            words = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue  # it has gone meanwhile
        if state not in "ZX":
            found.append(f"{directory.name} {name}: {words.decode(errors='replace')[:120]}")
    return sorted(found)
