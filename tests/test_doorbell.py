import socket
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from celery import current_app
from redis import Redis as Client

from deliveries import doorbell, tasks
from tests.servers.redis import Redis
from tests.waiting import wait_until


@pytest.fixture
def broker() -> Iterator[Callable[[str], doorbell._Ringer]]:
    """Return a ringer for a broker at a URL, apart from that of the process."""

    def ringer(url: str) -> doorbell._Ringer:
        current_app.conf.update(broker_url=url, broker_transport_options={})
        return doorbell._Ringer()

    names = ("broker_url", "broker_transport_options")
    original = {name: getattr(current_app.conf, name) for name in names}
    yield ringer
    current_app.conf.update(original)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Callable[[doorbell._Ringer], list[float]]:
    """Return the moments at which a ringer would have sent something; those of other tests may ring yet."""
    moments: dict[doorbell._Ringer, list[float]] = defaultdict(list)
    monkeypatch.setattr(doorbell._Ringer, "_send", lambda self: moments[self].append(time.monotonic()))
    return moments.__getitem__


def queued(client: Client) -> int:
    return cast(int, client.llen("webhooks"))


@contextmanager
def a_silent_server() -> Iterator[int]:
    """Take connections on a port and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class TestRing:
    def test_names_the_task_that_is_registered(self) -> None:
        assert current_app.tasks[doorbell.TASK].run == tasks.deliver_due.run

    @pytest.mark.parametrize("state", ["refusing", "silent"])
    def test_never_waits_for_the_broker(self, state: str, broker: Callable[[str], doorbell._Ringer]) -> None:
        with a_silent_server() as port:
            ringer = broker(f"redis://127.0.0.1:{port if state == 'silent' else 1}/0")
            began = time.monotonic()
            for _ in range(100):
                ringer.ring()

            assert time.monotonic() - began < 2  # a hundred waits, however short
            wait_until(lambda: ringer.errors == 1, what="the error")

    def test_leaves_a_broken_broker_alone_for_a_while(
        self, broker: Callable[[str], doorbell._Ringer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(doorbell, "_BREAKER", 0.5)
        ringer = broker("redis://127.0.0.1:1/0")
        ringer.ring()
        wait_until(lambda: ringer.errors == 1, what="the error")

        ringer.ring()
        time.sleep(0.3)
        assert ringer.errors == 1
        wait_until(lambda: ringer.errors == 2, what="the error")

    def test_is_sent_at_once_where_rings_are_few(
        self, broker: Callable[[str], doorbell._Ringer], sent: Callable[[doorbell._Ringer], list[float]]
    ) -> None:
        ringer, rung = broker("redis://127.0.0.1:1/0"), []
        for _ in range(20):
            rung.append(time.monotonic())
            ringer.ring()
            time.sleep(0.02)

        assert len(sent(ringer)) == len(rung)
        waited = [at - asked for at, asked in zip(sent(ringer), rung, strict=True)]
        assert statistics.median(waited) < 0.004

    def test_is_sent_for_many_where_they_are_many(
        self, broker: Callable[[str], doorbell._Ringer], sent: Callable[[doorbell._Ringer], list[float]]
    ) -> None:
        ringer, began = broker("redis://127.0.0.1:1/0"), time.monotonic()
        while time.monotonic() < began + 1:
            ringer.ring()
            time.sleep(0.001)

        assert 1 < len(sent(ringer)) < 60

    def test_is_not_sent_into_a_memory_nobody_listens_to(
        self, broker: Callable[[str], doorbell._Ringer]
    ) -> None:
        assert not doorbell._is_heard("memory://localhost/")
        assert doorbell._is_heard("amqp://guest@localhost/")


@pytest.mark.postgresql
class TestRingThroughRedis:
    def test_puts_one_message_in_the_queue_for_many_rings(
        self, broker: Callable[[str], doorbell._Ringer]
    ) -> None:
        with Redis() as redis:
            one, other = broker(redis.url()), broker(redis.url())
            client = Client.from_url(redis.url())

            for _ in range(20):
                one.ring()
                other.ring()
                time.sleep(0.01)

            wait_until(lambda: queued(client) == 1, what="the message")
            time.sleep(0.2)
            assert queued(client) == 1
            client.close()

    def test_stops_when_nobody_listens(
        self, broker: Callable[[str], doorbell._Ringer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(doorbell, "_UNHEARD", 2)
        with Redis() as redis:
            ringer = broker(redis.url())
            client = Client.from_url(redis.url())

            for _ in range(6):
                ringer.ring()
                doorbell.heard()
                time.sleep(0.1)

            assert queued(client) == 2
            client.close()

    def test_rings_again_once_it_was_heard(self, broker: Callable[[str], doorbell._Ringer]) -> None:
        with Redis() as redis:
            ringer = broker(redis.url())
            client = Client.from_url(redis.url())
            ringer.ring()
            wait_until(lambda: queued(client) == 1, what="the message")

            doorbell.heard()
            ringer.ring()

            wait_until(lambda: queued(client) == 2, what="the message")
            client.close()
