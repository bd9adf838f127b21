"""How long are files and functions, against the guide in CONTRIBUTING.md?  A report, not a gate."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
C_FUNCTION = re.compile(r"^[a-z][^;{}()]*\([^;{}]*\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def python_functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the length and the name of every function of a Python file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield length, f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}"


def c_functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the length and the place of every function of a C file in .clang-format's style."""
    text = path.read_text()
    for match in C_FUNCTION.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield match.group(1).count("\n"), f"{path.relative_to(SOURCE)}:{line}"


def report(title: str, rows: list[tuple[int, str]], above: int) -> None:
    """Print median, ninth decile, and what is longer than one should talk about."""
    lengths = sorted(length for length, _ in rows) or [0]
    high = lengths[int((len(lengths) - 1) * 0.9)]
    middle = statistics.median(lengths)
    print(f"{title:18} {len(rows):5}  median {middle:5.0f}  p90 {high:5}  max {lengths[-1]:5}")
    for length, name in sorted(rows, reverse=True):
        if length > above:
            print(f"    {length:5}  {name}")


def main() -> None:
    """Report on the package, the C parts and the tests."""
    parts = {"pyrunc": (500, 60), "tests": (500, 60)}
    for part, (file_limit, function_limit) in parts.items():
        files = sorted((SOURCE / part).rglob("*.py"))
        sized = [(len(one.read_text().splitlines()), str(one.relative_to(SOURCE))) for one in files]
        report(f"{part} files", sized, file_limit)
        functions = [row for one in files for row in python_functions(one)]
        report(f"{part} functions", functions, function_limit)
    files = sorted((SOURCE / "csrc").glob("*.[ch]"))
    sized = [(len(one.read_text().splitlines()), str(one.relative_to(SOURCE))) for one in files]
    report("csrc files", sized, 500)
    report("csrc functions", [row for one in files for row in c_functions(one)], 50)


if __name__ == "__main__":
    main()
