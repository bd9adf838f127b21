"""All that is known of one object, under docker's field names: `inspect`."""

from __future__ import annotations

from ..errors import NotFound
from ..storage import containers
from . import container_status, stored_options
from .repair import repair

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .engine import Engine

_NEVER = "0001-01-01T00:00:00Z"  # Go's zero time, which scripts compare with


def inspect(
    engine: Engine, name: str, *, kind: str | None = None, with_size: bool = False
) -> dict[str, Any]:
    """Inspect one object: a container, then an image, unless `kind` says which.

    Raises: NotFound ("No such object: X"; "No such container: X" when the kind was given).
    """
    if kind in (None, "container"):
        try:
            return inspect_container(engine, name, with_size=with_size)
        except NotFound:
            if kind is not None:
                raise
    if kind in (None, "image"):
        from .images import inspect_image

        try:
            return inspect_image(engine, name)
        except NotFound:
            if kind is not None:
                raise
    raise NotFound(f"No such object: {name}", kind=kind or "object", name=name)


def inspect_container(engine: Engine, name: str, *, with_size: bool = False) -> dict[str, Any]:
    """Return docker's document of one container.

    Raises: NotFound; InvalidInput for an ambiguous prefix.
    """
    connection = engine.database()
    repair(engine, connection)
    row = containers.find(connection, name)
    known = row.document
    if not known:  # it is just being made
        raise NotFound(f"No such container: {name}", kind="container", name=name)
    argv = known["command"]
    document = {
        "Id": row.id,
        "Created": timestamp(row.created_ns),
        "Path": argv[0],
        "Args": argv[1:],
        "State": _state(engine, row),
        "Image": row.image_id,
        "ResolvConfPath": f"{engine.paths.bundle(row.id)}/resolv.conf",
        "HostnamePath": f"{engine.paths.bundle(row.id)}/hostname",
        "HostsPath": f"{engine.paths.bundle(row.id)}/hosts",
        "Bundle": engine.paths.bundle(row.id),
        "CgroupPaths": known["cgroups"],
        "Name": f"/{row.name}",
        "RestartCount": 0,
        "Driver": "overlay",
        "Platform": "linux",
        "HostConfig": _host_config(known, auto_remove=row.auto_remove),
        "GraphDriver": _graph_driver(engine, row),
        "Mounts": _mounts(known),
        "Config": _config(row),
        "NetworkSettings": _network_settings(known),
    }
    if with_size:
        from ..storage.disk_usage import tree_size

        size = tree_size(f"{engine.paths.bundle(row.id)}/upper")
        document |= {"SizeRw": size, "SizeRootFs": size + known["image_size_bytes"]}
    return document


