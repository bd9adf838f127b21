"""`tag`, `rmi`, `image prune`: docker's rules and words, and nothing kept that nobody needs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pyrunc.paths import Paths
from pyrunc.storage import collect
from pyrunc.storage.lease import Lease
from pyrunc.storage.workspace import Workspace
from tests.harness import raw_tar
from tests.harness.engine import Engine
from tests.harness.raw_tar import END, file

BASE = file("base", b"b" * 3000) + END
TOP = file("top", b"t" * 2000) + END


def load(engine: Engine, name: str, *layers: bytes, **config: object) -> str:
    """Load an image of these layers; return its ID."""
    raw = raw_tar.config([raw_tar.digest(layer) for layer in layers], **config)
    path = engine.directory / "a.tar"
    raw_tar.docker_archive(path, list(layers), name=name, raw_config=raw)
    engine("load", "-q", "-i", path, check=True)
    return raw_tar.digest(raw)


def stored(engine: Engine) -> int:
    """Count blobs, layers and hot forms."""
    places = ("oci/blobs/sha256", "layers", "images")
    return sum(len(list((engine.root / place).iterdir())) for place in places)


def test_tag_is_silent_and_rmi_takes_names_before_the_image(pyrunc: Engine) -> None:
    image_id = load(pyrunc, "one:1", BASE, TOP)
    for source, target in (("one:1", "two"), (image_id[7:15], "reg.io:5000/a/b:3")):
        done = pyrunc("tag", source, target, check=True)
        assert (done.stdout, done.stderr) == ("", "")

    assert pyrunc("rmi", "two", check=True).stdout == "Untagged: two:latest\n"
    by_id = pyrunc("rmi", image_id[7:19])
    assert by_id.returncode == 1
    assert "(must be forced) - image is referenced in multiple repositories" in by_id.stderr
    done = pyrunc("rmi", "-f", image_id[7:19], check=True)

    first = raw_tar.digest(BASE)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["Untagged: one:1", "Untagged: reg.io:5000/a/b:3"]
    assert lines[2] == f"Deleted: {image_id}"
    assert re.fullmatch("Deleted: sha256:[0-9a-f]{64}", lines[3])
    assert lines[4:] == [f"Deleted: {first}"]
    assert stored(pyrunc) == 0


def test_tag_refuses_a_digest_and_moves_a_name(pyrunc: Engine) -> None:
    old = load(pyrunc, "x:1", BASE)
    new = load(pyrunc, "y:1", TOP)
    assert "digest reference" in pyrunc("tag", "x:1", f"z@{old}").stderr
    pyrunc("image", "tag", "y:1", "x:1", check=True)

    listed = pyrunc("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    assert set(listed.stdout.splitlines()) == {
        f"x:1 {new}",
        f"y:1 {new}",
        f"<none>:<none> {old}",
    }
    assert pyrunc("images", "-qf", "dangling=true").stdout.split() == [old[7:19]]


def test_untag_takes_names_and_leaves_the_image(pyrunc: Engine) -> None:
    image_id = load(pyrunc, "one:1", BASE)
    load(pyrunc, "other:1", TOP)
    for name in ("two", "three:3"):
        pyrunc("tag", "one:1", name, check=True)

    done = pyrunc("untag", "one:1", "two", check=True)
    others = pyrunc("image", "untag", "one:1", "three:3", "other:1")
    unknown = pyrunc("untag", "nothing")

    assert (done.stdout, done.stderr) == ("", "")
    assert (others.returncode, others.stderr) == (
        1, "pyrunc: cannot untag one:1: it is not called other:1\n"
    )  # fmt: skip
    assert (unknown.returncode, "No such image: nothing:latest" in unknown.stderr) == (1, True)
    assert pyrunc.json("image", "inspect", image_id)[0]["RepoTags"] == ["one:1", "three:3"]
    pyrunc("untag", image_id[7:19], check=True)
    assert pyrunc.json("image", "inspect", image_id)[0]["RepoTags"] == []


def test_exists_says_it_by_its_exit_code(pyrunc: Engine) -> None:
    image_id = load(pyrunc, "one:1", BASE)

    for word, code in (("one:1", 0), (image_id[7:19], 0), ("one:2", 1), ("one", 1)):
        done = pyrunc("image", "exists", word)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert pyrunc("image", "exists", "NOT A NAME").returncode == 1


def test_all_images_go_but_those_in_use(pyrunc: Engine) -> None:
    load(pyrunc, "one:1", BASE)
    load(pyrunc, "one:1", TOP)  # the first has no name now
    load(pyrunc, "used:1", BASE, TOP)
    pyrunc("tag", "one:1", "reg.io/two", check=True)
    container = pyrunc("create", "--network", "none", "used:1", check=True).stdout.strip()

    some = pyrunc("rmi", "-a")
    left = pyrunc("images", "--format", "{{.Repository}}:{{.Tag}}", check=True).stdout
    forced = pyrunc("rmi", "-af")
    pyrunc("rm", container, check=True)

    assert some.returncode == 1
    assert some.stderr.count("\n") == 2  # a hint
    assert "container is using its" in some.stderr or container[:12] in some.stderr
    assert left == "used:1\n"
    assert forced.returncode == 0
    assert stored(pyrunc) == 0
    assert pyrunc("rmi", "-a").returncode == 0


def test_rmi_ignores_what_is_not_there_and_wants_something(pyrunc: Engine) -> None:
    load(pyrunc, "one:1", BASE)

    ignored = pyrunc("rmi", "-i", "nothing", "one:1")
    none = pyrunc("rmi")
    both = pyrunc("rmi", "-a", "one:1")

    assert (ignored.returncode, ignored.stderr) == (0, "")
    assert ignored.stdout.startswith("Untagged: one:1\n")
    assert (none.returncode, both.returncode) == (1, 125)
    assert "requires at least 1 argument" in none.stderr
    assert "--all and names do not go together" in both.stderr


def test_shared_layers_stay_with_the_other_image(pyrunc: Engine) -> None:
    load(pyrunc, "base:1", BASE)
    top = load(pyrunc, "top:1", BASE, TOP)
    done = pyrunc("image", "rm", "top:1", "nothere", "base:1")

    assert done.returncode == 1
    assert "No such image: nothere:latest" in done.stderr
    untagged, deleted, chain, other, *rest = done.stdout.splitlines()
    assert (untagged, deleted) == ("Untagged: top:1", f"Deleted: {top}")
    assert chain.startswith("Deleted: sha256:")
    assert chain != f"Deleted: {raw_tar.digest(BASE)}"
    assert other == "Untagged: base:1"
    assert rest[-1] == f"Deleted: {raw_tar.digest(BASE)}"
    assert stored(pyrunc) == 0


def test_image_of_a_stopped_container_goes_by_force_and_the_container_starts(
    loaded: Engine,
) -> None:
    container = loaded("create", "--network", "none", "--name", "box", "busybox", "echo", "hi")
    short, image_id = container.stdout[:12], loaded.json("image", "inspect", "busybox")[0]["Id"]

    by_name = loaded("rmi", "busybox")
    assert by_name.returncode == 1
    assert (
        'conflict: unable to remove repository reference "busybox" (must force) - container'
        f" {short} is using its referenced image {image_id[7:19]}" in by_name.stderr
    )
    by_id = loaded("rmi", image_id)
    assert f"(must be forced) - image is being used by stopped container {short}" in by_id.stderr
    done = loaded("rmi", "--force", "busybox", check=True)

    assert done.stdout == f"Untagged: busybox:latest\nDeleted: {image_id}\n"
    assert loaded("images", "-q").stdout == ""
    assert loaded("start", "-a", "box").stdout == "hi\n"
    assert loaded("system", "check", check=True).stdout == ""
    loaded("rm", "box", check=True)
    assert stored(loaded) == 0


def test_image_of_a_running_container_only_loses_its_name(loaded: Engine) -> None:
    loaded("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "99", check=True)
    assert loaded("rmi", "-f", "busybox", check=True).stdout == "Untagged: busybox:latest\n"
    image_id = loaded("images", "-q", "--no-trunc", check=True).stdout.strip()

    by_id = loaded("rmi", "-f", image_id)

    assert by_id.returncode == 1
    assert "(cannot be forced) - image is being used by running container" in by_id.stderr
    assert loaded("image", "prune", "-af", check=True).stdout == "Total reclaimed space: 0B\n"
    assert loaded("exec", "box", "echo", "alive", check=True).stdout == "alive\n"


def test_rmi_of_nothing(pyrunc: Engine) -> None:
    assert pyrunc("rmi", "-f", "nothere").returncode == 0
    typo = pyrunc("rmi", "-force", "nothere")
    assert typo.returncode == 125
    assert "unknown shorthand flag: 'o' in -orce" in typo.stderr
    assert "--force" in typo.stderr


@pytest.mark.parametrize(
    ("answer", "is_done"), [("y\n", True), ("Y\n", True), ("yes\n", False), ("", False)]
)
def test_prune_asks(answer: str, is_done: bool, pyrunc: Engine) -> None:
    image_id = load(pyrunc, "x:1", BASE)
    load(pyrunc, "x:1", TOP)
    done = pyrunc("image", "prune", input=answer, check=True)

    assert done.stdout.startswith(
        "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N]"
    )
    assert (f"Deleted Images:\ndeleted: {image_id}\n" in done.stdout) is is_done
    assert ("Total reclaimed space: " in done.stdout) is is_done
    assert "x" in pyrunc("images").stdout


def test_prune_filters(pyrunc: Engine) -> None:
    load(pyrunc, "old:1", BASE, created="2020-01-01T00:00:00Z", config={"Labels": {"a": "1"}})
    load(pyrunc, "new:1", TOP, created="2030-01-01T00:00:00Z", config={"Labels": {"a": "2"}})

    def prune(*filters: str) -> str:
        words = [word for one in filters for word in ("--filter", one)]
        return pyrunc("image", "prune", "-af", *words, check=True).stdout

    assert prune("until=2019-01-01") == "Total reclaimed space: 0B\n"
    assert prune("label=a=3") == "Total reclaimed space: 0B\n"
    assert prune("label!=a") == "Total reclaimed space: 0B\n"
    assert "untagged: old:1" in prune("until=2025-01-01", "label=a", "label!=a=2")
    assert pyrunc("images", "--format", "{{.Repository}}").stdout == "new\n"
    assert pyrunc("image", "prune", "-f", "--filter", "x=1").returncode == 1


def test_what_a_running_command_leases_stays(pyrunc: Engine) -> None:
    load(pyrunc, "x:1", BASE, TOP)
    paths = Paths(root=str(pyrunc.root), runroot=str(pyrunc.runroot))
    with Workspace(paths) as workspace:
        names = [raw_tar.digest(layer) for layer in (BASE, TOP)]
        Lease(paths, workspace).keep(blobs=names, layers=[name[7:] for name in names])
        pyrunc("rmi", "x:1", check=True)
        assert stored(pyrunc) == 4
        assert collect.collect(paths) == []
    assert len(collect.collect(paths)) == 4
    assert stored(pyrunc) == 0


def test_blobs_of_other_tools_in_the_layout_stay(pyrunc: Engine) -> None:
    load(pyrunc, "x:1", BASE)
    index = pyrunc.root / "oci/index.json"
    known = json.loads(index.read_text())
    for entry in known["manifests"]:
        del entry["annotations"]
    index.write_text(json.dumps(known))

    pyrunc("image", "prune", "-af", check=True)

    assert len(list((pyrunc.root / "oci/blobs/sha256").iterdir())) == 3


def test_history_and_its_forms(pyrunc: Engine) -> None:
    steps = [
        {"created": "2020-01-01T00:00:00Z", "created_by": "ADD base\tin /", "comment": "first"},
        {"created": "2020-01-02T00:00:00Z", "created_by": "CMD x" * 20, "empty_layer": True},
        {"created": "2020-01-03T00:00:00Z", "created_by": "RUN top"},
    ]
    image_id = load(pyrunc, "x:1", BASE, TOP, history=steps)

    rows = pyrunc("history", "x:1", check=True).stdout.splitlines()
    assert rows[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert rows[1].startswith(image_id[7:19])
    assert "2kB" in rows[1]
    assert "CMD xCMD xCMD xCMD xCMD xCMD xCMD xCMD xCMD …   0B" in rows[2]
    assert rows[3].startswith("<missing>")
    assert rows[3].endswith("ADD base in /                                   3kB       first")
    plain = pyrunc("image", "history", "-H=false", "--no-trunc", "x:1", check=True).stdout
    assert "2020-01-03T" in plain
    assert "3000" in plain
    assert "CMD x" * 20 in plain
    quiet = pyrunc("history", "-q", "x:1", check=True).stdout
    assert quiet == f"{image_id[7:19]}\n<missing>\n<missing>\n"
    form = pyrunc("history", "--format", "{{.CreatedBy}}|{{.Size}}", "x:1", check=True).stdout
    assert form.splitlines()[0] == "RUN top|2kB"
    assert pyrunc("history", "nothere").returncode == 1
    for words in (["history"], ["image", "inspect"]):
        other = pyrunc(*words, "--platform", "linux/s390x", "x:1")
        assert other.returncode == 1
        assert "does not match the specified platform" in other.stderr


def test_history_sends_no_escape_sequences(pyrunc: Engine) -> None:
    step = {"created_by": "RUN \x1b]0;evil\x07", "comment": "\x9b31m"}
    load(pyrunc, "x:1", BASE, history=[step])
    for words in (["history", "x:1"], ["history", "--format", "{{.CreatedBy}}{{.Comment}}", "x:1"]):
        said = pyrunc(*words, check=True).stdout
        assert "evil" in said
        assert not set("\x1b\x07\x9b") & set(said)


def test_images_filters_and_tree(pyrunc: Engine) -> None:
    load(pyrunc, "reg.io/a/b:1", BASE, created="2020-01-01T00:00:00Z")
    load(pyrunc, "c:1", BASE, TOP, created="2022-01-01T00:00:00Z", config={"Labels": {"k": "v"}})
    load(pyrunc, "d:2", TOP, created="2024-01-01T00:00:00Z")

    def names(*words: str | Path) -> list[str]:
        return pyrunc("images", "--format", "{{.Repository}}", *words, check=True).stdout.split()

    assert names() == ["d", "c", "reg.io/a/b"]
    assert names("-f", "before=d:2") == ["c", "reg.io/a/b"]
    assert names("-f", "since=reg.io/a/b:1") == ["d", "c"]
    assert names("-f", "until=2023-01-01") == ["c", "reg.io/a/b"]
    assert names("-f", "label=k=v") == names("c") == names("c:1") == ["c"]
    assert names("-f", "reference=*:1") == ["c"]
    assert names("-f", "reference=reg.io/*/b") == ["reg.io/a/b"]
    assert names("-f", "reference=[cd]:?") == ["d", "c"]
    assert names("-f", "dangling=true") == []
    assert pyrunc("images", "-f", "before=nothere").returncode == 1
    assert pyrunc("images", "-f", "nokey=1").returncode == 1
    tree = pyrunc("images", "--tree", check=True).stdout
    assert re.search(r"^c:1 +\w{12} +\S+ +\S+ *\n└─ linux/amd64 ", tree, re.M)
    assert pyrunc("images", "--tree", "-q").returncode == 1
