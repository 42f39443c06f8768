"""A worker whose dispatcher is stuck ends itself, and its supervisor starts another."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import blocker
from tests.e2e.stack import Stack, installation
from tests.service import ROOT
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]

WATCHDOG = 4
# In seconds: what a process that is stuck takes until it ends, on a busy machine.
ENDED = WATCHDOG + 60


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """An installation whose processes have a bug, which shows when the file `cause` is there."""
    (tmp_path / "sitecustomize.py").write_text("from tests.e2e import blocker\nblocker.block()\n")
    settings = {
        "WEBHOOKS_WATCHDOG": str(WATCHDOG),
        "WEBHOOKS_LEASE_GRACE": "2",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        blocker.CAUSE: str(tmp_path / "cause"),
    }
    with installation(**settings) as stack:
        yield stack


def deliver(stack: Stack) -> "subprocess.Popen[bytes]":
    process = stack.start("deliver", "manage", "deliver")
    workers = "SELECT count(*) FROM deliveries_worker"
    wait_until(lambda: stack.rows(workers) == [(1,)], timeout=30, what="its heartbeat")
    return process


class TestStuck:
    def test_ends_the_process_and_says_where_it_hangs(self, stack: Stack) -> None:
        process = deliver(stack)

        Path(stack.environment[blocker.CAUSE]).touch()

        assert process.wait(ENDED) == 1
        said = stack.log("deliver")
        assert "dispatcher.stuck" in said
        assert "collect_or_hang" in said

    def test_is_replaced_by_celery(self, stack: Stack) -> None:
        stack.start_web()
        stack.make_account()
        stack.start_worker()
        workers = "SELECT pid FROM deliveries_worker ORDER BY started_at"
        wait_until(lambda: stack.rows(workers), timeout=30, what="a heartbeat")
        first = stack.rows(workers)

        Path(stack.environment[blocker.CAUSE]).touch()

        wait_until(lambda: len(stack.rows(workers)) == 2, timeout=WATCHDOG + 20, what="another child")
        assert stack.rows(workers)[0] == first[0]
        assert "dispatcher.stuck" in stack.log("worker")
        agent = stack.call("POST", "/api/v1/agents", {"name": "Crane"}).json["id"]
        webhook = {"name": "CRM", "webhook_url": stack.receiver.url("/"), "events": ["*"]}
        assert stack.call("POST", f"/api/v1/agents/{agent}/webhooks", webhook).status == 201
        event = {"event": "call.ended", "agent_id": agent, "payload": {}}
        assert stack.call("POST", "/api/v1/events", event).status == 202
        wait_until(lambda: stack.receiver.at("/"), timeout=10, what="its arrival")


class TestAtWork:
    def test_is_left_alone_while_the_database_is_away(self, stack: Stack) -> None:
        process = deliver(stack)

        stack.postgresql.stop()
        time.sleep(WATCHDOG + 2)
        assert process.poll() is None
        stack.postgresql.start()

        seen = "SELECT 1 FROM deliveries_worker WHERE database_errors > 0"
        wait_until(lambda: stack.rows(seen), timeout=30, what="a heartbeat after it")

    def test_is_left_alone_after_a_pause_of_the_machine(self, stack: Stack) -> None:
        process = deliver(stack)

        process.send_signal(signal.SIGSTOP)
        time.sleep(WATCHDOG + 1)
        process.send_signal(signal.SIGCONT)
        time.sleep(WATCHDOG / 2)

        assert process.poll() is None