def timestamp(time_ns: int) -> str:
    """Return RFC 3339 with nanoseconds in UTC, as Go's RFC3339Nano; Go's zero time for 0."""
    if not time_ns:
        return _NEVER
    import time

    seconds, fraction = divmod(time_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def _state(engine: Engine, row: containers.ContainerRow) -> dict[str, Any]:
    status = container_status.status(engine, row)
    state = containers.read_state(engine.paths, row.id)
    ended = containers.read_exit(engine.paths, row.id)
    running = status in (containers.RUNNING, container_status.PAUSED)  # as docker says it
    return {
        "Status": status,
        "Running": running,
        "Paused": status == container_status.PAUSED,
        "Restarting": False,
        "OOMKilled": ended.oom_killed if ended else False,
        "Dead": status == containers.DEAD,
        "Pid": state.pid if state and running else 0,
        "ExitCode": ended.exit_code if ended else 0,
        "Error": ended.reason if ended else "",
        "StartedAt": timestamp(row.started_ns or (ended.started_ns if ended else 0)),
        "FinishedAt": timestamp(ended.finished_ns if ended else 0),
    }


def _host_config(known: dict[str, Any], *, auto_remove: bool) -> dict[str, Any]:
    options = stored_options.from_document(known["options"])
    return {
        "Binds": [
            f"{m['source']}:{m['target']}" + (":ro" if m["read_only"] else "")
            for m in known["mounts"]
        ],
        "NetworkMode": known["network"],
        "AutoRemove": auto_remove,
        "LogConfig": {
            "Type": known.get("log", {}).get("driver", "none"),
            "Config": known.get("log", {}).get("options", {}),
        },
        "CapAdd": known["capabilities_add"],
        "CapDrop": known["capabilities_drop"],
        "CgroupnsMode": "private",
        "CgroupParent": known["options"].get("cgroup_parent", ""),
        "Dns": known["dns_servers"],
        "DnsOptions": known["dns_options"],
        "DnsSearch": known["dns_search"],
        "ExtraHosts": known["extra_hosts"],
        "GroupAdd": known["groups"],
        "IpcMode": "private",
        "Privileged": known["privileged"],
        "PublishAllPorts": False,
        "ReadonlyRootfs": known["read_only"],
        "SecurityOpt": known["security_options"],
        "Tmpfs": known["tmpfs"],
        "ShmSize": known["shm_size_bytes"],
        "Sysctls": known["sysctls"],
        "CpuShares": options.cpu_shares,
        "CpuPeriod": options.cpu_period_us,
        "CpuQuota": options.cpu_quota_us,
        "NanoCpus": options.nano_cpus,
        "CpuRealtimePeriod": options.cpu_rt_period_us,
        "CpuRealtimeRuntime": options.cpu_rt_runtime_us,
        "CpusetCpus": options.cpuset_cpus,
        "CpusetMems": options.cpuset_mems,
        "BlkioWeight": options.blkio_weight,
        "Memory": options.memory_bytes,
        "MemorySwap": known["memory_swap_bytes"],
        "MemoryReservation": options.memory_reservation_bytes,
        "PidsLimit": known["pids_limit"],
        "Init": known["init"],
        "Ulimits": [{"Name": n, "Soft": s, "Hard": h} for n, s, h in known["ulimits"]],
        "Devices": [
            {"PathOnHost": s, "PathInContainer": t, "CgroupPermissions": p}
            for s, t, p in known["devices"]
        ],
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "MaskedPaths": known["masked_paths"],
        "ReadonlyPaths": known["readonly_paths"],
    }


def _graph_driver(engine: Engine, row: containers.ContainerRow) -> dict[str, Any]:
    bundle = engine.paths.bundle(row.id)
    layers = [f"{engine.paths.layers()}/{name}" for name in reversed(row.document["layers"])]
    return {
        "Name": "overlay",
        "Data": {
            "LowerDir": ":".join(layers),
            "UpperDir": f"{bundle}/upper",
            "WorkDir": f"{bundle}/work",
            "MergedDir": f"{bundle}/rootfs",
        },
    }


def _mounts(known: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "Type": "bind",
            "Source": mount["source"],
            "Destination": mount["target"],
            "Mode": "ro" if mount["read_only"] else "",
            "RW": not mount["read_only"],
            "Propagation": mount["propagation"],
        }
        for mount in known["mounts"]
    ]


def _config(row: containers.ContainerRow) -> dict[str, Any]:
    known = row.document
    return {
        "Hostname": known["hostname"],
        "Domainname": known["domainname"],
        "User": known["user"],
        "AttachStdin": known["interactive"],
        "AttachStdout": True,
        "AttachStderr": True,
        "ExposedPorts": {port: {} for port in known["exposed_ports"]},
        "Tty": known["terminal"],
        "OpenStdin": known["interactive"],
        "StdinOnce": known["interactive"],
        "Env": known["environment"],
        "Cmd": known["image_command"] or None,
        "Image": row.image,
        "WorkingDir": known["working_dir"],
        "Entrypoint": known["entrypoint"] or None,
        "Labels": known["labels"],
        "StopSignal": known["stop_signal"],
    }


def _network_settings(known: dict[str, Any]) -> dict[str, Any]:
    endpoint = {
        "Gateway": known["gateway"],
        "IPAddress": known["address"],
        "IPPrefixLen": known["prefix_length"],
        "MacAddress": known["mac_address"],
    }
    return {
        "Ports": {port: None for port in known["exposed_ports"]},
        **endpoint,
        "Networks": {known["network"]: endpoint},
    }
