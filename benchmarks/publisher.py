"""Somebody who publishes as fast as the service takes it, in a process of their own.

The rate is that of a closed loop: each of some connections publishes again once it is answered.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.ground import event
from tests.measuring.controller import Connections, request_of
from tests.measuring.helper import Helper, helping, obey_meanwhile

CONNECTIONS = 8


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to publish.

    :param batch: events in a request; 0 for single events, which have a path of their own.
    """

    port: int
    key: str
    agent_id: str
    kilobytes: int
    batch: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Published:
    """What came of it.

    :param took: seconds until each request was answered.
    """

    events: int
    seconds: float
    took: list[float]


@contextmanager
def publishing() -> Iterator[Helper]:
    """Run the publisher."""
    with helping("benchmarks.publisher") as helper:
        yield helper


def publish(helper: Helper, order: Order) -> Published:
    """Publish, and return once the time of the order is over."""
    return Published(**helper.ask("publish", **asdict(order)))


async def _publish(order: Order) -> Published:
    one = event(order.agent_id, order.kilobytes)
    path, body = "/api/v1/events", json.dumps(one).encode()
    if order.batch:
        path, body = "/api/v1/events/batch", json.dumps({"events": [one] * order.batch}).encode()
    request = request_of(path, order.key, body)
    connections = Connections(order.port)
    began = time.monotonic()
    took: list[float] = []

    async def go_on() -> None:
        while (asked := time.monotonic()) < began + order.seconds:
            status, answer = await connections.ask(request)
            assert status == 202, answer
            took.append(time.monotonic() - asked)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(go_on())
    return Published(events=len(took) * max(1, order.batch), seconds=time.monotonic() - began, took=took)


async def _obey(verb: str, order: dict[str, Any]) -> object:
    return asdict(await _publish(Order(**order)))


if __name__ == "__main__":
    asyncio.run(obey_meanwhile(_obey))
