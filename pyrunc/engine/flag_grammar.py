"""What may a user write behind a flag of `run`: limits, names, addresses?

One function a flag, from text to value.  Every one is bounded (no value makes it slow or large),
takes ASCII digits only, and words its refusal as docker does, because scripts match those words.
Hot: `run` comes through here.
"""

from __future__ import annotations

from ..errors import InvalidInput
from ..kernel.capabilities import NUMBERS
from .go_values import go_quote, integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    Parsed = TypeVar("Parsed")

_NAME_LIMIT = 255
_CPU_LIMIT = 8192  # the kernel's NR_CPUS on amd64
_UID_LIMIT = (1 << 31) - 1  # docker's and podman's; the kernel would take one bit more

ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip

_SYSCTLS = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip


def invalid_argument(flag: str, raw: str, why: str, *, hint: str | None = None) -> InvalidInput:
    """Word a bad value as docker's parser does; `flag` as its help shows it ("-m, --memory")."""
    shown = raw if len(raw) <= 200 else raw[:200] + "…"
    return InvalidInput(
        f"invalid argument {go_quote(shown)} for {go_quote(flag)} flag: {why[:1000]}",
        where=flag.rpartition(" ")[2],
        hint=hint,
    )


def each(
    flag: str, raw_values: Sequence[str], parse: Callable[[str], Parsed]
) -> tuple[Parsed, ...]:
    """Parse every value of a repeatable flag; ValueError becomes docker's "invalid argument"."""
    return tuple(one(flag, raw, parse) for raw in raw_values)


def one(flag: str, raw: str, parse: Callable[[str], Parsed]) -> Parsed:
    """Parse one value; ValueError becomes docker's "invalid argument"."""
    try:
        return parse(raw)
    except ValueError as error:
        raise invalid_argument(flag, raw, str(error)) from None


# -- limits ------------------------------------------------------------------------------------


def cpu_list(raw: str) -> str:
    """Check --cpuset-cpus against the host's processors; returns it unchanged.

    Security: CVE-2018-20699: the range is never expanded, and numbers end at 8191.
    """
    return _online(raw, "/sys/devices/system/cpu/online", "cpus", "CPUs")


def memory_nodes(raw: str) -> str:
    """Check --cpuset-mems against the host's memory nodes; returns it unchanged."""
    return _online(raw, "/sys/devices/system/node/online", "mems", "memory nodes")


def _online(raw: str, path: str, kind: str, things: str) -> str:
    wanted = _ranges(raw)
    flag = f"--cpuset-{kind}"
    if wanted is None:
        raise InvalidInput(f"Invalid value {raw[:200]} for cpuset {kind}.", where=flag)
    try:
        with open(path, encoding="ascii") as file:
            available = file.read(4096).strip()
    except FileNotFoundError:  # Kernel: without CONFIG_NUMA all memory is node 0
        available = "0"
    online = _ranges(available) or ()
    for low, high in wanted:
        if not any(first <= low and high <= last for first, last in online):
            raise InvalidInput(
                f"Requested {things} are not available - requested "
                f"{raw[:200]}, available: {available}.",
                where=flag,
            )
    return raw


def ulimit(raw: str) -> tuple[str, int, int]:
    """Parse TYPE=SOFT[:HARD] to (type, soft, hard); -1 is unlimited.

    Source: docker/go-units ParseUlimit.
    """
    name, equals, limits = raw.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {raw}")
    if name not in ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":", 2)
    if len(parts) > 2:
        raise ValueError(
            f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
        )
    hard = integer(parts[-1], base=10)
    soft = integer(parts[0], base=10)
    if hard != -1 and soft == -1:
        raise ValueError(
            "ulimit soft limit must be less than or equal to hard limit: "
            f"soft: -1 (unlimited), hard: {hard}"
        )
    if hard != -1 and soft > hard:
        raise ValueError(
            f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )
    if soft < -1 or hard < -1:
        raise ValueError(f"invalid ulimit argument: {raw}")
    return name, soft, hard


# -- names -------------------------------------------------------------------------------------


