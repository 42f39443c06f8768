"""An installation that has been at work for weeks: attempts by the million, of many webhooks.

Most deliveries arrive at once; one of a hundred at the fifth attempt, and one of eighty never, after six. A
quarter of all goes to one webhook, and the rest to 299 others. Of some things there is little: reasons, a
quiet webhook, deliveries that are queued, held or cancelled.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import psycopg

from benchmarks import rows
from benchmarks.contenders import CURL
from benchmarks.ground import Ground
from benchmarks.installation import Installation

# How many webhooks there are: one for so many attempts, within bounds.
ATTEMPTS_OF_WEBHOOK = 3000
LEAST_WEBHOOKS, MOST_WEBHOOKS = 320, 3000
# Those of them that get something all the time; the next two are disabled, and get next to nothing.
BUSY, DISABLED, QUIET = 300, 300, 301
DAYS = 30
# Deliveries of one event.
FAN_OUT = 4
# How many attempts 800 deliveries take.
ATTEMPTS_OF_800 = 800 + 8 * 4 + 10 * 5
# Of so many webhooks there is traffic in each minute of the last day, two types each, for a million attempts.
TRAFFIC = 30
AUDITED, RECOVERIES = 20_000, 200
# The part of the attempts that holds those from before they went by days, and how they do: see decision
# record 44. An installation that has been at work for weeks has a part for each day.
DIVIDE = f"""
DO $$
DECLARE
  old regclass := (
    SELECT inhrelid FROM pg_inherits
     WHERE inhparent = 'deliveries_attempt'::regclass AND inhrelid::regclass::text LIKE '%before%'
  );
  day timestamptz;
  part text;
BEGIN
  EXECUTE 'DROP TABLE ' || old;
  FOR ago IN -7..{DAYS + 1} LOOP
    day := date_trunc('day', now(), 'UTC') - ago * interval '1 day';
    part := 'deliveries_attempt_' || to_char(day AT TIME ZONE 'UTC', 'YYYY_MM_DD');
    CONTINUE WHEN to_regclass(part) IS NOT NULL;
    EXECUTE format('CREATE TABLE %s (LIKE deliveries_attempt_other INCLUDING ALL)', part);
    EXECUTE format(
      'ALTER TABLE deliveries_attempt ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
      part, bench.first_id(day), bench.first_id(day + interval '1 day')
    );
  END LOOP;
