"""What must hold while processes are killed, paused and cut off: nothing accepted is lost."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from deliveries.services.dispatching import RECORD_AT
from tests.e2e.stack import Stack, installation
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

SLOTS = 32
# Seconds: the shortest timeout the logs API takes, and the grace these installations give.
TIMEOUT, GRACE = 5, 2
LEASE = TIMEOUT + GRACE
DRAIN = 4


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A service whose leases are short enough to wait for."""
    settings = {"LEASE_GRACE": GRACE, "SLOTS": SLOTS, "DRAIN_TIMEOUT": DRAIN}
    with installation(**{f"WEBHOOKS_{name}": str(value) for name, value in settings.items()}) as stack:
        stack.make_account()
        stack.start_web()
        yield stack


def subscribe(stack: Stack, *paths: str, **fields: object) -> None:
    """Make a webhook for each path of the receiver."""
    agent = stack.call("POST", "/api/v1/agents", {"name": "Reception"}).json["id"]
    for path in paths:
        body = {"name": path, "webhook_url": stack.receiver.url(path), "events": ["*"], "timeout": TIMEOUT}
        answer = stack.call("POST", f"/api/v1/agents/{agent}/webhooks", {**body, **fields})
        assert answer.status == 201, answer
    stack.agent_id = agent


def publish(stack: Stack, number: int) -> tuple[str, float]:
    """Publish an event; return its id and how long the answer took, in seconds."""
    began = time.monotonic()
    event = {"event": "call.ended", "agent_id": stack.agent_id, "payload": {"number": number}}
    answer = stack.call("POST", "/api/v1/events", event)
    assert answer.status == 202, answer
    return answer.json["id"], time.monotonic() - began


@contextmanager
def publishing_at(stack: Stack, *, rate: float, seconds: float) -> Iterator[list[tuple[str, float]]]:
    """Publish at a fixed rate, whatever the block does meanwhile; yield the list of what `publish` returned.

    It is complete once the block is left. Processes belong into the block: they end with the thread that
    started them.
    """
    began = time.monotonic()
    published: list[tuple[str, float]] = []

    def publish_in_time(number: int) -> None:
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        published.append(publish(stack, number))

    with ThreadPoolExecutor(8) as pool:
        publishing = [pool.submit(publish_in_time, number) for number in range(int(rate * seconds))]
        yield published
        for each in publishing:
            each.result()


def check_all_arrived(stack: Stack, published: list[tuple[str, float]], paths: list[str]) -> int:
    """Assert that every event is at every path and settled, and return how many came more than once."""
    expected = {(event_id, path) for event_id, _ in published for path in paths}

    def unsettled() -> int:
        return int(stack.rows("SELECT count(*) FROM deliveries_delivery WHERE status = 'pending'")[0][0])

    wait_until(lambda: unsettled() == 0, timeout=LEASE * 4, what="nothing pending")
    arrived = Counter((arrival.event_id, arrival.path) for arrival in stack.receiver.arrivals)
    lost = expected - set(arrived)
    assert not lost, f"{len(lost)} of {len(expected)} lost"
    assert stack.rows("SELECT status, count(*) FROM deliveries_delivery GROUP BY 1") == [
        ("succeeded", len(expected))
    ]
    assert stack.rows("SELECT count(*) FROM deliveries_delivery WHERE lease_token IS NOT NULL") == [(0,)]
    return arrived.total() - len(arrived)


class TestKilledWorker:
    def test_loses_nothing_and_repeats_little(self, stack: Stack) -> None:
        paths = [f"/{number}" for number in range(4)]
        subscribe(stack, *paths)
        stack.receiver.delay = 0.05
        workers = [stack.start_worker(), stack.start_worker()]
        kills, chance = 5, random.Random(7)

        with publishing_at(stack, rate=40, seconds=12) as published:
            for _ in range(kills):
                time.sleep(2)
                place = chance.randrange(len(workers))
                stack.kill(workers[place])
                workers[place] = stack.start_worker()

        repeated = check_all_arrived(stack, published, paths)
        assert repeated <= kills * (SLOTS + RECORD_AT)
        print(f"{kills} kills, {len(published) * 4} deliveries, 0 lost, {repeated} repeated")  # noqa: T201


