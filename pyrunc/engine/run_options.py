"""What did the user ask of `run`, as one frozen value?

`RunOptions` holds parsed values only: no flag is looked at again behind it.  `from_flags` makes it
from raw flags (name -> text, list of texts, or bool), as both parsers of a command line yield them.
Hot: `run` comes through here.
"""

from __future__ import annotations

import os

from ..errors import InvalidInput, PyruncError, Unsupported, not_utf8
from ..oci import document
from ..oci.record import Record
from . import environment, go_values, limits
from . import flag_grammar as grammar
from . import mount_grammar as mounts
from .mount_grammar import BindMount, Device, TmpfsMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .log_options import LogOptions

    RawFlags = Mapping[str, object]

_SHM_DEFAULT_BYTES = 64 << 20
STREAMS = ("stdin", "stdout", "stderr")
_NETWORKS = {"": "bridge", "bridge": "bridge", "default": "bridge", "none": "none", "host": "host"}


class Ulimit(Record):
    """--ulimit NAME=SOFT[:HARD]; -1 is unlimited.  `name` as docker's: "nofile"."""

    name: str
    soft: int
    hard: int


class RunOptions(Record):
    """Every flag of `run`, parsed.  Empty means: not given, the image or a default decides."""

    image: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None  # None: the image's; (): cleared

    # how it is run
    name: str = ""
    cidfile: str = ""
    interactive: bool = False
    terminal: bool = False
    detach: bool = False
    attach: tuple[str, ...] = ("stdout", "stderr")  # and "stdin"; () for a detached one
    gives_input: bool = True  # the command that starts it does, to an interactive one
    detach_keys: bytes = b""  # b"": none were given
    sig_proxy: bool = True
    hold: bool = False  # stop before the command, until `start`
    auto_remove: bool = False
    init: bool = False
    pull: str = "missing"  # "always", "missing", "never"
    quiet: bool = False
    platform: str = ""  # "linux/arm64/v8", checked: the image has to be for it
    restart: tuple[str, int] = ("no", 0)  # policy, and how often at most; 0: no limit
    stop_timeout: int | None = None  # seconds before `stop` kills; -1: never; None: the default
    stop_signal: str = ""  # as given, checked; grammar.signal_number() turns it into a number
    health: dict[str, Any] | None = None  # as docker's Healthcheck, what was given alone
    trace: str | None = None  # None: no; "": to stderr; else a file
    log: LogOptions | None = None  # None: a json-file without limits

    # the process
    environment: tuple[str, ...] = ()  # "K=V" sets; a bare "K" takes the image's K away
    user: str = ""  # "NAME|UID[:GROUP|GID]", names looked up in the rootfs
    groups: tuple[str, ...] = ()  # --group-add: names or numbers
    working_dir: str = ""  # absolute, cleaned
    labels: tuple[tuple[str, str], ...] = ()

    # files
    read_only: bool = False
    mounts: tuple[BindMount, ...] = ()
    tmpfs: tuple[TmpfsMount, ...] = ()
    volumes_from: tuple[tuple[str, str], ...] = ()  # (container, "" or "ro" or "rw")
    devices: tuple[Device, ...] = ()
    shm_size_bytes: int = _SHM_DEFAULT_BYTES

    # limits
    memory_bytes: int = 0  # 0: none
    memory_swap_bytes: int | None = None  # memory and swap together; -1: unlimited; None: not given
    memory_reservation_bytes: int = 0
    nano_cpus: int = 0  # --cpus in billionths; never together with a quota or a period
    cpu_quota_us: int = 0  # 0: none; -1: unlimited
    cpu_period_us: int = 0  # 0: CPU_PERIOD_US
    cpu_shares: int = 0
    cpu_rt_period_us: int = 0
    cpu_rt_runtime_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    blkio_weight: int = 0
    pids_limit: int | None = None  # None: the default; -1: unlimited
    ulimits: tuple[Ulimit, ...] = ()
    cgroup_parent: str = ""  # absolute path, or a slice's name; "": the default's

    # privileges
    privileged: bool = False
    capabilities_add: tuple[str, ...] = ()  # "CAP_X" or "ALL"
    capabilities_drop: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = ""  # "", "builtin", "unconfined", or the path `seccomp_profile` was read from
    seccomp_profile: dict[str, Any] | None = None
    apparmor: str = ""  # a profile's name, or "unconfined"; "": pyrunc's own, where that can be
    sysctls: tuple[tuple[str, str], ...] = ()

    # network
    network: str = "bridge"  # "bridge", "none", "host"
    hostname: str = ""
    domainname: str = ""
    dns_servers: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[tuple[str, str], ...] = ()  # (name, address or "host-gateway")


