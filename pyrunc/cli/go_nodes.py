"""What does a parsed template do?  Each node of it is a function made here.

A node gets the run (variables, output, bounds) and the dot; it touches plain data only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from .go_functions import FUNCTIONS, Method, Struct, TemplateFailure, Value, is_true, to_text

STEP_LIMIT = 1_000_000
OUTPUT_LIMIT = 16 << 20


class Run:
    """One execution: the variables, and what bounds it."""

    def __init__(self, root: Value) -> None:
        """Start with `$`, the data itself."""
        self.scopes: list[dict[str, Value]] = [{"$": root}]
        self.output: list[str] = []
        self.size = 0
        self.steps = 0

    def step(self) -> None:
        """Count one step; raises TemplateFailure when there are too many."""
        self.steps += 1
        if self.steps > STEP_LIMIT:
            raise TemplateFailure("too many steps")

    def emit(self, text: str) -> None:
        """Write; raises TemplateFailure when it is too much."""
        self.size += len(text)
        if self.size > OUTPUT_LIMIT:
            raise TemplateFailure("too much output")
        self.output.append(text)

    def lookup(self, name: str) -> dict[str, Value]:
        """Return the innermost scope that has the variable; the parser checked that one does."""
        return next(scope for scope in reversed(self.scopes) if name in scope)


Evaluate = Callable[[Run, Value], Value]
Execute = Callable[[Run, Value], None]


class Break(Exception):  # control flow of the template, never an error
    """{{break}}"""


class Continue(Exception):
    """{{continue}}"""


class Stage:
    """One stage of a pipeline; only some take the value of the stage before."""

    def __init__(
        self, evaluate: Callable[[Run, Value, Sequence[Value]], Value], *, takes_argument: bool
    ) -> None:
        """Keep both."""
        self.evaluate = evaluate
        self.takes_argument = takes_argument


def text_node(text: str) -> Execute:
    """Write a text."""
    return lambda run, _dot: run.emit(text)


def jump(signal: type[Exception]) -> Execute:
    """Leave or go on with the innermost range."""

    def execute(_run: Run, _dot: Value) -> None:
        raise signal

    return execute


def if_node(
    pipeline: Evaluate, body: Execute, otherwise: Execute | None, *, rebind: bool
) -> Execute:
    """Choose by a value; with `rebind` it becomes the dot."""

    def execute(run: Run, dot: Value) -> None:
        run.scopes.append({})
        try:
            value = pipeline(run, dot)
            if is_true(value):
                body(run, value if rebind else dot)
            elif otherwise:
                otherwise(run, dot)
        finally:
            run.scopes.pop()

    return execute


def range_node(
    pipeline: Evaluate, names: list[str], body: Execute, otherwise: Execute | None
) -> Execute:
    """Repeat for each item."""

    def execute(run: Run, dot: Value) -> None:
        run.scopes.append({})
        try:
            pairs = _pairs(pipeline(run, dot))
            empty = True
            for key, value in pairs:
                empty = False
                run.step()
                if names:
                    run.scopes[-1][names[-1]] = value
                if len(names) > 1:
                    run.scopes[-1][names[0]] = key
                try:
                    body(run, value)
                except Continue:
                    continue
                except Break:
                    break
            if empty and otherwise:
                otherwise(run, dot)
        finally:
            run.scopes.pop()

    return execute


def _pairs(value: Value) -> Iterator[tuple[Value, Value]]:
    if value is None:
        return iter(())
    if isinstance(value, Mapping):
        return iter(sorted(value.items()))
    if isinstance(value, list | tuple):
        return iter(enumerate(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return iter((number, number) for number in range(min(value, STEP_LIMIT + 1)))
    raise TemplateFailure(f"range can't iterate over {to_text(value)[:64]}")


def field_node(base: Evaluate, name: str) -> Evaluate:
    """Take `.name` of a value: a key of a map, never an attribute."""

    def evaluate(run: Run, dot: Value) -> Value:
        run.step()
        value = base(run, dot)
        if isinstance(value, Mapping):
            found = value.get(name)
            if found is None and isinstance(value, Struct) and name in value.optional:
                return value.optional[name]
            if name in value:
                return found
            if getattr(type(value), "is_open", False):
                return None
            raise TemplateFailure(f'at <.{name}>: map has no entry for key "{name}"')
        if value is None:
            raise TemplateFailure(f"at <.{name}>: nil data; no entry for key {name!r}")
        raise TemplateFailure(f"at <.{name}>: can't evaluate field {name} in this type")

    return evaluate


def method_node(
    operand: Evaluate, arguments: list[Evaluate]
) -> Callable[[Run, Value, Sequence[Value]], Value]:
    """Take a value, or call it if it is a method."""

    def evaluate(run: Run, dot: Value, piped: Sequence[Value]) -> Value:
        run.step()
        value = operand(run, dot)
        given = [argument(run, dot) for argument in arguments]
        if isinstance(value, Method):
            return value.call(*given, *piped)
        if given or piped:
            raise TemplateFailure(f"{to_text(value)[:64]} is not a method but has arguments")
        return value

    return evaluate


def call_node(
    name: str, arguments: list[Evaluate]
) -> Callable[[Run, Value, Sequence[Value]], Value]:
    """Call a function; only its own TypeErrors are the template's fault."""
    function = FUNCTIONS[name]

    def evaluate(run: Run, dot: Value, piped: Sequence[Value]) -> Value:
        run.step()
        if name in ("and", "or"):
            # These two stop at the first argument that decides.
            value: Value = None
            for argument in [*arguments, *[_constant(value) for value in piped]]:
                value = argument(run, dot)
                if is_true(value) == (name == "or"):
                    return value
            if not arguments and not piped:
                raise TemplateFailure(f"wrong number of args for {name}: want at least 1 got 0")
            return value
        given = [argument(run, dot) for argument in arguments]
        try:
            return function(*given, *piped)
        except TypeError:
            raise TemplateFailure(
                f"error calling {name}: wrong number or type of arguments"
            ) from None
        except TemplateFailure as failure:
            raise TemplateFailure(f"error calling {name}: {failure}") from None

    return evaluate


def _constant(value: Value) -> Evaluate:
    return lambda _run, _dot: value


def bare_call(node: Callable[[Run, Value, Sequence[Value]], Value]) -> Evaluate:
    """Call without arguments."""
    return lambda run, dot: node(run, dot, ())
