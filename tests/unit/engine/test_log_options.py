"""--log-driver and --log-opt, in docker's words."""

from __future__ import annotations

import pytest

from pyrunc.engine.log_options import attributes, attributes_json, parse
from pyrunc.errors import InvalidInput, PyruncError, Unsupported


def test_options_of_a_json_file() -> None:
    options = parse("", ["max-size=10m", "max-file=3", "labels=a,b", "env=X", "mode=blocking"])

    assert (options.driver, options.max_bytes, options.max_files) == ("json-file", 10 << 20, 3)
    assert attributes(options, {"a": "1", "c": "2"}, ["X=y=z", "Y=0"]) == {"a": "1", "X": "y=z"}
    assert attributes_json({"a": '"'}) == b',"attrs":{"a":"\\""}'
    assert attributes_json({}) == b""


@pytest.mark.parametrize(
    ("driver", "raw", "kind", "problem"),
    [
        ("nosuch", [], InvalidInput, 'logger: no log driver named "nosuch" is registered'),
        ("syslog", [], Unsupported, "--log-driver syslog is not supported yet"),
        ("none", ["max-size=1k"], InvalidInput, "invalid logging opts for driver none"),
        ("", ["max-size"], InvalidInput, "must be KEY=VALUE"),
        ("", ["max-size=x"], InvalidInput, "invalid size: 'x'"),
        ("", ["max-size=0"], InvalidInput, "max-size must be a positive number"),
        ("", ["max-file=0"], InvalidInput, "max-file cannot be less than 1"),
        ("", ["max-file=x"], InvalidInput, "max-file: "),
        ("", ["colour=red"], InvalidInput, "unknown log opt 'colour' for json-file log driver"),
        ("", ["mode=fast"], InvalidInput, "logging mode not supported: fast"),
        ("", ["mode=non-blocking"], Unsupported, "mode=non-blocking is not supported yet"),
        ("", ["compress=true"], Unsupported, "compress=true is not supported yet"),
    ],
)
def test_what_is_refused(
    driver: str, raw: list[str], kind: type[PyruncError], problem: str
) -> None:
    with pytest.raises(kind) as caught:
        parse(driver, raw)
    assert problem in str(caught.value)
