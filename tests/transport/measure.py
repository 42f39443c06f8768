"""How much CPU one POST costs each engine: over kept connections to one receiver, 1 KB, all in one run.

.venv/bin/python -m tests.transport.measure
"""

import asyncio
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

from deliveries.transport import Reply, Request, Transport
from tests.servers.process import ending_with_parent
from tests.transport.conftest import ENGINES, LOOPBACK

SLOTS = 32
ROUNDS = 5
SECONDS = 1.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "webhooks/1",
    "webhook-id": "msg_00000000000000000000000000",
    "webhook-timestamp": "1700000000",
    "webhook-signature": "v1," + "a" * 44,
}


class Answering(asyncio.Protocol):
    """Answers every request at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._begun = b""

    def data_received(self, data: bytes) -> None:
        self._begun += data
        head, end, body = self._begun.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self._begun = b""
            self._transport.write(ANSWER)


async def answer() -> None:
    """Run a receiver and write its port."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


@contextmanager
def receiver() -> Iterator[str]:
    """Run a receiver in a process of its own, and return its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.transport.measure", "answer"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=ending_with_parent(signal.SIGKILL),
    )
    assert process.stdout is not None
    with process:
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/hook"
        finally:
            process.kill()


def cost(transport: Transport, request: Request, *, seconds: float) -> tuple[float, float]:
    """Return the microseconds of CPU that one exchange takes of this process, and exchanges per second."""
    began, cpu = time.monotonic(), time.process_time()
    done = under_way = 0
    while (more := time.monotonic() - began < seconds) or under_way:
        while more and under_way < SLOTS:
            transport.submit(uuid4(), request)
            under_way += 1
        for exchange in transport.collect(timedelta(seconds=1)):
            assert isinstance(exchange.outcome, Reply), repr(exchange.outcome)
            under_way -= 1
            done += 1
    return (time.process_time() - cpu) / done * 1_000_000, done / (time.monotonic() - began)


def main() -> None:
    """Measure the engines in turn, several times, and write medians."""
    with receiver() as url:
        request = Request(
            url=url, method="POST", headers=HEADERS, body=b"x" * 1024, timeout=timedelta(seconds=30)
        )
        engines = {name: make(LOOPBACK, slots=SLOTS) for name, make in ENGINES.items()}
        for transport in engines.values():
            cost(transport, request, seconds=0.3)
        rounds = [
            {name: cost(transport, request, seconds=SECONDS) for name, transport in engines.items()}
            for _ in range(ROUNDS)
        ]
        for name, transport in engines.items():
            transport.close()
            micros, rates = zip(*(each[name] for each in rounds), strict=True)
            sys.stdout.write(
                f"{name}: {statistics.median(micros):.0f} µs CPU per POST"
                f" ({min(micros):.0f} to {max(micros):.0f}), {statistics.median(rates):.0f}/s\n"
            )
        ratios = [each["requests"][0] / each["curl"][0] for each in rounds]
        sys.stdout.write(f"ratio: {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["answer"]:
        asyncio.run(answer())
    else:
        main()
