"""What PostgreSQL and SQLite do differently, one file for each. No more may."""

from deliveries.models.databases.bulk import add_up, instances, rewrite, write
from deliveries.models.databases.claims import CLAIMED, ClockWasWrong, claim_due
from deliveries.models.databases.counts import count_of_each
from deliveries.models.databases.errors import is_away, is_busy, is_refusal, took_too_long
from deliveries.models.databases.locks import exclusively, unhurried
from deliveries.models.databases.partitions import (
    DAY,
    Day,
    InUse,
    days_kept,
    drop_days,
    make_days,
    midnight,
    missing_days,
)
from deliveries.models.databases.publications import store
from deliveries.models.databases.sizes import TableSize, attempts_since, database_size, server, table_sizes
from deliveries.models.databases.sums import sums_by
from deliveries.models.databases.times import ask_the_time, keep_time

__all__ = [
    "CLAIMED",
    "DAY",
    "ClockWasWrong",
    "Day",
    "InUse",
    "TableSize",
    "add_up",
    "ask_the_time",
    "attempts_since",
    "claim_due",
    "count_of_each",
    "database_size",
    "days_kept",
    "drop_days",
    "exclusively",
    "instances",
    "is_away",
    "is_busy",
    "is_refusal",
    "keep_time",
    "make_days",
    "midnight",
    "missing_days",
    "rewrite",
    "server",
    "store",
    "sums_by",
    "table_sizes",
    "took_too_long",
    "unhurried",
    "write",
]
