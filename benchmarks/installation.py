"""The service as it runs in production, whose worker stands still until its turn comes."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg

from benchmarks import rows
from benchmarks.receiver import Receiver
from benchmarks.spending import WATCHER
from tests.service import Service
from tests.waiting import wait_until

# Where the moments of what is in the queue lie, as SQL.
NOW = "now()"


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to deliver.

    :param fan_out: how many webhooks get each event.
    :param webhooks: how many have something to get.
    :param kept: whether the receiver keeps connections.
    """

    deliveries: int = 0
    kilobytes: int = 1
    fan_out: int = 1
    webhooks: int = 100
    tls: bool = False
    kept: bool = True

    @property
    def kind(self) -> str:
        """The first part of the path at the receiver."""
        return "keep" if self.kept else "close"


@dataclass(kw_only=True)
class Standing(Service):
    """Something with a worker that stands still while others have their turn, as if the machine were theirs.

    :param watch: a connection to look through whose statements are not counted.
    """

    watch: psycopg.Connection = field(init=False, repr=False)
    worker: "subprocess.Popen[bytes]" = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.database_url = self.database_url.replace("//postgres@", f"//{WATCHER}@")
        self.watch = psycopg.connect(self.database_url, autocommit=True)

    @property
    def database(self) -> str:
        """The name of its database."""
        return urlsplit(self.database_url).path.removeprefix("/")

    def stand(self) -> None:
        """Have the worker do nothing."""
        os.killpg(self.worker.pid, signal.SIGSTOP)

    @contextmanager
    def going(self) -> Iterator[None]:
        """Have the worker work for the length of the block."""
        os.killpg(self.worker.pid, signal.SIGCONT)
        try:
            yield
        finally:
            self.stand()

    def queue(self, load: Load, receiver: Receiver) -> None:
        """Put a load into the queue, due now."""
        raise NotImplementedError

    def is_idle(self) -> bool:
        """Tell whether everything in the queue has been delivered and written down."""
        raise NotImplementedError

    def end(self) -> None:
        """End every process, and stop looking."""
        super().end()
        self.watch.close()


@dataclass(kw_only=True)
class Installation(Standing):
    """An installation of ours.

    :param agents: each with one webhook: see `listen`.
    :param orders: how many have been published by, each under a name of its own.
    :param busy: the webhook with the most attempts; `quiet` has next to none.
    :param headers: what somebody sends who has signed in.
    """

    web: "subprocess.Popen[bytes] | None" = None
    agents: list[str] = field(default_factory=list)
    orders: int = 0
    busy: str = ""
    quiet: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    _webhooks: set[str] = field(default_factory=set)

    def begin(self, *, concurrency: int = 1) -> None:
        """Start a worker unless there is one, and have it stand still."""
        if not hasattr(self, "worker"):
            self.worker = self.start_worker(concurrency=concurrency)
            self._wait_for_beats(concurrency)

    def begin_without_celery(self) -> None:
        """Start `manage.py deliver` instead, unless there is a worker, and have it stand still."""
        if not hasattr(self, "worker"):
            self.worker = self.start("worker", "manage", "deliver")
            self._wait_for_beats(1)

    def _wait_for_beats(self, number: int) -> None:
        def beaten() -> bool:
            return self.watch.execute("SELECT FROM deliveries_worker").rowcount == number

        wait_until(beaten, what="workers that deliver", timeout=20)
        self.stand()

    def serve(self) -> int:
        """Start the web server unless it runs, and return its first process."""
        self.web = self.web or self.start_web(workers=2)
        return self.web.pid

    def listen(self, receiver: Receiver, number: int) -> list[str]:
        """Have so many agents with a webhook each, and return them."""
        self.serve()
        while len(self.agents) < number:
            url = receiver.url(f"/keep/{len(self.agents)}")
            _, agent_id = self.make_webhook(url, name=f"webhook {len(self.agents)}")
            self.agents.append(agent_id)
        return self.agents

    def is_idle(self) -> bool:
        """Tell whether nothing is pending."""
        (busy,) = self.watch.execute(
            "SELECT EXISTS (SELECT FROM deliveries_delivery WHERE status = 'pending')"
        ).fetchone() or (True,)
        return not busy

    def queue(self, load: Load, receiver: Receiver) -> None:
        """Put a load into the queue: events as somebody has published them, and their deliveries."""
        kind = self.have_webhooks(load.webhooks, f"/{load.kind}", receiver)
        self.fill(
            load.deliveries, webhooks=load.webhooks, kind=kind, kilobytes=load.kilobytes, fan_out=load.fan_out
        )

    def have_webhooks(self, number: int, path: str, receiver: Receiver) -> str:
        """Make so many webhooks unless they are there, and return the name of their kind."""
        kind = f"{receiver.url(path)} {number}"
        if kind in self._webhooks:
            return kind
        self._webhooks.add(kind)
        self.watch.execute(
            "INSERT INTO bench.webhooks"
            " SELECT %s, place, gen_random_uuid() FROM generate_series(0, %s) AS place",
            [kind, number - 1],
        )
        source = f"bench.webhooks AS made WHERE made.kind = '{kind}'"
        url = f"'{receiver.url(path)}/' || made.place"
        rows.copy(self.watch, "webhook", "deliveries_webhook", source, id="made.id", url=url)
        rows.copy(self.watch, "health", "deliveries_webhookhealth", source, webhook_id="made.id")
        self.watch.execute("ANALYZE deliveries_webhook, deliveries_webhookhealth")
        return kind

    def fill(
        self, deliveries: int, *, webhooks: int, kind: str, kilobytes: int = 1, fan_out: int = 1
    ) -> None:
        """Add events, and deliveries that are due to webhooks of a kind by turns."""
        moment = self.moment()
        rows.copy(
            self.watch, f"event_{kilobytes}", "deliveries_event",
            f"generate_series(0, {(deliveries - 1) // fan_out}) AS n",
            id=f"bench.id({moment}, 1, n)", created_at=NOW, occurred_at=NOW,
        )  # fmt: skip
        rows.copy(
            self.watch, "pending", "deliveries_delivery",
            f"generate_series(0, {deliveries - 1}) AS n JOIN bench.webhooks AS made"
            f" ON made.kind = '{kind}' AND made.place = n % {webhooks}",
            id=f"bench.id({moment}, 2, n)", event_id=f"bench.id({moment}, 1, n / {fan_out})",
            next_attempt_id=f"bench.id({moment}, 3, n)", webhook_id="made.id",
            due_at=NOW, created_at=NOW, scheduled_at=NOW,
        )  # fmt: skip

    def moment(self) -> str:
        """Return what ids are made of, as SQL: one moment for rows that belong together."""
        (moment,) = self.watch.execute("SELECT clock_timestamp()::text").fetchone() or ("",)
        return f"timestamptz '{moment}'"
