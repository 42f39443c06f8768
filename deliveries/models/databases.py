"""What PostgreSQL and SQLite do differently: the claim, a bounded count, a lock between processes, the time.

No more may.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zlib import crc32

from django.contrib.postgres.expressions import ArraySubquery
from django.db import (
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, OuterRef, QuerySet

from deliveries import clock

logger = logging.getLogger(__name__)

# One after the other, so that counting what is under way for a webhook and adding to it are one step.
_CLAIM_LOCK = crc32(b"deliveries.claim")
# The beginnings of PostgreSQL's codes: for what another moment mends, and for more than it can take at all.
_BUSY = ("40", "55", "57014")
_TOO_MUCH = "54"
# By how much a process may be late in reading what it was told.
_CLOSE = timedelta(seconds=2)

# The recursion steps from webhook to webhook through the index, whatever the depth of each backlog: first
# those behind the one the last claim ended with, then round to it. Each gives its oldest due rows, as many as
# it has room for: none while it is paused or its circuit open. The LIMIT ends the walk early. OFFSET 0 keeps
# the planner from turning the join round, which it likes where it knows of few webhooks, and which would
# serve the first of them first every time.
_CLAIM_POSTGRESQL = """
WITH RECURSIVE behind AS (
    (SELECT webhook_id FROM deliveries_delivery
      WHERE status = 'pending' AND webhook_id > %(after)s ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT step.webhook_id FROM behind, LATERAL (
        SELECT webhook_id FROM deliveries_delivery
         WHERE status = 'pending' AND webhook_id > behind.webhook_id ORDER BY webhook_id LIMIT 1) AS step
), before AS (
    (SELECT webhook_id FROM deliveries_delivery
      WHERE status = 'pending' AND webhook_id <= %(after)s ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT step.webhook_id FROM before, LATERAL (
        SELECT webhook_id FROM deliveries_delivery
         WHERE status = 'pending' AND webhook_id > before.webhook_id AND webhook_id <= %(after)s
         ORDER BY webhook_id LIMIT 1) AS step
), picked AS MATERIALIZED (
    SELECT due.id, webhook.timeout
      FROM (SELECT webhook_id FROM behind UNION ALL SELECT webhook_id FROM before) AS walk
     CROSS JOIN LATERAL (
        SELECT webhook.id, webhook.timeout,
               CASE health.circuit WHEN 'probing' THEN 1 ELSE webhook.max_in_flight END AS most
          FROM deliveries_webhook AS webhook
          LEFT JOIN deliveries_webhookhealth AS health ON health.webhook_id = webhook.id
         WHERE webhook.id = walk.webhook_id AND webhook.enabled
           AND coalesce(health.circuit, 'closed') <> 'open'
           AND NOT EXISTS (
            SELECT FROM deliveries_pause AS pause
             WHERE pause.account_id = webhook.account_id AND pause.ended_at IS NULL AND pause.until > %(now)s
               AND coalesce(pause.webhook_id, webhook.id) = webhook.id AND pause.event_type = '')
        OFFSET 0) AS webhook
     CROSS JOIN LATERAL (
        SELECT greatest(0, least(
                   webhook.most - count(*),
                   %(share)s - coalesce((%(taken)s::jsonb ->> webhook.id::text)::integer, 0))) AS room
          FROM deliveries_delivery
         WHERE webhook_id = webhook.id AND lease_token IS NOT NULL AND due_at > %(now)s) AS lane
     CROSS JOIN LATERAL (
        SELECT id FROM deliveries_delivery
         WHERE webhook_id = webhook.id AND status = 'pending' AND due_at <= %(now)s
         ORDER BY due_at LIMIT lane.room
           FOR UPDATE SKIP LOCKED) AS due
     LIMIT %(limit)s
)
UPDATE deliveries_delivery AS delivery
   SET due_at = %(now)s + picked.timeout * interval '1 second' + %(grace)s,
       lease_token = %(token)s,
       claims = delivery.claims + 1
  FROM picked
 WHERE delivery.id = picked.id
RETURNING delivery.id, delivery.webhook_id
"""

# The same walk. There is one writer at a time, so nothing needs locking; a LIMIT takes no column here, so the
# rows of a webhook are numbered instead, no more of them than could ever be taken.
_CLAIM_SQLITE = """
WITH RECURSIVE behind(webhook_id) AS (
    SELECT min(webhook_id) FROM deliveries_delivery WHERE status = 'pending' AND webhook_id > %(after)s
    UNION ALL
    SELECT (SELECT min(webhook_id) FROM deliveries_delivery
             WHERE status = 'pending' AND webhook_id > behind.webhook_id)
      FROM behind WHERE webhook_id IS NOT NULL
), before(webhook_id) AS (
    SELECT min(webhook_id) FROM deliveries_delivery WHERE status = 'pending' AND webhook_id <= %(after)s
    UNION ALL
    SELECT (SELECT min(webhook_id) FROM deliveries_delivery
             WHERE status = 'pending' AND webhook_id > before.webhook_id AND webhook_id <= %(after)s)
      FROM before WHERE webhook_id IS NOT NULL
), walk(turn, webhook_id) AS (
    SELECT 0, webhook_id FROM behind UNION ALL SELECT 1, webhook_id FROM before
), picked(id) AS (
    SELECT due.id
      FROM walk
      JOIN deliveries_webhook AS webhook ON webhook.id = walk.webhook_id AND webhook.enabled
      LEFT JOIN deliveries_webhookhealth AS health ON health.webhook_id = webhook.id
      JOIN deliveries_delivery AS due ON due.id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (ORDER BY due_at) AS place FROM deliveries_delivery
             WHERE webhook_id = webhook.id AND status = 'pending' AND due_at <= %(now)s
             ORDER BY due_at LIMIT %(limit)s)
         WHERE place <= min(
            CASE health.circuit WHEN 'probing' THEN 1 ELSE webhook.max_in_flight END - (
                SELECT count(*) FROM deliveries_delivery
                 WHERE webhook_id = webhook.id AND lease_token IS NOT NULL AND due_at > %(now)s),
            %(share)s - coalesce(%(taken)s ->> ('$."' || webhook.id || '"'), 0)))
     WHERE coalesce(health.circuit, 'closed') <> 'open'
       AND NOT EXISTS (
        SELECT 1 FROM deliveries_pause AS pause
         WHERE pause.account_id = webhook.account_id AND pause.ended_at IS NULL AND pause.until > %(now)s
           AND coalesce(pause.webhook_id, webhook.id) = webhook.id AND pause.event_type = '')
     ORDER BY walk.turn, walk.webhook_id
     LIMIT %(limit)s
)
UPDATE deliveries_delivery
   SET due_at = strftime('%%Y-%%m-%%d %%H:%%M:%%f', %(now)s,
                         (SELECT timeout + %(grace)s FROM deliveries_webhook
                           WHERE id = deliveries_delivery.webhook_id) || ' seconds'),
       lease_token = %(token)s,
       claims = claims + 1
 WHERE id IN (SELECT id FROM picked)
