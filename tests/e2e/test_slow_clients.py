"""Clients that take their time, at both web servers: each costs at most a thread, for ten seconds."""

import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deliveries.management.try_it.client import Client
from deliveries.management.try_it.environment import Place
from deliveries.management.try_it.server import WebServer
from tests.e2e import sleeper
from tests.e2e.stack import installation
from tests.servers.process import ending_with_parent, free_port
from tests.service import ROOT
from tests.up.service import running
from tests.waiting import wait_until
from webhooks_project import patience

pytestmark = pytest.mark.slow

# What a busy machine may add to the limit.
SLACK = 5.0
# As many has gunicorn here.
THREADS = 8
BIG = "x" * 250_000
# More than the kernel takes off our hands for a client that does not read: 7.5 MB of logs.
EVENTS_STORED = 30

GET = "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
POST = GET.replace("GET", "POST", 1) + "Content-Type: application/json\r\n"
EVENTS = POST.replace("{path}", "/api/v1/events")
RETRIGGER = POST.replace("{path}", "/api/v4/tasks/webhook_failures/aabbccddeeff001122334455/retrigger")
AGENTS = GET.replace("{path}", "/api/v1/agents")
LOGS = GET.replace("{path}", "{logs}")
LENGTH = "Content-Length: 1000\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
# Would be an event if the request ended here; it says that more follows.
DRAFT = '{"event": "call.ended", "payload": {}}'


@dataclass(frozen=True)
class Manner:
    """A way of being slow: what is sent at once, and what every half second after that."""

    opening: str
    drip: bytes = b""
    sips: bool = False
    half_closed: bool = False
    resets: bool = False
    small_window: bool = False


SENDING = [
    Manner(""),
    Manner("G", b"E"),
    Manner(AGENTS),
    Manner(AGENTS + "X-Slow: ", b"x"),
    Manner(EVENTS + LENGTH + DRAFT),
    Manner(EVENTS + LENGTH + DRAFT, b" "),
    Manner(EVENTS + LENGTH + DRAFT, half_closed=True),
    Manner(EVENTS + LENGTH + DRAFT, resets=True),
    Manner(EVENTS + CHUNKED + f"{len(DRAFT):x}\r\n{DRAFT}\r\n", b"1\r\n \r\n"),
    Manner(EVENTS + CHUNKED + f"100\r\n{DRAFT}", b" "),
    Manner(RETRIGGER + LENGTH, b" "),
    Manner(EVENTS.replace("{key}", "nobody") + LENGTH, b" "),
    Manner(AGENTS + "\r\n"),
    Manner(AGENTS + "Connection: close\r\n\r\n"),
    Manner(AGENTS + "Connection: close\r\n\r\n", b"x"),
]
TAKING = [
    Manner(LOGS + "\r\n", small_window=True),
    Manner(LOGS + "\r\n", b"x", small_window=True),
    Manner(LOGS + "Connection: close\r\n\r\n", small_window=True),
    Manner(LOGS + "\r\n", sips=True, small_window=True),
    Manner(LOGS + "\r\n", resets=True),
]


@dataclass
class Server:
    """A web server that runs, and what a client of it needs to know."""

    port: int
    key: str
    logs: str
    pid: int
    events: Callable[[], int]

    def meet(self, manner: Manner) -> socket.socket:
        """Let a slow client begin."""
        client = socket.socket()
        client.settimeout(5)
        if manner.small_window:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", self.port))
        client.sendall(manner.opening.replace("{key}", self.key).replace("{logs}", self.logs).encode())
        if manner.half_closed:
            client.shutdown(socket.SHUT_WR)
        if manner.resets:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", True, 0))
            client.close()
        return client

    def ask(self) -> int:
        """Ask as a healthy client does, and return the status."""
        headers = {"Authorization": f"Bearer {self.key}", "Connection": "close"}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", "/api/v1/agents", headers=headers)
            return connection.getresponse().status

    def connections(self) -> int:
        """Return how many connections the server holds."""
        held = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            ours = int(local.partition(":")[2], 16) == self.port
            held += ours and state != "0A" and inode != "0"
        return held

    def threads(self) -> int:
        """Return how many threads the server has."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))


@contextmanager
def going_on(clients: list[tuple[Manner, socket.socket]]) -> Iterator[None]:
    """Have the clients go on in their manner."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(0.5):
            for manner, client in clients:
                with suppress(OSError):
                    client.send(manner.drip)
                    if manner.sips:
                        client.recv(1)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def rest(client: socket.socket) -> bytes:
    """Return what a client has not read yet."""
    received = b""
    with suppress(OSError):
        while piece := client.recv(1_000_000):
            received += piece
    return received


def prepare(client: Client, agent_id: str) -> str:
    """Publish the events, and return the path of the logs."""
    for _ in range(EVENTS_STORED):
        draft = {"event": "call.ended", "agent_id": agent_id, "payload": {"big": BIG}}
        client.post("/api/v1/events", draft)
    webhooks = f"/api/v1/agents/{agent_id}/webhooks"
    listed = client.get(webhooks)["data"]["webhooks"]
    logs = (f"{webhooks}/{webhook['id']}/logs?per_page=100" for webhook in listed)
    return next(path for path in logs if client.get(path)["pagination"]["total"] >= EVENTS_STORED)


