"""What the database is, and what it takes on the disk: asked of its catalogue, and of no row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper

from deliveries.models.databases.partitions import TABLE

# SQLite knows the sizes of tables only when it has looked through the whole file, some 3 MB in a millisecond.
LARGEST_FILE = 128 * 1024 * 1024

# The parts of a table count as that table. Where a part was never analysed, its rows are taken to be as large
# as those of the others.
_POSTGRESQL = """
SELECT COALESCE(pg_partition_root(oid), oid)::regclass::text,
       sum(pg_table_size(oid)),
       sum(pg_indexes_size(oid)),
       sum(pg_relation_size(oid)),
       sum(relpages::bigint * current_setting('block_size')::bigint) FILTER (WHERE reltuples >= 0),
       sum(reltuples) FILTER (WHERE reltuples >= 0)
  FROM pg_class
 WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
 GROUP BY 1
"""
_SQLITE_TABLES = """
SELECT name FROM sqlite_master
 WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^' AND sql NOT LIKE '%WITHOUT ROWID%'
 ORDER BY name
"""
_SQLITE_SIZES = """
SELECT part.tbl_name, part.type = 'index', sum(stat.pgsize)
  FROM dbstat AS stat JOIN sqlite_master AS part ON part.name = stat.name
 WHERE stat.aggregate = TRUE
 GROUP BY 1, 2
"""


@dataclass(frozen=True, kw_only=True)
class TableSize:
    """A table on the disk, in bytes. What is not known is None.

    :param rows: an estimate.
    :param data: with what is kept apart for being long.
    """

    name: str
    rows: int | None
    data: int | None
    indexes: int | None

    @property
    def total(self) -> int | None:
        """Return what the table takes with its indexes."""
        return None if self.data is None or self.indexes is None else self.data + self.indexes


def server() -> str:
    """Return the name of the database's product, and its version."""
    sqlite = "SELECT 'SQLite ' || sqlite_version()"
    ask = "SELECT version()" if connection.vendor == "postgresql" else sqlite
    with connection.cursor() as cursor:
        cursor.execute(ask)
        (name,) = cursor.fetchone()
    return " ".join(name.split()[:2])


def database_size() -> int:
    """Return how many bytes the database takes. SQLite's log of changes comes on top."""
    if connection.vendor == "postgresql":
        ask = "SELECT pg_database_size(current_database())"
    else:
        ask = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    with connection.cursor() as cursor:
        cursor.execute(ask)
        size: int = cursor.fetchone()[0]
    return size


def table_sizes() -> list[TableSize]:
    """Return all tables, the largest first."""
    with connection.cursor() as cursor:
        found = _of_postgresql(cursor) if connection.vendor == "postgresql" else _of_sqlite(cursor)
    return sorted(found, key=lambda table: (-(table.total or 0), -(table.rows or 0), table.name))


def attempts_since(moment: datetime) -> int | None:
    """Return about how many attempts were queued at a moment or later; None where that is not known.

    SQLite numbers rows as they come, so two looks into indexes tell. PostgreSQL's days tell sizes instead.
    """
    if connection.vendor == "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT max(rowid) FROM {TABLE}) + 1 - rowid FROM {TABLE}"  # noqa: S608
            " WHERE created_at >= %s ORDER BY created_at LIMIT 1",
            [connection.ops.adapt_datetimefield_value(moment)],
        )
        found = cursor.fetchone()
    return max(0, found[0]) if found else 0


def _of_postgresql(cursor: CursorWrapper) -> list[TableSize]:
    cursor.execute(_POSTGRESQL)
    return [
        TableSize(
            name=name, rows=_estimated(heap, analysed, rows), data=int(data or 0), indexes=int(indexes or 0)
        )
        for name, data, indexes, heap, analysed, rows in cursor.fetchall()
    ]


def _estimated(heap: int | None, analysed: int | None, rows: float | None) -> int | None:
    """Return how many rows a heap has by those of its analysed part."""
    if not heap:
        return 0
    return round(rows * int(heap) / int(analysed)) if rows is not None and analysed else None


def _of_sqlite(cursor: CursorWrapper) -> list[TableSize]:
    cursor.execute(_SQLITE_TABLES)
    names = [name for (name,) in cursor.fetchall()]
    rows, sizes = _numbered(cursor, names), _sizes_of_sqlite(cursor)
    return [
        TableSize(
            name=name,
            rows=rows[name],
            data=sizes.get((name, False), 0) if sizes else None,
            indexes=sizes.get((name, True), 0) if sizes else None,
        )
        for name in names
    ]


def _numbered(cursor: CursorWrapper, names: Sequence[str]) -> dict[str, int]:
    """Return how many numbers lie between the first and the last row of each table."""
    quoted = [connection.ops.quote_name(name) for name in names]
    # Two questions, since only an extreme that is asked for alone is looked up in the tree.
    each = (
        f"SELECT {place}, (SELECT max(rowid) FROM {name}) - (SELECT min(rowid) FROM {name}) + 1"  # noqa: S608
        for place, name in enumerate(quoted)
    )
    cursor.execute(" UNION ALL ".join(each))
    return {names[place]: count or 0 for place, count in cursor.fetchall()}


def _sizes_of_sqlite(cursor: CursorWrapper) -> dict[tuple[str, bool], int]:
    """Return the bytes of each table, and of its indexes; nothing where SQLite does not tell, or not soon."""
    if database_size() > LARGEST_FILE:
        return {}
    try:
        cursor.execute(_SQLITE_SIZES)
    except DatabaseError:
        # It was built without the table that knows.
        return {}
    return {(name, bool(index)): size for name, index, size in cursor.fetchall()}