def from_flags(
    flags: RawFlags,
    image: str,
    command: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> RunOptions:
    """Parse every flag that was given; the rest keeps its default.

    Reads the files that flags name (--env-file, a seccomp profile) and nothing else.
    Raises: InvalidInput with docker's words; Unsupported for what a later version brings.
    """
    values: dict[str, Any] = {"image": image, "command": tuple(command)}
    for part in (_process, _running, _files, _limits, _privileges, _network):
        part(flags, values, environ)
    _check_strings(values)
    options = RunOptions(**values)
    _check_together(options)
    return options


def _process(flags: RawFlags, values: dict[str, Any], environ: Mapping[str, str]) -> None:
    if "env" in flags or "env-file" in flags:
        values["environment"] = environment.environment(
            _list(flags, "env-file"), _list(flags, "env"), environ
        )
    if "entrypoint" in flags:
        text = _text(flags, "entrypoint")
        values["entrypoint"] = (text,) if text else ()
    if user := _text(flags, "user"):
        values["user"] = grammar.user(user)
    if "group-add" in flags:
        values["groups"] = tuple(grammar.group(raw) for raw in _list(flags, "group-add"))
    if workdir := _text(flags, "workdir"):
        if workdir[0] != "/":
            raise InvalidInput(
                f"the working directory '{workdir[:200]}' is invalid, "
                "it needs to be an absolute path",
                where="--workdir",
            )
        values["working_dir"] = mounts.clean(workdir)
    if "label" in flags:
        pairs = grammar.each("-l, --label", _list(flags, "label"), grammar.label)
        values["labels"] = tuple(dict(pairs).items())


def _running(flags: RawFlags, values: dict[str, Any], _environ: Mapping[str, str]) -> None:
    for flag, field in (
        ("interactive", "interactive"),
        ("tty", "terminal"),
        ("detach", "detach"),
        ("rm", "auto_remove"),
        ("init", "init"),
        ("quiet", "quiet"),
        ("sig-proxy", "sig_proxy"),
        ("hold", "hold"),
    ):
        if flag in flags:
            values[field] = flags[flag]
    values["attach"] = _attached(_list(flags, "attach"), values)
    if keys := _text(flags, "detach-keys"):
        from . import detach_keys

        values["detach_keys"] = detach_keys.parse(keys)
    if name := _text(flags, "name"):
        values["name"] = grammar.container_name(name)
    if cidfile := _text(flags, "cidfile"):
        values["cidfile"] = cidfile
    if pull := _text(flags, "pull"):
        if pull not in ("always", "missing", "never"):
            raise InvalidInput(
                f"invalid pull option: '{pull[:64]}': "
                'must be one of "always", "missing" or "never"',
                where="--pull",
            )
        values["pull"] = pull
    if platform := _text(flags, "platform"):
        from ..oci.platform import parse_platform

        values["platform"] = str(parse_platform(platform))
    if stop_signal := _text(flags, "stop-signal"):
        grammar.signal_number(stop_signal)
        values["stop_signal"] = stop_signal
    if stop_timeout := _text(flags, "stop-timeout"):
        values["stop_timeout"] = grammar.one("--stop-timeout", stop_timeout, go_values.integer)
    if "restart" in flags:
        from .restart_grammar import restart_policy

        values["restart"] = restart_policy(_text(flags, "restart"))
    if any(flag.startswith("health-") or flag == "no-healthcheck" for flag in flags):
        from . import health_options

        values["health"] = health_options.from_flags(flags) or None
    if "trace" in flags:
        values["trace"] = _text(flags, "trace")
    if "log-driver" in flags or "log-opt" in flags:
        from . import log_options

        values["log"] = log_options.parse(_text(flags, "log-driver"), _list(flags, "log-opt"))


def _attached(raw: list[str], values: Mapping[str, object]) -> tuple[str, ...]:
    """Return which streams the user's are attached to, of docker's three."""
    chosen = {one.lower() for one in raw}
    if raw and values.get("detach"):
        raise InvalidInput(
            "conflicting options: cannot specify both --attach and --detach", where="--attach"
        )
    for one in raw:
        if one.lower() not in STREAMS:
            why = "valid streams are STDIN, STDOUT and STDERR"
            raise grammar.invalid_argument("-a, --attach", one, why)
    if values.get("detach"):
        return ()
    if not raw:
        return STREAMS if values.get("interactive") else STREAMS[1:]
    return tuple(one for one in STREAMS if one in chosen)


def _files(flags: RawFlags, values: dict[str, Any], environ: Mapping[str, str]) -> None:
    if "read-only" in flags:
        values["read_only"] = flags["read-only"]
    if "volume" in flags:
        raw_volumes = dict.fromkeys(_list(flags, "volume"))  # docker: the same one twice is one
        values["mounts"] = tuple(mounts.bind_mount(raw, environ) for raw in raw_volumes)
    if "tmpfs" in flags:
        parsed = [mounts.tmpfs_mount(raw) for raw in _list(flags, "tmpfs")]
        values["tmpfs"] = tuple({mount.target: mount for mount in parsed}.values())
    if "mount" in flags:
        from .mount_option import parse_mounts

        binds, tmpfs = parse_mounts(_list(flags, "mount"))
        values["mounts"] = values.get("mounts", ()) + binds
        values["tmpfs"] = values.get("tmpfs", ()) + tmpfs
    if "volumes-from" in flags:
        values["volumes_from"] = tuple(map(mounts.volumes_from, _list(flags, "volumes-from")))
    if (driver := _text(flags, "volume-driver")) not in ("", "local"):
        raise _unsupported(f"--volume-driver {driver[:64]}")
    if "device" in flags:
        values["devices"] = tuple(mounts.device(raw) for raw in _list(flags, "device"))
    if "shm-size" in flags:
        size = grammar.one("--shm-size", _text(flags, "shm-size"), go_values.size_bytes)
        values["shm_size_bytes"] = size or _SHM_DEFAULT_BYTES


def _limits(flags: RawFlags, values: dict[str, Any], _environ: Mapping[str, str]) -> None:
    values |= limits.from_flags(flags)
    if parent := _text(flags, "cgroup-parent"):
        from . import cgroup_parent

        values["cgroup_parent"] = cgroup_parent.parse(parent)
    if "ulimit" in flags:
        triples = grammar.each("--ulimit", _list(flags, "ulimit"), grammar.ulimit)
        chosen = {name: Ulimit(name=name, soft=soft, hard=hard) for name, soft, hard in triples}
        values["ulimits"] = tuple(chosen.values())


def _privileges(flags: RawFlags, values: dict[str, Any], _environ: Mapping[str, str]) -> None:
    if "privileged" in flags:
        values["privileged"] = flags["privileged"]
    for flag, field in (("cap-add", "capabilities_add"), ("cap-drop", "capabilities_drop")):
        if flag in flags:
            names = (grammar.capability(raw, f"--{flag}") for raw in _list(flags, flag))
            values[field] = tuple(dict.fromkeys(names))
    if "sysctl" in flags:
        pairs = grammar.each("--sysctl", _list(flags, "sysctl"), grammar.sysctl)
        values["sysctls"] = tuple(dict(pairs).items())
    for raw in _list(flags, "security-opt"):
        _security_option(raw, values)


def _network(flags: RawFlags, values: dict[str, Any], _environ: Mapping[str, str]) -> None:
    if "network" in flags:
        values["network"] = _network_mode(_list(flags, "network"))
    if hostname := _text(flags, "hostname"):
        values["hostname"] = grammar.host_name(hostname)
    if domainname := _text(flags, "domainname"):
        values["domainname"] = grammar.host_name(domainname, "--domainname")
    if "dns" in flags:
        values["dns_servers"] = grammar.each("--dns", _list(flags, "dns"), grammar.ip_address)
    if "dns-search" in flags:
        values["dns_search"] = grammar.each(
            "--dns-search", _list(flags, "dns-search"), grammar.dns_search
        )
    if "dns-option" in flags:
        values["dns_options"] = tuple(map(grammar.dns_option, _list(flags, "dns-option")))
    if "add-host" in flags:
        raw_hosts = _list(flags, "add-host")
        values["extra_hosts"] = grammar.each("--add-host", raw_hosts, grammar.extra_host)


def _security_option(raw: str, values: dict[str, Any]) -> None:
    """Parse one --security-opt; ":" as the separator is docker's legacy form."""
    key, separator, value = raw.partition("=")
    if not separator and key != "no-new-privileges":
        key, separator, value = raw.partition(":")
    if key == "no-new-privileges":
        try:
            values["no_new_privileges"] = go_values.boolean(value) if separator else True
        except ValueError:
            raise _bad_security_option(raw) from None
    elif not value:
        raise InvalidInput(
            f"Invalid --security-opt: {go_values.go_quote(raw[:200])}", where="--security-opt"
        )
    elif key == "seccomp":
        values["seccomp"] = value
        is_named = value in ("builtin", "unconfined")
        values["seccomp_profile"] = None if is_named else _seccomp_profile(value)
    elif key == "apparmor":
        values["apparmor"] = value
    elif (key, value) != ("label", "disable"):  # that switches off what pyrunc never switches on
        if key in ("label", "systempaths", "writable-cgroups", "mask", "unmask"):
            raise _unsupported(f"--security-opt {key}")
        raise _bad_security_option(raw)


def _bad_security_option(raw: str) -> InvalidInput:
    return InvalidInput(
        f"invalid --security-opt: {go_values.go_quote(raw[:200])}", where="--security-opt"
    )


def _seccomp_profile(path: str) -> dict[str, Any]:
    raw = environment.read_file(path, f"opening seccomp profile ({path}) failed: ")
    try:
        return document.load_object(raw, f"seccomp profile {path!r}")
    except InvalidInput as error:
        error.where = "--security-opt"
        raise


def _network_mode(raw_values: Sequence[str]) -> str:
    modes = [_one_network(raw) for raw in raw_values]
    if len(set(modes)) > 1:
        raise _unsupported("more than one --network")
    return modes[-1]


def _one_network(raw: str) -> str:
    name = raw
    if "=" in raw:
        fields = [field.partition("=") for field in raw.split(",")]
        for key, equals, _ in fields:
            why = f"invalid field key {key}" if equals else f"invalid field {key}"
            if not equals or key not in (
                "name", "alias", "ip", "ip6", "mac-address", "link-local-ip", "driver-opt",
                "gw-priority",
            ):  # fmt: skip
                raise grammar.invalid_argument("--network", raw, why)
            if key != "name":
                raise _unsupported(f"--network {key}=")
        name = next((value for key, _, value in fields if key == "name"), "")
    if not name:
        raise InvalidInput("no name set for network", where="--network")
    if name in _NETWORKS:
        return _NETWORKS[name]
    raise Unsupported(
        f"--network {name[:200]!r} is not supported yet",
        feature="--network",
        hint="the networks of this version are bridge, none and host",
    )


def _check_strings(values: dict[str, Any]) -> None:
    """Refuse what no path, argument or variable can hold.

    Security: a NUL would cut the string where C reads it, after all checks.  Documents are UTF-8:
    the container's config.json can't hold other bytes.
    """
    texts = [values["image"], values.get("working_dir", ""), *values["command"]]
    texts += values.get("environment", ())
    texts += values.get("entrypoint") or ()
    texts += [values.get("apparmor", ""), values.get("cidfile", "")]
    texts += (values.get("health") or {}).get("Test") or ()
    for pair in values.get("labels", ()):
        texts += pair
    for mount in values.get("mounts", ()):
        texts += [mount.source, mount.target]
    for text in texts:
        if not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text):
            raise not_utf8(text)
    texts.append(values.get("trace") or "")
    if any("\0" in text for text in texts):
        raise InvalidInput("a NUL character inside an argument")


def _check_together(options: RunOptions) -> None:
    """Check what no flag can be asked alone."""
    if options.auto_remove and options.restart[0] != "no":
        raise InvalidInput(
            "conflicting options: cannot specify both --restart and --rm", where="--restart"
        )
    limits.check(options.as_dict())
    targets = [mount.target for mount in options.mounts + options.tmpfs]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidInput(f"Duplicate mount point: {target}", where="--volume")
    if options.network == "host":
        for key, _ in options.sysctls:
            if key.startswith("net."):
                raise InvalidInput(
                    f"sysctl '{key}' is not allowed with the host's network", where="--sysctl"
                )


def _unsupported(what: str) -> PyruncError:
    return Unsupported(f"{what} is not supported yet", feature=what)


def _text(flags: RawFlags, name: str) -> str:
    value = flags.get(name, "")
    return value if isinstance(value, str) else ""


def _list(flags: RawFlags, name: str) -> list[str]:
    value = flags.get(name)
    return value if isinstance(value, list) else []
