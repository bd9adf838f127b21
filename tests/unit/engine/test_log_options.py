"""--log-driver and --log-opt, in docker's words."""

from __future__ import annotations

import pytest

from pyrunc.engine import log_tag
from pyrunc.engine.log_options import LogOptions, attributes, attributes_json, parse
from pyrunc.errors import InvalidInput, PyruncError, Unsupported
from pyrunc.storage.containers import ContainerRow


def test_options_of_a_json_file() -> None:
    options = parse("", ["max-size=10m", "max-file=3", "labels=a,b", "env=X", "mode=blocking"])

    assert (options.driver, options.max_bytes, options.max_files) == ("json-file", 10_000_000, 3)
    assert attributes(options, {"a": "1", "c": "2"}, ["X=y=z", "Y=0"]) == {"a": "1", "X": "y=z"}
    assert attributes_json({"a": '"'}) == b',"attrs":{"a":"\\""}'
    assert attributes_json({}) == b""


def test_more_attributes_by_patterns() -> None:
    options = parse("json-file", ["labels-regex=^com", "env-regex=^V$"])

    found = attributes(options, {"com.a": "1", "b": "2"}, ["V=x", "VV=y"])
    assert found == {"com.a": "1", "V": "x"}


def test_local_has_limits_of_its_own() -> None:
    options = parse("local", [])
    assert (options.max_bytes, options.max_files, options.compress) == (20 << 20, 5, True)

    options = parse("local", ["max-size=1m", "max-file=2", "compress=false"])
    assert (options.max_bytes, options.max_files, options.compress) == (1_000_000, 2, False)


def test_syslog_keeps_a_copy_unless_told_otherwise() -> None:
    options = parse("syslog", ["syslog-facility=local7", "syslog-format=rfc5424"])
    assert (options.facility, options.format, options.is_readable) == (23, "rfc5424", True)
    assert (options.max_bytes, options.max_files, options.tag) == (20 << 20, 5, "{{.ID}}")

    assert not parse("syslog", ["cache-disabled=true"]).is_readable
    assert parse("syslog", ["cache-max-size=1k", "syslog-facility=2"]).max_bytes == 1000


def test_non_blocking_has_a_buffer() -> None:
    assert parse("", ["mode=non-blocking"]).buffer_bytes == 1 << 20
    assert parse("syslog", ["mode=non-blocking", "max-buffer-size=4m"]).buffer_bytes == 4 << 20
    assert parse("syslog", ["mode=blocking"]).buffer_bytes == 0


def test_options_outlast_their_command() -> None:
    options = parse("syslog", ["syslog-address=udp://127.0.0.1:514", "labels=a,b"])
    assert LogOptions(**options.as_dict()) == options


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("{{.ID}}", "0123456789ab"),
        ("{{ .ImageName }}/{{.Name}}!", "busybox/box!"),
        ("{{.Command}} {{.ImageID}} {{.DaemonName}}", "sh -c true 842deb628ebe pyrunc"),
    ],
)
def test_tags(template: str, text: str) -> None:
    row = ContainerRow(
        id="0123456789ab" + "c" * 52,
        name="box",
        created_ns=0,
        image="busybox",
        image_id="sha256:842deb628ebe59a9",
        auto_remove=False,
        document={},
    )
    assert log_tag.render(template, row, {"args": ["sh", "-c", "true"]}) == text


_START = "failed to initialize logging driver: "


@pytest.mark.parametrize(
    ("driver", "raw", "kind", "problem"),
    [
        ("nosuch", [], InvalidInput, 'looking up logging plugin nosuch: plugin "nosuch" not found'),
        ("gelf", [], Unsupported, "--log-driver gelf is not supported yet"),
        ("none", ["max-size=1k"], InvalidInput, "invalid logging opts for driver none"),
        ("", ["max-size"], InvalidInput, "must be KEY=VALUE"),
        ("", ["max-size=x"], InvalidInput, _START + "invalid size: 'x'"),
        ("", ["max-size="], InvalidInput, _START + "invalid size: ''"),
        ("", ["max-size=0"], InvalidInput, _START + "max-size must be a positive number"),
        ("", ["max-size=-1"], InvalidInput, _START + "invalid size: '-1'"),
        ("", ["max-file=0"], InvalidInput, _START + "max-file cannot be less than 1"),
        ("", ["max-file=x"], InvalidInput, _START + 'strconv.Atoi: parsing "x": invalid syntax'),
        ("", ["colour=red"], InvalidInput, "unknown log opt 'colour' for json-file log driver"),
        ("", ["mode=fast"], InvalidInput, "logger: logging mode not supported: fast"),
        (
            "",
            ["max-buffer-size=1m"],
            InvalidInput,
            "max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (
            "",
            ["mode=non-blocking", "max-buffer-size=x"],
            InvalidInput,
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
        ("", ["compress=maybe"], InvalidInput, 'strconv.ParseBool: parsing "maybe": invalid'),
        (
            "",
            ["compress=true"],
            InvalidInput,
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        ("", ["tag={{"], InvalidInput, "template: log-tag:1: unclosed action"),
        (
            "",
            ["tag={{.Nope}}"],
            InvalidInput,
            'template: log-tag:1:2: executing "log-tag" at <.Nope>: '
            "can't evaluate field Nope in type *logger.Info",
        ),
        ("", ["tag={{if .ID}}x{{end}}"], Unsupported, "the tag of a log can't have {{if .ID}} yet"),
        ("", ["labels-regex=["], InvalidInput, _START + "error parsing regexp: "),
        ("local", ["labels=a"], InvalidInput, "unknown log opt 'labels' for log driver local"),
        (
            "local",
            ["max-size=x"],
            InvalidInput,
            _START + "invalid value for max-size: x: invalid size: 'x'",
        ),
        (
            "local",
            ["max-file=1"],
            InvalidInput,
            "compression cannot be enabled when max file count is 1",
        ),
        (
            "local",
            ["max-file=-3", "compress=false"],
            InvalidInput,
            "max file count cannot be less than 0",
        ),
        ("local", ["compress=x"], InvalidInput, "error reading compress log option: strconv"),
        (
            "syslog",
            ["syslog-address=foo"],
            InvalidInput,
            "syslog-address should be in form proto://address, got foo",
        ),
        (
            "syslog",
            ["syslog-address=tcp://1.2.3.4:x"],
            InvalidInput,
            'parse "tcp://1.2.3.4:x": invalid port ":x" after host',
        ),
        (
            "syslog",
            ["syslog-address=unixgram:///nope"],
            InvalidInput,
            "stat /nope: no such file or directory",
        ),
        ("syslog", ["syslog-address=tcp+tls://h:1"], Unsupported, "is not supported yet"),
        ("syslog", ["syslog-tls-key=x"], Unsupported, "--log-opt syslog-tls-key=x is not supp"),
        ("syslog", ["syslog-facility=bar"], InvalidInput, "invalid syslog facility"),
        ("syslog", ["syslog-format=bar"], InvalidInput, "Invalid syslog format"),
        ("syslog", ["bad=1"], InvalidInput, "unknown log opt 'bad' for syslog log driver"),
        ("journald", ["bad=1"], InvalidInput, "unknown log opt 'bad' for journald log driver"),
    ],
)
def test_what_is_refused(
    driver: str, raw: list[str], kind: type[PyruncError], problem: str
) -> None:
    with pytest.raises(kind) as caught:
        parse(driver, raw)
    assert problem in str(caught.value)
