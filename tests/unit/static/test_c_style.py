"""Is the C formatted, free of warnings, and does the child's half only call what is safe there?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3]
C_SOURCES = sorted(SOURCE.glob("csrc/*.c")) + sorted(SOURCE.glob("tests/**/*.c"))
C_FILES = C_SOURCES + sorted(SOURCE.glob("csrc/*.h"))

WARNINGS = [
    "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wconversion",
    "-Wformat=2", "-Wswitch-enum", "-Wvla", "-Werror",
]  # fmt: skip
HARDENING = ["-O2", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
# What CMakeLists.txt says about command.c.
DEFINITIONS = [
    '-DCOMMAND_NAME="pyrunc"',
    '-DCOMMAND_MODULE="pyrunc.cli.entry"',
    "-DCOMMAND_FAILURE=125",
    '-DPYTHON_VERSION="3.11"',
    '-DPYTHON_PATH="/usr/bin/python3"',
    '-DPYTHON_MODULES="modules.cpython-311.bin"',
]

# Files of the child's half: what runs after clone3 and before execve.  Only functions that are
# async-signal-safe (signal-safety(7)), and what the compiler itself puts there.
CHILD_SOURCES = [
    *(SOURCE / "csrc" / name for name in ("child.c", "target.c", "netlink.c")),
    *sorted(SOURCE.glob("csrc/step_*.c")),
]
CHILD_MAY_CALL = {
    "syscall", "_exit", "write", "read", "close", "__errno_location", "___errno_location",
    "memcpy", "memset", "memcmp", "strlen", "strchr", "strcmp", "strncmp", "memmove",
    "clock_gettime",  # the vDSO
    "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_",
    "__memcpy_chk", "__memset_chk", "__read_chk", "__memmove_chk",
}  # fmt: skip


def compile_words(source: Path) -> list[str]:
    include = sysconfig.get_path("include")
    words = ["gcc", "-std=gnu11", *WARNINGS, *HARDENING, f"-I{include}", "-Icsrc", *DEFINITIONS]
    return [*words, "-c", str(source)]


def gcc_version() -> int:
    done = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True)
    return int(done.stdout.split(".")[0])


def gcc(words: list[str]) -> None:
    done = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_c_source_is_formatted() -> None:
    clang_format = str(Path(sys.executable).parent / "clang-format")
    words = [clang_format, "--dry-run", "--Werror", *map(str, C_FILES)]
    done = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", C_SOURCES, ids=lambda path: path.name)
def test_c_source_compiles_without_warning(source: Path) -> None:
    gcc([*compile_words(source), "-o", os.devnull])


@pytest.mark.parametrize("source", C_SOURCES, ids=lambda path: path.name)
def test_c_source_survives_the_analyzer(source: Path) -> None:
    # Descriptors are kept on purpose, for the program that comes after execve.
    kept = "-Wno-analyzer-fd-leak" if gcc_version() >= 13 else "-Wall"
    gcc([*compile_words(source), "-fanalyzer", kept, "-o", os.devnull])


Symbols = dict[Path, tuple[set[str], set[str]]]


@pytest.fixture(scope="module")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> Symbols:
    """Return what each child object defines for others, and what it wants of others."""
    directory = tmp_path_factory.mktemp("objects")
    found: Symbols = {}
    for source in CHILD_SOURCES:
        target = directory / f"{source.name}.o"
        gcc([*compile_words(source), "-o", str(target)])
        lines = subprocess.run(["nm", target], capture_output=True, text=True, check=True).stdout
        pairs = re.findall(r"^[0-9a-f ]* ([A-Za-z]) (\S+)$", lines, re.MULTILINE)
        defined = {name for kind, name in pairs if kind.isupper() and kind != "U"}
        found[source] = defined, {name for kind, name in pairs if kind == "U"}
    return found


def test_child_source_exists() -> None:
    missing = [path.name for path in CHILD_SOURCES if not path.exists()]

    assert not missing, f"the child's half has moved: {missing}; name its files in this test"


@pytest.mark.parametrize("source", CHILD_SOURCES, ids=lambda path: path.name)
def test_child_source_calls_only_what_is_safe_after_clone(source: Path, symbols: Symbols) -> None:
    ours = set[str]().union(*(defined for defined, _ in symbols.values()))
    unsafe = symbols[source][1] - ours - CHILD_MAY_CALL

    assert not unsafe, f"{source.name} calls {sorted(unsafe)} between clone and exec"


def test_forbidden_call_would_show(symbols: Symbols) -> None:
    """Guard the guard: what the child wants of others is really read."""
    assert "syscall" in set[str]().union(*(wanted for _, wanted in symbols.values()))
