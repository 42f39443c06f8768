"""What a block of time has cost: CPU by process, and statements."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

from tests.measuring import footprint

WATCHER = "watcher"

# Without ours, because we look as somebody else, and without the server's own look-ups of foreign keys.
_STATEMENTS = """
SELECT coalesce(sum(calls), 0)::integer FROM pg_stat_statements AS statement
  JOIN pg_database AS database ON database.oid = statement.dbid
 WHERE database.datname = %s AND statement.userid <> %s::regrole
   AND statement.query NOT LIKE 'SELECT %% FROM ONLY %% FOR KEY SHARE OF x'
"""


@contextmanager
def spending(
    parts: Mapping[str, int], *, watch: psycopg.Connection, database: str = ""
) -> Iterator[dict[str, float]]:
    """Measure the block, and fill what it yields when it is over.

    :param parts: the first process of each; what it started counts with it.
    :param database: whose statements to count.
    """
    numbers: dict[str, float] = {}
    statements = _statements(watch, database)
    began, before = time.monotonic(), {part: footprint.cpu(pid) for part, pid in parts.items()}
    yield numbers
    numbers["seconds"] = time.monotonic() - began
    numbers |= {f"cpu {part}": footprint.cpu(pid) - before[part] for part, pid in parts.items()}
    numbers["statements"] = _statements(watch, database) - statements


def _statements(watch: psycopg.Connection, database: str) -> int:
    (count,) = watch.execute(_STATEMENTS, [database, WATCHER]).fetchone() or (0,)
    return int(count)
