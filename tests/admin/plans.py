"""How PostgreSQL finds what a page asks for."""

import re
from collections.abc import Iterator

from django.db import connection
from django.test.utils import CaptureQueriesContext


def plans(queries: CaptureQueriesContext, table: str) -> Iterator[tuple[str, int]]:
    """Yield how each query of a table was done, and how many pages it touched."""
    for query in queries.captured_queries:
        if f'FROM "{table}"' not in query["sql"]:
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) " + query["sql"])
            plan = "\n".join(line for (line,) in cursor.fetchall())
        pages = re.search(r"Buffers: shared((?: (?:hit|read|dirtied|written)=\d+)+)", plan)
        counted = dict(pair.split("=") for pair in pages[1].split()) if pages else {}
        yield plan, int(counted.get("hit", 0)) + int(counted.get("read", 0))
