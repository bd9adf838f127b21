"""Are hierarchies read from mountinfo as they are?"""

from __future__ import annotations

from pyrunc.kernel.cgroup_layout import parse_mountinfo

V2 = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)


def test_layout_v2_only_has_no_hierarchies() -> None:
    layout = parse_mountinfo(V2, {"": "/user.slice"})
    assert layout.shape() == "v2"
    assert (layout.unified, layout.unified_own) == ("/sys/fs/cgroup", "/user.slice")
    assert layout.unified_options == ("nsdelegate",)


def test_layout_hybrid_names_comounted_controllers() -> None:
    layout = parse_mountinfo(HYBRID, {"cpu,cpuacct": "/a", "name=systemd": "/b", "": "/"})
    assert layout.shape() == "hybrid"
    cpu = layout.v1("cpu")
    assert cpu is not None
    assert (cpu.mount_point, cpu.own, cpu.name()) == (
        "/sys/fs/cgroup/cpu,cpuacct",
        "/a",
        "cpu,cpuacct",
    )
    assert [h.name() for h in layout.hierarchies] == ["cpu,cpuacct", "systemd"]


def test_layout_plain_directories_are_not_hierarchies() -> None:
    layout = parse_mountinfo("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n", {})
    assert layout.shape() == "none"
    assert not layout.has("pids")


def test_layout_mount_of_a_subtree_shows_our_cgroup_relative_to_it() -> None:
    line = "32 31 0:29 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    layout = parse_mountinfo(line, {"memory": "/docker/x/y"})
    assert layout.hierarchies[0].own == "/y"
