"""Who imports whom, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[3]


class Import(NamedTuple):
    """One import statement, with modules by full name."""

    importer: str
    imported: str
    line: int
    lazy: bool  # inside a function: paid for only when it runs
    typing_only: bool  # under TYPE_CHECKING: never paid for


def modules() -> dict[str, Path]:
    """Return every module of the package by name."""
    found = {}
    for path in sorted((SOURCE / "pyrunc").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> list[Import]:
    """Return every import of every module."""
    known = modules()
    found: list[Import] = []
    for name, path in known.items():
        tree = ast.parse(path.read_text())
        found += _walk(tree, name, path.name == "__init__.py", known, False, False)
    return found


def _walk(
    node: ast.AST, name: str, is_package: bool, known: dict[str, Path], lazy: bool, typing: bool
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(name, alias.name, child.lineno, lazy, typing)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(child, name, is_package)
            for alias in child.names:
                full = f"{base}.{alias.name}"
                target = full if full in known else base
                yield Import(name, target, child.lineno, lazy, typing)
        elif isinstance(child, ast.If) and _is_type_checking(child.test):
            for part in child.body:
                yield from _walk(ast.Module([part], []), name, is_package, known, lazy, True)
            for part in child.orelse:
                yield from _walk(ast.Module([part], []), name, is_package, known, lazy, typing)
        else:
            inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(child, name, is_package, known, inside, typing)


def _absolute(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = name.split(".")
    parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*parts, node.module] if node.module else parts)


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
