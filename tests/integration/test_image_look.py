"""`image mount`, `image diff`, `image why-big`, `system df`, `system prune`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, directory, file, hardlink, symlink

BASE = (
    directory("etc")
    + file("etc/a", b"a" * 100_000)
    + file("etc/b", b"b" * 1000)
    + directory("cache")
    + file("cache/big", b"c" * 500_000)
    + hardlink("cache/twin", "cache/big")
    + symlink("link", "etc/a")
    + END
)
CHANGE = (
    directory("etc")
    + file("etc/a", b"A" * 200_000)
    + file("etc/.wh.b", b"")
    + file("etc/new", b"n")
    + file(".wh.cache", b"")
    + END
)
STEPS = [{"created_by": "ADD base /"}, {"created_by": "RUN apt-get clean"}]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(Path(tmp_path_factory.mktemp("look")), 4093)
    for name, layers in (("base:1", [BASE]), ("top:1", [BASE, CHANGE])):
        raw = raw_tar.config([raw_tar.digest(one) for one in layers], history=STEPS[: len(layers)])
        archive = engine.directory / "a.tar"
        raw_tar.docker_archive(archive, layers, name=name, raw_config=raw)
        engine("load", "-qi", archive, check=True)
    yield engine
    engine.remove()


def test_image_is_seen_until_it_is_unmounted(box: Engine) -> None:
    place = Path(box("image", "mount", "top:1", check=True).stdout.strip())
    try:
        assert (place / "etc/a").read_bytes() == b"A" * 200_000
        assert not (place / "cache").exists()
        with pytest.raises(OSError, match="Read-only"):
            (place / "x").write_text("")
        assert box("image", "mount", "top:1", check=True).stdout.strip() == str(place)
        assert box("image", "mount", check=True).stdout.split()[1] == str(place)
        refused = box("rmi", "top:1")
        assert "image is mounted" in refused.stderr
        assert refused.returncode == 1
    finally:
        box("image", "unmount", "top:1", check=True)
    assert not place.exists()
    assert "it is not mounted" in box("image", "umount", "top:1").stderr
    assert box("image", "mount", "nothere").returncode == 1


def test_forced_removal_unmounts(box: Engine) -> None:
    archive = raw_tar.docker_archive(box.directory / "m.tar", [file("m") + END], name="m:1")
    box("load", "-qi", archive, check=True)
    place = Path(box("image", "mount", "m:1", check=True).stdout.strip())
    assert "Deleted" in box("rmi", "-f", "m:1", check=True).stdout
    assert not place.exists()
    assert box("image", "unmount", "-a", check=True).stdout == ""


def test_diff_of_two_images(box: Engine) -> None:
    assert box("image", "diff", "base:1", "top:1", check=True).stdout.splitlines() == [
        "D /cache",
        "C /etc",
        "C /etc/a",
        "D /etc/b",
        "A /etc/new",
    ]
    back = box("image", "diff", "top:1", "base:1", check=True).stdout.splitlines()
    assert back[:3] == ["A /cache", "A /cache/big", "A /cache/twin"]
    assert box("image", "diff", "top:1", "top:1", check=True).stdout == ""
    assert box("image", "diff", "top:1", "nothere").returncode == 1


def test_why_big_maps_hidden_bytes_to_history(box: Engine) -> None:
    lines = box("image", "why-big", "top:1", check=True).stdout.splitlines()
    assert lines[0] == "top:1: 801kB in 2 layers, 601kB (75%) of it hidden by later ones"
    assert lines[2].split() == ["LAYER", "SIZE", "WASTED", "CREATED", "BY"]
    assert lines[3].split() == ["2", "200kB", "0B", "RUN", "apt-get", "clean"]
    assert lines[4].split() == ["1", "601kB", "601kB", "ADD", "base", "/"]
    assert [" ".join(line.split()) for line in lines[6:]] == [
        "BYTES LAYER FILE",
        "500kB in 1, deleted in 2 /cache/big",
        "100kB in 1, overwritten in 2 /etc/a",
        "1kB in 1, deleted in 2 /etc/b",
    ]
    short = box("image", "why-big", "-n", "1", "top:1", check=True).stdout.splitlines()
    assert short[-1] == "and 2 smaller ones with 101kB"
    rows = box("image", "why-big", "--format", "{{.Layer}} {{.WastedBytes}}", "top:1", check=True)
    assert rows.stdout == "2 0\n1 601000\n"


def test_df_counts_shared_bytes_once(box: Engine) -> None:
    lines = box("system", "df", check=True).stdout.splitlines()
    assert lines[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert [line[:15].strip() for line in lines[1:]] == [
        "Images",
        "Containers",
        "Local Volumes",
        "Build Cache",
    ]
    form = box("system", "df", "--format", "{{.Type}}={{.TotalCount}} {{.Active}}", check=True)
    assert form.stdout.splitlines()[0] == "Images=2 0"
    assert "(100%)" in lines[1]
    verbose = box("system", "df", "-v", check=True).stdout
    rows = {
        line.split()[0]: line.split() for line in verbose.splitlines() if ":" not in line and line
    }
    assert rows["base"][-4:] == ["601kB", "601kB", "0B", "0"]
    assert rows["top"][-4:] == ["801kB", "601kB", "200kB", "0"]
    whole = json.loads(box("system", "df", "-v", "--format", "json", check=True).stdout)
    assert {row["Repository"] for row in whole["Images"]} == {"base", "top"}


def test_prune_asks_and_takes_containers_before_images(loaded: Engine) -> None:
    loaded("create", "--network", "none", "--name", "old", "busybox", check=True)
    loaded("tag", "busybox", "kept", check=True)
    asked = loaded("system", "prune", input="n\n", check=True).stdout
    for words in ("all stopped containers", "all dangling images", "want to continue? [y/N]"):
        assert words in asked
    assert loaded("ps", "-aq").stdout
    active = loaded("system", "df", "--format", "{{.Active}}", check=True).stdout.split()
    assert active[0] == "1"

    done = loaded("system", "prune", "-af", check=True).stdout

    assert done.startswith("Deleted Containers:\n")
    assert "Deleted Images:\nuntagged: busybox:latest\nuntagged: kept:latest\ndeleted: " in done
    assert "Total reclaimed space: 4" in done
    assert loaded("system", "df", "--format", "{{.Size}}", check=True).stdout.split()[0] == "0B"


def test_volumes_are_counted_and_anonymous_ones_pruned(loaded: Engine) -> None:
    words = ["run", "--network", "none", "-v", "/anon", "-v", "named:/kept", "busybox"]
    loaded(*words, "sh", "-c", "echo 12345 >/anon/f; echo 123 >/kept/f", check=True)
    total, active = "{{.TotalCount}}", "{{.Active}}"
    counted = loaded("system", "df", "--format", f"{{{{.Type}}}} {total} {active}", check=True)
    assert "Local Volumes 2 2" in counted.stdout
    assert " 6B" in loaded("system", "df", "-v", check=True).stdout
    both = loaded("system", "prune", "-f", "--volumes", "--filter", "until=1h")
    assert 'the "until" filter is not supported with "--volumes"' in both.stderr

    done = loaded("system", "prune", "-f", "--volumes", check=True).stdout

    assert "Deleted Volumes:" in done
    assert loaded("volume", "ls", "-q", check=True).stdout == "named\n"


def test_images_leave_events(loaded: Engine) -> None:
    loaded("tag", "busybox", "two", check=True)
    loaded("rmi", "two", "busybox", check=True)
    words = ["events", "--since", "1h", "--until", "0s", "--filter", "type=image"]
    told = loaded(*words, "--format", "{{.Action}}", check=True).stdout.split()
    assert told == ["load", "tag", "untag", "untag", "delete"]
