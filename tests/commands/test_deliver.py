"""manage.py deliver, as a process of its own on a database of its own."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError

from deliveries.models import Delivery
from deliveries.services.dispatching import Dispatcher
from deliveries.transport import Exchange
from tests import builders
from tests.commands.conftest import Run
from tests.commands.installation import PATIENCE, Installation
from tests.e2e.receiver import Receiver, receiving
from tests.services.fakes import FakeTransport
from tests.waiting import wait_until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on the loopback interface."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def opened(receiver: Receiver) -> Iterator[Callable[[], None]]:
    """Let the receiver answer on /slow only from now on."""
    gate = threading.Event()

    def wait(times: int) -> int:
        gate.wait(PATIENCE)
        return 200

    receiver.behaviours["/slow"] = wait
    yield gate.set
    gate.set()


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.postgresql
class TestDeliver:
    def test_delivers_without_a_broker(self, installation: Installation, receiver: Receiver) -> None:
        process = installation.start("deliver")

        installation.publish(receiver.url("/"), count=3)
        wait_until(lambda: len(receiver.at("/")) == 3, timeout=PATIENCE, what="three arrivals")
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=PATIENCE)

        assert process.returncode == 0, stderr
        assert stdout == "Delivering. Ctrl-C stops.\nStopped.\n"
        status = installation.status()
        assert (status["due"], status["leased"], sum(status["failed"].values())) == (0, 0, 0)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_finishes_what_is_under_way_when_it_is_stopped(
        self,
        installation: Installation,
        receiver: Receiver,
        opened: Callable[[], None],
        number: signal.Signals,
    ) -> None:
        installation.publish(receiver.url("/slow"))
        process = installation.start("deliver")
        wait_until(lambda: receiver.at("/slow"), timeout=PATIENCE, what="an arrival")

        process.send_signal(number)
        installation.publish(receiver.url("/late"))
        opened()
        _, stderr = process.communicate(timeout=PATIENCE)

        assert process.returncode == 0, stderr
        assert receiver.at("/late") == []
        status = installation.status()
        assert (status["due"], status["leased"], sum(status["failed"].values())) == (1, 0, 0)

    def test_ends_at_once_at_the_second_signal(
        self, installation: Installation, receiver: Receiver, opened: Callable[[], None]
    ) -> None:
        installation.publish(receiver.url("/slow"))
        process = installation.start("deliver")
        wait_until(lambda: receiver.at("/slow"), timeout=PATIENCE, what="an arrival")

        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=5)

        assert process.returncode == -signal.SIGTERM
        assert installation.status()["leased"] == 1


@pytest.mark.slow
@pytest.mark.sqlite
@pytest.mark.postgresql
class TestDeliverOnce:
    def test_delivers_all_that_is_due_and_returns(
        self, installation: Installation, receiver: Receiver
    ) -> None:
        # More than one webhook may have under way at a time.
        installation.publish(receiver.url("/"), count=25)

        said = installation.manage("deliver", "--once")

        assert said == "Everything due was delivered or is scheduled for another attempt.\n"
        assert len(receiver.at("/")) == 25
        status = installation.status()
        assert (status["due"], status["leased"], sum(status["failed"].values())) == (0, 0, 0)

    def test_fails_when_it_takes_too_long_and_loses_nothing(
        self, installation: Installation, receiver: Receiver, opened: Callable[[], None]
    ) -> None:
        installation.publish(receiver.url("/slow"))
        process = installation.start("deliver", "--once", "--within", "1")
        wait_until(lambda: receiver.at("/slow"), timeout=PATIENCE, what="an arrival")

        threading.Timer(2, opened).start()
        _, stderr = process.communicate(timeout=PATIENCE)

        assert process.returncode == 1
        assert "Stopped before everything due was delivered." in stderr
        status = installation.status()
        assert (status["due"], status["leased"], sum(status["failed"].values())) == (0, 0, 0)

    def test_can_be_stopped(
        self, installation: Installation, receiver: Receiver, opened: Callable[[], None]
    ) -> None:
        installation.publish(receiver.url("/slow"), count=11)
        process = installation.start("deliver", "--once")
        wait_until(lambda: len(receiver.at("/slow")) == 10, timeout=PATIENCE, what="as many as it takes")

        process.send_signal(signal.SIGTERM)
        opened()
        process.communicate(timeout=PATIENCE)

        assert process.returncode == 1
        status = installation.status()
        assert (status["due"], status["leased"], sum(status["failed"].values())) == (1, 0, 0)


@pytest.mark.django_db
class TestIdleness:
    def test_is_noticed_on_a_machine_that_always_wakes_up_late(self, settings: Any) -> None:
        class LateTransport(FakeTransport):
            def collect(self, timeout: timedelta) -> list[Exchange]:
                time.sleep(timeout.total_seconds() + 0.02)
                return super().collect(timedelta(0))

        settings.WEBHOOKS_POLL_INTERVAL = timedelta(seconds=0.02)
        builders.a_delivery()
        dispatcher = Dispatcher(transport=LateTransport(), clock=lambda: builders.NOW)

        assert dispatcher.run_until_idle(budget=timedelta(seconds=3))

        assert Delivery.objects.get().status == "succeeded"


class TestArguments:
    def test_say_what_a_time_limit_is(self, run: Run) -> None:
        with pytest.raises(CommandError, match="a whole number of seconds"):
            run("deliver", "--once", "--within", "soon")