def container_name(raw: str) -> str:
    """Check --name; a leading slash is tolerated and dropped.

    Source: moby names.RestrictedNameChars.
    """
    name = raw.removeprefix("/")
    plain = name.replace("_", "").replace(".", "").replace("-", "")
    first = name[:1]
    is_good = (
        2 <= len(name) <= _NAME_LIMIT
        and name.isascii()
        and first.isalnum()
        and (plain.isalnum() or not plain)
    )
    if not is_good:
        raise InvalidInput(
            f"Invalid container name ({raw[:_NAME_LIMIT]}), "
            "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            where="--name",
        )
    return name


def host_name(raw: str, flag: str = "--hostname") -> str:
    """Check a host or domain name: at most 64 bytes, letters, digits, `-._` only.

    Security: the name is written into /etc/hosts, where a blank or newline would forge a line.
    """
    plain = raw.replace("_", "").replace(".", "").replace("-", "")
    if len(raw) > 64 or not raw.isascii() or not plain.isalnum():
        raise InvalidInput(f"invalid hostname format: {raw[:_NAME_LIMIT]}", where=flag)
    return raw


def user(raw: str) -> str:
    """Check --user: NAME|UID[:GROUP|GID]; "1:" means "1", ":1" keeps the image's user.

    Security: CVE-2024-40635, CVE-2026-30892: a number is parsed exactly or refused.
    """
    name, colon, group = raw.partition(":")
    for part in (name, group):
        _check_identity(part, raw, "--user")
    return f"{name}:{group}" if colon and group else name


def group(raw: str) -> str:
    """Check --group-add: a group's name or number."""
    if not raw:
        raise InvalidInput("invalid group: ''", where="--group-add")
    _check_identity(raw, raw, "--group-add")
    return raw


def capability(raw: str, flag: str) -> str:
    """Return "CAP_X" or "ALL"; any case, prefix optional."""
    name = raw.strip().upper()
    if name == "ALL":
        return name
    bare = name.removeprefix("CAP_")
    if f"CAP_{bare}" not in NUMBERS:
        which = "CapAdd" if flag == "--cap-add" else "CapDrop"
        raise InvalidInput(
            f"invalid {which}: unknown capability: {go_quote('CAP_' + bare[:64])}", where=flag
        )
    return f"CAP_{bare}"


def signal_number(raw: str) -> int:
    """Return the number of a signal: 15, TERM, SIGTERM, RTMIN+3 in any case.

    Raises: InvalidInput with docker's words.
    """
    import _signal

    name = raw.upper().removeprefix("SIG")
    if name.isascii() and name.isdigit() and len(name) <= 3:
        number = int(name)
    elif name.startswith(("RTMIN", "RTMAX")):
        number = _real_time_signal(name)
    elif name.isascii() and name.isalnum():
        found = vars(_signal).get(f"SIG{name}", 0)
        number = int(found) if isinstance(found, int) else 0
    else:
        number = 0
    if not 1 <= number <= 64:
        raise InvalidInput(f"invalid signal: {raw[:64]}", where="--stop-signal")
    return number


def sysctl(raw: str) -> tuple[str, str]:
    """Parse KEY=VALUE; only keys that belong to a namespace.

    Source: docker/cli opts.ValidateSysctl.
    Security: an empty or ".." component would leave the tree that the prefix promises.
    """
    key, equals, value = raw.partition("=")
    is_named = key in _SYSCTLS or key.startswith(("net.", "fs.mqueue."))
    parts = key.replace("/", ".").split(".")
    if not equals or not is_named or not all(_is_word(part) for part in parts) or "\0" in value:
        raise ValueError(f"sysctl '{raw}' is not allowed")
    return key, value


def label(raw: str) -> tuple[str, str]:
    """Parse KEY[=VALUE]."""
    key, _, value = raw.partition("=")
    key = key.lstrip(" \t")
    if not key:
        raise ValueError(f"invalid label '{raw}': empty name")
    if " " in key or "\t" in key:
        raise ValueError(f"label '{key}' contains whitespaces")
    return key, value


# -- addresses ---------------------------------------------------------------------------------


