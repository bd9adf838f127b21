"""Does every step have a reason with a source, and arguments that a person can read?"""

from __future__ import annotations

import json

from pyrunc.kernel.cgroup_layout import CgroupLayout
from pyrunc.kernel.launch_plan import KINDS, Step, step_names
from pyrunc.kernel.probe import HostFacts
from pyrunc.runtime.default_spec import default_spec
from pyrunc.runtime.explain import as_json, text
from pyrunc.runtime.plan import compile_plan
from pyrunc.runtime.plan_context import LaunchContext
from pyrunc.runtime.step_reasons import reason

FACTS = HostFacts(cgroup=CgroupLayout(unified="/sys/fs/cgroup", unified_controllers=("pids",)))


def default_plan() -> list[dict[str, object]]:
    spec = default_spec(FACTS)
    spec["process"]["args"] = ["true"]
    context = LaunchContext(container_id="c", bundle="/b", attach_directory="/r")
    plan = compile_plan(spec, FACTS, context)
    assert [entry["name"] for entry in as_json(plan)] == step_names(plan)
    assert text(plan).count("\n") > len(plan.steps)
    return as_json(plan)


def test_every_kind_has_a_reason_and_a_source() -> None:
    for kind in KINDS:
        why, source = reason(Step(kind=kind))
        assert why, kind
        assert not why.endswith("."), kind
        assert source, kind


def test_json_is_json_and_numbers_the_steps() -> None:
    entries = json.loads(json.dumps(default_plan()))
    assert [entry["step"] for entry in entries] == list(range(1, len(entries) + 1))
    assert {"step", "name", "kind", "stage", "arguments", "why", "source"} == set(entries[0])


def test_flags_and_capabilities_are_shown_by_name() -> None:
    by_name = {str(entry["name"]): entry["arguments"] for entry in default_plan()}
    clone = by_name["clone:pyrunc"]
    assert isinstance(clone, dict)
    assert "CLONE_NEWPID" in clone["namespaces"]
    proc = by_name["mount:/proc"]
    assert isinstance(proc, dict)
    assert proc["options"] == ["nosuid", "nodev", "noexec"]
    sets = by_name["set-capabilities"]
    assert isinstance(sets, dict)
    assert sets["inheritable"] == []
    assert "CAP_CHOWN" in sets["effective"]


def test_special_targets_have_reasons_of_their_own() -> None:
    assert reason(Step(kind="mask", target="/proc/kcore")) != reason(Step(kind="mask"))
    assert reason(Step(kind="write-cgroup", path="/c/pids.max")) != reason(
        Step(kind="write-cgroup")
    )
