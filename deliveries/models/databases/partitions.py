"""The days of the attempts. SQLite has one table, and nothing to do here.

On PostgreSQL it has a partition for each day, by the ids of its rows, which say to the millisecond when they
were queued. What belongs to none of the days there are goes to one more: what was queued weeks before it was
sent, or under an id from a clock that was wrong. So a row finds its place whatever was not done.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper

from deliveries.identifiers import first_id_at, moment_of
from deliveries.models.databases.errors import is_busy
from deliveries.models.databases.locks import patiently, take, unhurried

logger = logging.getLogger(__name__)

TABLE, OTHER = "deliveries_attempt", "deliveries_attempt_other"
DAY = timedelta(days=1)
# How many days have their partition before they begin.
AHEAD = 7
# A day that began without one gets none any more once it has so many rows: they would have to move, and
# nobody could write meanwhile.
MOST_MOVED = 10_000
# With more in the part of those that have none, no day is made any more: the database would read all of it
# while nobody can write there. In bytes; a tenth of a second.
LARGEST = 64 * 1024 * 1024

_PARTITIONS = """
SELECT relation.relname, pg_get_expr(relation.relpartbound, relation.oid)
  FROM pg_inherits JOIN pg_class AS relation ON relation.oid = inhrelid
 WHERE inhparent = 'deliveries_attempt'::regclass
"""
# From the catalogue and the sizes of files: no row is read.
_SIZES = """
SELECT relation.relname, pg_total_relation_size(relation.oid)
  FROM pg_inherits JOIN pg_class AS relation ON relation.oid = inhrelid
 WHERE inhparent = 'deliveries_attempt'::regclass
"""
# What belongs to no day says only DEFAULT.
_BOUNDS = re.compile(r"FOR VALUES FROM \((?:MINVALUE|'(?P<first>.+)')\) TO \('(?P<end>.+)'\)")


class InUse(Exception):
    """Somebody reads the attempts for long, so none of their partitions can be dropped."""


@dataclass(frozen=True, kw_only=True)
class Day:
    """A part of the attempts.

    :param first: when it begins; None for the one with all that was there before there were days.
    :param end: when the next one begins.
    :param size: what it takes on the disk with its indexes, in bytes.
    """

    first: datetime | None
    end: datetime
    size: int


@dataclass(frozen=True)
class _Partition:
    name: str
    first: UUID
    """The smallest id that belongs to it."""
    end: UUID
    """The smallest id behind it."""

    def holds(self, day: datetime) -> bool:
        return self.first <= first_id_at(day) < self.end


def midnight(moment: datetime) -> datetime:
    """Return the beginning of the day a moment lies in: days are of UTC."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def missing_days(*, now: datetime, ahead: int = AHEAD) -> list[datetime]:
    """Return which of today and the days ahead have no partition, where the database keeps days."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        there = _partitions(cursor)
    days = [midnight(now) + number * DAY for number in range(ahead + 1)]
    return [day for day in days if not any(partition.holds(day) for partition in there)]


def days_kept() -> list[Day]:
    """Return the days there are, the oldest first; none where the database keeps no days."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        there = _partitions(cursor)
        cursor.execute(_SIZES)
        sizes: dict[str, int] = dict(cursor.fetchall())
    return [
        Day(
            first=moment_of(partition.first) if partition.first.int else None,
            end=moment_of(partition.end),
            # One that was dropped in between takes nothing any more.
            size=sizes.get(partition.name) or 0,
        )
        for partition in there
    ]


def make_days(*, now: datetime, ahead: int = AHEAD, however_long: bool = False) -> int:
    """Have a partition for today and each of the days ahead; return how many were missing and are made.

    Mostly this is one look at the catalogue. With very much in the part of those that have no day nothing is
    made, and the log says so.

    :param however_long: make them all the same; whoever records waits meanwhile.
    """
    if connection.vendor != "postgresql":
        return 0
    missing = missing_days(now=now, ahead=ahead)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_relation_size('{OTHER}')")
        (size,) = cursor.fetchone()
    if missing and size > LARGEST and not however_long:
        logger.error(
            "So many attempts are of no day that none can be made meanwhile: run manage.py make_days",
            extra={"event": "days.missing", "missing": len(missing), "bytes": size},
        )
        return 0
    return sum(_make(day, however_long=however_long) for day in missing)


