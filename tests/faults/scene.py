"""A scene: an installation under traffic, the tools to hurt it, and what must hold afterwards."""

import json
import random
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from deliveries import signing
from tests.faults.figures import Figures
from tests.faults.proxy import Proxy, proxying
from tests.faults.receiver import Receiver
from tests.measuring import controller, footprint, measures
from tests.measuring.controller import Order, Published
from tests.measuring.footprint import Footprint
from tests.measuring.measures import percentile
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import Redis
from tests.service import Service
from tests.waiting import wait_until

# Slots of a worker process, and the settings that make leases short enough to wait for. In seconds: the
# shortest timeout the logs API takes, and the grace these installations give beyond it.
SLOTS = 32
TIMEOUT, GRACE = 5, 2
LEASE = TIMEOUT + GRACE
POLL = 1
DRAIN = 8
SETTINGS = {
    "WEBHOOKS_SLOTS": SLOTS,
    "WEBHOOKS_LEASE_GRACE": GRACE,
    "WEBHOOKS_POLL_INTERVAL": POLL,
    "WEBHOOKS_DRAIN_TIMEOUT": DRAIN,
    "WEBHOOKS_RETRY_DELAYS": "1,1,1,1,1,1,1,1,1,1",
    "WEBHOOKS_CIRCUIT_DELAYS": "2",
    "WEBHOOKS_LIMIT_READ": "",
    "WEBHOOKS_LIMIT_PUBLISH": "",
    "WEBHOOKS_LIMIT_MANAGE": "",
}


# What is left to deliver, for whoever wonders why.
_LEFT = """
SELECT delivery.id, status, 'due', due_at, 'leased', lease_token, enabled, 'circuit', circuit
  FROM deliveries_delivery AS delivery
  JOIN deliveries_webhook AS webhook ON webhook.id = delivery.webhook_id
  JOIN deliveries_webhookhealth AS health ON health.webhook_id = webhook.id
 WHERE status IN ('pending', 'held') ORDER BY due_at LIMIT 20
"""


