"""The commands about the files of containers: cp, diff, export, commit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidInput, KernelError
from . import output, units
from .commands import Call, Command
from .completion import containers
from .option_table import FLAG, LIST, VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .option_table import Row

    Write = Callable[[bytes | memoryview], object]

_HELP: Row = ("help", "", FLAG, "", "", "Show this help")


def diff(call: Call) -> int:
    """Print what a container changed, one path a line."""
    from ..engine.diff import diff as find_changes

    lines = [
        f"{change.kind} {change.path}\n" for change in find_changes(call.engine(), call.operands[0])
    ]
    output.text("".join(lines))
    return 0


def export(call: Call) -> int:
    """Write a container's filesystem as a tar, to stdout or a file."""
    path = call.text("output")
    if not path and os.isatty(output.STDOUT):
        raise InvalidInput(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            where="--output",
        )
    from ..engine.export import export as write_archive

    target = OutputFile(path)
    try:
        shrunk = write_archive(call.engine(), call.operands[0], target.open)
        target.keep()
    finally:
        target.close()
    for name in shrunk:
        shown = "/" + name.decode("utf-8", "backslashreplace")
        output.warning(f"{output.printable(shown)} became shorter meanwhile: zeros stand in")
    return 0


def commit(call: Call) -> int:
    """Make an image of a container, and print its ID."""
    from ..engine.commit import CommitOptions
    from ..engine.commit import commit as make_image

    image = make_image(
        call.engine(),
        call.operands[0],
        CommitOptions(
            name=call.operands[1] if len(call.operands) > 1 else "",
            author=call.text("author"),
            message=call.text("message"),
            changes=tuple(call.texts("change")),
            pause=bool(call.flags.get("pause", True)) and not call.is_on("no-pause"),
        ),
    )
    output.line(image.id)
    return 0


def cp(call: Call) -> int:
    """Copy files from or into a container, or as a tar from stdin or to stdout."""
    source, target = call.operands
    if not source:
        raise InvalidInput("source can not be empty")
    if not target:
        raise InvalidInput("destination can not be empty")
    from_container, source_path = split_place(source)
    to_container, target_path = split_place(target)
    if from_container and to_container:
        raise InvalidInput("copying between containers is not supported")
    if not from_container and not to_container:
        raise InvalidInput("must specify at least one container source")
    from ..engine import copy

    engine = call.engine()
    options = copy.CopyOptions(archive=call.is_on("archive"), follow_link=call.is_on("follow-link"))
    if from_container and target_path == "-":
        _refuse_terminal()
        write = OutputFile("").open()
        copy.write_out(engine, from_container, source_path, options, write)
        return 0
    if source_path == "-":
        size = copy.read_in(engine, 0, to_container, target_path, target)
    elif from_container:
        size = copy.copy_out(engine, from_container, source_path, target_path, options)
    else:
        size = copy.copy_in(engine, source_path, to_container, target_path, options)
    if not call.is_on("quiet") and os.isatty(output.STDERR):
        shown = target if to_container else os.path.abspath(target)
        output.note(f"Successfully copied {units.human_size(size, digits=3)} to {shown}")
    return 0


def split_place(word: str) -> tuple[str, str]:
    """Split CONTAINER:PATH; an absolute path, or one that begins with a dot, is the host's.

    Source: docker/cli command/container/cp.go, splitCpArg.
    """
    container, colon, path = word.partition(":")
    if word.startswith("/") or not colon or container.startswith("."):
        return "", word
    return container, path


def _refuse_terminal() -> None:
    if os.isatty(output.STDOUT):
        raise InvalidInput("cowardly refusing to save to a terminal. Use a redirect")


class OutputFile:
    """stdout, or a file that appears under its name when it is complete."""

    def __init__(self, path: str) -> None:
        """Name the file; "" is stdout."""
        self._path = path
        self._fd = output.STDOUT
        self._temporary = ""

    def open(self) -> Write:
        """Begin.  Raises: KernelError naming the file."""
        if self._path:
            self._temporary = f"{self._path}.{os.urandom(4).hex()}.part"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                if not os.path.lexists(self._path) or os.path.isfile(self._path):
                    self._fd = os.open(self._temporary, flags, 0o600)
                else:  # a pipe, a device: nothing to replace
                    self._temporary = ""
                    self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            except OSError as error:
                self._temporary = ""
                raise KernelError("write", errno=error.errno or 0, subject=self._path) from error
        return self._write

    def keep(self) -> None:
        """Give a complete file its name."""
        if self._temporary:
            os.rename(self._temporary, self._path)
            self._temporary = ""

    def close(self) -> None:
        """End; what was not kept is gone."""
        if self._fd != output.STDOUT:
            os.close(self._fd)
        if self._temporary:
            os.unlink(self._temporary)

    def _write(self, data: bytes | memoryview) -> None:
        try:
            output.write_bytes(self._fd, data)  # type: ignore[arg-type]  # it takes any buffer
        except BrokenPipeError:
            raise
        except OSError as error:
            raise KernelError(
                "write", errno=error.errno or 0, subject=self._path or "standard output"
            ) from error


DIFF = Command(
    "diff",
    diff,
    rows=(_HELP,),
    usage="CONTAINER",
    counts=(1, 1),
    about="Show what a container changed in its filesystem: A for added, C for changed, D for "
    "deleted.",
    complete=containers,
)

EXPORT = Command(
    "export",
    export,
    rows=(
        ("output", "o", VALUE, "FILE", "", "Write to a file instead of stdout"),
        _HELP,
    ),
    usage="CONTAINER",
    counts=(1, 1),
    about="Write a container's filesystem, without its volumes, as a tar.",
    complete=containers,
)

COMMIT = Command(
    "commit",
    commit,
    rows=(
        ("author", "a", VALUE, "NAME", "", 'Who made it, as in "A B <a@b.example>"'),
        ("change", "c", LIST, "INSTRUCTION", "", "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, …"),
        ("message", "m", VALUE, "TEXT", "", "A line for the image's history"),
        ("no-pause", "", FLAG, "", "", "Let the container run meanwhile"),
        ("pause", "p", FLAG, "", "", "Let it stand still meanwhile, which is the default"),
        _HELP,
    ),
    usage="CONTAINER [REPOSITORY[:TAG]]",
    counts=(1, 2),
    about="Make an image of a container's changes; volumes are not in it.",
    complete=containers,
    completes=1,
)

CP = Command(
    "cp",
    cp,
    rows=(
        ("archive", "a", FLAG, "", "", "Keep owners; else all that is copied is root's"),
        ("follow-link", "L", FLAG, "", "", "Copy what a link leads to, not the link"),
        ("quiet", "q", FLAG, "", "", "Say nothing of what was copied"),
        _HELP,
    ),
    usage="CONTAINER:SRC_PATH DEST_PATH|-\n"
    "        pyrunc cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    counts=(2, 2),
    about="Copy files between a container and the host; - is a tar on stdin or stdout.\n\n"
    "A directory that is there gets the source inside it; SRC_PATH/. means what is in it.",
    complete=containers,
)
