"""Children of a Celery worker that die when Celery does not look, or at their start."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import stillborn
from tests.e2e.stack import Stack, installation
from tests.measuring import footprint
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]

WORKERS = "SELECT pid FROM deliveries_worker"
# In seconds: what a parent takes until it gives up, its start included, on a busy machine.
GIVEN_UP = stillborn.LOOKS + 60


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """An installation whose workers' children come to nothing while the file `cause` is there."""
    with installation(**{stillborn.CAUSE: str(tmp_path / "cause")}) as stack:
        yield stack


def start_worker(stack: Stack, *, children: int) -> "subprocess.Popen[bytes]":
    return stack.start_worker(app="tests.e2e.stillborn", concurrency=children)


def delivering(stack: Stack) -> set[int]:
    """Return the processes that have given a heartbeat."""
    return {pid for (pid,) in stack.rows(WORKERS)}


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class TestDeadChild:
    def test_does_not_end_a_worker_that_is_starting(self, stack: Stack) -> None:
        stack.redis.stop()
        worker = start_worker(stack, children=2)
        wait_until(lambda: len(delivering(stack)) == 2, timeout=30, what="two heartbeats")

        victim, survivor = delivering(stack)
        kill(victim)
        stack.redis.start()

        wait_until(lambda: len(delivering(stack)) == 3, timeout=40, what="a heartbeat of another")
        assert worker.poll() is None
        assert survivor in footprint.family(worker.pid)

    def test_ends_a_worker_that_cannot_replace_it(self, stack: Stack) -> None:
        stack.redis.stop()
        worker = start_worker(stack, children=2)
        wait_until(lambda: len(delivering(stack)) == 2, timeout=30, what="two heartbeats")

        for victim in delivering(stack):
            kill(victim)

        assert worker.wait(GIVEN_UP) == 1
        assert "worker.childless" in stack.log("worker")

    def test_ends_a_worker_that_replaces_it_in_vain(self, stack: Stack) -> None:
        Path(stack.environment[stillborn.CAUSE]).write_text("killed")

        worker = start_worker(stack, children=1)

        assert worker.wait(GIVEN_UP) == 1
        assert "worker.childless" in stack.log("worker")


class TestLivingChild:
    def test_without_a_dispatcher_is_replaced(self, stack: Stack) -> None:
        Path(stack.environment[stillborn.CAUSE]).write_text("failed")

        worker = start_worker(stack, children=1)

        wait_until(lambda: delivering(stack), timeout=60, what="a heartbeat of another")
        assert worker.poll() is None
        assert "dispatcher.failed" in stack.log("worker")

    def test_is_enough_for_a_worker_without_its_broker(self, stack: Stack) -> None:
        stack.redis.stop()
        worker = start_worker(stack, children=2)
        wait_until(lambda: len(delivering(stack)) == 2, timeout=30, what="two heartbeats")

        kill(delivering(stack).pop())

        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(stillborn.LOOKS + 4)

    def test_is_given_its_time_to_stop(self, stack: Stack) -> None:
        stack.receiver.delay = stillborn.LOOKS + 3
        stack.start_web()
        stack.make_account()
        worker = start_worker(stack, children=1)
        stack.wait_for_workers(1)
        agent = stack.call("POST", "/api/v1/agents", {"name": "Crane"}).json["id"]
        webhook = {"name": "CRM", "webhook_url": stack.receiver.url("/"), "events": ["*"], "timeout": 30}
        assert stack.call("POST", f"/api/v1/agents/{agent}/webhooks", webhook).status == 201
        event = {"event": "call.ended", "agent_id": agent, "payload": {}}
        assert stack.call("POST", "/api/v1/events", event).status == 202
        wait_until(lambda: stack.receiver.at("/"), timeout=10, what="its arrival")

        worker.terminate()

        assert worker.wait(GIVEN_UP) == 0
        assert stack.rows("SELECT status FROM deliveries_delivery") == [("succeeded",)]
