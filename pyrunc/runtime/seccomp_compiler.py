"""How do rules become BPF?  The only place that opens libseccomp, when no program is cached.

Source: seccomp_rule_add(3), seccomp_export_bpf(3), seccomp_attr_set(3).
"""

from __future__ import annotations

import ctypes
import os
from _struct import pack
from errno import ENOSYS

from ..errors import InvalidInput, Unsupported, errno_name
from .seccomp_profile import ACTIONS, ARCHITECTURES, OPERATORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ATTRIBUTE_OPTIMIZE = 8
_BINARY_TREE = 2  # Kernel: its cache of always-allowed calls is built faster from the shorter paths
_NO_SYSCALL = -1
_X32_BIT = 0x40000000
_LENIENT_ACTIONS = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")


class _Comparison(ctypes.Structure):
    """Struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def compile_program(rendered: dict[str, Any]) -> bytes:
    """Return struct sock_filter[] of linux.seccomp; names unknown to libseccomp are left out.

    System calls that are newer than all that the rules name give ENOSYS, so that C libraries fall
    back to older ones; the denied ones give what the profile says.
    Raises: Unsupported without libseccomp; InvalidInput for rules that it refuses.
    """
    library = _open_library()
    context = library.seccomp_init(
        _action(rendered["defaultAction"], rendered.get("defaultErrnoRet"))
    )
    if not context:
        raise InvalidInput("cannot compile seccomp profile: its default action is refused")
    try:
        architectures = [ARCHITECTURES[name] for name in rendered.get("architectures") or []]
        _add_architectures(library, context, architectures)
        library.seccomp_attr_set(context, _ATTRIBUTE_OPTIMIZE, _BINARY_TREE)
        for rule in rendered["syscalls"]:
            _add_rule(library, context, rule, rendered)
        filter_program = _export(library, context)
    finally:
        library.seccomp_release(context)
    if rendered["defaultAction"] in _LENIENT_ACTIONS:
        return filter_program
    return (
        _multiplexer_prologue(library, rendered, architectures)
        + _newer_calls_prologue(library, rendered, architectures)
        + filter_program
    )


def _open_library() -> Any:  # noqa: ANN401  # ctypes has no better type
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise Unsupported(
            "cannot compile seccomp profile: libseccomp.so.2 is not installed",
            feature="seccomp",
            needs="libseccomp 2.5",
            hint="install libseccomp2, or run without a filter: --security-opt seccomp=unconfined",
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    for name in ("seccomp_arch_add", "seccomp_arch_remove", "seccomp_arch_exist"):
        getattr(library, name).argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    )
    library.seccomp_arch_native.restype = ctypes.c_uint32
    return library


def _action(name: str, errno_value: int | None) -> int:
    action = ACTIONS[name]
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        return action | (1 if errno_value is None else errno_value)
    return action


def _add_architectures(library: Any, context: int, architectures: list[int]) -> None:  # noqa: ANN401
    for token in architectures:
        if library.seccomp_arch_exist(context, token) != 0:
            _check(library.seccomp_arch_add(context, token), f"architecture {token:#x}")


def _add_rule(
    library: Any,  # noqa: ANN401
    context: int,
    rule: dict[str, Any],
    rendered: dict[str, Any],
) -> None:
    default_errno = rendered.get("defaultErrnoRet")
    errno_value = rule.get("errnoRet")
    action = _action(rule["action"], 1 if errno_value is None else errno_value)
    if action == _action(rendered["defaultAction"], default_errno):
        return  # libseccomp refuses rules that change nothing
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _NO_SYSCALL:
            continue
        for comparisons in _comparisons(rule.get("args") or []):
            array = (_Comparison * len(comparisons))(*comparisons)
            result = library.seccomp_rule_add_array(
                context, action, number, len(comparisons), array
            )
            if -result != _EEXIST:  # the same rule twice is no contradiction
                _check(result, f"the rule for {name}")


_EEXIST = 17


def _comparisons(arguments: list[dict[str, Any]]) -> list[list[_Comparison]]:
    """Return alternatives, each a list of comparisons that must all hold.

    Several comparisons of one argument are alternatives, as in runc and so in every profile.
    """
    made = []
    for argument in arguments:
        operator = OPERATORS[argument["op"]]
        first, second = argument["value"], argument.get("valueTwo") or 0
        made.append(_Comparison(argument["index"], operator, first, second))
    indexes = [argument["index"] for argument in arguments]
    if len(set(indexes)) < len(indexes):
        return [[comparison] for comparison in made]
    return [made]


def _export(library: Any, context: int) -> bytes:  # noqa: ANN401
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(library.seccomp_export_bpf(context, descriptor), "the program")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


# -- socketcall ------------------------------------------------------------------------------


def _multiplexer_prologue(
    library: Any,  # noqa: ANN401
    rendered: dict[str, Any],
    architectures: list[int],
) -> bytes:
    """Return BPF that gives the default answer for a socketcall which no rule names.

    Security: libseccomp turns a rule for socket into one for socketcall as well, where there is
    one, and drops the conditions on arguments that are behind a pointer there: AF_ALG would be open
    to whoever takes the 32-bit entry.
    """
    if any("socketcall" in rule["names"] for rule in rendered["syscalls"]):
        return b""
    answer = _action(rendered["defaultAction"], rendered.get("defaultErrnoRet"))
    code = []
    for token in architectures or [library.seccomp_arch_native()]:
        number = library.seccomp_syscall_resolve_name_arch(token, b"socketcall")
        if number >= 0:
            code += [
                _bpf(_LOAD, _ARCHITECTURE_OFFSET),
                _bpf(_IF_EQUAL, token, 0, 3),
                _bpf(_LOAD, _NUMBER_OFFSET),
                _bpf(_IF_EQUAL, number, 0, 1),
                _bpf(_RETURN, answer),
            ]
    return b"".join(code)


# -- newer system calls ----------------------------------------------------------------------

_LOAD, _JUMP, _IF_EQUAL, _IF_GREATER, _IF_AT_LEAST, _RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET = 0, 4  # in struct seccomp_data


def _newer_calls_prologue(
    library: Any,  # noqa: ANN401
    rendered: dict[str, Any],
    architectures: list[int],
) -> bytes:
    """Return BPF that gives ENOSYS for numbers above all that the profile knows."""
    names = [name.encode() for rule in rendered["syscalls"] for name in rule["names"]]
    highest: dict[int, dict[bool, int]] = {}
    for token in architectures or [library.seccomp_arch_native()]:
        numbers = [library.seccomp_syscall_resolve_name_arch(token, name) for name in names]
        known = [number for number in numbers if number >= 0]
        if known:
            is_x32 = token == ARCHITECTURES["SCMP_ARCH_X32"]
            seen_by_kernel = ARCHITECTURES["SCMP_ARCH_X86_64"] if is_x32 else token
            highest.setdefault(seen_by_kernel, {})[is_x32] = max(known)
    blocks = [_architecture_block(token, tops) for token, tops in highest.items()]
    code: list[bytes] = [_bpf(_LOAD, _ARCHITECTURE_OFFSET)]
    for index, block in enumerate(blocks):
        rest = sum(len(later) for later in blocks[index + 1 :])
        code += block[:-1]
        code.append(_bpf(_JUMP, rest))  # to the filter itself
    return b"".join(code)


def _architecture_block(token: int, tops: dict[bool, int]) -> list[bytes]:
    """Return one architecture's part; its last instruction is replaced by a jump to the filter."""
    refuse = _bpf(_RETURN, ACTIONS["SCMP_ACT_ERRNO"] | ENOSYS)
    body = [_bpf(_LOAD, _NUMBER_OFFSET)]
    if token == ARCHITECTURES["SCMP_ARCH_X86_64"]:
        plain, x32 = tops.get(False), tops.get(True)
        # if x32: compare with x32's highest, else with x86-64's; both end at `refuse` or behind it
        body += [
            _bpf(_IF_AT_LEAST, _X32_BIT, 1, 0),
            _bpf(_IF_GREATER, plain if plain is not None else 0xFFFFFFFF, 1, 2),
            _bpf(_IF_GREATER, x32 if x32 is not None else 0xFFFFFFFF, 0, 1),
            refuse,
        ]
    else:
        body += [_bpf(_IF_GREATER, tops[False], 0, 1), refuse]
    block = [*body, _bpf(_JUMP, 0)]
    return [_bpf(_IF_EQUAL, token, 0, len(block)), *block]


def _bpf(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return pack("=HBBI", code, if_true, if_false, value)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise InvalidInput(
            f"cannot compile seccomp profile: libseccomp refuses {what} ({errno_name(-result)})"
        )
