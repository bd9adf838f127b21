"""What is printed, and how."""

from __future__ import annotations

import os

import pytest

from pyrunc.cli import listing, output
from pyrunc.cli.go_template import TemplateError
from pyrunc.errors import LaunchError, NotFound, PyruncError

HEADERS = {"ID": "CONTAINER ID", "Names": "NAMES"}
ROWS = [
    {"ID": "abc", "Names": "one", "Label": listing.label_method({"com.x": "1"})},
    {"ID": "def", "Names": "two and more", "Label": listing.label_method({})},
]


def printed(capfd: pytest.CaptureFixture[str]) -> str:
    return capfd.readouterr().out


def test_table_is_laid_out_as_docker_does() -> None:
    text = output.table(
        ["CONTAINER ID", "IMAGE", "NAMES"], [["3f2a7c1d9b8e", "debian:12", "nimble_ritchie"]]
    )

    assert text == ("CONTAINER ID   IMAGE       NAMES\n3f2a7c1d9b8e   debian:12   nimble_ritchie\n")


def test_narrow_columns_are_ten_wide() -> None:
    assert output.table(["ID", "B"], []) == "ID        B\n"


def test_control_characters_of_a_cell_are_shown_not_sent() -> None:
    assert output.table(["A"], [["x\x1b[2J\ny"]]) == "A\nx\\x1b[2J y\n"


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("{{.ID}}", "abc\ndef\n"),
        ("{{.ID}}\\t{{.Names}}", "abc\tone\ndef\ttwo and more\n"),
        ("table {{.ID}}\\t{{.Names}}", "CONTAINER ID   NAMES\nabc            one\n"
         "def            two and more\n"),
        ('table {{.Names}}\\t{{.Label "com.ex-ample"}}', "NAMES          ex ample\none\n"
         "two and more\n"),
        ('{{.Label "com.x"}}', "1\n\n"),
        ("json", '{"ID":"abc","Names":"one"}\n{"ID":"def","Names":"two and more"}\n'),
        ("{{json .}}", '{"ID":"abc","Names":"one"}\n{"ID":"def","Names":"two and more"}\n'),
        ("table", "CONTAINER ID   NAMES\nabc            one\ndef            two and more\n"),
        ("{{json .Names}}", '"one"\n"two and more"\n'),
    ],
)  # fmt: skip
def test_list_is_printed_by_its_format(
    layout: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    listing.print_rows(ROWS, HEADERS, ("ID", "Names"), layout)

    assert printed(capfd) == expected


def test_objects_are_an_indented_array_or_one_line_each(
    capfd: pytest.CaptureFixture[str],
) -> None:
    listing.print_objects([{"Id": "1"}], "")
    listing.print_objects([{"Id": "1"}], "json")
    listing.print_objects([{"Id": "1"}, {"Id": "2"}], "{{.Id}}")
    listing.print_objects([], "")

    assert printed(capfd) == '[\n    {\n        "Id": "1"\n    }\n]\n[{"Id":"1"}]\n1\n2\n[]\n'


def test_missing_field_is_an_error_and_missing_label_is_none() -> None:
    document = {"Config": {"Labels": {"a": "b"}}}

    listing.print_objects([document], "{{.Config.Labels.gone}}")
    with pytest.raises(TemplateError) as caught:
        listing.print_objects([document], "{{.Config.Gone}}")
    assert listing.template_exit_code(caught.value, is_list=False) == 1


def test_failures_are_told_and_the_rest_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    def act(name: str) -> None:
        if name == "b":
            raise NotFound("No such container: b", kind="container", name="b")
        output.line(name)

    assert listing.failures(["a", "b", "c"], act) == 1
    assert capfd.readouterr() == ("a\nc\n", "pyrunc: No such container: b\n")


@pytest.mark.parametrize(
    ("error", "command", "code"),
    [
        (PyruncError("x"), "run", 125),
        (PyruncError("x"), "container run", 125),
        (PyruncError("x"), "ps", 1),
        (LaunchError("x", errno=1, step="y"), "run", 125),
        (KeyboardInterrupt(), "run", 130),
        (ValueError(), "run", 125),
        (ValueError(), "ps", 1),
    ],
)
def test_exit_code_tells_pyrunc_from_the_command(
    error: BaseException, command: str, code: int
) -> None:
    assert output.exit_code(error, command) == code


def test_slow_reader_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = os.urandom(300_000)
    pid = os.posix_spawn(
        "/bin/sh", ["sh", "-c", "sleep 0.2; exec wc -c >/dev/null"], os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_CLOSE, writer)],
    )  # fmt: skip
    os.close(reader)

    output.write_bytes(writer, data)

    os.close(writer)
    assert os.waitpid(pid, 0)[1] == 0