RETURNING id, webhook_id
"""


def claim_due(
    *,
    now: datetime,
    limit: int,
    grace: timedelta,
    after: UUID,
    share: int,
    taken: Mapping[UUID, int],
    token: UUID,
) -> list[tuple[UUID, UUID]]:
    """Lease due deliveries; return each one's id and its webhook's. See `DeliveryQuerySet.claim_due`.

    :raises ClockWasWrong: leases by that clock would have ended already, or end too late.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Any other kind of join reads the whole walk before the LIMIT can end it.
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s), clock_timestamp(),"
                " set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)",
                [_CLAIM_LOCK],
            )
            if abs(cursor.fetchone()[1] - clock.now()) > _CLOSE:
                ask_the_time(connection)
                raise ClockWasWrong
            values: dict[str, Any] = {"now": now, "grace": grace, "after": after, "token": token}
            values |= {"taken": json.dumps({str(pk): count for pk, count in taken.items()})}
            cursor.execute(_CLAIM_POSTGRESQL, {**values, "limit": limit, "share": share})
            rows: list[tuple[UUID, UUID]] = cursor.fetchall()
            return rows
        values = {
            # Moments are compared as text there: written out in full, this one is not below its equals.
            "now": now.replace(tzinfo=None).isoformat(" ", timespec="microseconds"),
            "grace": grace.total_seconds(),
            "after": after.hex,
            "token": token.hex,
            "taken": json.dumps({pk.hex: count for pk, count in taken.items()}),
        }
        cursor.execute(_CLAIM_SQLITE, {**values, "limit": limit, "share": share})
        return [(UUID(pk), UUID(webhook_id)) for pk, webhook_id in cursor.fetchall()]


