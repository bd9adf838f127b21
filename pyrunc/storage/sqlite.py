"""How is SQLite imported at a third of its price?

`_sqlite3` asks functools for lru_cache while it is imported, and functools brings collections,
operator, keyword and more: 2 ms of every start, for a cache of statements.  The C half of that
cache is in `_functools`; it is handed over for the moment of the import.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _sqlite3
    from collections.abc import Callable
    from types import ModuleType
else:

    def _import_sqlite3() -> ModuleType:
        """Import the module, with a stand-in for functools where that is not there yet.

        Source: CPython, Modules/_sqlite/module.c, load_functools_lru_cache.
        """
        if "functools" in sys.modules:
            import _sqlite3

            return _sqlite3
        import _functools

        class StandIn:
            """What _sqlite3 takes from functools, and nothing else."""

            @staticmethod
            def lru_cache(maxsize: int) -> Callable[[Callable[..., object]], object]:
                """Return a decorator, as functools does; nobody asks this cache for its figures."""
                wrapper = _functools._lru_cache_wrapper
                return lambda function: wrapper(function, maxsize, False, tuple)

        sys.modules["functools"] = StandIn
        try:
            import _sqlite3
        finally:
            del sys.modules["functools"]
        return _sqlite3

    _sqlite3 = _import_sqlite3()

Connection = _sqlite3.Connection
DatabaseError = _sqlite3.DatabaseError
IntegrityError = _sqlite3.IntegrityError
OperationalError = _sqlite3.OperationalError
connect = _sqlite3.connect
