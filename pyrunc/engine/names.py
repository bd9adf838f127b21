"""What is a container called when nobody named it?  adjective_surname, as docker users expect.

The surnames are those of people without whose work there would be no containers.
"""

from __future__ import annotations

import os

_ADJECTIVES = (
    "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "clever", "crisp", "curious",
    "daring", "dapper", "deft", "eager", "early", "earnest", "easy", "elegant", "fair", "fleet",
    "fond", "free", "fresh", "gentle", "glad", "golden", "graceful", "grand", "happy", "hardy",
    "honest", "humble", "jolly", "jovial", "keen", "kind", "lively", "loyal", "lucid", "lucky",
    "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "placid",
    "plucky", "polite", "prompt", "proud", "pure", "quick", "quiet", "rapid", "ready", "robust",
    "rosy", "serene", "sharp", "shiny", "silent", "sleek", "smart", "snug", "sober", "solid",
    "spry", "steady", "still", "sunny", "swift", "tender", "tidy", "trim", "trusty", "upbeat",
    "vivid", "warm", "wise", "witty", "zesty",
)  # fmt: skip
_SURNAMES = (
    "allman", "babbage", "baran", "berners", "bourne", "cerf", "church", "clark", "codd",
    "conway", "corbato", "cray", "dijkstra", "engelbart", "estrin", "feinler", "floyd",
    "goldberg", "hamilton", "hoare", "hopper", "iverson", "jacobson", "joy", "kahn", "karels",
    "kay", "kernighan", "kleinrock", "knuth", "lamport", "lampson", "licklider", "liskov",
    "lovelace", "mccarthy", "mcilroy", "mckusick", "milner", "minsky", "mockapetris", "moore",
    "morris", "naur", "neumann", "nygaard", "ossanna", "perlman", "pike", "postel", "ritchie",
    "salus", "saltzer", "shannon", "steele", "stevens", "stonebraker", "strachey", "sussman",
    "sutherland", "tanenbaum", "tarjan", "thompson", "turing", "viro", "wall", "wheeler",
    "wilkes", "wirth", "zuse",
)  # fmt: skip


def random_name(attempt: int = 0) -> str:
    """Return a name such as "nimble_ritchie"; not unique, the database decides that.

    From the fourth attempt on with a number behind it, so that thousands of containers find names.
    """
    raw = int.from_bytes(os.urandom(8), "big")
    adjective, surname = divmod(raw, len(_SURNAMES))
    number = str(raw >> 40) if attempt > 2 else ""
    return f"{_ADJECTIVES[adjective % len(_ADJECTIVES)]}_{_SURNAMES[surname]}{number}"