class _EachOf(Func):
    function = "unnest"
    set_returning = True


def count_of_each(owners: "QuerySet[Any]", rows: "QuerySet[Any]", *, by: str, order: str, most: int) -> int:
    """Count the rows of these owners, and stop at `most`. No more than twice as many rows are read.

    :param by: the column of the rows that names the owner; the first one of the index that is to be read.
    :param order: the one that follows it there.
    """
    if connection.vendor != "postgresql":
        # SQLite goes through the index from owner to owner by itself, and stops where it is told to.
        return rows.filter(**{f"{by}__in": owners.values("pk")}).order_by()[:most].count()
    # PostgreSQL may prefer to read a whole index past the rows that are not wanted, or the whole table. What
    # stands in the list of columns it can only do for one owner after the other.
    of_owner = rows.filter(**{by: OuterRef("pk")}).order_by(order).values(order)[:most]
    return owners.order_by().values(each=_EachOf(ArraySubquery(of_owner)))[:most].count()


def is_away(error: Exception) -> bool:
    """Tell whether it is the connection that failed, and not one statement on it."""
    if not isinstance(error, OperationalError):
        return isinstance(error, InterfaceError)
    return not is_busy(error) and not _code(error).startswith(_TOO_MUCH)


def is_refusal(error: Exception) -> bool:
    """Tell whether it is what was to be written that is wrong, beside which anything else can be written.

    An error that is not the database's is one of those. That a column is missing, or a right, is none: there
    is nothing that could be written.
    """
    if not isinstance(error, Error):
        return True
    return isinstance(error, DataError | IntegrityError) or _code(error).startswith(_TOO_MUCH)


def is_busy(error: Exception) -> bool:
    """Tell whether the moment was wrong: a deadlock, a lock not to be had, a statement that took too long."""
    return isinstance(error, OperationalError) and _code(error).startswith(_BUSY)


def _code(error: Exception) -> str:
    """Return PostgreSQL's code of an error; nothing where it gave none."""
    return getattr(error.__cause__, "sqlstate", None) or ""


class ClockWasWrong(Exception):
    """The clock was not the database's, and is now: a machine may stand still and not notice."""


@contextmanager
def exclusively(name: str) -> Iterator[bool]:
    """Hold the lock of this name for the length of the block, and tell whether it was free.

    It belongs to the connection, so it is gone as soon as its process is.
    """
    if connection.vendor != "postgresql":
        # One process works on an SQLite file, and its scheduler runs one such job at a time.
        yield True
        return
    key = crc32(name.encode())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        (free,) = cursor.fetchone()
    try:
        yield free
    finally:
        if free:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])


def ask_the_time(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Set the clock by a connection, as each does that is made. Where that fails, it goes on as it was."""
    if connection.vendor != "postgresql":
        # The host's clock is that of the only process which works on an SQLite file.
        return

    def ask() -> datetime:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            moment: datetime = cursor.fetchone()[0]
            return moment

    try:
        clock.set_by(ask)
    except Error:
        # Whoever wanted the connection is told by its next statement.
        logger.debug("The database did not tell the time", exc_info=True)


def keep_time(*, within: timedelta) -> timedelta:
    """Ask the database for the time unless that was done lately.

    :returns: how far the host's clock is ahead of the database's.
    """
    if clock.age() > within:
        ask_the_time(connection)
    return clock.skew()
