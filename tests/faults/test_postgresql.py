"""PostgreSQL restarted, crashed, cut off, silent, locked and replaced."""

import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.faults.conftest import Ground
from tests.faults.scene import Scene
from tests.measuring.controller import Published
from tests.servers.postgresql import Mode
from tests.servers.standby import Standby
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

# Seconds after which deliveries go on again, once PostgreSQL can be used.
AGAIN = 10
# What publishers may hear meanwhile. Each of them asks again, and then gets 202.
AWAY = {"503"}
# Connections of two web processes with eight threads, and of two worker processes.
CONNECTIONS = 2 * 8 + 2 * 2


class TestRestart:
    @pytest.mark.long
    def test_is_a_pause(self, scene: Scene) -> None:
        times = scene.size.count(short=1, long=5)
        scene.start(webhooks=4, workers=2)

        with scene.publishing(rate=scene.size.pick(short=60, long=100)) as published:
            time.sleep(1)
            waits = [restarted(scene, "fast") for _ in range(times)]
        scene.settle()

        report(scene, "postgresql-restart", published, restarts=times, again_after_s=max(waits))

    def test_is_told_to_who_asks_meanwhile(self, scene: Scene) -> None:
        scene.start(webhooks=1, workers=0)
        scene.postgresql.stop()

        event = {"event": "call.ended", "agent_id": scene.subscriptions[0].agent_id, "payload": {}}
        answers = [
            scene.stack.call("POST", "/api/v1/events", event),
            scene.stack.call("GET", "/api/v1/failures"),
            scene.stack.call("GET", scene.subscriptions[0].api),
        ]

        assert [answer.status for answer in answers] == [503] * 3, answers
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        assert not any("Traceback" in str(answer.json) for answer in answers)
        scene.postgresql.start()


class TestCrash:
    def test_loses_nothing_that_was_acknowledged(self, scene: Scene) -> None:
        times = scene.size.count(short=2, long=10)
        scene.start(webhooks=4, workers=2)

        with scene.publishing(rate=scene.size.pick(short=60, long=100)) as published:
            time.sleep(1)
            waits = [restarted(scene, "immediate") for _ in range(times)]
        scene.settle()

        report(scene, "postgresql-crash", published, crashes=times, again_after_s=max(waits))


class TestTerminatedBackends:
    def test_lose_nothing_and_leave_no_trace(self, scene: Scene) -> None:
        seconds, rate = scene.size.pick(short=3, long=60), scene.size.pick(short=60, long=100)
        scene.start(webhooks=4, workers=2)
        # What was sent when its connection broke while the claim was confirmed is sent when its lease ends.
        with scene.publishing(rate=rate) as published, outside(scene) as session:
            time.sleep(1)
            ended_at = time.monotonic() + seconds
            while time.monotonic() < ended_at:
                session.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                time.sleep(0.2)
            time.sleep(5)
            before = len(scene.receiver.arrivals())
            time.sleep(4)
            share = (len(scene.receiver.arrivals()) - before) / (4 * rate)
        scene.settle()

        report(
            scene,
            "backends-terminated",
            published,
            timely=share >= 0.9,
            seconds=seconds,
            throughput_5_s_later=f"{share:.0%}",
        )


class TestHalfOpenDatabase:
    def test_is_given_up_for_a_new_connection(self, scene: Scene) -> None:
        """The connections there are stay open and silent for good; new ones work."""
        if not scene.size.long:
            scene.stack.environment["WEBHOOKS_STATEMENT_TIMEOUT"] = "2"
        proxy = scene.through_proxy("postgresql")
        scene.start(webhooks=4, workers=2)

        with scene.publishing(rate=20) as published:
            time.sleep(2)
            took = everybody_resumed_after(scene, proxy.forget)
        scene.settle()

        report(scene, "half-open", published, case="PostgreSQL", within=30, every_worker_again_after_s=took)

    @pytest.mark.long
    def test_is_survived_while_new_connections_are_silent_too(self, scene: Scene) -> None:
        silence = scene.size.pick(short=4, long=60)
        proxy = scene.through_proxy("postgresql")
        scene.start(webhooks=4, workers=2)

        with scene.publishing(rate=20) as published:
            time.sleep(1)
            proxy.blackhole()
            time.sleep(silence)
            took = everybody_resumed_after(scene, proxy.forward)
        scene.settle()

        report(
            scene,
            "half-open",
            published,
            case=f"PostgreSQL, whole network silent for {silence:.0f} s",
            # Every thread of the web server waits for it by turns, so some wait longer than publishers do.
            heard=AWAY | {"TimeoutError"},
            within=30,
            every_worker_again_after_s=took,
        )


class TestLockedTable:
    @pytest.mark.long
    def test_costs_time_and_nothing_else(self, scene: Scene) -> None:
        seconds = scene.size.pick(short=4, long=20)
        scene.start(webhooks=4, workers=2)
        most = 0

        with scene.publishing(rate=scene.size.pick(short=30, long=60)) as published:
            time.sleep(1)
            with outside(scene) as session, session.transaction():
                session.execute("LOCK TABLE deliveries_delivery IN ACCESS EXCLUSIVE MODE")
                ended_at = time.monotonic() + seconds
                while time.monotonic() < ended_at:
                    most = max(most, connections(session))
                    time.sleep(0.2)
            took = resumed_after(scene, lambda: None)
        scene.settle()

        assert "database.failed" in scene.stack.log("worker")
        report(
            scene,
            "postgresql-locked",
            published,
            passed=most <= CONNECTIONS,
            seconds=seconds,
            connections_at_most=most,
            again_after_s=took,
        )


