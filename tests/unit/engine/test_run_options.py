"""The grammar of every flag of run, in docker's words.

What docker's own client says was recorded from 28.2; with docker there, the record is checked.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pyrunc.cli import option_table, thin_parser
from pyrunc.engine.environment import environment_file
from pyrunc.engine.flag_grammar import signal_number
from pyrunc.engine.go_values import go_quote
from pyrunc.engine.mount_grammar import BindMount, Device, clean
from pyrunc.engine.run_options import RunOptions, Ulimit, from_flags
from pyrunc.errors import InvalidInput, PyruncError, Unsupported

TABLE = option_table.index(option_table.RUN, option_table.RUN_ALIASES)
ENVIRON = {"HOME": "/home/u", "SET": "value", "EMPTY": ""}


def parse(*words: str) -> RunOptions:
    understood = thin_parser.parse(TABLE, [*words, "image", "command"])
    assert understood is not None
    flags, rest = understood
    return from_flags(flags, rest[0], rest[1:], ENVIRON)


def argument(raw: str, flag: str, why: str) -> str:
    return f'invalid argument {go_quote(raw)} for "{flag}" flag: {why}'


# (words, what docker's client refuses them with)
REFUSED_BY_DOCKER = [
    (["-m", "x"], argument("x", "-m, --memory", "invalid size: 'x'")),
    (["-m", "-1"], argument("-1", "-m, --memory", "invalid size: '-1'")),
    (["-m", ""], argument("", "-m, --memory", "invalid size: ''")),
    (["-m", "5mm"], argument("5mm", "-m, --memory", "invalid suffix: 'mm'")),
    (
        ["-m", "1.2.3m"],
        argument("1.2.3m", "-m, --memory", 'strconv.ParseFloat: parsing "1.2.3": invalid syntax'),
    ),
    (
        ["-m", "1e309"],
        argument(
            "1e309", "-m, --memory", 'strconv.ParseFloat: parsing "1e309": value out of range'
        ),
    ),
    (["--memory-swap", "x"], argument("x", "--memory-swap", "invalid size: 'x'")),
    (["--shm-size", "-1"], argument("-1", "--shm-size", "invalid size: '-1'")),
    (["--cpus", "x"], argument("x", "--cpus", "failed to parse x as a rational number")),
    (["--cpus", "nan"], argument("nan", "--cpus", "failed to parse nan as a rational number")),
    (["--cpus", "1/3"], argument("1/3", "--cpus", "value is too precise")),
    (["--ulimit", "x"], argument("x", "--ulimit", "invalid ulimit argument: x")),
    (["--ulimit", "x=1"], argument("x=1", "--ulimit", "invalid ulimit type: x")),
    (["--ulimit", "as=1"], argument("as=1", "--ulimit", "invalid ulimit type: as")),
    (
        ["--ulimit", "nofile=5:3"],
        argument(
            "nofile=5:3",
            "--ulimit",
            "ulimit soft limit must be less than or equal to hard limit: 5 > 3",
        ),
    ),
    (
        ["--ulimit", "nofile=-1:5"],
        argument(
            "nofile=-1:5",
            "--ulimit",
            "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), "
            "hard: 5",
        ),
    ),
    (
        ["--ulimit", "nofile=1:2:3"],
        argument(
            "nofile=1:2:3",
            "--ulimit",
            "too many limit value arguments - 1:2:3, can only have up to two, `soft[:hard]`",
        ),
    ),
    (
        ["--ulimit", "nofile=1_0"],
        argument("nofile=1_0", "--ulimit", 'strconv.ParseInt: parsing "1_0": invalid syntax'),
    ),
    (
        ["--ulimit", "nofile=99999999999999999999"],
        argument(
            "nofile=99999999999999999999",
            "--ulimit",
            'strconv.ParseInt: parsing "99999999999999999999": value out of range',
        ),
    ),
    (
        ["--pids-limit", "x"],
        argument("x", "--pids-limit", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ),
    (
        ["--pids-limit", ""],
        argument("", "--pids-limit", 'strconv.ParseInt: parsing "": invalid syntax'),
    ),
    (
        ["--pids-limit", "٣"],
        argument("٣", "--pids-limit", 'strconv.ParseInt: parsing "٣": invalid syntax'),
    ),
    (["-e", "=x"], argument("=x", "-e, --env", "invalid environment variable: =x")),
    (["-e", ""], argument("", "-e, --env", "invalid environment variable: ")),
    (["--label", "=x"], argument("=x", "-l, --label", "invalid label '=x': empty name")),
    (["--label", "a b=c"], argument("a b=c", "-l, --label", "label 'a b' contains whitespaces")),
    (["--add-host", "x"], argument("x", "--add-host", 'bad format for add-host: "x"')),
    (["--add-host", "x:y"], argument("x:y", "--add-host", 'invalid IP address in add-host: "y"')),
    (
        ["--add-host", "=1.1.1.1"],
        argument("=1.1.1.1", "--add-host", 'bad format for add-host: "=1.1.1.1"'),
    ),
    (
        ["--add-host", "a=[::1"],
        argument("a=[::1", "--add-host", 'invalid IP address in add-host: "[::1"'),
    ),
    (
        ["--add-host", "a:1.2.3.256"],
        argument("a:1.2.3.256", "--add-host", 'invalid IP address in add-host: "1.2.3.256"'),
    ),
    (
        ["--add-host", "a:1.2.3.04"],
        argument("a:1.2.3.04", "--add-host", 'invalid IP address in add-host: "1.2.3.04"'),
    ),
    (["--dns", "x"], argument("x", "--dns", "IP address is not correctly formatted: x")),
    (
        ["--dns", "fe80::1%eth0"],
        argument("fe80::1%eth0", "--dns", "IP address is not correctly formatted: fe80::1%eth0"),
    ),
    (["--dns-search", "a b"], argument("a b", "--dns-search", "a b is not a valid domain")),
    (["--sysctl", "x"], argument("x", "--sysctl", "sysctl 'x' is not allowed")),
    (["--sysctl", "net.x"], argument("net.x", "--sysctl", "sysctl 'net.x' is not allowed")),
    (
        ["--sysctl", "kernel.foo=1"],
        argument("kernel.foo=1", "--sysctl", "sysctl 'kernel.foo=1' is not allowed"),
    ),
    (["--network", "foo=bar"], argument("foo=bar", "--network", "invalid field key foo")),
    (["--network", "name=a,alias"], argument("name=a,alias", "--network", "invalid field alias")),
    (["--network", ""], "no name set for network"),
    (
        ["--pull", "x"],
        'invalid pull option: \'x\': must be one of "always", "missing" or "never"',
    ),
    (["--security-opt", "x"], 'Invalid --security-opt: "x"'),
    (["--security-opt", "apparmor"], 'Invalid --security-opt: "apparmor"'),
    (["--security-opt", "apparmor="], 'Invalid --security-opt: "apparmor="'),
    (["--security-opt", "seccomp="], 'Invalid --security-opt: "seccomp="'),
    (
        ["--security-opt", "seccomp=/nope"],
        "opening seccomp profile (/nope) failed: open /nope: no such file or directory",
    ),
    (["-v", ""], "invalid empty volume spec"),
    (["--env-file", "/nope"], "open /nope: no such file or directory"),
    (["--env-file", "/tmp"], "invalid env file (/tmp): read /tmp: is a directory"),
]

# Words that docker's client takes; None: and so do we, else what its daemon, or pyrunc, says.
TAKEN_BY_DOCKER: list[tuple[list[str], str | None]] = [
    (["-m", "1e8"], None),
    (["-m", "8 m"], None),
    (["-m", "16MiB"], None),
    (["-m", "16.5M"], None),
    (["-m", "5m"], "Minimum memory limit allowed is 6MB"),
    (["-m", "8m", "--memory-swap", "-1"], None),
    (
        ["-m", "8m", "--memory-swap", "7m"],
        "Minimum memoryswap limit should be larger than memory limit, see usage",
    ),
    (
        ["--memory-swap", "8m"],
        "You should always set the Memory limit when using Memoryswap limit, see usage",
    ),
    (["--cpus", "0.5"], None),
    (["--cpus", "1/2"], None),
    (["--cpus", "5e-1"], None),
    (["--cpus", "0"], None),
    (["--pids-limit", "1_000"], None),
    (["--pids-limit", "0x10"], None),
    (["--ulimit", "nofile=-1"], None),
    (["--dns", " 1.1.1.1"], None),
    (["--dns-search", "."], None),
    (["--label", " a=c"], None),
    (["--label", "a"], None),
    (["--add-host", "a:::1"], None),
    (["--add-host", "a=[::1]"], None),
    (["--add-host", "a:host-gateway"], None),
    (["--network", "host"], None),
    (["--network", "name=none"], None),
    (["--pull", "always"], None),
    (["--security-opt", "no-new-privileges"], None),
    (["--security-opt", "no-new-privileges:true"], None),
    (["--security-opt", "seccomp:unconfined"], None),
    (["--security-opt", "apparmor:x"], None),
    (["--security-opt", "apparmor=x//y z"], None),
    (["--security-opt", "no-new-privileges=x"], 'invalid --security-opt: "no-new-privileges=x"'),
    (["--security-opt", "foo=bar"], 'invalid --security-opt: "foo=bar"'),
    (["--name", "a"], "Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    (["--name", "/ab"], None),
    (
        ["--name", "a b"],
        "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    ),
    (["-w", "x"], "the working directory 'x' is invalid, it needs to be an absolute path"),
    (["--cap-add", "net_admin"], None),
    (["--cap-add", "foo"], 'invalid CapAdd: unknown capability: "CAP_FOO"'),
    (["--cap-drop", "x"], 'invalid CapDrop: unknown capability: "CAP_X"'),
    (["--stop-signal", "RTMIN+3"], None),
    (["--stop-signal", "FOO"], "invalid signal: FOO"),
    (["--stop-signal", "0"], "invalid signal: 0"),
    (["-v", "/a:/b:ro,z"], None),
    (["-v", "./a:/b"], None),
    (["-v", "/a:/b:nocopy"], "invalid volume specification: '/a:/b:nocopy': invalid mode: nocopy"),
    (["-v", "/a:/b:ro,rw"], "invalid volume specification: '/a:/b:ro,rw': invalid mode: ro,rw"),
    (["-v", "/a:/b:foo"], "invalid volume specification: '/a:/b:foo': invalid mode: foo"),
    (["-v", "a:b:c:d"], "invalid volume specification: 'a:b:c:d'"),
    (["-v", ":x"], "invalid volume specification: ':x'"),
    (["-v", "::"], "invalid volume specification: '::'"),
    (
        ["-v", "/a:/"],
        "invalid volume specification: '/a:/': invalid specification: destination can't be '/'",
    ),
    (
        ["-v", "/a:/x/.."],
        "invalid volume specification: '/a:/x/..': invalid specification: destination can't be '/'",
    ),
    (
        ["-v", "/a:b"],
        "invalid volume specification: '/a:b': invalid mount path: 'b' mount path must be absolute",
    ),
    (["-v", "/a:/x", "-v", "/b:/x/"], "Duplicate mount point: /x"),
    (["-v", "/a:/x", "--tmpfs", "/x"], "Duplicate mount point: /x"),
    (["--tmpfs", "/x:size=10m,exec,mode=1777"], None),
    (["--tmpfs", "/x:foo"], 'Invalid tmpfs option ["foo"]'),
    (["-h", "a.b-c"], None),
    (["-h", "a b"], "invalid hostname format: a b"),
    (["-u", "0:0"], None),
    (["-u", "user:group"], None),
    (["--cpuset-cpus", "0"], None),
    (["--cpuset-cpus", "1-99999999"], "Invalid value 1-99999999 for cpuset cpus."),
    (["--cpuset-cpus", "0-"], "Invalid value 0- for cpuset cpus."),
]


@pytest.mark.parametrize(("words", "message"), REFUSED_BY_DOCKER)
def test_bad_value_is_refused_in_docker_words(words: list[str], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(*words)

    assert str(caught.value) == message


@pytest.mark.parametrize(("words", "message"), TAKEN_BY_DOCKER)
def test_value_that_reaches_the_engine(words: list[str], message: str | None) -> None:
    if message is None:
        parse(*words)
        return
    with pytest.raises(InvalidInput) as caught:
        parse(*words)
    assert str(caught.value) == message


@pytest.mark.host("docker client 28")
def test_the_record_is_what_the_docker_client_says() -> None:
    wrong = []
    for words, message in [*REFUSED_BY_DOCKER, *((words, None) for words, _ in TAKEN_BY_DOCKER)]:
        asked = subprocess.run(
            ["docker", "run", *words, "image"],
            env={"DOCKER_HOST": "unix:///nonexistent", "PATH": os.environ["PATH"], "HOME": "/"},
            capture_output=True,
            text=True,
        )
        said = asked.stderr.splitlines()[0].removeprefix("docker: ")
        reached = said.startswith(("Cannot connect", "failed to connect", "unknown"))
        if (message is None) != reached or (message is not None and said != message):
            wrong.append((words, said, message))

    assert wrong == []


@pytest.mark.parametrize(
    "raw",
    ["+1", " 1", "1 ", "-1", "4294967296", "2147483648", "99999999999999999999", "1:+1", "a/b",
     "a\nb", "1:2:3", "a\x1b[0m", "x" * 300],
)  # fmt: skip
def test_user_that_is_no_exact_number_or_name_is_refused(raw: str) -> None:
    with pytest.raises(InvalidInput):
        parse("-u", raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("1", "1"), ("1:", "1"), (":1", ":1"), ("0:0", "0:0"), ("2147483647", "2147483647"),
     ("0x1", "0x1"), ("1e3", "1e3"), ("www-data", "www-data"), ("", ""), (":", "")],
)  # fmt: skip
def test_user_is_kept_exactly(raw: str, expected: str) -> None:
    # "0x1" and "1e3" are names: nobody of that name exists, and the engine says so.
    assert parse("-u", raw).user == expected


@pytest.mark.parametrize(
    "words",
    [
        ["--cpuset-cpus", ",".join(["0"] * 100_000)],
        ["--cpuset-cpus", "0-4294967295"],
        ["--cpus", "1e999999999"],
        ["--cpus", "1" * 1_000_000],
        ["--cpus", "1/" + "9" * 1_000_000],
        ["--pids-limit", "9" * 1_000_000],
        ["-m", "9" * 1_000_000],
        ["-m", "9" * 400],
        ["--ulimit", "nofile=" + "9" * 1_000_000],
        ["--stop-signal", "9" * 1_000_000],
        ["--stop-signal", "RTMIN+" + "9" * 1_000_000],
        ["-v", "/a:" + ":" * 1_000_000],
        ["--tmpfs", "/x:" + "size=1," * 100_000],
        ["--device", "/dev/null:" + "r" * 1_000_000],
        ["--add-host", "a:" + "1." * 1_000_000],
        ["--add-host", "a:" + ":" * 1_000_000],
        ["--dns-search", "a." * 1_000_000],
        ["-u", "1" * 1_000_000],
        ["--name", "a" * 1_000_000],
        ["-h", "a" * 1_000_000],
        ["--env-file", "/dev/zero"],
        ["--security-opt", "seccomp=/dev/zero"],
    ],
)
def test_hostile_value_is_refused_quickly_and_briefly(words: list[str]) -> None:
    begun = time.process_time()

    with pytest.raises(InvalidInput) as caught:
        parse(*words)
    assert time.process_time() - begun < 1
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    "words",
    [
        ["--volume-driver", "nfs"],
        ["--mount", "type=image,dst=/x"],
        ["--network", "mine"],
        ["--network", "container:x"],
        ["--network", "host", "--network", "none"],
        ["--security-opt", "label=type:svirt_t"],
        ["--device", "vendor.com/class=name"],
    ],
)
def test_what_a_later_version_brings_says_so(words: list[str]) -> None:
    with pytest.raises(Unsupported, match="not supported yet"):
        parse(*words)


@pytest.mark.parametrize(
    "target",
    ["/proc", "/proc/1", "/proc/../proc/self", "/proc/sys", "/dev/pts", "/dev/pts/0",
     "/dev/console", "//proc/", "/dev/ptmx"],
)  # fmt: skip
@pytest.mark.parametrize("flag", ["-v", "--tmpfs", "--device"])
def test_mount_over_what_the_container_needs_is_refused(flag: str, target: str) -> None:
    raw = target if flag == "--tmpfs" else f"/dev/null:{target}"
    with pytest.raises(InvalidInput, match="cannot mount over"):
        parse(flag, raw)


@pytest.mark.parametrize("key", ["net..x", "net.ipv4/../../kernel/x", "net.a b", "net.", "net.\nx"])
def test_sysctl_that_would_leave_its_tree_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="is not allowed"):
        parse("--sysctl", f"{key}=1")


@pytest.mark.parametrize("host", ["a b", "a\nb", "a\tb", "a\0b", "ä"])
def test_host_that_would_forge_a_line_of_etc_hosts_is_refused(host: str) -> None:
    with pytest.raises(InvalidInput):
        parse("--add-host", f"{host}:1.1.1.1")
    with pytest.raises(InvalidInput):
        parse("-h", host)


def test_everything_together_becomes_values(tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_bytes(b"\xef\xbb\xbf# comment\n\n  A=from file \r\nB=2\nSET\nGONE\nC=#x\n")

    options = parse(
        "-it", "--rm", "--env-file", str(env_file), "-e", "B=3", "-e", "SET", "-e", "UNSET",
        "-v", "~/x:/y:ro", "-v", "/a/../b://c", "--tmpfs", "/t:exec", "--device", "/dev/fuse:rw",
        "--device", "/dev/a:/dev/b", "-m", "64m", "--cpus", "1", "--ulimit", "nofile=1:2",
        "--ulimit", "nofile=3", "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "sys_admin",
        "--cap-drop", "all", "--entrypoint", "", "--pids-limit", "-1", "--trace=f",
        "--label", "a=1", "--label", "a=2", "-w", "/x/../y/",
    )  # fmt: skip

    assert (options.interactive, options.terminal, options.auto_remove) == (True, True, True)
    assert options.environment == ("A=from file ", "B=3", "SET=value", "C=#x", "UNSET")
    assert options.mounts == (
        BindMount(source="/home/u/x", target="/y", read_only=True),
        BindMount(source="/b", target="/c"),
    )
    assert options.tmpfs[0].options == ("exec", "nosuid", "nodev")
    assert options.devices == (
        Device(source="/dev/fuse", target="/dev/fuse", permissions="rw"),
        Device(source="/dev/a", target="/dev/b"),
    )
    assert (options.memory_bytes, options.nano_cpus) == (64 << 20, 1_000_000_000)
    assert options.ulimits == (Ulimit(name="nofile", soft=3, hard=3),)
    assert (options.capabilities_add, options.capabilities_drop) == (("CAP_SYS_ADMIN",), ("ALL",))
    assert (options.entrypoint, options.pids_limit, options.trace) == ((), -1, "f")
    assert (options.labels, options.working_dir) == ((("a", "2"),), "/y")
    assert (options.image, options.command) == ("image", ("command",))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"A B=1\n", "variable 'A B' contains whitespaces"),
        (b"=x\n", "no variable name on line '=x'"),
        (b"A=1\n\xff=1\n", "invalid utf8 bytes at line 2: [255 61 49]"),
        (b"a" * 70_000, "bufio.Scanner: token too long"),
        (b"A=\0\n", "NUL inside line 1"),
    ],
)
def test_bad_env_file_is_refused_in_docker_words(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "env"
    path.write_bytes(content)

    with pytest.raises(InvalidInput) as caught:
        environment_file(str(path), {})
    assert str(caught.value) == f"invalid env file ({path}): {why}"


def test_env_file_may_be_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"A=1")
    os.close(writer)

    assert environment_file(f"/proc/self/fd/{reader}", {}) == ["A=1"]
    os.close(reader)


@pytest.mark.parametrize(
    ("raw", "number"),
    [("TERM", 15), ("sigkill", 9), ("SIGRTMIN", 34), ("RTMIN+3", 37), ("RTMAX", 64),
     ("SIGRTMAX-1", 63), ("15", 15), ("64", 64)],
)  # fmt: skip
def test_signal_is_a_name_or_a_number(raw: str, number: int) -> None:
    assert signal_number(raw) == number


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("/", "/"), ("//a/./b/../c/", "/a/c"), ("/../..", "/"), ("/a/...", "/a/...")],
)
def test_path_is_cleaned_lexically(raw: str, expected: str) -> None:
    assert clean(raw) == expected


def test_random_words_are_taken_or_refused_with_our_own_error() -> None:
    import random

    source = random.Random(7)
    alphabet = "0123456789abrwx:=,./-_+[]{}% \t\n\0é\udcff٣~"
    flags = [
        row for row in option_table.RUN if row[2] in ("value", "list") and row[0] != "env-file"
    ]
    for _ in range(20_000):
        name, _, kind, *_ = source.choice(flags)
        raw = "".join(source.choice(alphabet) for _ in range(source.randrange(12)))
        value: Any = [raw] if kind == "list" else raw
        try:
            from_flags({name: value}, "image", (), ENVIRON)
        except PyruncError as error:
            assert str(error)
