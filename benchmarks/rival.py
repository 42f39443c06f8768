"""The baseline as it runs: a Celery worker with processes enough for its waiting."""

import json
from dataclasses import dataclass, field

from celery import Celery

from benchmarks.ground import EVENT_TYPE, Ground, payload
from benchmarks.installation import Load, Standing
from benchmarks.receiver import Receiver
from tests.measuring import footprint
from tests.waiting import wait_until

# More were tried, and fewer: with eight, two cores are busy.
PROCESSES = 8
NAME = "baseline"


@dataclass(kw_only=True)
class Rival(Standing):
    """An installation of the baseline."""

    _webhooks: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Make the tables, start the worker and have it stand still."""
        # Not the current application of this process, which tests ask for its broker.
        self._broker = Celery(broker=self.environment["REDIS_URL"], set_as_current=False)
        migrate = self.start("migrate", "django", "migrate", "--run-syncdb", "--verbosity", "0")
        assert migrate.wait() == 0, self.log("migrate")
        self.worker = self.start(
            "worker", "celery", "-A", "benchmarks.baseline", "worker", "--concurrency", str(PROCESSES),
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        )  # fmt: skip
        wait_until(
            lambda: len(footprint.family(self.worker.pid)) > PROCESSES, what="the baseline", timeout=30
        )
        self.stand()

    def is_idle(self) -> bool:
        """Tell whether nothing is pending."""
        (busy,) = self.watch.execute(
            "SELECT EXISTS (SELECT FROM baseline_delivery WHERE status = 'pending')"
        ).fetchone() or (True,)
        return not busy

    def queue(self, load: Load, receiver: Receiver) -> None:
        """Store events and deliveries, and send a message for each delivery."""
        first = self._first_webhook(load, receiver)
        events = -(-load.deliveries // load.fan_out)
        (last_event,) = self.watch.execute(
            "WITH made AS (INSERT INTO baseline_event (type, payload, created_at)"
            " SELECT %s, %s::jsonb, now() FROM generate_series(1, %s) RETURNING id) SELECT max(id) FROM made",
            [EVENT_TYPE, json.dumps(payload(load.kilobytes)), events],
        ).fetchone() or (0,)
        made = self.watch.execute(
            "INSERT INTO baseline_delivery"
            " (event_id, webhook_id, status, attempts_made, created_at, updated_at)"
            " SELECT %s + n / %s, %s + n %% %s, 'pending', 0, now(), now()"
            " FROM generate_series(0, %s) AS n RETURNING id",
            [last_event - events + 1, load.fan_out, first, load.webhooks, load.deliveries - 1],
        )
        with self._broker.connection_for_write() as connection:
            producer = self._broker.amqp.Producer(connection, auto_declare=False)
            for (delivery_id,) in made.fetchall():
                self._broker.send_task("baseline.deliver", args=[delivery_id], producer=producer)

    def _first_webhook(self, load: Load, receiver: Receiver) -> int:
        """Make the webhooks of a load unless they are there, and return the id of the first."""
        path = f"{receiver.url('/' + load.kind)} {load.webhooks}"
        if path not in self._webhooks:
            (self._webhooks[path],) = self.watch.execute(
                "WITH made AS (INSERT INTO baseline_webhook (url, secret, timeout, enabled)"
                " SELECT %s || '/' || place, 'a secret of 32 characters or so', 30, true"
                " FROM generate_series(0, %s) AS place RETURNING id) SELECT min(id) FROM made",
                [receiver.url(f"/{load.kind}"), load.webhooks - 1],
            ).fetchone() or (0,)
        return self._webhooks[path]


def rival(ground: Ground) -> Rival:
    """Return the baseline of a run, at work with what it is given when its turn comes."""
    made = ground.made(NAME)
    if not isinstance(made, Rival):
        database = ground.database(NAME, template="template0")
        variables = ground.environment(NAME, database, DJANGO_SETTINGS_MODULE="benchmarks.baseline.settings")
        made = Rival(folder=ground.room(NAME), environment=variables)
        ground.keep(NAME, made)
        made.begin()
    return made
