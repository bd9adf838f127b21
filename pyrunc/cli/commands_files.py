"""The commands about the files of containers: diff, export, commit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidInput, KernelError
from . import output
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
)
