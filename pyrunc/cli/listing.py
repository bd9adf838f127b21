"""How are lists and objects printed: tables, `--format`, JSON?

A row is a dict of the placeholders that `--format` knows, each already worded for people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..engine.go_values import go_quote
from ..errors import InvalidInput, NotFound, PyruncError
from ..oci import document
from . import output
from .go_functions import NIL, NO_LIST, NO_MAP, Method, OpenMap, Struct, Value, to_json

if TYPE_CHECKING:
    from .go_template import Template, TemplateError

BAD_TEMPLATE = 64
# Maps with free keys inside the documents of inspect, info and version.
_OPEN_MAPS = {
    "Labels", "Annotations", "Networks", "Ports", "ExposedPorts", "Volumes", "Sysctls", "Tmpfs",
    "Data", "Options", "Config", "Runtimes", "LogConfig", "StorageOpt", "PortBindings",
} - {"Config"}  # fmt: skip
# What docker's objects have without a value: left out of JSON, or null in it.
_ENDPOINT: dict[str, Value] = {
    "IPAMConfig": NIL,
    "Links": NO_LIST,
    "Aliases": NO_LIST,
    "DriverOpts": NO_MAP,
}
_OPTIONAL: dict[str, dict[str, Value]] = {
    "": {"SizeRw": NIL, "SizeRootFs": NIL, "ExecIDs": NO_LIST},
    "State": {"Health": NIL},
    "HostConfig": {
        **dict.fromkeys(
            ("Binds", "CapAdd", "CapDrop", "DeviceCgroupRules", "DeviceRequests", "ExtraHosts",
             "GroupAdd", "Links", "Mounts", "SecurityOpt", "VolumesFrom"), NO_LIST
        ),
        **dict.fromkeys(("Annotations", "StorageOpt", "Sysctls", "Tmpfs"), NO_MAP),
        **dict.fromkeys(("Init", "MemorySwappiness", "PidsLimit"), NIL),
    },
    "Config": {
        "ArgsEscaped": False, "NetworkDisabled": False, "MacAddress": "", "StopSignal": "",
        **dict.fromkeys(("Cmd", "Entrypoint", "Env", "OnBuild", "Shell"), NO_LIST),
        **dict.fromkeys(("ExposedPorts", "Labels", "Volumes"), NO_MAP),
        "Healthcheck": NIL, "StopTimeout": NIL,
    },
    "NetworkSettings": {"SecondaryIPAddresses": NO_LIST, "SecondaryIPv6Addresses": NO_LIST},
}  # fmt: skip


def print_rows(
    rows: Sequence[Mapping[str, Value]],
    headers: Mapping[str, str],
    columns: Sequence[str],
    layout: str,
) -> None:
    """Print rows as docker's lists do.

    `headers` words every placeholder's column; `columns` are those of the default table; `layout`
    is --format: "", "table", "table TEMPLATE", "json", or a template.
    Raises: TemplateError.
    """
    output.text(rows_text(rows, headers, columns, layout))


def rows_text(
    rows: Sequence[Mapping[str, Value]],
    headers: Mapping[str, str],
    columns: Sequence[str],
    layout: str,
) -> str:
    """Return what `print_rows` prints.  Raises: TemplateError."""
    layout = layout.strip()
    if layout in ("", "table"):
        cells = [[str(row[column]) for column in columns] for row in rows]
        return output.table([headers[column] for column in columns], cells)
    if layout.startswith("table "):
        return _table_text(rows, headers, layout[6:].strip())
    if layout in ("json", "{{json .}}"):
        return "".join(to_json(dict(sorted(row.items()))) + "\n" for row in rows)
    template = _template(layout, escapes=True)
    return "".join(template.execute(row) + "\n" for row in rows)


def print_objects(objects: Sequence[Value], layout: str) -> None:
    """Print documents as docker's inspect does: an indented array, or a template for each.

    Raises: TemplateError.
    """
    if not layout:
        output.text(document.harmless(json.dumps(objects, indent=4, ensure_ascii=False)) + "\n")
    elif layout == "json":
        output.text(to_json(objects) + "\n")
    else:
        template = _template(layout)
        output.text("".join(template.execute(opened(value)) + "\n" for value in objects))


def inspect_each(
    names: Sequence[str], look_up: Callable[[str], Value], layout: str, *, what: str
) -> int:
    """Print what is found of each name, then say which are not there; return the exit code."""
    from .go_template import TemplateError

    found: list[Value] = []
    missing: list[NotFound | InvalidInput] = []
    for name in names:
        try:
            found.append(look_up(name))
        except (NotFound, InvalidInput) as error:
            missing.append(error)
    try:
        if found or not layout:
            print_objects(found, layout)
    except TemplateError as error:
        output.problem(error)
        return template_exit_code(error, is_list=False)
    for lost in missing:
        if isinstance(lost, NotFound):
            # docker's words, which scripts look for
            output.note(f"Error: No such {what}: {output.printable(lost.name)}")
        else:
            output.problem(lost)
    return 1 if missing else 0


def print_object(value: Value, layout: str) -> None:
    """Print one document of `info` or `version` by a template or as JSON.

    Raises: TemplateError.
    """
    if layout == "json":
        layout = "{{json .}}"
    output.text(_template(layout).execute(opened(value)) + "\n")


def template_exit_code(error: TemplateError, *, is_list: bool) -> int:
    """Return docker's exit code: 64 where inspect cannot read a template, else 1."""
    return BAD_TEMPLATE if error.is_syntax and not is_list else 1


