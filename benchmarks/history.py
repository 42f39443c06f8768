"""An installation that has been at work for weeks: attempts by the million, of a hundred webhooks.

Half of all is one webhook's. Ten attempts make a delivery, and one delivery of ten has failed for good.
"""

from dataclasses import dataclass

from benchmarks import rows
from benchmarks.contenders import CURL
from benchmarks.ground import Ground
from benchmarks.installation import Installation

WEBHOOKS = 100
ATTEMPTS_EACH = 10
DAYS = 20
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
BEGIN
  EXECUTE 'DROP TABLE ' || old;
  FOR ago IN -7..{DAYS + 1} LOOP
    day := date_trunc('day', now(), 'UTC') - ago * interval '1 day';
    EXECUTE format(
      'CREATE TABLE IF NOT EXISTS deliveries_attempt_%s PARTITION OF deliveries_attempt'
      ' FOR VALUES FROM (%L) TO (%L)',
      to_char(day AT TIME ZONE 'UTC', 'YYYY_MM_DD'),
      bench.first_id(day), bench.first_id(day + interval '1 day')
    );
  END LOOP;
END $$
"""
# Attempts that are added together: a statement of ten million would fill the disk with what it may undo.
PIECE = 500_000


def history(ground: Ground, attempts: int) -> Installation:
    """Return the installation with so many attempts, the last of them an hour old."""
    name = f"history_{attempts}"
    made = ground.made(name)
    if isinstance(made, Installation):
        return made
    installation = ground.installation(name, WEBHOOKS_TRANSPORT=CURL)
    kind = installation.have_webhooks(WEBHOOKS, "/keep/past", ground.receiver)
    ((busy,),) = installation.rows(f"SELECT id FROM bench.webhooks WHERE kind = '{kind}' AND place = 0")
    installation.busy = str(busy)
    installation.watch.execute(DIVIDE.encode())
    past = _Past(installation, kind, installation.moment(), attempts)
    for first in range(0, attempts, PIECE):
        past.add(first, min(PIECE, attempts - first))
    installation.watch.execute(
        "VACUUM (ANALYZE) deliveries_event, deliveries_delivery, deliveries_attempt, deliveries_failure"
    )
    # Nobody has counted what was copied.
    installation.manage("recount_logs")
    return installation


@dataclass(frozen=True)
class _Past:
    """What is added. Deliveries are numbered, and so are attempts: those of delivery 7 are 70 to 79."""

    installation: Installation
    kind: str
    moment: str
    attempts: int

    def add(self, first: int, number: int) -> None:
        """Add so many attempts, and what they belong to; the lower a number, the older."""
        last = first + number - 1
        delivery = f"generate_series({first // ATTEMPTS_EACH}, {last // ATTEMPTS_EACH}) AS n"
        at = self.at(f"n * {ATTEMPTS_EACH}")
        self.copy(
            "event_1", "deliveries_event", delivery, id=self.of_delivery(1), created_at=at, occurred_at=at
        )
        to_webhook = delivery + self.to_webhook("n")
        its = {"event_id": self.of_delivery(1), "webhook_id": "made.id", "created_at": at}
        for name, which in (("failed", "= 0"), ("taken", "<> 0")):
            source = f"{to_webhook} WHERE n % 10 {which}"
            self.copy(name, "deliveries_delivery", source, id=self.of_delivery(2), finished_at=at, **its)
        self.copy(
            "failure", "deliveries_failure", f"{to_webhook} WHERE n % 10 = 0",
            id="lpad(to_hex(n), 24, '0')", delivery_id=self.of_delivery(2), webhook_id="made.id",
            created_at=at, updated_at=at, last_attempt_at=at,
        )  # fmt: skip
        at, its_delivery = self.at("n"), f"(n / {ATTEMPTS_EACH})"
        self.copy(
            "attempt_taken", "deliveries_attempt",
            f"generate_series({first}, {last}) AS n" + self.to_webhook(its_delivery),
            id=f"bench.id({at}, 3, n)", delivery_id=self.of_delivery(2, its_delivery),
            webhook_id="made.id", number=f"n % {ATTEMPTS_EACH} + 1", created_at=at, started_at=at,
        )  # fmt: skip

    def copy(self, name: str, table: str, source: str, **changes: str) -> None:
        """Copy a kept row."""
        rows.copy(self.installation.watch, name, table, source, **changes)

    def of_delivery(self, kind: int, number: str = "n") -> str:
        """Return the id of a delivery, or of its event, as SQL."""
        return f"bench.id({self.at(f'{number} * {ATTEMPTS_EACH}')}, {kind}, {number})"

    def at(self, attempt: str) -> str:
        """Return when an attempt was made, as SQL: all of them evenly over the days."""
        ago = f"({self.attempts} - {attempt}) / {self.attempts}::double precision"
        return f"({self.moment} - interval '1 hour' - {ago} * interval '{DAYS} days')"

    def to_webhook(self, delivery: str) -> str:
        """Return how to find the webhook of a delivery, as SQL."""
        place = f"CASE WHEN {delivery} % 2 = 0 THEN 0 ELSE {delivery} % {WEBHOOKS} END"
        return f" JOIN bench.webhooks AS made ON made.kind = '{self.kind}' AND made.place = {place}"
