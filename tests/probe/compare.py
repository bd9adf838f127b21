"""python -m tests.probe.compare DIRECTORY: run the probe under docker and under pyrunc, print both.

Started by a test in a network and a mount namespace of its own, so that dockerd's bridge and packet
filter touch nobody.  Prints {"docker": REPORT, "pyrunc": REPORT}.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.harness.engine import Engine
from tests.harness.peers import Docker
from tests.images import busybox
from tests.probe import report


def main() -> None:
    """Start docker, load one image into both, run the probe in both."""
    directory = Path(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    archive = directory / "probe.tar"
    programs = {"probe": report.build(directory / "probe")}
    busybox.make_archive(archive, "docker.io/library/probe:latest", {"Cmd": ["/probe"]}, programs)
    (directory / "engine").mkdir()
    pyrunc = Engine(directory / "engine", 0)
    docker = Docker(directory / "docker", directory / "run")
    try:
        subprocess.run(docker.argv("load", "-i", archive), check=True, capture_output=True)
        pyrunc("load", "-i", archive, check=True)
        theirs = subprocess.run(
            docker.argv("run", "--rm", "probe"), capture_output=True, text=True, check=False
        )
        if theirs.returncode != 0:
            sys.exit(f"docker: {theirs.stderr}")
        ours = pyrunc("run", "--rm", "probe", check=True)
    finally:
        docker.stop()
    seen = {"docker": json.loads(theirs.stdout), "pyrunc": json.loads(ours.stdout)}
    print(json.dumps({name: report.comparable(raw) for name, raw in seen.items()}))


if __name__ == "__main__":
    main()
