"""The cheap import of SQLite: nothing of functools, which is the real one afterwards."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.engine import SOURCE

PROGRAM = """
import sys
sys.path.append(sys.argv[1])
from pyrunc.storage import sqlite
connection = sqlite.connect(":memory:", isolation_level=None)
connection.execute("CREATE TABLE t(a UNIQUE)")
for number in range(300):
    connection.execute(f"INSERT INTO t VALUES (?) -- {number}", (number,))
try:
    connection.execute("INSERT INTO t VALUES (1)")
except sqlite.IntegrityError:
    print("unique", end=" ")
print(connection.execute("SELECT count(*) FROM t").fetchone()[0], end=" ")
print("functools" in sys.modules, "collections" in sys.modules, end=" ")
import functools
print(functools.__file__ is not None)
"""


def test_sqlite_is_imported_without_functools_and_works() -> None:
    words = [sys.executable, "-I", "-S", "-c", PROGRAM, str(SOURCE)]
    done = subprocess.run(words, capture_output=True, text=True)

    assert done.stdout == "unique 300 False False True\n", done.stderr
