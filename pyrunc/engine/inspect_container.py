"""All that is known of one container, under docker's field names and with docker's types.

What docker has and pyrunc does not is there all the same, as docker shows it where it is not asked
for: templates and programs count on every field.
Source: moby api/types/container (InspectResponse, HostConfig, Config), api/types/network.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidInput, NotFound
from ..kernel import pidfd
from ..network import networks
from ..oci.restart import Restarts
from ..storage import containers, execs, images, restarts
from . import container_status, stored_options
from .health import health
from .inspect import timestamp
from .inspect_host_config import host_config
from .ps import sizes
from .repair import repair

if TYPE_CHECKING:
    from sqlite3 import Connection
    from typing import Any

    from ..oci.image_record import ImageRecord
    from .container_status import Condition
    from .engine import Engine
    from .run_options import RunOptions

    Document = dict[str, Any]

DRIVER = "overlay2"  # docker's name for what it does with the kernel's overlay


def inspect_container(engine: Engine, name: str, *, with_size: bool = False) -> Document:
    """Return docker's document of one container.

    Raises: NotFound; InvalidInput for an ambiguous prefix.
    """
    connection = engine.database()
    repair(engine, connection)
    row = containers.find(connection, name)
    known = row.document
    if not known:  # it is just being made
        raise NotFound(f"No such container: {name}", kind="container", name=name)
    restarted = restarts.find(connection, row.id) or Restarts()
    argv, bundle = known["command"], engine.paths.bundle(row.id)
    condition = container_status.look(engine, row)
    options = stored_options.from_document(known["options"])
    document = {
        "Id": row.id,
        "Created": timestamp(row.created_ns),
        "Path": argv[0],
        "Args": argv[1:],
        "State": _state(engine, row, condition),
        "Image": row.image_id,
        "ResolvConfPath": f"{bundle}/resolv.conf",
        "HostnamePath": f"{bundle}/hostname",
        "HostsPath": f"{bundle}/hosts",
        "LogPath": _log_path(bundle, row),
        "Name": f"/{row.name}",
        "RestartCount": restarted.count,
        "Driver": DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": known.get("apparmor_profile", ""),
        "ExecIDs": _exec_ids(connection, row) or None,
        "HostConfig": host_config(known, options, restarted, auto_remove=row.auto_remove),
        "GraphDriver": {"Data": _graph(engine, row), "Name": DRIVER},
        "Mounts": _mounts(known),
        "Config": _config(row, options, _image(engine, row)),
        "NetworkSettings": _network_settings(engine, row, condition),
        "Bundle": bundle,
        "CgroupPaths": known["cgroups"],
    }
    if with_size:
        size_rw, size_root = sizes(engine, row)
        document |= {"SizeRw": size_rw, "SizeRootFs": size_root}
    return document


def _exec_ids(connection: Connection, row: containers.ContainerRow) -> list[str]:
    """Return the IDs of the commands that `exec` let in, as long as they run."""
    known = execs.of_container(connection, row.id)
    return [one.id for one in known if not pidfd.has_ended(one.pid, one.pid_start_time)]


def _state(engine: Engine, row: containers.ContainerRow, condition: Condition) -> Document:
    status, ended = condition.status, condition.ended
    running = condition.is_running()
    last = ended or containers.any_exit(engine.paths, row.id)  # of an earlier start
    started_ns = condition.state.started_ns if condition.state else row.started_ns
    found = health(engine, row, started_ns)
    return {
        **({} if found is None else {"Health": found}),
        "Status": status,
        "Running": running or status == containers.RESTARTING,  # as docker says it
        "Paused": status == container_status.PAUSED,
        "Restarting": status == containers.RESTARTING,
        "OOMKilled": ended.oom_killed if ended else False,
        "Dead": status == containers.DEAD,
        "Pid": condition.state.pid if condition.state and running else 0,
        "ExitCode": ended.exit_code if ended else 0,
        "Error": ended.reason if ended else "",
        "StartedAt": timestamp(started_ns or (ended.started_ns if ended else 0)),
        "FinishedAt": timestamp(last.finished_ns if last else 0),
    }


def _log_path(bundle: str, row: containers.ContainerRow) -> str:
    """Return where the log is, for the driver whose files others may read; docker does as well."""
    path = f"{bundle}/{row.id}-json.log"
    is_json = row.document.get("log", {}).get("driver") == "json-file"
    return path if is_json and os.path.exists(path) else ""


def _image(engine: Engine, row: containers.ContainerRow) -> ImageRecord | None:
    """Return the container's image; None if it was taken away by force."""
    try:
        return images.resolve(engine.paths, row.image_id)
    except (NotFound, InvalidInput):
        return None


