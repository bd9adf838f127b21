"""How is `--format '{{.ID}}'` read?  The part of Go's text/template that command lines use.

Parse once, execute per object.  Data is plain: dict, list, str, int, float, bool, None, and
`Method` for the few methods that rows have.  Python attributes are never looked at, so a template
cannot reach an object of this program.  Everything is bounded: text, nesting, steps, output.
Source: https://pkg.go.dev/text/template; docker/cli templates package for the extra functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..engine.go_values import go_quote
from ..errors import InvalidInput
from .go_functions import FUNCTIONS, TemplateFailure, Value, to_text
from .go_nodes import (
    Break,
    Continue,
    Evaluate,
    Execute,
    Run,
    Stage,
    bare_call,
    call_node,
    field_node,
    if_node,
    jump,
    method_node,
    range_node,
    text_node,
)

TEXT_LIMIT = 64 << 10
DEPTH_LIMIT = 64

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))
    |(?P<field>\.[^\W\d]\w*)
    |(?P<variable>\$\w*)
    |(?P<declare>:=)
    |(?P<word>[^\W\d]\w*)
    |(?P<mark>[.|(),=])""",
    re.VERBOSE,
)
_ACTION_PART = re.compile(
    r""""(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)*'|\}\}|[^"`'}]+|.""", re.DOTALL
)
_ESCAPES = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v",
    "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip

Token = tuple[str, str]  # kind, text


class TemplateError(InvalidInput):
    """A template that cannot be read (`is_syntax`), or that fails on this data."""

    def __init__(self, problem: str, *, is_syntax: bool) -> None:
        """Word as docker does; inspect exits with 64 for a syntax error."""
        super().__init__(f"template parsing error: template: :{problem}", where="--format")
        self.is_syntax = is_syntax


class Template:
    """A parsed template."""

    def __init__(self, text: str, *, escapes: bool = False) -> None:
        """Parse.  With `escapes`, a backslash and t or n outside of actions are tab and newline.

        Raises: TemplateError with `is_syntax`.
        """
        if len(text) > TEXT_LIMIT:
            raise TemplateError("1: template is too long", is_syntax=True)
        self._body = _Parser(text, escapes).parse()

    def execute(self, data: Value) -> str:
        """Return the text for this data.  Raises: TemplateError."""
        run = Run(data)
        try:
            self._body(run, data)
        except TemplateFailure as failure:
            raise TemplateError(f'1: executing "": {failure}', is_syntax=False) from failure
        except RecursionError as error:
            raise TemplateError("1: nested too deeply", is_syntax=False) from error
        return "".join(run.output)


def _pieces(text: str) -> Iterator[tuple[str, str, int]]:
    """Split into ("text", …) and ("action", …) with trim markers applied, and line numbers."""
    position = 0
    trim_next = False
    while position < len(text):
        start = text.find("{{", position)
        literal = text[position:] if start < 0 else text[position:start]
        line = text.count("\n", 0, position) + 1
        if trim_next:
            literal = literal.lstrip(" \t\r\n")
        trim_next = False
        if start < 0:
            yield "text", literal, line
            return
        line = text.count("\n", 0, start) + 1
        end = _action_end(text, start + 2, line)
        inner = text[start + 2 : end]
        if inner[:1] == "-" and inner[1:2] in (" ", "\t", "\r", "\n"):
            literal = literal.rstrip(" \t\r\n")
            inner = inner[1:]
        if inner[-1:] == "-" and inner[-2:-1] in (" ", "\t", "\r", "\n"):
            trim_next = True
            inner = inner[:-1]
        yield "text", literal, line
        yield "action", inner, line
        position = end + 2


def _action_end(text: str, position: int, line: int) -> int:
    """Find the closing braces; those inside strings and comments do not count."""
    comment = re.compile(r"(?:-\s)?/\*").match(text, position)
    if comment:
        end = text.find("*/", comment.end())
        if end < 0:
            raise TemplateError(f"{line}: unclosed comment", is_syntax=True)
        position = end + 2
    pattern = re.compile(
        r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|\'(?:[^\'\\\n]|\\.)*\'|\}\}|[^"`\'}]+|.', re.S
    )
    for match in pattern.finditer(text, position):
        if match[0] == "}}":
            return match.start()
        if match[0] in ('"', "`"):
            raise TemplateError(f"{line}: unterminated quoted string", is_syntax=True)
    raise TemplateError(f"{line}: unclosed action", is_syntax=True)


