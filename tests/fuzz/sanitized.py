"""How are C parts built so that a wrong access ends them, for fuzzing?

With gcc and the C library of the host, not with musl, which has no sanitizers.

    python -m tests.fuzz.sanitized [PYTEST ARGUMENTS]    tests, with such a launcher and unpacker
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
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


def launcher_sources() -> list[str]:
    """Return the files of pyrunc-init, as launcher.cmake lists them."""
    listed = (SOURCE / "csrc/launcher.cmake").read_text().split("set(PYRUNC_CHILD_SOURCES")[1]
    words = listed.split("# The child's half")[0].replace("set(PYRUNC_PARENT_SOURCES", " ")
    return words.replace(")", " ").split()


def main(arguments: list[str]) -> int:
    """Run pytest where both programs of libexec are sanitized ones, for this process alone."""
    libexec = SOURCE / "pyrunc/libexec"
    with tempfile.TemporaryDirectory(prefix="pyrunc-fuzz-", dir="/var/tmp") as name:
        place = Path(name)
        other = shutil.copytree(libexec, place / "libexec")
        build(place, "init", launcher_sources()).rename(other / "pyrunc-init")
        build(place, "unpack", unpacker_sources()).rename(other / "pyrunc-unpack")
        script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "-"]
        test = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run([*words, str(other), str(libexec), *test], cwd=SOURCE).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
