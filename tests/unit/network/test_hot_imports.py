"""Does a start with a network import only what is quick to import?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]
QUICK = {"__future__", "_json", "_socket", "_sqlite3", "_struct", "errno", "posix", "time"}


def test_network_on_the_way_of_a_start_imports_no_slow_module() -> None:
    code = (
        "import sys, os; before = set(sys.modules); sys.path.insert(0, sys.argv[1]);"
        "import pyrunc.network.networks, pyrunc.network.attach, pyrunc.network.dns;"
        "print(*(n for n in set(sys.modules) - before if not n.startswith('pyrunc')))"
    )
    argv = [sys.executable, "-I", "-S", "-c", code, str(SOURCE)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) <= QUICK