class _Parser:
    """Recursive descent over the pieces; every node becomes a closure."""

    def __init__(self, text: str, escapes: bool) -> None:
        self.pieces = list(_pieces(text))
        self.escapes = escapes
        self.position = 0
        self.line = 1
        self.tokens: list[Token] = []
        self.depth = 0
        self.loops = 0
        self.variables: list[set[str]] = [{"$"}]

    def parse(self) -> Execute:
        body, end = self.block()
        if end:
            raise self.error(f"unexpected {{{{{end}}}}}")
        return body

    def error(self, why: str) -> TemplateError:
        return TemplateError(f"{self.line}: {why}", is_syntax=True)

    # -- blocks --------------------------------------------------------------------------------

    def block(self) -> tuple[Execute, str]:
        """Parse up to {{end}}, {{else}} or the end; returns the body and the word that ended it."""
        self.deeper()
        self.variables.append(set())
        nodes: list[Execute] = []
        end = ""
        while self.position < len(self.pieces) and not end:
            kind, text, self.line = self.pieces[self.position]
            self.position += 1
            if kind == "text":
                if self.escapes:
                    text = text.replace("\\t", "\t").replace("\\n", "\n")
                nodes.append(text_node(text))
                continue
            self.tokens = self.tokenize(text)
            word = self.tokens[0][1] if self.tokens and self.tokens[0][0] == "word" else ""
            if word in ("end", "else"):
                end = word
            elif text.strip() or not text:
                node = self.action(word, text)
                nodes += [node] if node else []
        self.variables.pop()
        self.depth -= 1

        def execute(run: Run, dot: Value) -> None:
            run.scopes.append({})
            try:
                for node in nodes:
                    run.step()
                    node(run, dot)
            finally:
                run.scopes.pop()

        return execute, end

    def action(self, word: str, text: str) -> Execute | None:
        if text.strip().startswith("/*"):
            if not text.strip().endswith("*/"):
                raise self.error("comment ends before closing delimiter")
            return None
        if word in ("if", "with", "range"):
            self.tokens.pop(0)
            if not self.tokens:
                raise self.error(f"missing value for {word}")
            return self.control(word)
        if word in ("break", "continue"):
            if not self.loops:
                raise self.error(f"{{{{{word}}}}} outside {{{{range}}}}")
            return jump(Break if word == "break" else Continue)
        if word in ("define", "template", "block"):
            raise self.error(f"{{{{{word}}}}} is not supported yet")
        if not self.tokens:
            raise self.error("missing value for command")
        is_assignment = self.tokens[0][0] == "variable" and self.tokens[1:2] in (
            [("declare", ":=")],
            [("mark", "=")],
        )
        pipeline = self.pipeline()
        self.finished()

        def emit(run: Run, dot: Value) -> None:
            value = pipeline(run, dot)
            if not is_assignment:
                run.emit(to_text(value, missing="<no value>"))

        return emit

    def control(self, word: str) -> Execute:
        self.variables.append(set())
        names: list[str] = []
        if word == "range":
            names = self.range_variables()
        pipeline = self.pipeline()
        self.finished()
        self.loops += word == "range"
        body, end = self.block()
        self.loops -= word == "range"
        otherwise: Execute | None = None
        if end == "else":
            otherwise, end = self.otherwise(word)
        if end != "end":
            raise self.error("unexpected EOF")
        self.variables.pop()
        if word == "range":
            return range_node(pipeline, names, body, otherwise)
        return if_node(pipeline, body, otherwise, rebind=word == "with")

    def otherwise(self, word: str) -> tuple[Execute, str]:
        """Parse what follows {{else}}, or {{else if …}} and {{else with …}}."""
        rest = self.tokens[1:]
        if not rest:
            body, end = self.block()
            if end == "else":
                raise self.error(f"unexpected {{{{else}}}} in {{{{{word}}}}}")
            return body, end
        if rest[0] != ("word", word) or word == "range":
            raise self.error(f"unexpected {rest[0][1]!r} in {{{{else}}}}")
        self.tokens = rest[1:]
        self.deeper()
        node = self.control(word)
        self.depth -= 1
        return node, "end"

    def range_variables(self) -> list[str]:
        """Take `$x :=` or `$i, $x :=` off the tokens."""
        marks = [text for _, text in self.tokens[:4]]
        kinds = [kind for kind, _ in self.tokens[:4]]
        names: list[str] = []
        if kinds[:2] == ["variable", "declare"]:
            names, self.tokens = marks[:1], self.tokens[2:]
        elif kinds == ["variable", "mark", "variable", "declare"] and marks[1] == ",":
            names, self.tokens = [marks[0], marks[2]], self.tokens[4:]
        self.variables[-1].update(names)
        return names

    # -- pipelines -----------------------------------------------------------------------------

    def pipeline(self) -> Evaluate:
        self.deeper()
        assign = self.assignment()
        stages = [self.command()]
        while self.accept("|"):
            stages.append(self.command())
        self.depth -= 1
        for stage in stages[1:]:
            if not stage.takes_argument:
                raise self.error(
                    f"non executable command in pipeline stage {stages.index(stage) + 1}"
                )

        def evaluate(run: Run, dot: Value) -> Value:
            value = stages[0].evaluate(run, dot, ())
            for stage in stages[1:]:
                value = stage.evaluate(run, dot, (value,))
            if assign:
                assign(run, value)
            return value

        if assign is not None:
            self.variables[-1].add(self.assigned)
        return evaluate

    def assignment(self) -> Callable[[Run, Value], None] | None:
        if len(self.tokens) < 2 or self.tokens[0][0] != "variable":
            return None
        name, mark = self.tokens[0][1], self.tokens[1][1]
        if mark not in (":=", "="):
            return None
        self.tokens = self.tokens[2:]
        self.assigned = name
        if mark == ":=":

            def declare(run: Run, value: Value) -> None:
                run.scopes[-1][name] = value

            return declare
        self.check_variable(name)

        def change(run: Run, value: Value) -> None:
            run.lookup(name)[name] = value

        return change

    def command(self) -> Stage:
        if not self.tokens or self.tokens[0][1] in ("|", ")"):
            raise self.error("missing value for command")
        kind, text = self.tokens[0]
        if kind == "word" and text not in ("true", "false", "nil"):
            self.tokens.pop(0)
            if text not in FUNCTIONS:
                raise self.error(f'function "{text}" not defined')
            return Stage(call_node(text, self.operands()), takes_argument=True)
        operand = self.operand()
        arguments = self.operands()
        is_field = kind == "field" or self.last_was_chain
        if arguments and not is_field:
            raise self.error(f"can't give argument to non-function {text}")
        return Stage(method_node(operand, arguments), takes_argument=is_field)

    def operands(self) -> list[Evaluate]:
        result = []
        while self.tokens and self.tokens[0][1] not in ("|", ")"):
            if self.tokens[0][1] in (",", "=", ":="):
                raise self.error(f"unexpected {self.tokens[0][1]!r} in operand")
            result.append(self.operand())
        return result

    def operand(self) -> Evaluate:
        kind, text = self.tokens.pop(0)
        node = self.primary(kind, text)
        self.last_was_chain = kind == "field"
        # A field sticks to what is before it only without a blank; `tokenize` marked those.
        while self.tokens and self.tokens[0][0] == "chain":
            if kind in ("string", "number", "char"):
                raise self.error(f"unexpected . after term {go_quote(text)}")
            node = field_node(node, self.tokens.pop(0)[1])
            self.last_was_chain = True
        return node

    def primary(self, kind: str, text: str) -> Evaluate:
        if kind == "field":
            name = text[1:]
            return field_node(lambda _run, dot: dot, name)
        if kind == "variable":
            self.check_variable(text)
            return lambda run, _dot: run.lookup(text)[text]
        if text == "." and kind == "mark":
            return lambda _run, dot: dot
        if text == "(":
            inner = self.pipeline()
            if not self.accept(")"):
                raise self.error("unclosed left paren")
            return inner
        if kind == "word" and text in FUNCTIONS:
            return bare_call(call_node(text, []))
        if kind == "word" and text not in ("true", "false", "nil"):
            raise self.error(f'function "{text}" not defined')
        value = self.constant(kind, text)
        return lambda _run, _dot: value

    def constant(self, kind: str, text: str) -> Value:
        if kind == "word":
            return {"true": True, "false": False, "nil": None}[text]
        try:
            if kind == "string":
                return text[1:-1] if text[0] == "`" else _unquote(text[1:-1])
            if kind == "char":
                return ord(_unquote(text[1:-1]))
            if kind == "number":
                is_float = not text.lower().lstrip("+-").startswith("0x") and set(text) & set(".eE")
                return float(text) if is_float else int(text, 0)
        except (ValueError, TypeError, OverflowError):
            raise self.error(f"bad constant: {text[:64]}") from None
        raise self.error(f"unexpected {text!r} in operand")

    # -- tokens --------------------------------------------------------------------------------

    def tokenize(self, text: str) -> list[Token]:
        result: list[Token] = []
        if text.strip().startswith("/*"):
            return result
        position = 0
        after_space = True
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.error(f"unexpected {text[position]!r} in command")
            position = match.end()
            kind = match.lastgroup or ""
            if kind == "field" and not after_space and result and result[-1][1] not in ("(", "|"):
                result.append(("chain", match[0][1:]))
            elif kind != "space":
                result.append((kind, match[0]))
            after_space = kind == "space"
        return result

    def accept(self, mark: str) -> bool:
        if self.tokens and self.tokens[0] == ("mark", mark):
            self.tokens.pop(0)
            return True
        return False

    def finished(self) -> None:
        if self.tokens:
            raise self.error(f"unexpected {self.tokens[0][1]!r} in command")

    def check_variable(self, name: str) -> None:
        if not any(name in names for names in self.variables):
            raise self.error(f'undefined variable "{name}"')

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise self.error("nested too deeply")

    assigned = ""
    last_was_chain = False


def _unquote(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        body = match[1]
        if body[0] in "xuU":
            return chr(int(body[1:], 16))
        if body[0] in "01234567":
            return chr(int(body, 8))
        if body not in _ESCAPES:
            raise ValueError(body)
        return _ESCAPES[body]

    pattern = r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)"
    return re.sub(pattern, replace, text, flags=re.S)
