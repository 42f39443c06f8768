"""A receiver in a process of its own, so cheap that a thousand requests a second leave room for others.

It notes every request that arrives, verifies its signature with the published library, and answers as it was
told for the path. It takes its orders, lines of JSON, on its standard input, and ends with that.
"""

import asyncio
import hashlib
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, cast

from standardwebhooks.webhooks import Webhook as Oracle
from standardwebhooks.webhooks import WebhookVerificationError

from tests.measuring.helper import Helper, helping, obey_meanwhile
from tests.servers.process import free_port

# Arrivals told at a time, so that telling them does not keep others waiting for long.
PAGE = 10_000
BODY = b'{"received":true}'


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What to do with a request.

    :param status: to answer with.
    :param delay: seconds before that, and `spread` more at most.
    :param manner: answer; hang, saying nothing; or close the connection without a word.
    """

    status: int = 200
    delay: float = 0.0
    spread: float = 0.0
    manner: Literal["answer", "hang", "close"] = "answer"


class Arrival(NamedTuple):
    """A request as it came in.

    :param at: when it had arrived whole, by the clock of the machine.
    :param verified: whether a signature fits a secret of the path; None where no secret is known.
    :param timestamp: what it says of itself, in Unix seconds.
    :param digest: stands for its body.
    :param status: what it was, or will be, answered with; 0 for no answer.
    """

    path: str
    event_id: str
    attempt: int
    at: float
    verified: bool | None
    timestamp: int
    digest: str
    status: int


class Receiver:
    """The process as the tests see it."""

    def __init__(self, helper: Helper, port: int) -> None:
        self._ask = helper.ask
        self._told: list[Arrival] = []
        self.port = port

    def url(self, path: str) -> str:
        """Return the URL of a path here."""
        return f"http://127.0.0.1:{self.port}{path}"

    def arrivals(self, path: str | None = None) -> list[Arrival]:
        """Return what has arrived so far, in order: everything, or at a path."""
        while page := self._ask("log", after=len(self._told)):
            self._told += [Arrival(*entry) for entry in page]
        return [arrival for arrival in self._told if path in (None, arrival.path)]

    def count(self) -> int:
        """Return how many requests have arrived so far."""
        return int(self._ask("count"))

    def behave(self, *behaviours: Behaviour, path: str = "*") -> None:
        """Say what to do with the first, second ... arrival of an event at a path, the last for all the rest.

        :param path: which one; by default every one that was told nothing of its own.
        """
        self._ask("behave", path=path, behaviours=[asdict(behaviour) for behaviour in behaviours])

    def verify(self, path: str, *secrets: str) -> None:
        """Verify what arrives at a path from now on with these secrets, any of which will do."""
        self._ask("verify", path=path, secrets=secrets)

    def refuse(self) -> None:
        """Cut every connection and refuse new ones, as a dead server does, until `listen`."""
        self._ask("refuse")

    def listen(self) -> None:
        """Take connections again, on the same port."""
        self._ask("listen")

    def forget(self) -> None:
        """Forget every arrival and every order, and listen."""
        self._ask("forget")
        self._told.clear()


@contextmanager
def receiving(*, seed: int = 0) -> Iterator[Receiver]:
    """Run a receiver on a free port of the loopback interface."""
    port = free_port()
    with helping("tests.faults.receiver", str(port), str(seed)) as helper:
        receiver = Receiver(helper, port)
        assert receiver.count() == 0
        yield receiver


@dataclass
class _Server:
    """What the process knows."""

    port: int
    chance: random.Random
    log: list[Arrival] = field(default_factory=list)
    behaviours: dict[str, list[Behaviour]] = field(default_factory=dict)
    oracles: dict[str, list[Oracle]] = field(default_factory=dict)
    times: Counter[tuple[str, str]] = field(default_factory=Counter)
    connections: "set[_Connection]" = field(default_factory=set)
    listener: asyncio.Server | None = None

    async def obey(self, verb: str, order: dict[str, Any]) -> object:
        match verb:
            case "log":
                return self.log[order["after"] : order["after"] + PAGE]
            case "count":
                return len(self.log)
            case "behave":
                self.behaviours[order["path"]] = [Behaviour(**each) for each in order["behaviours"]]
            case "verify":
                self.oracles[order["path"]] = [Oracle(secret) for secret in order["secrets"]]
            case "refuse":
                self.refuse()
            case "listen":
                await self.listen()
            case "forget":
                self.log.clear()
                self.times.clear()
                self.behaviours.clear()
                self.oracles.clear()
                await self.listen()
        return None

    async def listen(self) -> None:
        if self.listener is None:
            loop = asyncio.get_running_loop()
            self.listener = await loop.create_server(
                lambda: _Connection(self), "127.0.0.1", self.port, backlog=1024, reuse_address=True
            )

    def refuse(self) -> None:
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        for connection in list(self.connections):
            connection.transport.abort()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Behaviour:
        event_id = headers.get("webhook-id", "")
        self.times[event_id, path] += 1
        told = self.behaviours.get(path) or self.behaviours.get("*") or [Behaviour()]
        behaviour = told[min(self.times[event_id, path], len(told)) - 1]
        self.log.append(
            Arrival(
                path=path,
                event_id=event_id,
                attempt=int(headers.get("x-webhook-attempt", "0")),
                at=time.time(),
                verified=self.verified(path, headers, body),
                timestamp=int(headers.get("webhook-timestamp", "0")),
                digest=hashlib.blake2b(body, digest_size=8).hexdigest(),
                status=behaviour.status if behaviour.manner == "answer" else 0,
            )
        )
        return behaviour

    def verified(self, path: str, headers: dict[str, str], body: bytes) -> bool | None:
        oracles: Sequence[Oracle] = self.oracles.get(path, ())
        return any(_fits(oracle, headers, body) for oracle in oracles) if oracles else None


def _fits(oracle: Oracle, headers: dict[str, str], body: bytes) -> bool:
    try:
        oracle.verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


class _Connection(asyncio.Protocol):
    """One connection, kept alive; its requests are answered one after the other."""

    def __init__(self, server: _Server) -> None:
        self.server = server
        self.buffer = b""
        self.answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.go_on()

    def go_on(self) -> None:
        if self.answering or b"\r\n\r\n" not in self.buffer:
            return
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        self.answering = True
        behaviour = self.server.take(first.split(" ")[1], headers, rest[:length])
        delay = behaviour.delay + self.server.chance.uniform(0, behaviour.spread)
        if behaviour.manner == "close":
            self.transport.close()
        elif behaviour.manner == "answer" and delay:
            asyncio.get_running_loop().call_later(delay, self.answer, behaviour.status)
        elif behaviour.manner == "answer":
            self.answer(behaviour.status)

    def answer(self, status: int) -> None:
        self.answering = False
        head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
        self.transport.write(head.encode() + BODY)
        self.go_on()


async def _serve(port: int, seed: int) -> None:
    server = _Server(port=port, chance=random.Random(seed))
    await server.listen()
    await obey_meanwhile(server.obey)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
