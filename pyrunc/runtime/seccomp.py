"""Which system calls may a container make?

A filter is a program.  A profile (moby's shape: rules with conditions on capabilities, architecture
and kernel) is rendered into linux.seccomp of the runtime spec, which libseccomp compiles into BPF
once; from then on one file is read.  The cache's key is everything that the program depends on.
Source: seccomp(2), runtime-spec config-linux.md "Seccomp".
"""

from __future__ import annotations

import os
from _blake2 import blake2b

from ..errors import InvalidInput, InvalidSpec
from ..oci import document
from ..oci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..kernel.probe import HostFacts

DEFAULT_PROFILE = os.path.dirname(__file__) + "/default_seccomp.json"
PROFILE_LIMIT_BYTES = 1 << 20

_FORMAT = b"pyrunc seccomp 1\n"
_DIGEST_BYTES = 32

# Where distributions keep libseccomp.so.2, a link whose target names the version.
_LIBRARY_DIRECTORIES = (
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
)

# uname's machine -> the words that "arches" of a profile use (Go's names)
_GO_ARCHITECTURES = {
    "x86_64": "amd64",
    "i686": "x86",
    "aarch64": "arm64",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
_ARCHITECTURES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "i686": "SCMP_ARCH_X86",
    "aarch64": "SCMP_ARCH_AARCH64",
    "armv7l": "SCMP_ARCH_ARM",
    "ppc64le": "SCMP_ARCH_PPC64LE",
    "s390x": "SCMP_ARCH_S390X",
    "riscv64": "SCMP_ARCH_RISCV64",
}


class Filter(Record):
    """A compiled filter: linux.seccomp of the spec, and the same as struct sock_filter[]."""

    document: dict[str, Any]
    program: bytes


def load_filter(
    raw_profile: bytes | None,
    capabilities: frozenset[str],
    facts: HostFacts,
    cache_directory: str,
    *,
    may_notify: bool = False,
) -> Filter:
    """Return the filter of a profile for a container with these capabilities; None is the default.

    Hot when it was compiled before: one file is read.
    Raises: InvalidInput for a bad profile; Unsupported where libseccomp is missing.
    """
    if raw_profile is None:
        raw_profile = _read_default()
    key = _key(raw_profile, sorted(capabilities), facts)
    cached = _read_cached(f"{cache_directory}/{key}")
    if cached is not None:
        return cached
    profile = document.load_object(raw_profile, "seccomp profile", limit_bytes=PROFILE_LIMIT_BYTES)
    rendered = render(profile, capabilities, facts, may_notify=may_notify)
    return _compile_into(f"{cache_directory}/{key}", rendered)


def program(
    profile: dict[str, Any] | None,
    capabilities: frozenset[str],
    facts: HostFacts,
    cache_directory: str,
) -> bytes:
    """Return the program of a parsed profile, or of linux.seccomp, which has no conditions.

    None is the default profile.  Whom the filter notifies is no part of it.

    Raises: as `load_filter`; InvalidSpec with the path in the whole document.
    """
    if profile is None:
        raw = None
    else:
        raw = document.dump({k: v for k, v in profile.items() if not k.startswith("listener")})
    try:
        return load_filter(raw, capabilities, facts, cache_directory, may_notify=True).program
    except InvalidInput as error:
        if error.where is None:
            raise
        _, _, problem = str(error).partition(f"{error.where}: ")
        where = f"linux.seccomp.{error.where}"
        raise InvalidSpec(problem, where=where, clause="config-linux.md") from error


def default_profile() -> dict[str, Any]:
    """Return the default profile, with its conditions."""
    return document.load_object(_read_default(), DEFAULT_PROFILE)


def _read_default() -> bytes:
    with open(DEFAULT_PROFILE, "rb") as file:
        return file.read()


