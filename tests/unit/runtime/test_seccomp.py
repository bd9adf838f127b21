"""Does the default filter allow, deny and not know what it should?  The BPF itself is run."""

from __future__ import annotations

import ctypes.util
from pathlib import Path

import pytest

from pyrunc.errors import InvalidInput, Unsupported
from pyrunc.kernel.probe import HostFacts
from pyrunc.oci.document import load_object
from pyrunc.runtime.default_spec import DEFAULT_CAPABILITIES
from pyrunc.runtime.seccomp import DEFAULT_PROFILE, load_filter, program, render

from .bpf_machine import run_filter

pytestmark = pytest.mark.skipif(
    ctypes.util.find_library("seccomp") is None, reason="libseccomp is not installed"
)

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
X32 = 0x40000000
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50000 | 38
FACTS = HostFacts(kernel=(6, 1), machine="x86_64")
DEFAULT = frozenset(DEFAULT_CAPABILITIES)


@pytest.fixture(scope="module")
def default_program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return load_filter(None, DEFAULT, FACTS, str(tmp_path_factory.mktemp("cache"))).program


@pytest.mark.parametrize(
    ("architecture", "number", "arguments", "answer"),
    [
        (X86_64, 0, (), ALLOW),  # read
        (X86_64, 101, (), ALLOW),  # ptrace: the kernel is new enough
        (X86_64, 165, (), EPERM),  # mount
        (X86_64, 272, (), EPERM),  # unshare
        (X86_64, 321, (), EPERM),  # bpf
        (X86_64, 425, (), EPERM),  # io_uring_setup
        (X86_64, 250, (), EPERM),  # keyctl
        (X86_64, 161, (), ALLOW),  # chroot: CAP_SYS_CHROOT is among the eleven
        (X86_64, 435, (), ENOSYS),  # clone3
        (X86_64, 56, (0x11,), ALLOW),  # clone with SIGCHLD
        (X86_64, 56, (0x10000011,), EPERM),  # clone with CLONE_NEWUSER
        (X86_64, 41, (2,), ALLOW),  # socket AF_INET
        (X86_64, 41, (38,), EPERM),  # socket AF_ALG
        (X86_64, 41, (39,), ALLOW),
        (X86_64, 41, (40,), EPERM),  # socket AF_VSOCK
        (X86_64, 41, (41,), ALLOW),
        (X86_64, 135, (0x20008,), ALLOW),  # personality
        (X86_64, 135, (0x0040000,), EPERM),  # ADDR_NO_RANDOMIZE
        (X86_64, 9999, (), ENOSYS),
        (X86_64, X32 | 0, (), ALLOW),  # x32 read
        (X86_64, X32 | 165, (), EPERM),  # x32 mount
        (X86_64, X32 | 9999, (), ENOSYS),
        (I386, 3, (), ALLOW),  # read
        (I386, 21, (), EPERM),  # mount
        (I386, 102, (), EPERM),  # socketcall
        (I386, 102, (1,), EPERM),  # socketcall of socket: its AF_ALG is behind a pointer
        (I386, 102, (3,), EPERM),  # socketcall of connect
        (I386, 359, (2,), ALLOW),  # socket
        (I386, 359, (38,), EPERM),
        (I386, 9999, (), ENOSYS),
    ],
)
def test_default_filter_answers(
    default_program: bytes, architecture: int, number: int, arguments: tuple[int, ...], answer: int
) -> None:
    assert run_filter(default_program, architecture, number, *arguments) == answer


def test_default_filter_kills_foreign_architectures(default_program: bytes) -> None:
    assert run_filter(default_program, AARCH64, 0) in (0, 0x80000000)


def test_sys_admin_lifts_the_rules_about_namespaces(tmp_path: Path) -> None:
    compiled = load_filter(None, DEFAULT | {"CAP_SYS_ADMIN"}, FACTS, str(tmp_path)).program
    assert run_filter(compiled, X86_64, 165) == ALLOW
    assert run_filter(compiled, X86_64, 435) == ALLOW
    assert run_filter(compiled, X86_64, 56, 0x10000011) == ALLOW


def test_aarch64_profile_includes_32_bit_arm() -> None:
    profile = load_object(Path(DEFAULT_PROFILE).read_bytes(), "default")
    rendered = render(profile, DEFAULT, FACTS.replace(machine="aarch64"))
    assert rendered["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    names = {name for rule in rendered["syscalls"] for name in rule["names"]}
    assert "arm_fadvise64_64" in names
    assert "arch_prctl" not in names


def test_filter_is_compiled_once_and_read_afterwards(tmp_path: Path) -> None:
    first = load_filter(None, DEFAULT, FACTS, str(tmp_path))
    (cached,) = tmp_path.iterdir()
    stamp = cached.stat().st_mtime_ns
    assert load_filter(None, DEFAULT, FACTS, str(tmp_path)) == first
    assert cached.stat().st_mtime_ns == stamp
    load_filter(None, frozenset(), FACTS, str(tmp_path))
    load_filter(None, DEFAULT, FACTS.replace(kernel=(6, 2)), str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", [b"", b"x", b"pyrunc seccomp 1\n" + bytes(100)])
def test_cut_cache_file_is_compiled_again(tmp_path: Path, damage: bytes) -> None:
    first = load_filter(None, DEFAULT, FACTS, str(tmp_path))
    (cached,) = tmp_path.iterdir()
    with cached.open("wb") as file:
        file.write(damage)
    assert load_filter(None, DEFAULT, FACTS, str(tmp_path)) == first


def test_rendered_document_compiles_to_the_same_program(tmp_path: Path) -> None:
    compiled = load_filter(None, DEFAULT, FACTS, str(tmp_path))
    assert program(compiled.document, frozenset(), FACTS, str(tmp_path)) == compiled.program


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "defaultAction"),
        (b'{"defaultAction": "SCMP_ACT_PANIC"}', "defaultAction"),
        (b'{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["PDP11"]}', "architectures[0]"),
        (b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}', "syscalls"),
        (b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": []}]}', "syscalls[0].names"),
        (
            b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action":'
            b' "SCMP_ACT_ERRNO", "errnoRet": 5000}]}',
            "syscalls[0].errnoRet",
        ),
        (
            b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action":'
            b' "SCMP_ACT_KILL", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}',
            "syscalls[0].args[0].index",
        ),
    ],
)
def test_bad_profile_is_refused_with_its_place(
    tmp_path: Path, raw: bytes, where: str | None
) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_filter(raw, DEFAULT, FACTS, str(tmp_path))
    assert where is None or caught.value.where == where
    assert not list(tmp_path.iterdir())


def test_profile_of_an_image_run_by_the_engine_may_not_notify(tmp_path: Path) -> None:
    rule = b'{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}'
    raw = b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [' + rule + b"]}"
    with pytest.raises(Unsupported):
        load_filter(raw, DEFAULT, FACTS, str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_allowing_profile_lets_newer_calls_pass(tmp_path: Path) -> None:
    raw = (
        b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
        b' [{"names": ["chmod", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}'
    )
    compiled = load_filter(raw, DEFAULT, FACTS, str(tmp_path)).program
    assert run_filter(compiled, X86_64, 9999) == ALLOW
    assert run_filter(compiled, X86_64, 90) == 0x50000 | 13
