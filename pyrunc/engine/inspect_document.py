"""What is recorded of a container, so that `ps`, `inspect` and repair can tell about it later?"""

from __future__ import annotations

from .stored_options import to_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .create import Container


def build(container: Container) -> dict[str, Any]:
    """Return the record: what was asked for, in docker's words where `inspect` shows it."""
    options, image, spec = container.options, container.image, container.spec
    process, linux = spec["process"], spec["linux"]
    endpoint, before = container.endpoint, container.row.document
    command = options.command if options.entrypoint is not None else image.command
    return {
        "version": 1,
        # What was said to the command that made it, and holds when it is started again.
        "cidfile": before.get("cidfile", options.cidfile),
        "options": to_document(options),
        "command": process["args"],
        "labels": dict(image.labels) | dict(options.labels),
        "networks": [options.network],
        "exposed_ports": list(image.exposed_ports),
        "layers": list(image.layers),
        "image_size_bytes": image.size_bytes,
        "cgroups": list(container.plan.cgroups),
        "cgroup_path": linux["cgroupsPath"],
        "scope": container.scope.unit if container.scope else "",
        "stop_signal": options.stop_signal or image.stop_signal,
        "mounts": [
            {
                "source": mount.source,
                "target": mount.target,
                "read_only": mount.read_only,
                "propagation": mount.propagation,
                "type": "volume" if mount.is_volume() else "bind",
                "name": mount.volume,
                "is_anonymous": mount.is_anonymous,
                "long_form": mount.long_form,
            }
            for mount in options.mounts
        ],
        "tmpfs": {mount.target: ",".join(mount.options) for mount in options.tmpfs},
        "hostname": spec.get("hostname", ""),
        "domainname": options.domainname,
        "user": options.user or image.user,
        "environment": process["env"],
        "entrypoint": list(
            options.entrypoint if options.entrypoint is not None else image.entrypoint
        ),
        "image_command": list(options.command or command),
        "working_dir": process["cwd"],
        "terminal": options.terminal,
        "interactive": options.interactive,
        "network": options.network,
        "address": endpoint.address if endpoint else "",
        "prefix_length": endpoint.prefix_length if endpoint else 0,
        "gateway": endpoint.gateway if endpoint else "",
        "mac_address": endpoint.mac if endpoint else "",
        "init": options.init,
        "healthcheck": _healthcheck(container),
        "shell": list(image.shell),
        "log": _log(container),
        "privileged": options.privileged,
        "read_only": options.read_only,
        "capabilities_add": list(options.capabilities_add),
        "capabilities_drop": list(options.capabilities_drop),
        "security_options": _security_options(container),
        "apparmor_profile": process.get("apparmorProfile", ""),
        "dns_servers": list(options.dns_servers),
        "dns_search": list(options.dns_search),
        "dns_options": list(options.dns_options),
        "extra_hosts": [f"{name}:{address}" for name, address in options.extra_hosts],
        "groups": list(options.groups),
        "memory_swap_bytes": linux["resources"].get("memory", {}).get("swap", 0),
        "pids_limit": linux["resources"].get("pids", {}).get("limit", 0),
        "shm_size_bytes": options.shm_size_bytes,
        "ulimits": [[limit.name, limit.soft, limit.hard] for limit in options.ulimits],
        "sysctls": dict(options.sysctls),
        "devices": [[d.source, d.target, d.permissions] for d in options.devices],
        "masked_paths": linux["maskedPaths"],
        "readonly_paths": linux["readonlyPaths"],
    }


def _log(container: Container) -> dict[str, Any]:
    log = container.options.log
    if log is None:
        return {"driver": "json-file", "options": {}}
    return {
        "driver": log.driver,
        "options": dict(log.given),
        **({} if log.is_readable else {"unreadable": True}),
    }


def _security_options(container: Container) -> list[str]:
    options = container.options
    chosen = ["no-new-privileges"] if options.no_new_privileges else []
    if options.seccomp:
        chosen.append(f"seccomp={options.seccomp}")
    return chosen + ([f"apparmor={options.apparmor}"] if options.apparmor else [])


def _healthcheck(container: Container) -> dict[str, Any] | None:
    given, image = container.options.health, container.image.healthcheck
    if given is None and image is None:
        return None
    from .health_options import merged

    return merged(given, image)