def render(
    profile: dict[str, Any],
    capabilities: frozenset[str],
    facts: HostFacts,
    *,
    may_notify: bool = False,
) -> dict[str, Any]:
    """Return linux.seccomp: the profile with its conditions decided for this container.

    Raises: InvalidInput for a profile that is none.
    """
    from .seccomp_profile import check_profile

    check_profile(profile, may_notify=may_notify)
    rendered: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
    if profile.get("defaultErrnoRet") is not None:
        rendered["defaultErrnoRet"] = profile["defaultErrnoRet"]
    rendered["architectures"] = _architectures(profile, facts)
    if profile.get("flags"):
        rendered["flags"] = profile["flags"]
    rendered["syscalls"] = [
        {
            key: rule[key]
            for key in ("names", "action", "errnoRet", "args")
            if rule.get(key) is not None
        }
        for rule in profile.get("syscalls") or []
        if _applies(rule, capabilities, facts)
    ]
    return rendered


def _architectures(profile: dict[str, Any], facts: HostFacts) -> list[str]:
    if profile.get("architectures"):
        return list(profile["architectures"])
    native = _ARCHITECTURES.get(facts.machine, "")
    for entry in profile.get("archMap") or []:
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or [])]
    return [native] if native else []


def _applies(rule: dict[str, Any], capabilities: frozenset[str], facts: HostFacts) -> bool:
    """Decide the conditions: all of `includes` must hold and none of `excludes` may.

    As in moby: of several capabilities to include all must be there, and of those to exclude any
    is enough; of architectures the host's must be, or must not be, among them.
    """
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    machine = _GO_ARCHITECTURES.get(facts.machine, facts.machine)
    if includes.get("arches") and machine not in includes["arches"]:
        return False
    if not all(name in capabilities for name in includes.get("caps") or []):
        return False
    if includes.get("minKernel") and facts.kernel < _kernel(includes["minKernel"]):
        return False
    if machine in (excludes.get("arches") or []):
        return False
    if any(name in capabilities for name in excludes.get("caps") or []):
        return False
    return not (excludes.get("minKernel") and facts.kernel >= _kernel(excludes["minKernel"]))


def _kernel(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


# -- the cache -------------------------------------------------------------------------------


# Part of the key: one more whenever the compiler makes another program from the same profile.
_COMPILER_VERSION = "2"


def library_version() -> str:
    """Return libseccomp's version without opening it, from the name of its file; "" if unknown."""
    for directory in _LIBRARY_DIRECTORIES:
        try:
            return os.path.basename(os.readlink(f"{directory}/libseccomp.so.2"))
        except OSError:
            continue
    return ""


def _key(raw_profile: bytes, capabilities: list[str], facts: HostFacts) -> str:
    digest = blake2b(raw_profile, digest_size=_DIGEST_BYTES)
    parts = (
        _COMPILER_VERSION,
        *capabilities,
        facts.machine,
        library_version(),
        ".".join(map(str, facts.kernel)),
    )
    digest.update(b"\0" + "\0".join(parts).encode())
    return digest.hexdigest()


def _read_cached(path: str) -> Filter | None:
    """Return what is in the cache; None for nothing, or for a file that a crash has cut short."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    body = content[len(_FORMAT) + _DIGEST_BYTES :]
    digest = content[len(_FORMAT) :][:_DIGEST_BYTES]
    if (
        not content.startswith(_FORMAT)
        or blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest
    ):
        return None
    size = int.from_bytes(body[:4], "little")
    rendered = document.load_object(body[4 : 4 + size], "cached seccomp profile")
    return Filter(document=rendered, program=body[4 + size :])


def _compile_into(path: str, rendered: dict[str, Any]) -> Filter:
    from .seccomp_compiler import compile_program

    compiled = Filter(document=rendered, program=compile_program(rendered))
    raw = document.dump(rendered)
    body = len(raw).to_bytes(4, "little") + raw + compiled.program
    content = _FORMAT + blake2b(body, digest_size=_DIGEST_BYTES).digest() + body
    _replace(path, content)
    return compiled


def _replace(path: str, content: bytes) -> None:
    """Put the file into the cache.  A cache that can't be written costs time, nothing else."""
    temporary = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.write(descriptor, content)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
    finally:
        os.close(descriptor)
