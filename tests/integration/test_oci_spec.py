"""Are spec and features what engines and scripts expect, and true?"""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from .oci import Bundle, Runtime, pyrunc_oci
from .test_oci_cgroup_v2 import ONLY_V2

RUNC = "/usr/sbin/runc"


@pytest.fixture
def oci(directory: Path) -> Runtime:
    return pyrunc_oci(directory)


@pytest.mark.host("runc 1.1")
@pytest.mark.parametrize("options", [[], ["--rootless"]], ids=["root", "rootless"])
@pytest.mark.parametrize("host", ["", ONLY_V2], ids=["as-it-is", "v2"])
def test_spec_is_runcs_but_for_the_version(oci: Runtime, options: list[str], host: str) -> None:
    written: list[dict[str, Any]] = []
    for runtime in (oci, Runtime(RUNC, oci.root.parent)):
        bundle = oci.root.parent / f"bundle{len(written)}"
        bundle.mkdir()
        line = [runtime.program, "--root", str(runtime.root), "spec", *options]
        script = host or 'exec "$@"'
        subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *line], cwd=bundle, check=True)
        text = (bundle / "config.json").read_text()
        written.append(json.loads(text))
        assert text.startswith('{\n\t"ociVersion"')
    ours, theirs = written
    assert ours.pop("ociVersion") == "1.3.0"
    assert theirs.pop("ociVersion")
    assert ours == theirs


def test_spec_refuses_to_overwrite(oci: Runtime) -> None:
    config = oci.root.parent / "config.json"
    config.write_text("mine")
    done = oci("spec", "--bundle", config.parent)
    assert (done.returncode, "File config.json exists. Remove it first" in done.stderr) == (1, True)
    assert config.read_text() == "mine"
    assert "no such file or directory" in oci("spec", "-b", "/nonexistent").stderr


def test_container_of_the_written_spec_runs(directory: Path, oci: Runtime) -> None:
    bundle = Bundle(directory)
    oci("spec", cwd=bundle.path, check=True)
    config = bundle.path / "config.json"
    text = config.read_text().replace('"terminal": true', '"terminal": false')
    config.write_text(text.replace('"sh"', '"/bin/hostname"'))
    done = oci("run", "-b", bundle.path, f"s{uuid.uuid4().hex[:8]}", check=True)
    assert done.stdout == "runc\n"


def test_features_leave_nothing_and_need_no_root_directory(oci: Runtime) -> None:
    done = oci("features", check=True, env={})
    assert done.stderr == ""
    assert json.loads(done.stdout)["ociVersionMax"] == "1.3.0"
    assert not oci.root.exists()


@pytest.mark.host("runc 1.1")
def test_features_have_the_fields_of_runcs(oci: Runtime) -> None:
    ours = json.loads(oci("features", check=True).stdout)
    theirs = json.loads(Runtime(RUNC, oci.root.parent)("features", check=True).stdout)
    assert set(theirs) <= set(ours)
    assert set(theirs["linux"]) <= set(ours["linux"])
    assert set(theirs["linux"]["seccomp"]["archs"]) <= set(ours["linux"]["seccomp"]["archs"])
    assert set(theirs["linux"]["namespaces"]) <= set(ours["linux"]["namespaces"])
    assert theirs["linux"]["capabilities"] == ours["linux"]["capabilities"]
    assert ours["annotations"]["org.opencontainers.runc.checkpoint.enabled"] == "false"
