"""What was asked of the host for a container, as docker's HostConfig."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..oci.restart import Restarts
    from .run_options import RunOptions

    Document = dict[str, Any]

RUNTIME = "pyrunc"


def host_config(
    known: Document, options: RunOptions, restarted: Restarts, *, auto_remove: bool
) -> Document:
    """Return the document; `known` is the container's record."""
    config = {
        "Binds": [_bind(mount) for mount in known["mounts"] if _is_bind(mount)] or None,
        "ContainerIDFile": known.get("cidfile", ""),
        "LogConfig": {
            "Type": known.get("log", {}).get("driver", "none"),
            "Config": known.get("log", {}).get("options", {}),
        },
        "NetworkMode": options.network,
        "PortBindings": known.get("published_ports", {}),
        "RestartPolicy": {"Name": restarted.policy, "MaximumRetryCount": restarted.maximum},
        "AutoRemove": auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": [":".join(filter(None, pair)) for pair in options.volumes_from] or None,
        **_privileges(known, options),
        **_names(known, options),
        "ShmSize": options.shm_size_bytes,
        "Runtime": RUNTIME,
        "ConsoleSize": [0, 0],
        "Isolation": "",
        **_limits(known, options),
        "MaskedPaths": known["masked_paths"],
        "ReadonlyPaths": known["readonly_paths"],
    }
    # docker leaves these out where there are none
    optional = {"Tmpfs": known["tmpfs"], "Sysctls": known["sysctls"], "Init": options.init}
    return config | {name: value for name, value in optional.items() if value}


def _bind(mount: Document) -> str:
    source = mount.get("name") or mount["source"]
    return f"{source}:{mount['target']}" + (":ro" if mount["read_only"] else "")


def _is_bind(mount: Document) -> bool:
    """Tell whether -v named it, a path or a volume."""
    return not (mount.get("is_anonymous") or mount.get("long_form"))


def _privileges(known: Document, options: RunOptions) -> Document:
    return {
        "CapAdd": list(options.capabilities_add) or None,
        "CapDrop": list(options.capabilities_drop) or None,
        "Privileged": options.privileged,
        "ReadonlyRootfs": options.read_only,
        "SecurityOpt": known["security_options"] or None,
        "GroupAdd": list(options.groups) or None,
    }


def _names(known: Document, options: RunOptions) -> Document:
    """Return how the container finds others, and which namespaces it shares."""
    return {
        "CgroupnsMode": "private",
        "Dns": list(options.dns_servers),
        "DnsOptions": list(options.dns_options),
        "DnsSearch": list(options.dns_search),
        "ExtraHosts": known["extra_hosts"] or None,
        "IpcMode": "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": 0,
        "PidMode": "",
        "PublishAllPorts": False,
        "UTSMode": "",
        "UsernsMode": "",
    }


def _limits(known: Document, options: RunOptions) -> Document:
    return {
        "CpuShares": options.cpu_shares,
        "Memory": options.memory_bytes,
        "NanoCpus": options.nano_cpus,
        "CgroupParent": options.cgroup_parent,
        "BlkioWeight": options.blkio_weight,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": options.cpu_period_us,
        "CpuQuota": options.cpu_quota_us,
        "CpuRealtimePeriod": options.cpu_rt_period_us,
        "CpuRealtimeRuntime": options.cpu_rt_runtime_us,
        "CpusetCpus": options.cpuset_cpus,
        "CpusetMems": options.cpuset_mems,
        "Devices": [
            {"PathOnHost": s, "PathInContainer": t, "CgroupPermissions": p}
            for s, t, p in known["devices"]
        ],
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "KernelMemory": 0,
        "KernelMemoryTCP": 0,
        "MemoryReservation": options.memory_reservation_bytes,
        "MemorySwap": known["memory_swap_bytes"],
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "PidsLimit": known["pids_limit"],
        "Ulimits": [{"Name": n, "Hard": h, "Soft": s} for n, s, h in known["ulimits"]],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }
