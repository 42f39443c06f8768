"""Celery's way to Redis."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from kombu import Connection
from kombu.asynchronous import Hub
from redis import Redis as Client
from redis.exceptions import ReadOnlyError

from tests.servers.redis import Redis
from tests.waiting import wait_until
from webhooks_project import broker


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server


class TestMessages:
    @pytest.mark.parametrize(
        "text", ["no JSON", "null", "[]", "1", '"a"', "{}", '{"properties": 1}', '{"properties": {}}', "\xff"]
    )
    def test_that_are_none_do_not_keep_the_next_from_being_heard(self, redis: Redis, text: str) -> None:
        heard: list[object] = []
        broker.use()
        with Client.from_url(redis.url()) as client, Connection(redis.url()) as connection:
            client.delete("rings")
            client.lpush("rings", text.encode("latin-1"))
            connection.Producer().publish({"work": True}, routing_key="rings")
            queue = connection.SimpleQueue("rings").queue
            consumer = connection.Consumer([queue], callbacks=[lambda body, _: heard.append(body)])
            with consumer, suppress(socket.timeout):
                for _ in range(3):
                    connection.drain_events(timeout=1)

        assert heard == [{"work": True}]


class TestConnection:
    def test_is_closed_where_redis_can_only_be_read(self) -> None:
        """As after a failover: Celery tries several times a second, for as long as it takes."""
        broker.use()
        with Redis() as redis, Client.from_url(redis.url()) as client:
            redis.follow(1)
            for _ in range(3):
                connection = Connection(redis.url())
                connection.connect()
                with pytest.raises(ReadOnlyError):
                    connection.transport.register_with_event_loop(connection.connection, Hub())

            wait_until(lambda: len(client.client_list()) == 1, what="nobody but who looks", timeout=5)
