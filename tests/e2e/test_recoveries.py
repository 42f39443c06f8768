"""Recoveries through real processes: at their pace, pausable, and not to be stopped by a killed worker."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from tests.e2e.receiver import Arrival
from tests.e2e.stack import Stack, installation
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

FAILURES, RATE = 160, 20
# How many arrivals it may be ahead of its pace: what is queued at once, and bunches when a machine stalls.
AT_MOST = RATE * 1.5
# Requests of the one webhook that may be under way when its worker is killed.
MAX_IN_FLIGHT = 10
PATH = "/crm"


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A service with leases short enough to wait for."""
    with installation(WEBHOOKS_LEASE_GRACE="2") as stack:
        stack.make_account()
        stack.start_web()
        yield stack


def fail(stack: Stack) -> set[str]:
    """Publish events that a receiver does not take, then mend the receiver; return their ids."""
    # With a 5xx its circuit would open after ten of them.
    stack.receiver.behaviours[PATH] = lambda nth: 400
    agent = stack.call("POST", "/api/v1/agents", {"name": "Reception"}).json["id"]
    webhook = {
        "name": "CRM",
        "webhook_url": stack.receiver.url(PATH),
        "events": ["*"],
        "max_retries": 0,
        "timeout": 5,
    }
    assert stack.call("POST", f"/api/v1/agents/{agent}/webhooks", webhook).status == 201

    def publish(number: int) -> str:
        event = {"event": "call.ended", "agent_id": agent, "payload": {"number": number}}
        answer = stack.call("POST", "/api/v1/events", event)
        assert answer.status == 202, answer
        return str(answer.json["id"])

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(publish, range(FAILURES)))
    inactive = "SELECT count(*) FROM deliveries_failure WHERE status = 'inactive'"
    wait_until(lambda: stack.rows(inactive) == [(FAILURES,)], timeout=30, what="failures")
    stack.receiver.behaviours.clear()
    stack.receiver.arrivals.clear()
    return ids


def first_of_each(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Leave out what came again because the worker that had sent it was killed."""
    return list({arrival.event_id: arrival for arrival in reversed(arrivals)}.values())


def most_ahead(arrivals: Sequence[Arrival]) -> float:
    """Return by how many arrivals they were ahead of the pace at most, from the first of them on."""
    moments = sorted(arrival.at for arrival in arrivals)
    return max(number - RATE * (moment - moments[0]) for number, moment in enumerate(moments, start=1))


class TestRecovery:
    def test_sends_everything_at_its_pace_though_a_worker_is_killed(self, stack: Stack) -> None:
        workers = [stack.start_worker(), stack.start_worker()]
        stack.wait_for_workers(2)
        ids = fail(stack)
        arrivals = stack.receiver.arrivals

        preview = stack.call("POST", "/api/v1/recoveries", {"event": "call.ended", "dry_run": True})
        assert (preview.status, preview.json["count"]) == (200, FAILURES)
        body = {"event": "call.ended", "rate": RATE, "why": "The CRM was down."}
        began = time.time()
        made = stack.call("POST", "/api/v1/recoveries", body)
        assert (made.status, made.json["total"]) == (202, FAILURES)
        path = made.headers["location"]

        def progress() -> dict[str, int]:
            counted: dict[str, int] = stack.call("GET", path).json["progress"]
            return counted

        wait_until(lambda: len(arrivals) > RATE, timeout=10, what="the first second of it")
        # It was not the housekeeping of the next minute that began with it.
        assert arrivals[0].at - began < 20
        for worker in workers:
            stack.kill(worker)
        killed_at = len(arrivals)
        assert killed_at < FAILURES
        began_again = time.time()
        stack.start_worker()
        wait_until(lambda: len(arrivals) > killed_at + RATE, timeout=20, what="the rest of it")

        assert stack.call("POST", f"{path}/pause").json["status"] == "paused"
        time.sleep(1)  # what is queued already leaves
        wait_until(lambda: progress()["outstanding"] <= MAX_IN_FLIGHT, timeout=10, what="what was queued")
        queued, arrived = progress()["queued"], len(arrivals)
        time.sleep(3)  # nothing to wait for: nothing is to happen
        assert progress()["queued"] == queued < FAILURES
        # At most what the killed workers had under way, whose leases may end in this time.
        assert len(arrivals) - arrived <= MAX_IN_FLIGHT
        assert stack.call("POST", f"{path}/pause").json["code"] == "recovery_state_conflict"
        resumed = time.time()
        assert stack.call("POST", f"{path}/resume").json["status"] == "running"

        wait_until(lambda: progress()["delivered"] == FAILURES, timeout=30, what="everything delivered")
        recovery = stack.call("GET", path).json
        wait_until(lambda: stack.call("GET", path).json["finished_at"], timeout=3, what="its end")
        assert recovery["progress"] == {
            "queued": FAILURES,
            "skipped": 0,
            "delivered": FAILURES,
            "failed": 0,
            "outstanding": 0,
        }
        times = Counter(arrival.event_id for arrival in arrivals)
        assert set(times) == ids
        assert times.total() - len(times) <= MAX_IN_FLIGHT
        once = first_of_each(arrivals)
        for begin, end in pairwise([began, began_again, resumed, time.time()]):
            assert most_ahead([arrival for arrival in once if begin <= arrival.at < end]) <= AT_MOST
        audit = "SELECT action FROM deliveries_auditentry WHERE action LIKE 'recovery.%' ORDER BY id"
        assert [action for (action,) in stack.rows(audit)] == [
            "recovery.created",
            "recovery.paused",
            "recovery.resumed",
        ]
