"""Is each flag of docker's there, below its command, with its letter and its kind?

Source: `docker COMMAND --help` of 20.10 and of 28.2, for the commands about images and registries.
"""

from __future__ import annotations

import importlib

import pytest

from pyrunc.cli import command_table
from pyrunc.cli.commands import Command
from pyrunc.cli.option_table import FLAG

# letter/name; with = what wants a value
DOCKER: dict[str, str] = {
    "images": "a/all digests f/filter= format= no-trunc q/quiet tree",
    "rmi": "f/force no-prune platform=",
    "history": "format= H/human no-trunc platform= q/quiet",
    "tag": "",
    "pull": "a/all-tags disable-content-trust platform= q/quiet",
    "push": "a/all-tags disable-content-trust platform= q/quiet",
    "save": "o/output= platform=",
    "load": "i/input= platform= q/quiet",
    "import": "c/change= m/message= platform=",
    "login": "p/password= password-stdin u/username=",
    "logout": "",
    "search": "f/filter= format= limit= no-trunc",
    "image prune": "a/all filter= f/force",
    "image inspect": "f/format= platform=",
    "manifest inspect": "insecure v/verbose",
    "manifest create": "a/amend insecure",
    "manifest annotate": "arch= os= os-features= os-version= variant=",
    "manifest push": "insecure p/purge",
    "manifest rm": "",
    "system df": "format= v/verbose",
    "system prune": "a/all filter= f/force volumes",
}
# What still parses, and says that it has no effect.
IGNORED = ("disable-content-trust",)


def command(line: str) -> Command:
    """Return what a command line names."""
    *group, name = line.split()
    tables = {
        "": command_table.ROOT,
        "image": command_table.IMAGE,
        "manifest": command_table.MANIFEST,
        "system": command_table.SYSTEM,
    }
    module, attribute, _ = tables["".join(group)][name]
    found = getattr(importlib.import_module(f"pyrunc.cli.{module}"), attribute)
    assert isinstance(found, Command)
    return found


@pytest.mark.parametrize("line", DOCKER)
def test_flag_of_docker_is_there(line: str) -> None:
    known = {row[0]: (row[1], row[2]) for row in command(line).rows}

    for flag in DOCKER[line].split():
        letter, _, name = flag.removesuffix("=").rpartition("/")
        if name in IGNORED:
            assert name in command(line).later
            continue
        assert name in known, f"{line} --{name}"
        assert known[name][0] == letter
        assert (known[name][1] == FLAG) is not flag.endswith("=")


def test_same_commands_are_below_image() -> None:
    for name in ("history", "tag", "pull", "push", "save", "load", "import"):
        assert command_table.IMAGE[name] == command_table.ROOT[name]
    assert command_table.IMAGE["ls"] == command_table.ROOT["images"]
    assert command_table.IMAGE["rm"] == command_table.ROOT["rmi"]