END $$
"""
# Deliveries that are added together: a statement of ten million would fill the disk with what it may undo.
PIECE = 250_000
# Pieces that are added at once, as there are processors.
AT_ONCE = 2
# Why some fail, of delivery n. Two of these are rare.
REASON = """CASE WHEN n % 1600000 = 81 THEN 'worker_killed' WHEN n % 16000 = 241 THEN 'tls_failed'
            WHEN n % 800 < 500 THEN 'http_status' WHEN n % 800 < 700 THEN 'connection_timeout'
            ELSE 'connection_refused' END"""
HTTP_STATUS = "(500 + n / 800 % 2 * 3)"
WORDS = f"""CASE WHEN n % 1600000 = 81 THEN 'Worker stopped during the attempt'
            WHEN n % 16000 = 241 THEN 'TLS handshake failed'
            WHEN n % 800 < 500 THEN 'HTTP ' || {HTTP_STATUS}
            WHEN n % 800 < 700 THEN 'Connection timeout' ELSE 'Connection refused' END"""
RARE_REASON, RARE_TYPE = "worker_killed", "message.received"
TYPE = f"CASE WHEN {{}} % 500 = 1 THEN '{RARE_TYPE}' ELSE 'call.ended' END"
# What the deliveries of each kind are, and how many attempts they took.
FAILED, RETRIED = "n % 160 IN (0, 81)", "n % 100 = 3"
HELD, CANCELLED = "n % 1600 = 9", "n % 8000 = 14"
TRIES = f"CASE WHEN {FAILED} THEN 6 WHEN {RETRIED} THEN 5 ELSE 1 END"


def history(ground: Ground, attempts: int) -> Installation:
    """Return the installation with about so many attempts, the last of them an hour old."""
    name = f"history_{attempts}"
    made = ground.made(name)
    if isinstance(made, Installation):
        return made
    installation = ground.installation(name, WEBHOOKS_TRANSPORT=CURL)
    webhooks = min(max(attempts // ATTEMPTS_OF_WEBHOOK, LEAST_WEBHOOKS), MOST_WEBHOOKS)
    kind = installation.have_webhooks(webhooks, "/keep/past", ground.receiver)
    places = f"SELECT id FROM bench.webhooks WHERE kind = '{kind}' AND place IN (0, {QUIET}) ORDER BY place"
    installation.busy, installation.quiet = (str(pk) for (pk,) in installation.rows(places))
    watch = installation.watch
    watch.execute(DIVIDE.encode())
    past = _Past(kind, webhooks, installation.moment(), attempts * 800 // ATTEMPTS_OF_800)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pieces = range(0, past.deliveries, PIECE)
        done = pool.map(partial(_add_piece, installation.database_url, past), pieces)
        assert list(done) == list(pieces)
    past.add_the_rest(watch, minutely=max(1, TRAFFIC * attempts // 1_000_000))
    tables = ", ".join(f"deliveries_{table}" for table in FILLED)
    watch.execute(f"VACUUM (ANALYZE) {tables}".encode())
    # Nobody has counted what was copied.
    installation.manage("recount_logs")
    # What was added is on the disk before anything is measured beside it.
    watch.execute("CHECKPOINT")
    return installation


FILLED: Sequence[str] = (
    "event", "delivery", "attempt", "failure", "failuregroup", "trafficminute", "auditentry", "recovery",
    "webhook", "webhookhealth",
)  # fmt: skip


def _add_piece(url: str, past: "_Past", first: int) -> int:
    with psycopg.connect(url, autocommit=True) as database:
        past.add(database, first, min(first + PIECE, past.deliveries) - 1)
    return first


@dataclass(frozen=True)
class _Past:
    """What is added. Deliveries are numbered, the four of event 7 are 28 to 31; the lower, the older."""

    kind: str
    webhooks: int
    moment: str
    deliveries: int

    def add(self, database: psycopg.Connection, first: int, last: int) -> None:
        """Add some deliveries, and what belongs to them."""
        copy = partial(rows.copy, database)
        event = f"n / {FAN_OUT}"
        copy(
            "event_1", "deliveries_event", f"generate_series({first // FAN_OUT}, {last // FAN_OUT}) AS n",
            id=self.of_event("n"), created_at=self.at(f"n * {FAN_OUT}"),
            occurred_at=self.at(f"n * {FAN_OUT}"), type=TYPE.format("n"),
        )  # fmt: skip
        queued = f"n % 20 = 7 AND n >= {self.deliveries - self.deliveries // 200}"
        some = (
            f"generate_series({first}, {last}) AS n JOIN bench.webhooks AS made ON made.kind = '{self.kind}'"
        )
        each = f"{some} AND made.place = {_place()} WHERE"
        at, delivery = self.at("n"), self.of_delivery("n")
        its = {"id": delivery, "event_id": self.of_event(event), "webhook_id": "made.id", "created_at": at}
        tried = {"finished_at": f"{at} + interval '1 minute'", "attempts_made": TRIES}
        others = f"NOT ({FAILED} OR {HELD} OR {CANCELLED} OR {queued})"
        for name, which, changes in (
            ("failed", FAILED, tried),
            ("taken", others, tried),
            ("taken", CANCELLED, {"status": "'cancelled'", "finished_at": at, "attempts_made": "0"}),
            ("pending", HELD, {"status": "'held'", "due_at": at}),
            ("pending", queued, {"due_at": f"{self.moment} + interval '1 day'"}),
        ):
            scheduled = {"next_attempt_id": f"bench.id({at}, 3, n * 8 + 7)", "scheduled_at": at}
            also = scheduled if name == "pending" else {}
            copy(name, "deliveries_delivery", f"{each} {which}", **its, **also, **changes)
        for which, changes in (
            (FAILED, {}),
            (f"{RETRIED} AND {others}", {"status": "'delivered'"}),
        ):
            copy(
                "failure", "deliveries_failure", f"{each} {which}",
                id="lpad(to_hex(n), 24, '0')", delivery_id=delivery, webhook_id="made.id", created_at=at,
                updated_at=at, last_attempt_at=at, reason=WORDS, reason_code=REASON,
                webhook_name="'webhook ' || made.place", event_type=TYPE.format(event), **changes,
            )  # fmt: skip
        # Two minutes lie between a try and the next.
        of_each = (
            f"{some} AND made.place = {_place()} JOIN generate_series(1, 6) AS try ON try <= {TRIES} WHERE"
        )
        tried_at = f"({at} + (try - 1) * interval '2 minutes')"
        of_attempt = {
            "id": f"bench.id({tried_at}, 3, n * 8 + try)", "delivery_id": delivery, "webhook_id": "made.id",
            "number": "try", "created_at": tried_at, "started_at": tried_at,
        }  # fmt: skip
        arrived = f"(try = {TRIES} AND NOT {FAILED})"
        copy("attempt_taken", "deliveries_attempt", f"{of_each} {others} AND {arrived}", **of_attempt)
        copy(
            "attempt_failed", "deliveries_attempt",
            f"{of_each} ({others} OR {FAILED}) AND NOT {arrived}",
            **of_attempt, reason_code=REASON,
            http_status=f"CASE WHEN {REASON} = 'http_status' THEN {HTTP_STATUS} END",
        )  # fmt: skip

    def add_the_rest(self, database: psycopg.Connection, *, minutely: int) -> None:
        """Add what follows from that, and what else there is after weeks.

        :param minutely: of how many webhooks there is traffic in each minute of the last day.
        """
        copy = partial(rows.copy, database)
        found = """(SELECT webhook_id, reason, reason_code, count(*), min(created_at), max(created_at)
                      FROM deliveries_failure
                     WHERE status = 'inactive' AND webhook_id IN (SELECT id FROM bench.webhooks)
                     GROUP BY 1, 2, 3) AS found"""
        copy(
            "failure_group", "deliveries_failuregroup", found,
            id="gen_random_uuid()", webhook_id="found.webhook_id", reason="found.reason",
            reason_code="found.reason_code", seen="found.count", first_seen_at="found.min",
            last_seen_at="found.max",
        )  # fmt: skip
        minute = "(extract(epoch FROM now())::integer / 60 - ago)"
        copy(
            "traffic", "deliveries_trafficminute",
            "generate_series(0, 1439) AS ago, (VALUES ('call.ended'), ('inbound.call.ended')) AS type (code),"
            f" bench.webhooks AS made WHERE made.kind = '{self.kind}' AND made.place < {minutely}",
            webhook_id="made.id", event_type="type.code", minute=minute,
        )  # fmt: skip
        # What the recorder has counted in the days before, one minute after the other.
        before = """(SELECT DISTINCT extract(epoch FROM created_at)::integer / 60, webhook_id
                       FROM deliveries_attempt
                      WHERE id < bench.first_id(now() - interval '1 day')
                      ORDER BY 1) AS past (minute, webhook_id)"""
        copy(
            "traffic", "deliveries_trafficminute", before,
            webhook_id="past.webhook_id", event_type="'call.ended'", minute="past.minute",
        )  # fmt: skip
        acts = f"generate_series(1, {AUDITED}) AS n"
        at = f"{self.moment} - ({AUDITED} - n) * interval '2 minutes'"
        copy("audit", "deliveries_auditentry", acts, id=f"bench.id({at}, 4, n)", created_at=at)
        made = f"generate_series(1, {RECOVERIES}) AS n"
        at = f"{self.moment} - ({RECOVERIES} - n) * interval '3 hours'"
        copy(
            "recovery", "deliveries_recovery", made,
            id=f"bench.id({at}, 5, n)", created_at=at, finished_at=at, status="'completed'",
        )  # fmt: skip
        # The last recovery has sent again half of all that arrived in the end.
        database.execute(
            b"UPDATE deliveries_failure SET recovery_id ="
            b" (SELECT id FROM deliveries_recovery ORDER BY id DESC LIMIT 1)"
            b" WHERE status = 'delivered' AND random() < 0.5"
        )
        self.change(
            database, "webhook", "enabled = false, disabled_reason = 'Gone'", key="id",
            places=f"place = {DISABLED} OR place >= {self.webhooks - self.webhooks // 30}",
        )  # fmt: skip
        failing = (
            "consecutive_failures = 7, failing_since = now() - interval '1 hour', last_failure_at = now()"
        )
        self.change(database, "webhookhealth", failing, places="place BETWEEN 1 AND 40")
        self.change(
            database, "webhookhealth",
            "circuit = 'open', circuit_since = now() - interval '1 hour', openings = 3,"
            " next_step_at = now() + interval '1 day'",
            places="place BETWEEN 1 AND 3",
        )  # fmt: skip

    def change(
        self, database: psycopg.Connection, table: str, to: str, *, places: str, key: str = "webhook_id"
    ) -> None:
        """Change rows of the webhooks at some places."""
        its = f"SELECT id FROM bench.webhooks WHERE kind = '{self.kind}' AND ({places})"
        database.execute(f"UPDATE deliveries_{table} SET {to} WHERE {key} IN ({its})".encode())

    def of_event(self, number: str) -> str:
        """Return the id of an event, as SQL."""
        return f"bench.id({self.at(f'{number} * {FAN_OUT}')}, 1, {number})"

    def of_delivery(self, number: str) -> str:
        """Return the id of a delivery, as SQL."""
        return f"bench.id({self.at(number)}, 2, {number})"

    def at(self, delivery: str) -> str:
        """Return when a delivery was made, as SQL: all of them evenly over the days."""
        ago = f"({self.deliveries} - ({delivery})) / {self.deliveries}::double precision"
        return f"({self.moment} - interval '1 hour' - {ago} * interval '{DAYS} days')"


def _place() -> str:
    """Return the place of the webhook of delivery n, as SQL."""
    other = f"1 + (n / {FAN_OUT} * {FAN_OUT - 1} + n % {FAN_OUT} - 1) % {BUSY - 1}"
    return (
        f"CASE WHEN {HELD} THEN {DISABLED} WHEN n % 100000 = 22 THEN {QUIET}"
        f" WHEN n % {FAN_OUT} = 0 THEN 0 ELSE {other} END"
    )
