"""The thin parser and the full one read a thousand command lines alike."""

from __future__ import annotations

import importlib
import random
from typing import Any

import click
import pytest

from pyrunc.cli import command_table, entry, option_table, thin_parser
from pyrunc.cli.flag_parser import FlagParser, UsageProblem

RUN = option_table.index(option_table.RUN, option_table.RUN_ALIASES)
ALL = option_table.with_later(RUN, option_table.RUN_LATER)

VALUES = ["x", "", "=", "a=b", "-x", "--", "1", "true", "é", "--name", "-it", "a b"]
# `docker run --help` of 28.2, and what it hides
DOCKER_RUN = """
add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop
cgroup-parent cgroupns cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period
cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach detach-keys device
device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops
disable-content-trust dns dns-option dns-search domainname entrypoint env env-file expose
gpus group-add health-cmd health-interval health-retries health-start-interval
health-start-period health-timeout help hostname init interactive io-maxbandwidth
io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip
log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness
mount name network network-alias no-healthcheck oom-kill-disable oom-score-adj pid
pids-limit platform privileged publish publish-all pull quiet read-only restart rm
runtime security-opt shm-size sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs
tty ulimit use-api-socket user userns uts volume volume-driver volumes-from workdir net
net-alias dns-opt
"""

BOOLEANS = ["true", "false", "1", "0", "t", "F", "maybe", "", "TRUE", "yes"]


def full(words: list[str], table: option_table.Index = RUN) -> tuple[dict[str, object], list[str]]:
    parser = FlagParser(table, click.Context(click.Command("run")), {})
    parser.parse(words)
    return parser.flags, parser.rest


def random_line(source: random.Random) -> list[str]:
    names = sorted(name for name in RUN if len(name) > 1)
    letters = sorted(name for name in RUN if len(name) == 1)
    words: list[str] = []
    for _ in range(source.randrange(7)):
        kind = source.randrange(9)
        name = source.choice(names)
        letter = source.choice(letters)
        value = source.choice(BOOLEANS if RUN[name][1] == "flag" else VALUES)
        cluster = "".join(source.choice("itq") for _ in range(source.randrange(3)))
        words += {
            0: [f"--{name}"],
            1: [f"--{name}={value}"],
            2: [f"--{name}", value],
            3: [f"-{cluster}{letter}"],
            4: [f"-{cluster}{letter}{value}"],
            5: [f"-{cluster}{letter}={value}"],
            6: [f"-{letter}", value],
            7: [source.choice(["--", "-", "--bogus", "-z", "---x", "--=x", "-Z=1", "--e", "-e="])],
            8: ["--rm", "-it"],
        }[kind]
    return words + source.choice([[], ["image"], ["image", "--rm", "-x"], ["--", "-image"]])


def test_both_parsers_read_a_thousand_lines_alike() -> None:
    source = random.Random(20)
    understood = 0
    for _ in range(3000):
        words = random_line(source)
        thin = thin_parser.parse(RUN, words)
        if thin is None:
            with pytest.raises(UsageProblem):
                full(words)
        else:
            understood += 1
            assert full(words) == thin, words
    assert understood > 1000


LIFE = ("ps", "start", "stop", "restart", "kill", "rm", "pause", "unpause")


@pytest.mark.parametrize("name", LIFE)
def test_thin_way_reads_a_command_line_as_click_does(name: str) -> None:
    command = getattr(*loaded_command(name))
    source = random.Random(name)
    options = [f"--{row[0]}" for row in command.rows] + [f"-{row[1]}" for row in command.rows]
    understood = 0
    for _ in range(600):
        pool = [*options, "box", "other", "-1", "3", "--time=2", "-t5", "-aq", "-fv", "--", "–x"]
        words = [source.choice(pool) for _ in range(source.randrange(4))]
        words += ["box"] * source.choice([0, 1 if name != "ps" else 0])
        if (found := entry.read_hot([name, *words])) is None:
            continue
        understood += 1
        parser = FlagParser(command.table, click.Context(command), {})
        parser.parse(words, interspersed=command.interspersed)
        assert (found[2], found[3]) == (parser.flags, parser.rest), words
        least, most = command.counts
        assert least <= len(found[3]) and (most < 0 or len(found[3]) <= most)
    assert understood > 30


def loaded_command(name: str) -> tuple[Any, str]:
    """Return where click's command is."""
    module, attribute, _ = command_table.CONTAINER["ls" if name == "ps" else name]
    return importlib.import_module(f"pyrunc.cli.{module}"), attribute


@pytest.mark.parametrize(
    ("words", "flags", "rest"),
    [
        (["-it", "a"], {"interactive": True, "tty": True}, ["a"]),
        (["--rm=false", "a", "--rm"], {"rm": False}, ["a", "--rm"]),
        (["-it=false", "a"], {"interactive": True, "tty": False}, ["a"]),
        (["-eA=B", "-e=C=D", "-e", "E=F", "a"], {"env": ["A=B", "C=D", "E=F"]}, ["a"]),
        (["-e=", "a"], {"env": ["="]}, ["a"]),
        (["--name", "x", "--name=y", "a"], {"name": "y"}, ["a"]),
        (["--name", "--rm", "a"], {"name": "--rm"}, ["a"]),
        (["--", "-a", "--"], {}, ["-a", "--"]),
        (["-", "b"], {}, ["-", "b"]),
        (["--trace", "a"], {"trace": ""}, ["a"]),
        (["--trace=f", "a"], {"trace": "f"}, ["a"]),
        (["--net", "host", "a"], {"network": ["host"]}, ["a"]),
        (["--env=", "a"], {"env": [""]}, ["a"]),
        ([], {}, []),
    ],
)
def test_line_is_read_as_docker_reads_it(
    words: list[str], flags: dict[str, Any], rest: list[str]
) -> None:
    assert thin_parser.parse(RUN, words) == (flags, rest)
    assert full(words) == (flags, rest)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--foo", "x"], "unknown flag: --foo", ""),
        (["-orce", "x"], "unknown shorthand flag: 'o' in -orce", ""),
        (["-iforce"], "unknown shorthand flag: 'f' in -force", ""),
        (["--name"], "flag needs an argument: --name", ""),
        (["-e"], "flag needs an argument: 'e' in -e", ""),
        (["-ite"], "flag needs an argument: 'e' in -e", ""),
        (["--=x"], "bad flag syntax: --=x", ""),
        (["---x"], "bad flag syntax: ---x", ""),
        (
            ["--rm=maybe"],
            'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": '
            "invalid syntax",
            "",
        ),
        (["-name", "x"], "unknown shorthand flag: 'n' in -name", "did you mean --name?"),
        (
            ["-network=host"],
            "unknown shorthand flag: 'n' in -network=host",
            "did you mean --network?",
        ),
        (["--nmae", "x"], "unknown flag: --nmae", "did you mean --name?"),
        (["-é"], "unknown shorthand flag: 'é' in -é", ""),
    ],
)
def test_broken_line_is_refused_in_docker_words(words: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        full(words)

    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert caught.value.exit_status == 125
    assert thin_parser.parse(RUN, words) is None


def test_every_flag_of_docker_run_is_known() -> None:
    docker = set(DOCKER_RUN.split())

    assert sorted(docker - set(ALL)) == []
    assert {letter for letter in ALL if len(letter) == 1} == set("acdehilmpPqtuvw")