def ip_address(raw: str) -> str:
    """Check an IPv4 or IPv6 address; blanks around it go."""
    text = raw.strip()
    if not _is_ip(text):
        raise ValueError(f"IP address is not correctly formatted: {raw}")
    return text


def extra_host(raw: str) -> tuple[str, str]:
    """Parse HOST:IP or HOST=IP to (host, address); "host-gateway" stays as it is."""
    host, separator, address = raw.partition("=")
    if not separator:
        host, separator, address = raw.partition(":")
    if not separator or not host or ":" in host or not _is_word(host):
        raise ValueError(f"bad format for add-host: {go_quote(raw)}")
    if address == "host-gateway":
        return host, address
    if len(address) > 2 and address[0] == "[" and address[-1] == "]":
        address = address[1:-1]
    if not _is_ip(address):
        raise ValueError(f"invalid IP address in add-host: {go_quote(address)}")
    return host, address


def dns_search(raw: str) -> str:
    """Check a search domain; "." means none."""
    text = raw.strip()
    if text == ".":
        return text
    labels = text.removesuffix(".").split(".")
    is_good = 0 < len(text) <= 254 and all(
        0 < len(part) <= 63 and _is_word(part) and part[0] != "-" for part in labels
    )
    if not is_good:
        raise ValueError(f"{raw} is not a valid domain")
    return text


def dns_option(raw: str) -> str:
    """Check an option of resolv.conf: one word."""
    if not raw or not all(char.isascii() and char.isprintable() and char != " " for char in raw):
        raise InvalidInput(f"invalid DNS option {go_quote(raw[:200])}", where="--dns-option")
    return raw


# -- helpers -----------------------------------------------------------------------------------


def _ranges(text: str) -> list[tuple[int, int]] | None:
    """Parse "0-2,5" to pairs, without expanding; None if malformed or above the kernel's limit."""
    result = []
    if len(text) > 4096:
        return None
    for part in text.split(","):
        low, dash, high = part.partition("-")
        bounds = (low, high if dash else low)
        if not all(b.isascii() and b.isdigit() and len(b) <= 4 for b in bounds):
            return None
        first, last = int(bounds[0]), int(bounds[1])
        if first > last or last >= _CPU_LIMIT:
            return None
        result.append((first, last))
    return result


def _check_identity(part: str, raw: str, flag: str) -> None:
    shown = raw[:_NAME_LIMIT]
    if part.isascii() and part.isdigit():
        if len(part) > 10 or int(part) > _UID_LIMIT:
            raise InvalidInput(
                f"uids and gids must be in range 0-{_UID_LIMIT}: {go_quote(shown)}", where=flag
            )
        return
    is_good = (
        len(part) <= _NAME_LIMIT
        and part[:1] not in ("+", "-")
        and all(char.isprintable() and char not in " :,/\\" for char in part)
    )
    if not is_good:
        raise InvalidInput(f"invalid user or group: {go_quote(shown)}", where=flag)


def _real_time_signal(name: str) -> int:
    # Kernel: glibc keeps 32 and 33 for itself, so SIGRTMIN is 34 for every program (signal(7)).
    base, direction = (34, "+") if name.startswith("RTMIN") else (64, "-")
    offset = name[5:]
    if not offset:
        return base
    digits = offset[1:]
    if offset[0] != direction or not (digits.isascii() and digits.isdigit()) or len(digits) > 2:
        return 0
    if int(digits) > 30:
        return 0
    return base + int(digits) if direction == "+" else base - int(digits)


def _is_word(text: str) -> bool:
    return bool(text) and all(
        char.isascii() and (char.isalnum() or char in "-_.@") for char in text
    )


def _is_ip(text: str) -> bool:
    if ":" not in text:
        parts = text.split(".")
        return len(parts) == 4 and all(
            part.isascii()
            and part.isdigit()
            and len(part) <= 3
            and int(part) <= 255
            and (part == "0" or part[0] != "0")
            for part in parts
        )
    from _socket import AF_INET6, inet_pton

    if not text.isascii() or "%" in text or len(text) > 45:
        return False
    try:
        inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return False
    return True
