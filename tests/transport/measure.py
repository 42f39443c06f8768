"""How much CPU one POST of 1 KB costs each engine, and how much memory its connections: all in one run.

.venv/bin/python -m tests.transport.measure [WORDS OF THE SCENARIO]

Each engine has a process of its own for each scenario, and these take turns; the receiver has one for all.
"""

import asyncio
import json
import resource
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import trustme

from deliveries.transport import Reply, Request, Transport
from tests.servers.process import ending_with_parent
from tests.transport.conftest import ENGINES, LOOPBACK, resident_bytes

ROUNDS = 5
SECONDS = 1.0
# As many to one host as a webhook may have under way.
IN_FLIGHT, SLOTS = 10, 32
MEBIBYTE = 1024 * 1024
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n%bContent-Length: 2\r\n\r\nok"
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "webhooks/1",
    "webhook-id": "msg_00000000000000000000000000",
    "webhook-timestamp": "1700000000",
    "webhook-signature": "v1," + "a" * 44,
}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Where the requests go."""

    scheme: str
    closing: bool = False
    """The receiver ends every connection after one answer."""
    hosts: int = 1
    """Names, each for one request in turn."""

    @property
    def port(self) -> str:
        """The name of the receiver's port."""
        return f"{self.scheme}, closing" if self.closing else self.scheme


SCENARIOS = {
    "http, kept": Scenario(scheme="http"),
    "https, kept": Scenario(scheme="https"),
    "https, fresh": Scenario(scheme="https", closing=True),
    "http, 2,000 hosts": Scenario(scheme="http", hosts=2000),
    "https, 2,000 hosts": Scenario(scheme="https", hosts=2000),
}


class Answering(asyncio.Protocol):
    """Answers every request at once."""

    def __init__(self, *, closing: bool) -> None:
        self._closing = closing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._begun = b""

    def data_received(self, data: bytes) -> None:
        self._begun += data
        head, end, body = self._begun.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self._begun = b""
            self._transport.write(ANSWER % (b"Connection: close\r\n" if self._closing else b""))
            if self._closing:
                self._transport.close()


async def answer(certificate: str) -> None:
    """Run the receiver and write its ports."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    ports = {}
    for scenario in SCENARIOS.values():
        server = await loop.create_server(
            partial(Answering, closing=scenario.closing),
            "127.0.0.1",
            0,
            ssl=tls if scenario.scheme == "https" else None,
            backlog=1024,
        )
        ports[scenario.port] = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


class Sending:
    """An engine at a scenario."""

    def __init__(self, engine: str, scenario: Scenario, port: int, ca_file: str) -> None:
        self._transport: Transport = ENGINES[engine](
            LOOPBACK, slots=SLOTS, ca_file=ca_file, lookup=lambda name: ["127.0.0.1"]
        )
        self._in_flight = IN_FLIGHT if scenario.hosts == 1 else SLOTS
        self._requests = [
            Request(
                url=f"{scenario.scheme}://n{number}.example.com:{port}/hook",
                method="POST",
                headers=HEADERS,
                body=b"x" * 1024,
                timeout=timedelta(seconds=30),
            )
            for number in range(scenario.hosts)
        ]
        self._next = cycle(self._requests)

    def warm_up(self) -> None:
        """Send to every host."""
        self._send(at_least=len(self._requests), seconds=0.3)

    def cost(self) -> tuple[float, float, float]:
        """Return the microseconds of CPU one exchange takes, exchanges per second, and MiB of memory."""
        began, cpu = time.monotonic(), time.process_time()
        done = self._send(at_least=1, seconds=SECONDS)
        cpu, elapsed = time.process_time() - cpu, time.monotonic() - began
        return cpu / done * 1_000_000, done / elapsed, resident_bytes() / MEBIBYTE

    def _send(self, *, at_least: int, seconds: float) -> int:
        began = time.monotonic()
        submitted = done = 0
        while (more := submitted < at_least or time.monotonic() - began < seconds) or done < submitted:
            while more and submitted - done < self._in_flight:
                self._transport.submit(uuid4(), next(self._next))
                submitted += 1
            for exchange in self._transport.collect(timedelta(seconds=1)):
                assert isinstance(exchange.outcome, Reply), repr(exchange.outcome)
                done += 1
        return done


def send(engine: str, scenario: str, port: str, ca_file: str) -> None:
    """Measure once for each line that comes, and write what came of it."""
    sending = Sending(engine, SCENARIOS[scenario], int(port), ca_file)
    sending.warm_up()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(sending.cost()) + "\n")
        sys.stdout.flush()


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a part of this module in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.transport.measure", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=ending_with_parent(signal.SIGKILL),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def say(process: subprocess.Popen[str], line: str) -> str:
    """Write a line to a process, if there is one to write, and return its next one."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line:
        process.stdin.write(line)
        process.stdin.flush()
    return process.stdout.readline()


def measure(names: Sequence[str]) -> None:
    """Measure the engines in turn, several times, and write medians."""
    authority = trustme.CA()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority.cert_pem.write_to_path(folder / "ca.pem")
        leaf = authority.issue_cert("*.example.com")
        leaf.private_key_and_cert_chain_pem.write_to_path(folder / "leaf.pem")
        ports = json.loads(say(stack.enter_context(running("answer", str(folder / "leaf.pem"))), ""))
        processes = {
            (name, engine): stack.enter_context(
                running("send", engine, name, str(ports[SCENARIOS[name].port]), str(folder / "ca.pem"))
            )
            for name in names
            for engine in ENGINES
        }
        for process in processes.values():
            assert say(process, "") == "ready\n"
        rounds = [
            {key: json.loads(say(process, "go\n")) for key, process in processes.items()}
            for _ in range(ROUNDS)
        ]
    for name in names:
        for engine in ENGINES:
            micros, rates, memory = zip(*(each[name, engine] for each in rounds), strict=True)
            sys.stdout.write(
                f"{name}: {engine}: {statistics.median(micros):.0f} µs CPU per POST"
                f" ({min(micros):.0f} to {max(micros):.0f}), {statistics.median(rates):.0f}/s,"
                f" {max(memory):.0f} MiB\n"
            )
        ratios = [each[name, "requests"][0] / each[name, "curl"][0] for each in rounds]
        sys.stdout.write(
            f"{name}: ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})\n"
        )


def main(arguments: Sequence[str]) -> None:
    """Be the part that is asked for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    match arguments:
        case ["answer", certificate]:
            asyncio.run(answer(certificate))
        case ["send", engine, scenario, port, ca_file]:
            send(engine, scenario, port, ca_file)
        case words:
            measure([name for name in SCENARIOS if all(word in name for word in words)])


if __name__ == "__main__":
    main(sys.argv[1:])