@dataclass(frozen=True)
class Size:
    """How much of everything: the long run is the one whose figures count."""

    long: bool

    def pick(self, *, short: float, long: float) -> float:
        """Return the number for this run."""
        return long if self.long else short

    def count(self, *, short: int, long: int) -> int:
        """Return the whole number for this run."""
        return long if self.long else short


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """A webhook, whose agent has no other unless the test says so."""

    webhook_id: str
    agent_id: str
    path: str
    secret: str

    @property
    def api(self) -> str:
        """The path of the webhook in the logs API."""
        return f"/api/v1/agents/{self.agent_id}/webhooks/{self.webhook_id}"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a scenario has measured for a row of the document; see `Scene.figure`."""

    row: str
    case: str
    passed: bool
    measured: Mapping[str, object]


@dataclass(kw_only=True)
class Scene:
    """What a scenario has in its hands.

    :param chance: the only source of what is random.
    :param allowed_duplicates: how many requests may arrive that no recorded attempt accounts for. A scenario
        that makes some raises it to its bound; the invariants compare.
    :param allowed_denied: how many deliveries may have failed that the receiver answered with a 2xx.
    :param allowed_set_aside: how many deliveries may be given up because the workers that had them died.
    :param uncertain: webhooks for which it is left open whether an event gets a delivery, because they
        were made, changed or removed while events were published.
    :param secrets: what else no log may hold.
    :param unannounced: how many events are in the database that no answer has named to who published them.
    :param excused: log events that mean elsewhere that the code is wrong, and here that the fault was met.
    """

    stack: Service
    postgresql: PostgreSQL
    redis: Redis
    receiver: Receiver
    figures: Figures
    size: Size
    chance: random.Random
    words: str
    allowed_duplicates: int = 0
    allowed_denied: int = 0
    allowed_set_aside: int = 0
    unannounced: int = 0
    secrets: list[str] = field(default_factory=list)
    excused: set[str] = field(default_factory=set)
    uncertain: set[str] = field(default_factory=set)
    subscriptions: list[Subscription] = field(default_factory=list)
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    ended: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    measured: list[Measure] = field(default_factory=list)
    baseline: dict[int, Footprint] = field(default_factory=dict)
    database_ports: set[int] = field(default_factory=set)
    _undo: ExitStack = field(default_factory=ExitStack)

    # --- before ---

    def through_proxy(self, server: Literal["postgresql", "redis", "receiver"]) -> Proxy:
        """Put a proxy in front of a server.

        Of PostgreSQL and Redis: for the processes that start from now on. Of the receiver: for the webhooks
        made from now on.
        """
        ports = {
            "postgresql": self.postgresql.port,
            "redis": self.redis.port,
            "receiver": self.receiver.port,
        }
        proxy = self._undo.enter_context(proxying(ports[server]))
        if server == "receiver":
            self._receiver_port = proxy.port
            return proxy
        name = {"postgresql": "DATABASE_URL", "redis": "REDIS_URL"}[server]
        url = self.stack.environment[name]
        self.stack.environment[name] = url.replace(f":{ports[server]}/", f":{proxy.port}/")
        if server == "postgresql":
            self.database_ports.add(proxy.port)
        return proxy

    def start(self, *, webhooks: int = 4, workers: int = 1, beat: bool = False, **fields: Any) -> None:
        """Start web server and workers, and make webhooks; return when all are ready.

        :param webhooks: each of an agent of its own and at a path of its own, `/0`, `/1` ...
        :param fields: of the webhooks, in the words of the logs API.
        """
        for _ in range(workers):
            self.start_worker(wait=False)
        if beat:
            self.stack.start_beat()
        self.stack.start_web(workers=2)
        self.subscribe(*(f"/{number}" for number in range(webhooks)), **fields)
        self.wait_for_workers()

    def start_worker(self, *, wait: bool = True, **options: Any) -> "subprocess.Popen[bytes]":
        """Start a worker; see `Service.start_worker`.

        :param wait: until it has said that it is ready.
        """
        worker = self.stack.start_worker(**options)
        self.workers.append(worker)
        if wait:
            self.wait_for_workers()
        return worker

    def wait_for_workers(self) -> None:
        """Wait until every worker that is alive has a dispatcher: before, a signal meets nobody.

        :raises AssertionError: none is alive, although some were started.
        """
        wait_until(self._ready, timeout=40, what="workers that are ready")
        # What each holds before it has done much; of those that were ready before, that is known.
        self.baseline = self.footprints() | self.baseline

    def _ready(self) -> bool:
        alive = self.alive()
        assert alive or not self.workers, "every worker has died"
        return all(map(self._delivers, alive))

    def alive(self) -> list["subprocess.Popen[bytes]"]:
        """Return the workers that run."""
        return [worker for worker in self.workers if worker.poll() is None]

    def any_that_delivers(self) -> "subprocess.Popen[bytes] | None":
        """Return one of the workers that run and have begun to deliver; None where there is none."""
        # To look at all of them, for each of many kills, takes more time than there is between two.
        by_chance = self.chance.sample(self.alive(), len(self.alive()))
        return next(filter(self._delivers, by_chance), None)

    def subscribe(self, *paths: str, agent_id: str | None = None, **fields: Any) -> list[Subscription]:
        """Make a webhook for each path of the receiver, whose signatures are verified from then on.

        :param agent_id: whose they are; by default each gets an agent of its own.
        :param fields: in the words of the logs API; `timeout` may be shorter than that takes.
        """
        made, timeout = [], fields.pop("timeout", TIMEOUT)
        for path in paths:
            secret = signing.new_secret()
            webhook_id, agent = self.stack.make_webhook(
                f"http://127.0.0.1:{self._receiver_port or self.receiver.port}{path}",
                name=path,
                agent_id=agent_id,
                **{
                    "webhook_secret": secret,
                    "timeout": max(TIMEOUT, timeout),
                    "max_retries": 10,
                    **fields,
                },
            )
            self.receiver.verify(path, secret)
            made.append(Subscription(webhook_id=webhook_id, agent_id=agent, path=path, secret=secret))
        if timeout < TIMEOUT:
            ids = ", ".join(f"'{each.webhook_id}'" for each in made)
            self.stack.rows(
                f"UPDATE deliveries_webhook SET timeout = {timeout} WHERE id IN ({ids}) RETURNING id"
            )
        self.subscriptions += made
        return made

    # --- meanwhile ---

    @contextmanager
    def publishing(
        self, *, rate: float, seconds: float | None = None, agents: Sequence[str] = ()
    ) -> Iterator[Published]:
        """Publish at a fixed rate while the block runs, and for `seconds` at least.

        :param agents: whose events, by turns; everybody's by default.
        """
        order = Order(
            port=self.stack.port,
            key=self.stack.key,
            rate=rate,
            seconds=seconds,
            agents=agents or list(dict.fromkeys(each.agent_id for each in self.subscriptions)),
            words=self.words,
            name=f"order-{len(self.published)}",
        )
        with controller.publishing(order) as published:
            self.published.append(published)
            yield published

    def publish(self, agent_id: str | None = None, **payload: object) -> str:
        """Publish one event and return its id."""
        event = {
            "event": "call.ended",
            "agent_id": agent_id or self.subscriptions[0].agent_id,
            "payload": {"words": self.words, **payload},
        }
        began = time.time()
        answer = self.stack.call("POST", "/api/v1/events", event)
        assert answer.status == 202, answer
        self.published.append(
            Published(
                [
                    controller.Acknowledged(
                        answer.json["id"], str(event["agent_id"]), began, time.time() - began, 1
                    )
                ]
            )
        )
        return str(answer.json["id"])

    def kill(self, worker: "subprocess.Popen[bytes]") -> None:
        """End a worker with its children, as `kill -9` does."""
        self.ended.append(worker)
        self.stack.kill(worker)

    def ask_to_end(self, worker: "subprocess.Popen[bytes]", number: int = signal.SIGTERM) -> None:
        """Send a worker's first process a signal to end."""
        self.ended.append(worker)
        worker.send_signal(number)

    def leased(self) -> int:
        """Return how many deliveries workers hold right now."""
        return len(self.leases())

    def hasten(self) -> None:
        """Have what waits for its next attempt wait no longer, as if the time had passed."""
        self.stack.rows(
            "UPDATE deliveries_delivery SET due_at = now() WHERE status = 'pending' AND lease_token IS NULL"
            " RETURNING id"
        )

    def settle(self, *, timeout: float = 60, horizon: float = 30) -> None:
        """Wait until nothing is under way, and nothing is due now or within `horizon` seconds.

        What somebody has paused or switched off may stay held; what a circuit or a ramp holds may not.
        """
        try:
            wait_until(
                lambda: self.unsettled(horizon) == self.held(horizon) == 0,
                timeout=timeout,
                what="nothing left to deliver",
            )
        except AssertionError as error:
            for row in self.stack.rows(_LEFT):
                error.add_note(", ".join(map(str, row)))
            raise

    def unsettled(self, horizon: float = 0) -> int:
        """Return how many deliveries are leased, or due within `horizon` seconds."""
        query = (
            "SELECT count(*) FROM deliveries_delivery AS delivery"
            " JOIN deliveries_webhook AS webhook ON webhook.id = webhook_id"
            " WHERE status = 'pending' AND"
            f" (lease_token IS NOT NULL OR due_at <= '{_moment(horizon)}' AND webhook.enabled)"
        )
        return int(self.stack.rows(query)[0][0])

    def held(self, horizon: float = 0) -> int:
        """Return how many held deliveries are due within `horizon` seconds, and that nobody has switched off.

        Those of disabled webhooks and those a pause keeps back aside.
        """
        query = (
            "SELECT count(*) FROM deliveries_delivery AS delivery"
            " JOIN deliveries_webhook AS webhook ON webhook.id = delivery.webhook_id"
            " JOIN deliveries_event AS event ON event.id = delivery.event_id"
            f" WHERE status = 'held' AND due_at <= '{_moment(horizon)}' AND webhook.enabled"
            " AND NOT EXISTS (SELECT 1 FROM deliveries_pause AS pause"
            "  WHERE pause.account_id = delivery.account_id AND pause.ended_at IS NULL"
            f"  AND pause.until > '{_moment(0)}'"
            "   AND coalesce(pause.webhook_id, webhook.id) = webhook.id"
            "   AND pause.event_type IN ('', event.type))"
        )
        return int(self.stack.rows(query)[0][0])

    def logged(self, event: str) -> int:
        """Return how often the workers have logged an event, such as `result.fenced`."""
        return self.stack.log("worker").count(f'"{event}"')

    def fenced(self) -> int:
        """Return how many results of old claims the workers have told of that changed nothing."""
        told = [line for line in self.stack.log("worker").splitlines() if '"result.fenced"' in line]
        return sum(json.loads(line)["count"] for line in told)

    def leases(self) -> set[tuple[str, str]]:
        """Return the deliveries that workers hold right now, each with the token of its claim."""
        query = "SELECT id, lease_token FROM deliveries_delivery WHERE lease_token IS NOT NULL"
        return {(str(delivery_id), str(token)) for delivery_id, token in self.stack.rows(query)}

    # --- afterwards ---

    def acknowledged(self) -> dict[str, controller.Acknowledged]:
        """Return every event that was acknowledged, by its id."""
        return {each.event_id: each for published in self.published for each in published.acknowledged}

    def stored(self) -> set[str]:
        """Return every event that is in the database, by its id."""
        rows = self.stack.rows("SELECT id FROM deliveries_event")
        return {str(UUID(str(event_id))) for (event_id,) in rows}

    def duplicates(self) -> int:
        """Return how many requests arrived that no recorded attempt accounts for."""
        return sum(self.repeated().values())

    def repeated(self) -> Counter[tuple[str, str]]:
        """Return by event and path how many requests arrived that no recorded attempt accounts for.

        An attempt accounts for one request that carries its number, so one that sent nothing accounts for
        none. The first is none, recorded or not: its delivery may have been cancelled meanwhile.
        """
        numbers: dict[tuple[str, str], list[int]] = {}
        for each in self.receiver.arrivals():
            numbers.setdefault((each.event_id, each.path), []).append(each.attempt)
        recorded = self._sent()
        return Counter(
            {
                key: repeated
                for key, its in numbers.items()
                if (repeated := len(its) - max(1, len(recorded.get(key, set()).intersection(its)))) > 0
            }
        )

    def delivered_within(self, share: float, published: Published | None = None) -> float:
        """Return the seconds from the moment an event was meant to be published to its first arrival.

        :param share: 0.95 asks for the p95 of all that arrived.
        :param published: whose events; by default everything.
        """
        events = self.acknowledged()
        if published is not None:
            events = {each.event_id: each for each in published.acknowledged}
        first: dict[tuple[str, str], float] = {}
        for arrival in self.receiver.arrivals():
            if arrival.event_id in events:
                took = arrival.at - events[arrival.event_id].meant_at
                first.setdefault((arrival.event_id, arrival.path), took)
        return percentile(list(first.values()), share)

    def lost(self) -> int:
        """Return how many deliveries of acknowledged events the receiver has never answered with a 2xx.

        Those of uncertain webhooks aside.
        """
        return len(self.expected() - self.taken())

    def taken(self) -> set[tuple[str, str]]:
        """Return event and path of everything the receiver has answered with a 2xx."""
        return {(each.event_id, each.path) for each in self.receiver.arrivals() if 200 <= each.status < 300}

    def denied(self) -> list[tuple[str, str]]:
        """Return event and path of every delivery that has failed although it was answered with a 2xx.

        An answer that comes after the webhook's timeout is none: a scenario with such allows some.
        """
        rows = self.stack.rows(
            "SELECT DISTINCT delivery.event_id, attempt.url FROM deliveries_attempt AS attempt"
            " JOIN deliveries_delivery AS delivery ON delivery.id = attempt.delivery_id"
            " WHERE delivery.status = 'failed'"
        )
        return sorted(
            {(str(UUID(str(event_id))), urlsplit(url).path) for event_id, url in rows} & self.taken()
        )

    def set_aside(self) -> int:
        """Return how many deliveries were given up because the workers that had them died."""
        query = (
            "SELECT count(DISTINCT delivery_id) FROM deliveries_attempt WHERE reason_code = 'worker_killed'"
        )
        return int(self.stack.rows(query)[0][0])

    def deliveries(self) -> dict[str, tuple[str, str]]:
        """Return event and path of every delivery to a webhook made here, by its id."""
        paths = {each.webhook_id: each.path for each in self.subscriptions}
        rows = self.stack.rows("SELECT id, event_id, webhook_id FROM deliveries_delivery")
        return {
            str(pk): (str(event_id), paths[str(webhook_id)])
            for pk, event_id, webhook_id in rows
            if str(webhook_id) in paths
        }

    def expected(self) -> set[tuple[str, str]]:
        """Return event and path of everything that must arrive."""
        paths: dict[str, list[str]] = {}
        for each in self.subscriptions:
            if each.webhook_id not in self.uncertain:
                paths.setdefault(each.agent_id, []).append(each.path)
        return {
            (event.event_id, path)
            for event in self.acknowledged().values()
            for path in paths.get(event.agent_id, [])
        }

    def footprints(self, *processes: "subprocess.Popen[bytes]") -> dict[int, Footprint]:
        """Return what every process of these holds, of every worker by default."""
        pids = [pid for process in processes or self.alive() for pid in footprint.family(process.pid)]
        return {pid: found for pid in pids if (found := footprint.of(pid)) is not None}

    def figure(
        self,
        row: str,
        *,
        case: str = "",
        passed: bool,
        timely: bool = True,
        baseline: float | None = None,
        **measured: Any,
    ) -> None:
        """Have a row of the document reported once the invariants were checked, and assert its goal.

        :param row: a key of `figures.ROWS`.
        :param case: which part of the row, where it has several.
        :param passed: whether nothing was lost, doubled or done that must not be.
        :param timely: whether it took no longer than it may. A short run shares its machine with other tests,
            on one that may be slow: there it is reported and not asserted.
        :param baseline: seconds the same took while nothing was wrong, where the goal is a ratio to it.
        :param measured: what was measured, by name: `lost=0`.
        """
        objection = measures.objection(baseline)
        in_time = timely and not objection
        self.measured.append(Measure(row=row, case=case, passed=passed and in_time, measured=measured))
        assert passed, f"{row} {case}: {measured}"
        assert in_time or not self.size.long, f"{row} {case}: {objection} {measured}"

    def report(self, *, held: bool) -> None:
        """Report what was measured.

        :param held: whether the scenario has passed and the invariants hold; no goal is reached otherwise.
        """
        for each in self.measured:
            self.figures.add(
                each.row,
                case=each.case,
                passed=each.passed and held,
                measured=each.measured,
                long=self.size.long,
            )
        self.measured.clear()

    def end(self) -> None:
        """End every process and proxy."""
        self.stack.end()
        self._undo.close()

    def _delivers(self, worker: "subprocess.Popen[bytes]") -> bool:
        """Tell whether the children of a worker have asked for work, of whatever version it is."""
        ports = {self.postgresql.port} | self.database_ports
        children = footprint.family(worker.pid)[1:]
        held = [footprint.of(child) for child in children]
        return bool(held) and all(each is not None and each.connections(ports) for each in held)

    def _sent(self) -> Mapping[tuple[str, str], set[int]]:
        """Return by event and path the numbers of the attempts recorded that went to the receiver."""
        rows = self.stack.rows(
            "SELECT delivery.event_id, attempt.url, attempt.number FROM deliveries_attempt AS attempt"
            " JOIN deliveries_delivery AS delivery ON delivery.id = attempt.delivery_id"
            " WHERE attempt.reason_code <> 'worker_killed'"
        )
        ours, sent = {self.receiver.port, self._receiver_port}, defaultdict[tuple[str, str], set[int]](set)
        for event_id, url, number in rows:
            place = urlsplit(url)
            if place.port in ours:
                sent[str(UUID(str(event_id))), place.path].add(number)
        return sent

    _receiver_port: int = 0


def _moment(ahead: float) -> str:
    """Return the moment so many seconds from now, as the database writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + ahead))