class TestTerminatedWorker:
    def test_finishes_and_repeats_nothing(self, stack: Stack) -> None:
        paths = ["/a", "/b"]
        subscribe(stack, *paths)
        stack.receiver.delay = 0.05
        worker = stack.start_worker()
        stack.wait_for_workers(1)
        exits: list[tuple[int, float]] = []

        with publishing_at(stack, rate=40, seconds=8) as published:
            for round_ in range(3):
                successor = stack.start_worker()
                stack.wait_for_workers(round_ + 2)
                began = time.monotonic()
                os.kill(worker.pid, signal.SIGTERM)
                exits.append((worker.wait(60), time.monotonic() - began))
                worker = successor

        assert check_all_arrived(stack, published, paths) == 0
        assert all(code == 0 and took <= 30 for code, took in exits), exits


class TestTerminatedWorkerInTrouble:
    """Its slots are full with a receiver that does not answer, and its broker may not either."""

    @pytest.mark.parametrize("broker", ["well", "silent"])
    def test_starts_nothing_more_and_ends_in_time(self, broker: str, stack: Stack) -> None:
        subscribe(stack, *(f"/{number}" for number in range(5)), timeout=60)
        stack.receiver.delay = 30
        worker = stack.start_worker(concurrency=2)
        stack.wait_for_workers(1)
        for number in range(40):
            publish(stack, number)
        wait_until(lambda: len(stack.receiver.arrivals) >= 40, timeout=20, what="full slots")
        if broker == "silent":
            os.kill(stack.redis.pid or 0, signal.SIGSTOP)
            time.sleep(6)  # as long as it takes a worker to notice

        began, told_at = time.monotonic(), time.time()
        os.kill(worker.pid, signal.SIGTERM)

        assert worker.wait(60) == 0
        assert time.monotonic() - began < DRAIN + 5
        assert [arrival for arrival in stack.receiver.arrivals if arrival.at > told_at + 1] == []
        wait_until(lambda: not any_left(worker), what="no child left behind")
        # What it had to abandon is due at once instead of when its lease would have ended.
        wait_until(lambda: leased(stack) == 0, timeout=5, what="no leases")
        if broker == "silent":
            os.kill(stack.redis.pid or 0, signal.SIGCONT)


def any_left(worker: "subprocess.Popen[bytes]") -> bool:
    """Tell whether any process of the worker's group is still there."""
    try:
        os.killpg(worker.pid, 0)
    except ProcessLookupError:
        return False
    return True


def leased(stack: Stack) -> int:
    """Return how many deliveries a worker holds."""
    return int(stack.rows("SELECT count(*) FROM deliveries_delivery WHERE lease_token IS NOT NULL")[0][0])


class TestRedisAway:
    def test_changes_nothing_but_the_latency(self, stack: Stack) -> None:
        subscribe(stack, "/a")
        stack.start_worker()
        stack.redis.stop()

        with publishing_at(stack, rate=40, seconds=5) as published:
            pass

        assert check_all_arrived(stack, published, ["/a"]) == 0
        # The slowest few answers of a machine that runs other tests beside this one say nothing of Redis.
        answers = sorted(took for _, took in published)
        assert answers[int(len(answers) * 0.95)] < 0.3


class TestPausedWorker:
    def test_changes_nothing_when_it_wakes_past_its_lease(self, stack: Stack) -> None:
        """The paused worker's receiver said 500; by then another worker has delivered."""
        subscribe(stack, "/a")
        stack.receiver.behaviours["/a"] = lambda nth: 500 if nth == 1 else 200
        stack.receiver.delay = 1
        paused = stack.start_worker()
        publish(stack, 1)
        wait_until(lambda: stack.receiver.at("/a"), timeout=20, what="the first attempt")
        os.killpg(paused.pid, signal.SIGSTOP)
        stack.start_worker()
        wait_until(lambda: delivered(stack), timeout=LEASE + 20, what="the other worker's attempt")
        before = stack.rows("SELECT * FROM deliveries_delivery")

        os.killpg(paused.pid, signal.SIGCONT)
        wait_until(lambda: "result.fenced" in stack.log("worker"), timeout=10, what="the late result")

        assert stack.rows("SELECT * FROM deliveries_delivery") == before
        assert stack.rows("SELECT number, http_status FROM deliveries_attempt") == [(1, 200)]
        assert stack.rows("SELECT count(*) FROM deliveries_failure") == [(0,)]


def delivered(stack: Stack) -> bool:
    """Tell whether the one delivery there is has succeeded."""
    return stack.rows("SELECT status FROM deliveries_delivery") == [("succeeded",)]
