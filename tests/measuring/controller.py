"""A customer in a process of its own, who publishes at a fixed rate whatever happens to the service.

The rate is that of an open loop: an event is published in its moment, whether those before it have been
answered or not, and how long it took counts from that moment. What is not answered with 202 is asked again
with the same Idempotency-Key, as a customer does who means it.
"""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from tests.measuring.measures import percentile
from tests.servers.process import ending_with_parent

# Seconds an answer may take, and for how long an event is asked for again before it is given up.
ANSWER, INSIST = 15.0, 60.0
# Seconds between two tries, the first time and at most. A customer who heeds Retry-After would ask less.
AGAIN = (0.1, 1.0)
# As many connections at most; an event that has to wait for one waits on its own time.
CONNECTIONS = 64


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to publish.

    :param rate: events a second.
    :param seconds: for how long; None: until told to stop.
    :param agents: whose events to publish, by turns.
    :param words: what every payload holds; it must never be seen in a log.
    :param name: makes the idempotency keys those of this order and no other.
    """

    port: int
    key: str
    rate: float
    seconds: float | None
    agents: Sequence[str]
    words: str
    name: str
    event_type: str = "call.ended"


class Acknowledged(NamedTuple):
    """An event the service said 202 to.

    :param meant_at: when it was to be published, by the clock of the machine.
    :param took: seconds from then until the answer.
    :param tries: how often it was asked for.
    """

    event_id: str
    agent_id: str
    meant_at: float
    took: float
    tries: int


@dataclass
class Published:
    """What came of an order; complete once its block is left.

    :param given_up: events that were never acknowledged.
    :param errors: what was answered instead of 202, or went wrong instead of an answer, and how often.
    """

    acknowledged: list[Acknowledged] = field(default_factory=list)
    given_up: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def answered_within(self, share: float) -> float:
        """Return the seconds within which this share of the events were answered: 0.99 asks for the p99."""
        return percentile([each.took for each in self.acknowledged], share)

    def __str__(self) -> str:
        if not self.acknowledged:
            return f"nothing acknowledged, {self.given_up} given up, {dict(self.errors)}"
        p50, p95, p99 = (self.answered_within(share) * 1000 for share in (0.5, 0.95, 0.99))
        return (
            f"{len(self.acknowledged)} acknowledged, {self.given_up} given up,"
            f" answers p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms, errors {dict(self.errors)}"
        )


@contextmanager
def publishing(order: Order) -> Iterator[Published]:
    """Publish while the block runs, and as much longer as the order says."""
    published = Published()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.measuring.controller"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=ending_with_parent(signal.SIGKILL),
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(order)) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "begun\n"
            yield published
            if order.seconds is None:
                process.stdin.close()
            told = json.loads(process.stdout.readline())
        except BaseException:
            process.kill()
            raise
    published.acknowledged += [Acknowledged(*each) for each in told["acknowledged"]]
    published.given_up = told["given_up"]
    published.errors.update(told["errors"])


class Connections:
    """Kept connections to the service, and one request on one of them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.room = asyncio.Semaphore(CONNECTIONS)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer.

        :raises OSError: there was none.
        """
        async with self.room, asyncio.timeout(ANSWER):
            while self.kept:
                try:
                    return await self.ask_on(*self.kept.pop(), request)
                except (asyncio.IncompleteReadError, ConnectionError):
                    # It was closed while nobody used it, which says nothing about this request; and the
                    # idempotency key makes asking again the same as asking once.
                    continue
            try:
                return await self.ask_on(*await asyncio.open_connection("127.0.0.1", self.port), request)
            except asyncio.IncompleteReadError as error:
                raise ConnectionResetError from error

    async def ask_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[int, bytes]:
        done = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
            done = "connection: close" not in head
        finally:
            if done:
                self.kept.append((reader, writer))
            else:
                writer.close()
        return int(head.split(" ")[1]), body


def request_of(path: str, key: str, body: bytes, more: str = "") -> bytes:
    """Return a POST to the service, complete.

    :param more: headers, each with its end of line.
    """
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    ).encode() + body


class _Customer:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.published = Published()
        self.connections = Connections(order.port)
        self.chance = random.Random(order.name)

    async def publish(self, number: int, meant: float, meant_at: float) -> None:
        agent_id = self.order.agents[number % len(self.order.agents)]
        request = self.request(number, agent_id)
        tries, wait = 0, AGAIN[0]
        while time.monotonic() < meant + INSIST:
            tries += 1
            try:
                status, body = await self.connections.ask(request)
            except OSError as error:  # a timeout is one as well
                self.published.errors[type(error).__name__] += 1
            else:
                if status == 202:
                    took = time.monotonic() - meant
                    event_id = json.loads(body)["id"]
                    self.published.acknowledged.append(
                        Acknowledged(event_id, agent_id, meant_at, took, tries)
                    )
                    return
                self.published.errors[str(status)] += 1
            await asyncio.sleep(wait * self.chance.uniform(0.8, 1.2))
            wait = min(2 * wait, AGAIN[1])
        self.published.given_up += 1

    def request(self, number: int, agent_id: str) -> bytes:
        payload = {"number": number, "words": self.order.words}
        event = {"event": self.order.event_type, "agent_id": agent_id, "payload": payload}
        named = f"Idempotency-Key: {self.order.name}-{number}\r\n"
        return request_of("/api/v1/events", self.order.key, json.dumps(event).encode(), named)

    async def run(self, stop: asyncio.Event) -> None:
        began, began_at, number = time.monotonic(), time.time(), 0
        async with asyncio.TaskGroup() as under_way:
            while not stop.is_set():
                moment = number / self.order.rate
                if self.order.seconds is not None and moment >= self.order.seconds:
                    break
                await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
                under_way.create_task(self.publish(number, began + moment, began_at + moment))
                number += 1


async def _main() -> None:
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    customer = _Customer(Order(**json.loads(await orders.readline())))
    stop = asyncio.Event()

    async def wait_for_the_end() -> None:
        await orders.read()
        stop.set()

    waiting = asyncio.create_task(wait_for_the_end())
    _say("begun")
    await customer.run(stop)
    waiting.cancel()
    told: dict[str, Any] = vars(customer.published)
    _say(json.dumps(told))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main())