def _graph(engine: Engine, row: containers.ContainerRow) -> Document:
    bundle = engine.paths.bundle(row.id)
    layers = [f"{engine.paths.layers()}/{name}" for name in reversed(row.document["layers"])]
    return {
        "LowerDir": ":".join(layers),
        "MergedDir": f"{bundle}/rootfs",
        "UpperDir": f"{bundle}/upper",
        "WorkDir": f"{bundle}/work",
    }


def is_config_volume(mount: Document) -> bool:
    """Tell whether a mount is what docker keeps in Config.Volumes: -v without a name."""
    return bool(mount.get("is_anonymous")) and not mount.get("long_form")


def _mounts(known: Document) -> list[Document]:
    return [_mount(mount) for mount in known["mounts"]]


def _mount(mount: Document) -> Document:
    name = mount.get("name")  # a volume's
    mode = "z" if name and not mount["is_anonymous"] else ""
    mode = "ro" if mount["read_only"] and not mount.get("long_form") else mode
    return {
        "Type": "volume" if name else "bind",
        **({"Name": name} if name else {}),
        "Source": mount["source"],
        "Destination": mount["target"],
        **({"Driver": "local"} if name else {}),
        "Mode": mode,
        "RW": not mount["read_only"],
        "Propagation": "" if name else mount["propagation"],
    }


def _config(
    row: containers.ContainerRow, options: RunOptions, image: ImageRecord | None
) -> Document:
    known = row.document
    volumes = image.volumes if image else ()
    anonymous = [m["target"] for m in known["mounts"] if is_config_volume(m)]
    config: Document = {
        "Hostname": known["hostname"],
        "Domainname": known["domainname"],
        "User": known["user"],
        "AttachStdin": "stdin" in options.attach,
        "AttachStdout": "stdout" in options.attach,
        "AttachStderr": "stderr" in options.attach,
        "Tty": options.terminal,
        "OpenStdin": options.interactive,
        "StdinOnce": options.interactive and "stdin" in options.attach,
        "Env": _environment(known, options, image),
        "Cmd": known["image_command"] or None,
        "Image": row.image,
        "Volumes": {path: {} for path in (*volumes, *anonymous)} or None,
        "WorkingDir": options.working_dir or (image.working_dir if image else ""),
        "Entrypoint": known["entrypoint"] or None,
        "OnBuild": list(image.on_build) or None if image else None,
        "Labels": known["labels"],
    }
    if known["exposed_ports"]:
        config["ExposedPorts"] = {port: {} for port in known["exposed_ports"]}
    if known["stop_signal"]:
        config["StopSignal"] = known["stop_signal"]
    if options.stop_timeout is not None:
        config["StopTimeout"] = options.stop_timeout
    if known.get("healthcheck"):
        config["Healthcheck"] = known["healthcheck"]
    if image and image.shell:
        config["Shell"] = list(image.shell)
    return config


def _environment(known: Document, options: RunOptions, image: ImageRecord | None) -> list[str]:
    """Return what the user and the image set, and the PATH that it comes down to."""
    chosen = {entry.partition("=")[0]: entry for entry in options.environment}
    for entry in image.environment if image else ():
        chosen.setdefault(entry.partition("=")[0], entry)
    path = next((one for one in known["environment"] if one.startswith("PATH=")), None)
    if path is not None:
        chosen.setdefault("PATH", path)
    return [entry for entry in chosen.values() if "=" in entry]


def _network_settings(
    engine: Engine, row: containers.ContainerRow, condition: Condition
) -> Document:
    """Return addresses and interfaces; a container that does not run has none, as in docker."""
    known, running = row.document, condition.is_running()
    pid = condition.state.pid if condition.state and running else 0
    address = {
        "Gateway": known["gateway"] if running else "",
        "IPAddress": known["address"] if running else "",
        "IPPrefixLen": known["prefix_length"] if running else 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": known["mac_address"] if running else "",
    }
    exposed = {port: None for port in known["exposed_ports"]}
    network = networks.find(engine.database(), known["network"])
    return {
        "Bridge": "",
        "SandboxID": row.id if running else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": exposed | known.get("published_ports", {}) if running else {},
        "SandboxKey": f"/proc/{pid}/ns/net" if pid else "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": "",
        **address,
        "Networks": {
            known["network"]: {
                "IPAMConfig": None,
                "Links": None,
                "Aliases": None,
                "NetworkID": network.id if network else "",
                "EndpointID": "",
                **address,
                "DriverOpts": None,
            }
        },
    }
