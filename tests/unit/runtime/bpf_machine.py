"""Runs seccomp's BPF and eBPF device programs on chosen inputs, without a kernel."""

from __future__ import annotations

from struct import iter_unpack, pack, unpack_from
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def run_filter(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Return what a seccomp filter answers for one system call.

    Source: Documentation/networking/filter.rst; struct seccomp_data in linux/seccomp.h.
    """
    padded = [*arguments, *[0] * (6 - len(arguments))]
    call = pack("<iIQ6Q", number - (1 << 32 if number >= 1 << 31 else 0), architecture, 0, *padded)
    code = list(iter_unpack("<HBBI", program))
    accumulator = position = 0
    while True:
        operation, if_true, if_false, value = code[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = unpack_from("<I", call, value)
        elif operation == 0x06:
            return int(value)
        elif operation == 0x05:
            position += value
        elif operation == 0x54:
            accumulator &= value
        elif operation in _JUMPS:
            position += if_true if _JUMPS[operation](accumulator, value) else if_false
        else:
            raise ValueError(f"instruction {operation:#x}")


_JUMPS: dict[int, Callable[[int, int], bool]] = {
    0x15: lambda a, k: a == k,
    0x25: lambda a, k: a > k,
    0x35: lambda a, k: a >= k,
    0x45: lambda a, k: bool(a & k),
}


def run_device_program(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Return whether a BPF_PROG_TYPE_CGROUP_DEVICE program allows this access."""
    wanted = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = pack("<III", wanted << 16 | {"b": 1, "c": 2}[kind], major, minor)
    code = list(iter_unpack("<BBhi", program))
    registers = [0] * 11
    position = 0
    while True:
        operation, pair, offset, immediate = code[position]
        position += 1
        target, source = pair & 15, pair >> 4
        value = immediate & 0xFFFFFFFF
        if operation == 0x61:
            (registers[target],) = unpack_from("<I", context, offset)
        elif operation == 0xBC:
            registers[target] = registers[source]
        elif operation == 0x54:
            registers[target] &= value
        elif operation == 0x74:
            registers[target] >>= value
        elif operation == 0xB7:
            registers[target] = value
        elif operation == 0x56:
            position += offset if registers[target] != value else 0
        elif operation == 0x16:
            position += offset if registers[target] == value else 0
        elif operation == 0x95:
            return bool(registers[0])
        else:
            raise ValueError(f"instruction {operation:#x}")