class TestLongTransaction:
    @pytest.mark.long
    def test_slows_the_claim_a_little(self, scene: Scene) -> None:
        """Nothing that was changed since it began can be cleaned up, so the claim walks past it all."""
        scene.start(webhooks=4, workers=2)

        with outside(scene) as session:
            session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            session.execute("SELECT count(*) FROM deliveries_delivery")
            with scene.publishing(
                rate=scene.size.pick(short=60, long=100), seconds=scene.size.pick(short=3, long=120)
            ) as published:
                pass
            scene.settle()
            session.execute("COMMIT")

        delivered = scene.delivered_within(0.95)
        report(
            scene,
            "postgresql-snapshot",
            published,
            passed=scene.lost() == 0,
            timely=delivered <= 2.5,
            delivery_p95_ms=round(delivered * 1000),
        )


@pytest.fixture
def standby(ground: Ground) -> Iterator[Standby]:
    """A standby of the server, set up before the scene so that it is there until the scene has ended."""
    with Standby(ground.postgresql) as standby:
        yield standby
        # Also after a scenario that failed half way: the next one would wait with its first commit.
        standby.leave()


class TestFailover:
    @pytest.mark.long
    @pytest.mark.parametrize(
        "synchronously",
        [
            pytest.param(True, id="synchronous"),
            pytest.param(False, id="asynchronous"),
        ],
    )
    def test_keeps_what_was_replicated(self, synchronously: bool, standby: Standby, scene: Scene) -> None:
        proxy = scene.through_proxy("postgresql")
        scene.start(webhooks=4, workers=2)
        standby.follow(synchronously=synchronously)

        with scene.publishing(rate=scene.size.pick(short=60, long=150)) as published:
            time.sleep(scene.size.pick(short=2, long=20))
            scene.postgresql.kill()
            standby.promote()
            scene.stack.database_url = standby.url(scene.stack.database_url.rpartition("/")[2])
            took = resumed_after(scene, lambda: proxy.lead_to(standby.port))
        scene.settle()

        forgotten = 0 if synchronously else forget_what_was_not_replicated(scene)
        report(
            scene,
            "failover",
            published,
            case="synchronous" if synchronously else "asynchronous",
            again_after_s=took,
            acknowledged_and_not_replicated=forgotten,
        )


def restarted(scene: Scene, mode: Mode) -> float:
    """Restart PostgreSQL, and return how many seconds after it accepted connections something arrived."""
    return resumed_after(scene, lambda: scene.postgresql.restart(mode))


def resumed_after(scene: Scene, act: Callable[[], None]) -> float:
    """Do something, and return how many seconds later something arrived that was not under way before."""
    act()
    began, began_at = time.monotonic(), time.time()
    under_way = 0.1
    wait_until(
        lambda: any(each.at > began_at + under_way for each in scene.receiver.arrivals()),
        timeout=60,
        what="deliveries that go on",
    )
    return round(time.monotonic() - began, 1)


def everybody_resumed_after(scene: Scene, act: Callable[[], None]) -> float:
    """Do something, and return how many seconds later every worker had written down results again.

    As its heartbeat tells, some seconds later at most.
    """
    act()
    began, moment = time.monotonic(), datetime.now(UTC)
    writing = f"SELECT count(*) FROM deliveries_worker WHERE recorded_at > '{moment.isoformat()}'"
    everybody = [(len(scene.alive()),)]
    wait_until(lambda: scene.stack.rows(writing) == everybody, timeout=60, what="workers", every=0.1)
    return round(time.monotonic() - began, 1)


@contextmanager
def outside(scene: Scene) -> Iterator[psycopg.Connection]:
    """Somebody else's session on the database."""
    with psycopg.connect(scene.stack.database_url, autocommit=True) as session:
        yield session


def connections(session: psycopg.Connection) -> int:
    """Return how many connections there are to the database beside this one."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    row = session.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def forget_what_was_not_replicated(scene: Scene) -> int:
    """Take off the list of what was acknowledged what the promoted database lacks; return how many."""
    stored = scene.stored()
    before = len(scene.acknowledged())
    for published in scene.published:
        published.acknowledged = [each for each in published.acknowledged if each.event_id in stored]
    return before - len(scene.acknowledged())


def report(
    scene: Scene,
    row: str,
    published: Published,
    *,
    case: str = "",
    passed: bool = True,
    timely: bool = True,
    within: float = AGAIN,
    heard: Set[str] = AWAY,
    **measured: Any,
) -> None:
    """Report a figure; whatever the fault, nothing is lost and publishers hear 503 at worst.

    :param heard: what else they may hear.
    :param within: seconds that each measured `..._after_s` may take.
    """
    lost = scene.lost()
    in_time = all(float(took) <= within for name, took in measured.items() if name.endswith("after_s"))
    scene.figure(
        row,
        case=case,
        passed=passed and not lost and not published.given_up and published.errors.keys() <= heard,
        timely=timely and in_time,
        events=len(published.acknowledged),
        lost=lost,
        answers_other_than_202=dict(published.errors),
        **measured,
    )
