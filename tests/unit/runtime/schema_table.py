"""What becomes of each property of config.json?

APPLIED: the integration test that sees its effect.  REFUSED: a value, and the words of the error.
OTHER: parts for other platforms, one entry each.  Braces list alternatives, as in a shell.
test_schema_walk.py holds this table against the schemas, the tests and the validator.
"""

from __future__ import annotations

from typing import Any

_CONTAINER = "tests/integration/test_oci_container.py::test_"
_HOOKS = "tests/integration/test_oci_hooks.py::test_"
_MOUNTS = "tests/integration/test_oci_mounts.py::test_"
_NAMESPACES = "tests/integration/test_oci_namespaces.py::test_"
_PROCESS = "tests/integration/test_oci_process.py::test_"
_RESOURCES = "tests/integration/test_oci_resources.py::test_"
_SECCOMP = "tests/integration/test_oci_seccomp.py::test_"

_HOOK = "hooks.{prestart,createRuntime,createContainer,startContainer,poststart,poststop}[]"
_MAPS = "{uidMappings,gidMappings}[].{containerID,hostID,size}"
_RATES = "linux.resources.blockIO.throttle{Read,Write}{Bps,IOPS}Device[].{major,minor,rate}"

APPLIED: dict[str, str] = {
    "ociVersion": _PROCESS + "document_of_any_first_version_is_taken",
    "annotations.*": _PROCESS + "unknown_properties_are_ignored_and_annotations_kept",
    "{hostname,domainname}": _PROCESS + "host_and_domain_name",
    f"{_HOOK}.path": _HOOKS + "hooks_run_in_order_and_each_command_runs_its_own",
    f"{_HOOK}.args[]": _HOOKS + "argv0_is_the_first_argument_and_environment_is_as_given",
    f"{_HOOK}.env[]": _HOOKS + "argv0_is_the_first_argument_and_environment_is_as_given",
    f"{_HOOK}.timeout": _HOOKS + "hook_past_its_timeout_is_killed_with_what_it_started",
    "root.{path,readonly}": _CONTAINER + "read_only_root_and_mounts",
    # mounts
    "mounts[].{destination,source,type}": _CONTAINER + "read_only_root_and_mounts",
    "mounts[].options[]": _MOUNTS + "attribute_is_set_and_cleared",
    f"mounts[].{_MAPS}": _NAMESPACES + "mount_with_maps_of_its_own",
    # process
    "process.{args[],env[],cwd}": _PROCESS + "arguments_environment_and_directory",
    "process.terminal": _PROCESS + "terminal_has_its_size",
    "process.consoleSize.{height,width}": _PROCESS + "terminal_has_its_size",
    "process.user.{uid,gid,umask,additionalGids[]}": _CONTAINER + "user_groups_umask_and_directory",
    "process.capabilities.{bounding,permitted,effective,inheritable,ambient}[]": _PROCESS
    + "each_set_of_capabilities",
    "process.noNewPrivileges": _CONTAINER + "no_new_privileges_with_a_filter",
    "process.rlimits[].{type,soft,hard}": _CONTAINER + "rlimits_and_oom_score",
    "process.oomScoreAdj": _CONTAINER + "rlimits_and_oom_score",
    "process.scheduler.{policy,nice}": _PROCESS + "scheduler",
    "process.scheduler.priority": _PROCESS + "realtime_scheduler",
    "process.scheduler.{flags[],runtime,deadline,period}": _PROCESS
    + "deadline_scheduler_that_resets_on_fork",
    "process.ioPriority.{class,priority}": _PROCESS + "io_priority",
    "process.execCPUAffinity.{initial,final}": "tests/integration/test_oci_exec.py::test_"
    "processors_of_an_executed_process",
    # linux
    "linux.devices[].{type,path,fileMode,major,minor,uid,gid}": _CONTAINER
    + "extra_devices_are_made_with_mode_and_owner",
    f"linux.{_MAPS}": _CONTAINER + "user_namespace_maps_root",
    "linux.namespaces[].type": _CONTAINER + "default_container_sees_only_its_own_namespaces",
    "linux.namespaces[].path": _NAMESPACES + "user_and_other_namespaces_are_joined_together",
    "linux.timeOffsets.*.{secs,nanosecs}": _PROCESS + "time_offsets",
    "linux.cgroupsPath": _RESOURCES + "relative_cgroups_path_lies_below_our_own",
    "linux.rootfsPropagation": _CONTAINER + "rootfs_propagation",
    "linux.sysctl.*": _CONTAINER + "sysctl_of_the_container_only",
    "linux.{maskedPaths,readonlyPaths}[]": _CONTAINER + "masked_and_read_only_paths_hold",
    "linux.mountLabel": _MOUNTS + "mount_label_without_selinux_asks_for_nothing",
    "linux.netDevices.*.name": "tests/integration/test_oci_net_devices.py::test_"
    "interface_moves_with_new_name_and_keeps_its_addresses",
    "linux.personality.domain": _PROCESS + "personality",
    "linux.memoryPolicy.{mode,nodes,flags[]}": _PROCESS + "memory_policy_holds_after_execve",
    # linux.resources
    "linux.resources.devices[].{allow,type,major,minor,access}": _RESOURCES
    + "device_rules_stand_in_the_list_as_they_were_given",
    "linux.resources.pids.limit": _CONTAINER + "limits_are_written_before_the_first_process",
    "linux.resources.cpu.cpus": _CONTAINER + "limits_are_written_before_the_first_process",
    "linux.resources.cpu.{shares,period,quota,burst,mems}": _RESOURCES
    + "every_limit_of_the_processor",
    "linux.resources.cpu.{realtimePeriod,realtimeRuntime}": _RESOURCES
    + "realtime_of_the_processor",
    "linux.resources.cpu.idle": _RESOURCES + "idle_processor",
    "linux.resources.memory.{limit,reservation,swap,kernel,kernelTCP,swappiness}": _RESOURCES
    + "every_limit_of_memory",
    "linux.resources.memory.{disableOOMKiller,useHierarchy}": _RESOURCES + "every_limit_of_memory",
    "linux.resources.memory.checkBeforeUpdate": "tests/integration/test_oci_update.py::test_"
    "limit_below_what_is_used_is_refused_where_that_is_asked_for",
    _RATES: _RESOURCES + "throttle_of_a_disk",
    "linux.resources.blockIO.weight": _RESOURCES + "weight_of_all_disks",
    "linux.resources.blockIO.weightDevice[].{major,minor,weight}": _RESOURCES
    + "weight_of_one_disk_is_written_or_its_file_is_named",
    "linux.resources.hugepageLimits[].{pageSize,limit}": _CONTAINER
    + "unified_limit_of_a_hybrid_host_is_written",
    "linux.resources.network.{classID,priorities[].name,priorities[].priority}": _RESOURCES
    + "class_and_priorities_of_the_network",
    "linux.resources.unified.*": _RESOURCES + "unified_file_is_written",
    # linux.seccomp
    "linux.seccomp.{defaultAction,defaultErrnoRet}": _SECCOMP + "default_answer_and_its_errno",
    "linux.seccomp.flags[]": _SECCOMP + "each_flag",
    "linux.seccomp.{listenerPath,listenerMetadata}": _SECCOMP + "agent_answers_for_the_container",
    "linux.seccomp.architectures[]": _SECCOMP + "architectures_and_duplicate_rules_are_taken",
    "linux.seccomp.syscalls[].{names[],action,errnoRet}": _SECCOMP + "each_action",
    "linux.seccomp.syscalls[].args[].{index,value,valueTwo,op}": _SECCOMP + "each_comparison",
}

