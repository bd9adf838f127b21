"""Templates against what Go's own text/template printed (docker 28.2, `version --format`)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunc.cli.go_functions import Method, OpenMap
from pyrunc.cli.go_template import Template, TemplateError

DATA: dict[str, Any] = {
    "Version": "28.2.2",
    "Server": None,
    "State": {"Pid": 12, "Running": True, "ExitCode": 0},
    "Names": ["a", "b", "c"],
    "Labels": OpenMap({"com.x": "1", "b": "2"}),
    "Empty": [],
    "Label": Method(lambda key: {"com.x": "1"}.get(key, "")),
}

GO = [
    ("{{.Version}}", "28.2.2"),
    ('{{printf "%5d|%-5s|%q" 3 "a" "b\\n"}}', '    3|a    |"b\\n"'),
    ('{{len "aé"}}', "3"),
    ("{{if .Server}}s{{else}}none{{end}}", "none"),
    ('{{range $i,$e := split "a,b" ","}}{{$i}}={{$e}};{{end}}', "0=a;1=b;"),
    ('{{join (split "a,b" ",") "-"}}', "a-b"),
    ("{{1.5}} {{1e6}} {{1e21}} {{true}}", "1.5 1e+06 1e+21 true"),
    ('{{print 1 2 "a" 3}}', "1 2a3"),
    ("{{$x := 1}}{{$x}}{{$x = 2}}{{$x}}", "12"),
    ("{{json .Version}}", '"28.2.2"'),
    ('{{title "hello world"}} {{pad "x" 1 2}}|{{truncate "hello" 3}}', "Hello World  x  |hel"),
    ('{{- "a" -}}  b', "ab"),
    ('{{index "abc" 1}}', "98"),
    ('{{slice "abc" 1 2}}', "b"),
    ('{{not 0}} {{and 1 0}} {{or 0 "x"}}', "true 0 x"),
    ("{{/* c */}}x", "x"),
    ("x {{- /* c */ -}} y", "xy"),
    ("{{with .Server}}a{{else}}b{{end}}", "b"),
    ("{{range 3}}{{.}}{{end}}", "012"),
    ('{{"a" | printf "%s-%s" "b"}}', "b-a"),
    ('{{printf "%d" "x"}}', "%!d(string=x)"),
    ('{{printf "%d"}}', "%!d(MISSING)"),
    ('{{html "<a&\\">"}}', "&lt;a&amp;&#34;&gt;"),
    ('{{urlquery "a b&"}}', "a+b%26"),
    ('{{lt 1 2}} {{ge "b" "a"}}', "true true"),
    ('{{printf "%v %v" true nil}}', "true <nil>"),
    ('{{ (index (split "a,b" ",") 1) | upper }}', "B"),
    ("{{'a'}}", "97"),
    (
        '{{printf "%08.3f|%+d|%x|%X|%5t|%c" 3.14159 5 255 "hi" true 65}}',
        "0003.142|+5|ff|6869| true|A",
    ),
    ('{{println "a" 1}}', "a 1\n"),
    ("{{if true}}a{{else if false}}b{{else}}c{{end}}", "a"),
    ('{{0x10}} {{1_000}} {{-3}} {{"\\u00e9\\x41"}} {{`raw\\n`}}', "16 1000 -3 éA raw\\n"),
    ("x\\ty", "x\\ty"),
]

OURS = [
    ("{{.State.Pid}} {{.State.Running}}", "12 true"),
    ("{{range .Names}}<{{.}}>{{end}}", "<a><b><c>"),
    ("{{range .Empty}}x{{else}}none{{end}}", "none"),
    (
        "{{range .Names}}{{if eq . `b`}}{{continue}}{{end}}{{.}}"
        "{{if eq . `c`}}{{break}}{{end}}{{end}}",
        "ac",
    ),
    ("{{.Names}} {{.Labels}}", "[a b c] map[b:2 com.x:1]"),
    ('{{index .Labels "com.x"}}{{index .Labels "gone"}}', "1"),
    ("{{.Labels.gone}}", "<no value>"),
    ('{{.Label "com.x"}}', "1"),
    ('{{"com.x" | .Label}}', "1"),
    ("{{with $s := .State}}{{$s.Pid}}{{.Pid}}{{end}}", "1212"),
    ("{{$.State.Pid}}{{with .Names}}{{len $.Names}}{{end}}", "123"),
    ("{{json .Names}}", '["a","b","c"]'),
    ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "b=2 com.x=1 "),
    ("{{if and .State.Running (eq .State.ExitCode 0)}}up{{end}}", "up"),
    ("{{.Server}}", "<no value>"),
    ("{{(.State).Pid}}", "12"),
    ("{{eq .Version `1` `28.2.2`}}", "true"),
    ("a\n{{- 1 -}}\nb", "a1b"),
    ("}} {", "}} {"),
    ('{{"}}"}}', "}}"),
]

SYNTAX = [
    ("{{.Version", "1: unclosed action"),
    ("{{foo}}", '1: function "foo" not defined'),
    ("{{end}}", "1: unexpected {{end}}"),
    ("{{else}}", "1: unexpected {{else}}"),
    ("{{if}}", "1: missing value for if"),
    ("{{if 1}}x", "1: unexpected EOF"),
    ('{{"a}}', "1: unterminated quoted string"),
    ("{{1 | 2}}", "1: non executable command in pipeline stage 2"),
    ("{{$y}}", '1: undefined variable "$y"'),
    ("{{break}}", "1: {{break}} outside {{range}}"),
    ('{{"a".Foo}}', '1: unexpected . after term "\\"a\\""'),
    ("a\n{{(1}}", "2: unclosed left paren"),
    ("{{}}", "1: missing value for command"),
]

FAILING = [
    "{{.Gone}}", "{{.State.Gone}}", "{{.Version.Foo}}", "{{len nil}}", "{{index nil 1}}",
    '{{eq "a" 1}}', "{{eq 1 1.0}}", "{{index .Names 7}}", '{{join "a" ","}}', "{{pad `x` 9999 1}}",
    "{{.Names.append}}", "{{.Version.__class__}}", "{{.__class__}}", "{{.State.__class__}}",
    "{{.Label}}", "{{.Label 1}}", "{{.Names 1}}", '{{printf "%999999d" 1}}', "{{upper}}",
    "{{truncate 1 2}}", "{{lt true false}}", "{{slice `abc` 2 1}}", "{{range true}}{{end}}",
    "{{printf 1}}", "{{index .Labels 1}}", "{{.Label._act}}", "{{split `a` 1}}",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GO + OURS)
def test_template_prints_as_go_does(text: str, expected: str) -> None:
    assert Template(text).execute(DATA) == expected


@pytest.mark.parametrize(("text", "why"), SYNTAX)
def test_template_that_cannot_be_read_is_a_syntax_error(text: str, why: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text)

    assert caught.value.is_syntax
    assert str(caught.value) == f"template parsing error: template: :{why}"


@pytest.mark.parametrize("text", FAILING)
def test_template_that_fails_on_the_data_is_no_syntax_error(text: str) -> None:
    template = Template(text)

    with pytest.raises(TemplateError) as caught:
        template.execute(DATA)
    assert not caught.value.is_syntax


def test_escapes_outside_of_actions_become_tab_and_newline_where_asked_for() -> None:
    text = '{{.Version}}\\t{{json "a\\n"}}\\n'

    assert Template(text, escapes=True).execute(DATA) == '28.2.2\t"a\\n"\n'


@pytest.mark.parametrize(
    "text",
    [
        "{{range 999999999}}{{end}}",
        "{{range 100000}}{{range 100000}}{{end}}{{end}}",
        "{{range 100000}}" + "x" * 1000 + "{{end}}",
        "{{" + "(" * 5000,
        "{{if 1}}" * 5000,
        "{{" + "not (" * 300 + "1" + ")" * 300 + "}}",
        "x" * 100_000,
        "{{1}}" + "{{- " * 10_000,
        '{{"' + "\\" * 9999,
    ],
)
def test_hostile_template_is_refused_quickly(text: str) -> None:
    begun = time.process_time()

    with pytest.raises(TemplateError):
        Template(text).execute(DATA)
    assert time.process_time() - begun < 5


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["{{", "}}", "-", " ", ".", "Names", "|", "(", ")", "if", "end", "range", "else", '"',
             "`", "$x", ":=", "=", ",", "1", "printf", "json", "eq", "/*", "*/", "with", "\\", "é",
             "break", "%d", "index", "\n", "nil"]
        ),
        max_size=14,
    )
)  # fmt: skip
def test_any_template_prints_or_raises_a_template_error(parts: list[str]) -> None:
    try:
        Template("{{" + "".join(parts)).execute(DATA)
        Template("".join(parts)).execute(DATA)
    except TemplateError:
        pass
