"""What do the container's /etc/hosts, /etc/hostname and /etc/resolv.conf say?

Three files in the bundle, bound over the image's, so that names resolve in any image; and the
directories on the host that -v names and that are not there yet.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, KernelError
from ..network import dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .run_options import RunOptions


def container_hostname(options: RunOptions, container_id: str) -> str:
    """Return the host name: --hostname, the host's own with its network, else the short id."""
    if options.hostname:
        return options.hostname
    return os.uname().nodename if options.network == "host" else container_id[:12]


def write_host_files(
    bundle: str, options: RunOptions, hostname: str, address: str | None, gateway: str | None
) -> None:
    """Write the three files (0644) into the bundle, in docker's form.

    Not atomic: the bundle is not in use yet, and goes as a whole when this fails.
    Raises: InvalidInput for a "host-gateway" without a network; OSError.
    """
    on_host = options.network == "host"
    extra = [(name, _gateway(to, gateway)) for name, to in options.extra_hosts]
    hosts = dns.hosts(
        hostname,
        address,
        extra,
        domainname=options.domainname,
        host_text=dns.read_host_hosts() if on_host else None,
    )
    resolv_conf = dns.resolv_conf(
        dns.read_host_resolv_conf(host_network=on_host),
        options.dns_servers,
        options.dns_search,
        options.dns_options,
        host_network=on_host,
    )
    for name, content in (
        ("hosts", hosts),
        ("hostname", dns.hostname_file(hostname)),
        ("resolv.conf", resolv_conf),
    ):
        _write(f"{bundle}/{name}", content)


def make_bind_sources(options: RunOptions) -> None:
    """Make the directories that -v names and that the host lacks, as docker does: 0755, root's.

    They stay when the container does not start: from then on they are the user's.
    Raises: KernelError naming the directory.
    """
    for mount in options.mounts:
        if mount.long_form and not mount.is_volume() and not os.path.lexists(mount.source):
            raise InvalidInput(
                'invalid mount config for type "bind": bind source path does not exist: '
                f"{mount.source}",
                where="--mount",
            )
        if mount.create_source and not os.path.lexists(mount.source):
            try:
                os.makedirs(mount.source, 0o755, exist_ok=True)
            except OSError as error:
                raise KernelError(
                    "make the directory of --volume", errno=error.errno or 0, subject=mount.source
                ) from error


def _gateway(address: str, gateway: str | None) -> str:
    if address != "host-gateway":
        return address
    if gateway is None:
        raise InvalidInput(
            "unable to derive the IP value for host-gateway: the container has no bridge network",
            where="--add-host",
        )
    return gateway


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)  # whatever the caller's umask: any user of the container reads it
        os.write(fd, content)
    finally:
        os.close(fd)