# path -> (place in the document, value, words of the error behind the place)
REFUSED: dict[str, tuple[str, Any, str]] = {
    "process.apparmorProfile": (
        "process.apparmorProfile",
        "docker-default",
        "AppArmor is disabled or not supported by this kernel",
    ),
    "process.selinuxLabel": (
        "process.selinuxLabel",
        "u:r:t:s0",
        "SELinux is disabled or not supported by this kernel",
    ),
    "process.commandLine": ("process.commandLine", "cmd", "is for another platform than Linux"),
    "linux.personality.flags[]": (
        "linux.personality",
        {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]},
        ".flags[0]: the specification defines no flag",
    ),
    "linux.resources.blockIO.leafWeight": (
        "linux.resources.blockIO",
        {"leafWeight": 10},
        ".leafWeight: no kernel since 5.0 has leaf weights",
    ),
    "linux.resources.blockIO.weightDevice[].leafWeight": (
        "linux.resources.blockIO",
        {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]},
        ".weightDevice: no kernel since 5.0 has leaf weights",
    ),
    "linux.resources.rdma.*.hcaHandles": (
        "linux.resources.rdma",
        {"mlx5_0": {"hcaHandles": 1}},
        "this host has no rdma cgroup controller",
    ),
    "linux.resources.rdma.*.hcaObjects": (
        "linux.resources.rdma",
        {"mlx5_0": {"hcaObjects": 1}},
        "this host has no rdma cgroup controller",
    ),
    **{
        f"linux.intelRdt.{key}": (
            "linux.intelRdt",
            {key.removesuffix("[]"): value},
            "no resctrl filesystem is mounted on this host",
        )
        for key, value in (
            ("closID", "guaranteed"),
            ("l3CacheSchema", "L3:0=f"),
            ("memBwSchema", "MB:0=20"),
            ("schemata[]", ["L3:0=f"]),
            ("enableCMT", True),
            ("enableMBM", True),
            ("enableMonitoring", True),
        )
    },
}

# Parts for other platforms: a value, and the words of the error, or "" where it is ignored.
OTHER: dict[str, tuple[Any, str]] = {
    "solaris": ({"milestone": "x"}, "solaris is for another platform than Linux"),
    "windows": ({"layerFolders": ["x"]}, "windows is for another platform than Linux"),
    "vm": ({"kernel": {"path": "/x"}}, "vm is for another platform than Linux"),
    "zos": ({"namespaces": [{"type": "pid"}]}, "zos is for another platform than Linux"),
    "freebsd": ({"devices": [{"path": "x"}]}, "freebsd is for another platform than Linux"),
    "process.user.username": ("ContainerUser", ""),  # of Windows; a number is what Linux knows
}
