"""Is this document a seccomp profile?  Checked when it is compiled, before anything is made."""

from __future__ import annotations

from ..errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}

NOTIFY = "SCMP_ACT_NOTIFY"

OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

# AUDIT_ARCH_* of include/uapi/linux/audit.h; X32 has libseccomp's own token.
ARCHITECTURES = {
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_MIPS": 0x8,
    "SCMP_ARCH_MIPS64": 0x80000008,
    "SCMP_ARCH_MIPS64N32": 0xA0000008,
    "SCMP_ARCH_MIPSEL": 0x40000008,
    "SCMP_ARCH_MIPSEL64": 0xC0000008,
    "SCMP_ARCH_MIPSEL64N32": 0xE0000008,
    "SCMP_ARCH_PPC": 0x14,
    "SCMP_ARCH_PPC64": 0x80000015,
    "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_S390": 0x16,
    "SCMP_ARCH_S390X": 0x80000016,
    "SCMP_ARCH_PARISC": 0xF,
    "SCMP_ARCH_PARISC64": 0x8000000F,
    "SCMP_ARCH_RISCV64": 0xC00000F3,
    "SCMP_ARCH_LOONGARCH64": 0xC0000102,
}

MAX_ERRNO = 4095


# What hands the filter's descriptor over (csrc/step_privileges.c), and what runc does that by.
_NEEDED_TO_NOTIFY = frozenset(("sendmsg", "write"))


def notifies(profile: dict[str, Any]) -> bool:
    """Tell whether a rule asks another process; for a profile that is not checked yet, too."""
    rules = profile.get("syscalls")
    if not isinstance(rules, list):
        return False
    return any(isinstance(rule, dict) and rule.get("action") == NOTIFY for rule in rules)


def check_profile(profile: dict[str, Any], *, may_notify: bool = False) -> None:
    """Check a profile in moby's shape, of which linux.seccomp is a special case.

    Raises: InvalidInput with the JSON path; Unsupported for user notification, unless it may.
    """
    if notifies(profile) and not may_notify:
        raise Unsupported(
            "seccomp profile: user notification needs an agent, which only pyrunc-oci knows of",
            feature=NOTIFY,
        )
    _check_action(profile.get("defaultAction"), "defaultAction")
    if profile["defaultAction"] == NOTIFY:
        raise _invalid("defaultAction", f"{NOTIFY} cannot be used as default action")
    _check_errno(profile.get("defaultErrnoRet"), "defaultErrnoRet")
    architectures = _list(profile, "architectures", "")
    if architectures and profile.get("archMap"):
        raise _invalid("archMap", "can't stand beside architectures")
    for index, name in enumerate(architectures):
        _check_architecture(name, f"architectures[{index}]")
    for index, entry in enumerate(_list(profile, "archMap", "")):
        where = f"archMap[{index}]"
        _object(entry, where)
        _check_architecture(entry.get("architecture"), f"{where}.architecture")
        for name in _list(entry, "subArchitectures", where):
            _check_architecture(name, f"{where}.subArchitectures")
    for index, rule in enumerate(_list(profile, "syscalls", "")):
        _check_rule(rule, f"syscalls[{index}]")


def _check_rule(rule: object, where: str) -> None:
    entry = _object(rule, where)
    names = _list(entry, "names", where)
    if not names:
        raise _invalid(f"{where}.names", "must be names of system calls")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise _invalid(f"{where}.names[{index}]", "must be the name of a system call")
    _check_action(entry.get("action"), f"{where}.action")
    needed = sorted(_NEEDED_TO_NOTIFY.intersection(names))
    if entry["action"] == NOTIFY and needed:
        raise _invalid(f"{where}.names", f"{NOTIFY} cannot be used for the {needed[0]} syscall")
    _check_errno(entry.get("errnoRet"), f"{where}.errnoRet")
    for index, argument in enumerate(_list(entry, "args", where)):
        _check_argument(argument, f"{where}.args[{index}]")
    for key in ("includes", "excludes"):
        conditions = _object(entry.get(key) or {}, f"{where}.{key}")
        for kind in ("caps", "arches"):
            for name in _list(conditions, kind, f"{where}.{key}"):
                if not isinstance(name, str):
                    raise _invalid(f"{where}.{key}.{kind}", "must be names")
        kernel = conditions.get("minKernel")
        if kernel is not None:
            _check_kernel(kernel, f"{where}.{key}.minKernel")


def _check_argument(argument: object, where: str) -> None:
    entry = _object(argument, where)
    if entry.get("op") not in OPERATORS:
        raise _invalid(f"{where}.op", f"{entry.get('op')!r} is no comparison")
    _check_number(entry.get("index"), f"{where}.index", 5)
    _check_number(entry.get("value"), f"{where}.value", (1 << 64) - 1)
    _check_number(entry.get("valueTwo") or 0, f"{where}.valueTwo", (1 << 64) - 1)


def _check_number(value: object, where: str, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
        raise _invalid(where, f"{value!r} is not between 0 and {highest}")


def _check_action(action: object, where: str) -> None:
    if action not in ACTIONS:
        raise _invalid(where, f"{action!r} is no action")


def _check_errno(number: object, where: str) -> None:
    if number is not None:
        _check_number(number, where, MAX_ERRNO)


def _check_architecture(name: object, where: str) -> None:
    if name not in ARCHITECTURES:
        raise _invalid(where, f"{name!r} is no architecture")


def _check_kernel(text: object, where: str) -> None:
    parts = text.split(".") if isinstance(text, str) else []
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() and len(p) < 6 for p in parts):
        raise _invalid(where, f"{text!r} is no kernel version such as 4.8")


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(where, "must be an object")
    return value


def _list(entry: dict[str, Any], key: str, where: str) -> list[Any]:
    value = entry.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _invalid(f"{where}.{key}".lstrip("."), "must be a list")
    return value


def _invalid(where: str, problem: str) -> InvalidInput:
    return InvalidInput(f"invalid seccomp profile: {where}: {problem}", where=where)