@pytest.fixture(scope="module")
def gunicorn() -> Iterator[Server]:
    """The web server of a real installation."""
    with installation() as stack:
        stack.make_account()
        master = stack.start_web()
        client = Client(f"http://127.0.0.1:{stack.port}", stack.key)
        agent = client.post("/api/v1/agents", {"name": "Reception"})
        wanted = {"name": "All", "webhook_url": stack.receiver.url("/all"), "events": ["*"]}
        client.post(f"/api/v1/agents/{agent['id']}/webhooks", wanted)
        logs = prepare(client, agent["id"])
        worker = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()[0]
        count = "SELECT count(*) FROM deliveries_event"
        yield Server(stack.port, stack.key, logs, int(worker), lambda: stack.rows(count)[0][0])


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`manage.py up`."""
    with running(tmp_path_factory.mktemp("slow") / "var") as service:
        for receiver in ("flaky", "failing"):
            service.behave(receiver, "200")
        papers = service.papers
        logs = prepare(service.client, papers["agent_id"])
        port = urlsplit(papers["url"]).port
        assert port is not None

        def events() -> int:
            with closing(sqlite3.connect(service.data_dir / "webhooks.sqlite3")) as connection:
                (count,) = connection.execute("SELECT count(*) FROM deliveries_event").fetchone()
            return int(count)

        yield Server(port, papers["api_key"], logs, service.process.pid, events)


class SlowClients:
    """What holds at every server."""

    def held_up(self, server: Server, manners: list[Manner], *, ending_within: float) -> list[bytes]:
        """Let all these clients come at once, and return what each of them got in the end.

        A healthy client that comes behind them gets its answer in time, and so do all clients their end.
        """
        threads = server.threads()
        began = time.monotonic()
        with ExitStack() as stack:
            clients = [(manner, stack.enter_context(server.meet(manner))) for manner in manners]
            with going_on(clients):
                assert server.ask() == 200
                assert time.monotonic() - began < patience.LIMIT + SLACK
                left = began + ending_within + SLACK - time.monotonic()
                wait_until(lambda: not server.connections(), timeout=left, what="the end of all connections")
            wait_until(lambda: server.threads() <= threads + THREADS, what="the end of all threads")
            return [rest(client) for _, client in clients]

    def test_hold_nobody_up_by_what_they_send(self, server: Server) -> None:
        answers = self.held_up(server, SENDING * 2, ending_within=patience.LIMIT)

        statuses = {answer.split(b" ")[1] for answer in answers if answer}
        assert {b"200", b"400", b"404"} <= statuses <= {b"200", b"400", b"401", b"404", b"411"}
        assert server.events() == EVENTS_STORED

    def test_hold_nobody_up_by_what_they_take(self, server: Server) -> None:
        # Those who find all threads taken have their ten seconds after that.
        answers = self.held_up(server, TAKING * 3, ending_within=2 * patience.LIMIT)

        sizes = [len(answer) for answer in answers if answer]
        assert 1000 < min(sizes) <= max(sizes) < EVENTS_STORED * len(BIG)

    def test_hold_nobody_up_by_staying_when_all_is_said(self, server: Server) -> None:
        with ExitStack() as stack:
            for _ in range(THREADS - 2):
                client = stack.enter_context(server.meet(Manner(AGENTS + "Connection: close\r\n\r\n")))
                assert client.recv(100)

            began = time.monotonic()
            assert server.ask() == 200
            assert time.monotonic() - began < patience.LINGER + SLACK


@pytest.mark.postgresql
class TestGunicorn(SlowClients):
    @pytest.fixture
    def server(self, gunicorn: Server) -> Server:
        """The server."""
        return gunicorn


@pytest.mark.sqlite
class TestUp(SlowClients):
    @pytest.fixture
    def server(self, up: Server) -> Server:
        """The server."""
        return up


class TestAnswersThatTakeTheirTime:
    """The clients are quick here, and the service takes longer than it would wait for a client."""

    def ask(self, port: int) -> bytes:
        """Send a body, and return what comes back."""
        with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("POST", "/", b"a question", {"Connection": "close"})
            return connection.getresponse().read()

    def test_are_not_cut_off_by_gunicorn(self) -> None:
        port = free_port()
        run = "from gunicorn.app.wsgiapp import run; run()"
        process = subprocess.Popen(
            [
                sys.executable, "-c", f"from webhooks_project import patience; patience.LIMIT = 1; {run}",
                "tests.e2e.sleeper:application", "--worker-class", "webhooks_project.web.Worker",
                "--threads", "2", "--bind", f"127.0.0.1:{port}", "--no-control-socket",
            ],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
            preexec_fn=ending_with_parent(signal.SIGTERM),
        )  # fmt: skip
        try:
            wait_until(lambda: listens(port), timeout=20, what="gunicorn")
            assert self.ask(port) == sleeper.ANSWER
        finally:
            process.terminate()
            process.wait(20)

    def test_are_not_cut_off_by_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(patience, "LIMIT", 1)
        port = free_port()
        server = WebServer(Place(data_dir=tmp_path, host="127.0.0.1", port=port))
        server.start(sleeper.application)
        try:
            assert self.ask(port) == sleeper.ANSWER
        finally:
            server.stop()


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