def _make(day: datetime, *, however_long: bool) -> bool:
    """Make a day, and tell whether there was none."""
    first, end = first_id_at(day), first_id_at(day + DAY)
    name = f"{TABLE}_{day:%Y_%m_%d}"
    time = unhurried(seconds=None) if however_long else transaction.atomic()
    with time, connection.cursor() as cursor:
        # One after the other, so that of two processes the second finds what the first has made.
        take(OTHER)
        if any(partition.holds(day) for partition in _partitions(cursor)):
            return False
        cursor.execute(
            f"SELECT count(*) FROM (SELECT FROM {OTHER} WHERE id >= %s AND id < %s LIMIT %s) AS moving",  # noqa: S608
            [first, end, MOST_MOVED + 1],
        )
        if cursor.fetchone()[0] > MOST_MOVED:
            return False
        # Filled before it is attached, which is all that the others hear of it. No name here is but ours.
        cursor.execute(f"CREATE TABLE {name} (LIKE {OTHER} INCLUDING ALL)")
        cursor.execute(
            f"WITH moved AS (DELETE FROM {OTHER} WHERE id >= %s AND id < %s RETURNING *)"  # noqa: S608
            f" INSERT INTO {name} SELECT * FROM moved",
            [first, end],
        )
        cursor.execute(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", [first, end]
        )
    return True


def drop_days(
    *, before: datetime, go_on: Callable[[], bool], forget: Callable[[Mapping[UUID, int]], None]
) -> int:
    """Drop the partitions without an attempt queued at a moment or later; return how many rows they had.

    One with a few younger ones, queued under ids of a wrong clock, stays.

    :param go_on: asked before each of them.
    :param forget: is told in the same transaction how many attempts of each webhook go.
    :raises InUse: somebody reads the attempts for longer than anybody should wait behind us.
    """
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        over = [each for each in _partitions(cursor) if each.end <= first_id_at(before)]
        rows = 0
        for partition in over:
            if not go_on():
                break
            if _is_over(cursor, partition, before):
                # Before anybody has to wait. What is added meanwhile, queued weeks ago, is left to a recount.
                counts = _count(cursor, partition)
                if _drop(partition, before, go_on, partial(forget, counts)):
                    rows += sum(counts.values())
    return rows


def _drop(
    partition: _Partition, before: datetime, go_on: Callable[[], bool], forget: Callable[[], None]
) -> bool:
    """Drop a partition, and tell whether it went."""

    def drop() -> bool:
        with connection.cursor() as cursor:
            # Now nobody can add to it any more.
            if not _is_over(cursor, partition, before):
                return False
            cursor.execute(f"DROP TABLE {partition.name}")
        forget()
        return True

    try:
        return bool(patiently([TABLE], drop, go_on=go_on))
    except OperationalError as error:
        if not is_busy(error):
            raise
        raise InUse("Somebody reads the attempts for long: look at pg_stat_activity.") from error


def _is_over(cursor: CursorWrapper, partition: _Partition, before: datetime) -> bool:
    cursor.execute(f"SELECT created_at FROM {partition.name} ORDER BY created_at DESC LIMIT 1")  # noqa: S608
    newest = cursor.fetchone()
    return newest is None or newest[0] < before


def _count(cursor: CursorWrapper, partition: _Partition) -> Mapping[UUID, int]:
    """Count the rows of each webhook, a webhook at a time."""
    counts: dict[UUID, int] = {}
    last = UUID(int=0)
    while True:
        cursor.execute(
            f"SELECT webhook_id FROM {partition.name} WHERE webhook_id > %s ORDER BY webhook_id LIMIT 1",  # noqa: S608
            [last],
        )
        found = cursor.fetchone()
        if found is None:
            return counts
        (last,) = found
        with unhurried():
            cursor.execute(f"SELECT count(*) FROM {partition.name} WHERE webhook_id = %s", [last])  # noqa: S608
            (counts[last],) = cursor.fetchone()


def _partitions(cursor: CursorWrapper) -> Sequence[_Partition]:
    """Return those with bounds, the oldest first."""
    cursor.execute(_PARTITIONS)
    bounds = [(name, _BOUNDS.fullmatch(bound)) for name, bound in cursor.fetchall()]
    found = [
        _Partition(name, UUID(match["first"]) if match["first"] else UUID(int=0), UUID(match["end"]))
        for name, match in bounds
        if match
    ]
    return sorted(found, key=lambda partition: partition.first)
