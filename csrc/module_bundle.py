"""Compile the package into one file: module_bundle.py PACKAGE OUTPUT in-tree|installed.

Run by CMake.  The file holds, marshalled one behind the other: the code of module_finder.py, then
(checked against the sources?, {module: (is package, path, mtime, size, offset, length)}), then
the code of every module.  The format is the interpreter's own; the file's name tells which.
"""

import marshal
import sys
from pathlib import Path


def main() -> None:
    """Compile and write."""
    package, output, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    finder = Path(__file__).with_name("module_finder.py")
    index, bodies = {}, b""
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package.parent)
        is_package = path.name == "__init__.py"
        parts = relative.parent.parts if is_package else relative.with_suffix("").parts
        source, status = path.read_bytes(), path.stat()
        body = marshal.dumps(compile(source, str(relative), "exec", dont_inherit=True))
        index[".".join(parts)] = (
            is_package,
            str(relative),
            status.st_mtime_ns,
            status.st_size,
            len(bodies),
            len(body),
        )
        bodies += body
    code = compile(finder.read_bytes(), finder.name, "exec", dont_inherit=True)
    head = marshal.dumps(code) + marshal.dumps((kind == "in-tree", index))
    output.write_bytes(head + bodies)


if __name__ == "__main__":
    main()
