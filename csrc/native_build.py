"""Write the C source of pyrunc.kernel._native: what stands between the marks of native.h.

Usage: native_build.py HEADER OUTPUT
"""

from __future__ import annotations

import sys
from pathlib import Path

from cffi import FFI


def main(header: str, output: str) -> None:
    """Emit the module for cffi's API mode; CMake compiles it together with native.c."""
    text = Path(header).read_text(encoding="utf-8")
    declarations = text.split("/* cffi: begin */")[1].split("/* cffi: end */")[0]
    builder = FFI()
    builder.cdef(declarations)
    builder.set_source("pyrunc.kernel._native", '#include "native.h"')
    builder.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
