"""Does the default container hold what security decided?"""

from __future__ import annotations

from pyrunc.kernel import capabilities
from pyrunc.kernel.cgroup_layout import CgroupLayout
from pyrunc.kernel.probe import UNLIMITED, HostFacts, parse_limits
from pyrunc.runtime.default_spec import default_spec, privileged, share_host_network, warnings

FACTS = HostFacts(
    cgroup=CgroupLayout(unified="/sys/fs/cgroup", unified_controllers=("pids",)),
    limits=(("RLIMIT_NOFILE", 1024, 4096), ("RLIMIT_CORE", 0, UNLIMITED)),
)


def test_default_spec_has_eleven_capabilities_and_none_inheritable() -> None:
    sets = default_spec(FACTS)["process"]["capabilities"]
    assert capabilities.mask(sets["bounding"]) == 0x800405FB
    assert set(sets) == {"bounding", "effective", "permitted"}


def test_default_spec_never_exceeds_the_hard_limit() -> None:
    limits = {limit["type"]: limit for limit in default_spec(FACTS)["process"]["rlimits"]}
    assert limits["RLIMIT_NOFILE"] == {"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 4096}
    assert limits["RLIMIT_CORE"]["soft"] == 0


def test_default_spec_without_pids_controller_warns_and_sets_no_limit() -> None:
    facts = FACTS.replace(cgroup=CgroupLayout())
    assert "pids" not in default_spec(facts)["linux"]["resources"]
    assert len(warnings(facts)) == 1


def test_default_spec_is_new_each_time() -> None:
    default_spec(FACTS)["mounts"].clear()
    default_spec(FACTS)["linux"]["maskedPaths"].clear()
    assert default_spec(FACTS)["mounts"]
    assert default_spec(FACTS)["linux"]["maskedPaths"]


def test_host_network_binds_sys_read_only() -> None:
    spec = default_spec(FACTS)
    share_host_network(spec)
    sys_mount = next(m for m in spec["mounts"] if m["destination"] == "/sys")
    assert (sys_mount["type"], "rro" in sys_mount["options"]) == ("bind", True)
    assert {"type": "network"} not in spec["linux"]["namespaces"]
    assert not spec["linux"]["sysctl"]


def test_privileged_takes_no_more_than_our_own_bounding_set() -> None:
    facts = FACTS.replace(capabilities=(1 << 41) - 1 & ~(1 << 24))
    spec = default_spec(facts)
    privileged(spec, facts)
    assert "CAP_SYS_RESOURCE" not in spec["process"]["capabilities"]["bounding"]
    assert "CAP_SYS_ADMIN" in spec["process"]["capabilities"]["bounding"]
    assert not spec["linux"]["maskedPaths"]


def test_limits_are_read_by_name() -> None:
    text = (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max nice priority         0                    0                    \n"
        "Max open files            1024                 unlimited            files     \n"
    )
    assert dict((n, (s, h)) for n, s, h in parse_limits(text)) == {
        "RLIMIT_NICE": (0, 0),
        "RLIMIT_NOFILE": (1024, UNLIMITED),
    }
