"""How are C parts built so that a wrong access ends them, for fuzzing?

With gcc and the C library of the host, not with musl, which has no sanitizers.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.harness.engine import SOURCE

_FLAGS = ["-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", "-static-libasan"]
_SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# Its words go into the directory that the program is confined to, if it is.
OPTIONS = "detect_leaks=0:log_path=/asan"


def build(place: Path, name: str, sources: list[str], *more: Path) -> Path:
    """Compile sources of csrc, and others by their path, to a program; returns its path."""
    program = place / name
    options = place / "options.c"
    options.write_text(
        "const char *__asan_default_options(void);\n"
        f'const char *__asan_default_options(void) {{ return "{OPTIONS}"; }}\n'
    )
    files = [*(str(SOURCE / "csrc" / one) for one in sources), *map(str, more), str(options)]
    words = ["gcc", *_FLAGS, *_SANITIZERS, f"-I{SOURCE / 'csrc'}", "-o", str(program), *files]
    subprocess.run(words, check=True)
    return program


def unpacker_sources() -> list[str]:
    """Return the files of pyrunc-unpack."""
    return sorted(path.name for path in (SOURCE / "csrc").glob("unpack*.c"))
