"""The claim: due deliveries are leased, in turns between webhooks."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zlib import crc32

from django.db import connection, transaction

from deliveries import clock
from deliveries.models.databases.times import ask_the_time

# One after the other, so that counting what is under way for a webhook and adding to it are one step.
_CLAIM_LOCK = crc32(b"deliveries.claim")
# By how much a process may be late in reading what it was told.
_CLOSE = timedelta(seconds=2)

# What a claim returns of each delivery: all that sending it takes, or recording what came of it.
CLAIMED = (
    "id",
    "account_id",
    "event_id",
    "webhook_id",
    "status",
    "due_at",
    "lease_token",
    "claims",
    "round",
    "attempts_made",
)

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
RETURNING delivery.id, delivery.account_id, delivery.event_id, delivery.webhook_id, delivery.status,
          delivery.due_at, delivery.lease_token, delivery.claims, delivery.round, delivery.attempts_made
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
RETURNING id, account_id, event_id, webhook_id, status, due_at, lease_token, claims, round, attempts_made
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
) -> list[tuple[Any, ...]]:
    """Lease due deliveries; return the columns `CLAIMED` of each. See `DeliveryQuerySet.claim_due`.

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
            rows: list[tuple[Any, ...]] = cursor.fetchall()
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
        return [_from_sqlite(*row) for row in cursor.fetchall()]


def _from_sqlite(
    pk: str, account: str, event: str, webhook: str, status: str, due_at: datetime, token: str, *counts: int
) -> tuple[Any, ...]:
    lease = due_at.replace(tzinfo=UTC), UUID(token)
    return UUID(pk), UUID(account), UUID(event), UUID(webhook), status, *lease, *counts


class ClockWasWrong(Exception):
    """The clock was not the database's, and is now: a machine may stand still and not notice."""
