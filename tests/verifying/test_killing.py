import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from deliveries import clock
from deliveries.management.verifying import killing
from deliveries.models import Worker
from tests import builders
from tests.servers.process import ending_with_parent
from tests.waiting import wait_until

SECONDS = timedelta(seconds=1)


def sleeper(*words: str) -> "subprocess.Popen[bytes]":
    """Start a process that is called like this, and does nothing."""
    return subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", *words],
        stdout=subprocess.PIPE,
        preexec_fn=ending_with_parent(signal.SIGKILL),
    )


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that looks like a worker of Celery's."""
    with sleeper("celery", "-A", "webhooks_project", "worker") as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def a_worker(pid: int, **changes: Any) -> Worker:
    now = clock.now()
    row = {"host": socket.gethostname(), "pid": pid, "started_at": now, "seen_at": now}
    return builders.a_worker(**row | changes)


def choose(now: datetime | None = None) -> Worker:
    return killing.choose(now=now or clock.now())


@pytest.mark.django_db
class TestChoose:
    def test_finds_a_worker_of_this_host(self, process: "subprocess.Popen[bytes]") -> None:
        worker = a_worker(process.pid)

        assert choose() == worker

    @pytest.mark.parametrize(
        "words",
        [("manage.py", "up"), ("celery", "beat"), ("deliver",), ("gunicorn", "worker"), ()],
        ids=lambda words: " ".join(words) or "nothing",
    )
    def test_leaves_what_is_called_otherwise_alone(self, words: tuple[str, ...]) -> None:
        with sleeper(*words) as process:
            a_worker(process.pid)

            with pytest.raises(killing.NothingToKill):
                choose()
            process.kill()

    def test_takes_deliver_for_a_worker(self) -> None:
        with sleeper("/srv/manage.py", "deliver") as process:
            assert choose_when_up(a_worker(process.pid))
            process.kill()

    def test_leaves_a_process_alone_that_has_the_id_of_a_dead_worker(
        self, process: "subprocess.Popen[bytes]"
    ) -> None:
        a_worker(process.pid, started_at=clock.now() - 5 * SECONDS)

        with pytest.raises(killing.NothingToKill):
            choose(now=clock.now())

    @pytest.mark.parametrize(
        "changes",
        [{"host": "elsewhere.example.com"}, {"seen_at": datetime(2026, 1, 1, tzinfo=clock.now().tzinfo)}],
        ids=["another host", "silent"],
    )
    def test_leaves_the_processes_of_other_rows_alone(
        self, process: "subprocess.Popen[bytes]", changes: dict[str, Any]
    ) -> None:
        a_worker(process.pid, **changes)

        with pytest.raises(killing.NothingToKill):
            choose()

    def test_finds_no_process_that_is_gone(self, process: "subprocess.Popen[bytes]") -> None:
        a_worker(process.pid)
        process.kill()

        wait_until(lambda: not chosen(), what="its end")

    def test_never_takes_this_process(self) -> None:
        a_worker(os.getpid())

        assert not chosen()


@pytest.mark.django_db
class TestKill:
    def test_ends_the_process(self, process: "subprocess.Popen[bytes]") -> None:
        worker = a_worker(process.pid)

        killing.kill(worker, now=clock.now())

        assert process.wait(5) == -signal.SIGKILL

    def test_looks_once_more(self, process: "subprocess.Popen[bytes]") -> None:
        worker = a_worker(process.pid, started_at=clock.now() - 5 * SECONDS)

        with pytest.raises(killing.NothingToKill, match="is gone"):
            killing.kill(worker, now=clock.now())

        assert process.poll() is None


def chosen() -> bool:
    try:
        choose()
    except killing.NothingToKill:
        return False
    return True


def choose_when_up(worker: Worker) -> bool:
    """Tell whether it is chosen; the words of a new process are there a moment later."""
    deadline = time.monotonic() + 5
    while not chosen() and time.monotonic() < deadline:
        time.sleep(0.02)
    return choose() == worker