def label_method(labels: Mapping[str, str]) -> Method:
    """Return the `.Label "key"` of a row."""
    return Method(lambda key: labels.get(key, ""))


def opened(value: Value, *, key: str = "") -> Value:
    """Mark the maps whose keys are free, so that a key that is missing is no error.

    `key` is where the value was found; some objects have fields that are there only when they say
    something.
    """
    if isinstance(value, Mapping):
        items = {name: opened(item, key=name) for name, item in value.items()}
        if key in _OPEN_MAPS:
            return OpenMap(items)
        struct = Struct(items)
        struct.optional = _OPTIONAL.get(key) or (_ENDPOINT if "DriverOpts" in items else {})
        return struct
    if isinstance(value, list | tuple):
        return [opened(item) for item in value]
    return value


def parse_filters(raw_filters: Sequence[str]) -> dict[str, list[str]]:
    """Collect `-f key=value`; raises InvalidInput with docker's words."""
    result: dict[str, list[str]] = {}
    for raw in raw_filters:
        key, equals, value = raw.partition("=")
        if not equals:
            raise InvalidInput(
                f'invalid argument {go_quote(raw)} for "-f, --filter" flag: '
                "bad format of filter (expected name=value)",
                where="--filter",
            )
        result.setdefault(key.strip().lower(), []).append(value.strip())
    return result


def failures(names: Sequence[str], act: Callable[[str], None]) -> int:
    """Do something for each name, going on after errors; returns 1 if there was one."""
    code = 0
    for name in names:
        try:
            act(name)
        except PyruncError as error:
            output.problem(error)
            code = 1
    return code


def _template(layout: str, *, escapes: bool = False) -> Template:
    """Parse a template; whoever prints a table does not pay for the parser."""
    from .go_template import Template

    return Template(layout, escapes=escapes)


def _table_text(
    rows: Sequence[Mapping[str, Value]], headers: Mapping[str, str], layout: str
) -> str:
    template = _template(layout, escapes=True)
    head: dict[str, Value] = dict(headers)
    head["Label"] = Method(_label_header)
    lines = [template.execute(head), *(template.execute(row) for row in rows)]
    cells = [line.split("\t") for line in lines]
    width = max(len(line) for line in cells)
    padded = [line + [""] * (width - len(line)) for line in cells]
    text = output.table(padded[0], padded[1:])
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def _label_header(key: str) -> str:
    return re.sub("[-_]", " ", key.rpartition(".")[2])
