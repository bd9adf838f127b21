"""What does --log-opt tag='{{.ImageName}}/{{.Name}}' make of a container?

The fields of docker's logger.Info, and text; no functions and no conditions.
Source: docker's page "Customize log driver output"; moby daemon/logger, loginfo.go.
"""

from __future__ import annotations

from ..errors import InvalidInput, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..storage.containers import ContainerRow

SHORT_ID = "{{.ID}}"

_FIELDS = (
    "Command", "ContainerArgs", "ContainerEntrypoint", "ContainerID", "ContainerImageID",
    "ContainerImageName", "ContainerName", "DaemonName", "FullID", "ID", "ImageFullID", "ImageID",
    "ImageName", "Name",
)  # fmt: skip


def check(template: str) -> None:
    """Raise InvalidInput, in docker's words, for a bad template; Unsupported for a wordy one."""
    _pieces(template)


def render(template: str, row: ContainerRow, process: dict[str, Any]) -> str:
    """Fill a checked template; `process` is that of the container's spec."""
    arguments = [str(word) for word in process["args"]]
    values = {
        "Command": " ".join(arguments),
        "ContainerArgs": "[" + " ".join(arguments[1:]) + "]",
        "ContainerEntrypoint": arguments[0] if arguments else "",
        "ContainerID": row.id,
        "ContainerImageID": row.image_id,
        "ContainerImageName": row.image,
        "ContainerName": f"/{row.name}",
        "DaemonName": "pyrunc",
        "FullID": row.id,
        "ID": row.id[:12],
        "ImageFullID": row.image_id,
        "ImageID": row.image_id.removeprefix("sha256:")[:12],
        "ImageName": row.image,
        "Name": row.name,
    }
    return "".join(values[text] if is_field else text for is_field, text in _pieces(template))


def _pieces(template: str) -> list[tuple[bool, str]]:
    """Split into (is a field, its name or the text)."""
    pieces = []
    position = 0
    while (start := template.find("{{", position)) >= 0:
        end = template.find("}}", start)
        if end < 0:
            raise _refused("template: log-tag:1: unclosed action")
        pieces += [(False, template[position:start]), (True, _field(template, start, end))]
        position = end + 2
    return [*pieces, (False, template[position:])]


def _field(template: str, start: int, end: int) -> str:
    inner = template[start + 2 : end]
    name = inner.strip()
    if not name.startswith(".") or not name[1:].isidentifier():
        raise Unsupported(
            f"the tag of a log can't have {{{{{inner[:64]}}}}} yet",
            feature="--log-opt tag",
            hint=f"as in {{{{.ImageName}}}}/{{{{.Name}}}}; the fields are {', '.join(_FIELDS)}",
        )
    if name[1:] not in _FIELDS:
        column = start + 2 + inner.index(".")
        raise _refused(
            f'template: log-tag:1:{column}: executing "log-tag" at <{name}>: '
            f"can't evaluate field {name[1:]} in type *logger.Info"
        )
    return name[1:]


def _refused(problem: str) -> InvalidInput:
    return InvalidInput(
        f"failed to initialize logging driver: {problem}",
        where="--log-opt tag",
        hint=f"the fields are {', '.join(_FIELDS)}",
    )
