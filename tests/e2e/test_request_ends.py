"""Requests of which nobody can say where they end: what follows must not be taken for another request."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from deliveries.management.try_it.environment import Place
from deliveries.management.try_it.server import WebServer
from tests.e2e import greeter
from tests.servers.process import ending_with_parent, free_port
from tests.service import ROOT
from tests.waiting import wait_until

# Every client here sends this where its body should be.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
DOUBTFUL = {
    "no number": "Content-Length: abc",
    "nothing": "Content-Length: ",
    "a negative number": "Content-Length: -5",
    "a sign": "Content-Length: +5",
    "an underscore": "Content-Length: 6_5",
    "a list": "Content-Length: 5, 5",
    "more digits than are read": f"Content-Length: {'0' * 5000}5",
    "two that differ": "Content-Length: 0\r\nContent-Length: 5",
    "two that agree": "Content-Length: 5\r\nContent-Length: 5",
    "a blank before the colon": f"Content-Length : {len(SMUGGLED)}",
}


@pytest.fixture(scope="module")
def gunicorn() -> Iterator[int]:
    """Gunicorn as an installation runs it; its port."""
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "gunicorn", "tests.e2e.greeter:application",
            "--worker-class", "webhooks_project.web.Worker", "--threads", "2",
            "--bind", f"127.0.0.1:{port}", "--no-control-socket",
        ],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        preexec_fn=ending_with_parent(signal.SIGTERM),
    )  # fmt: skip
    try:
        wait_until(lambda: _listens(port), timeout=20, what="gunicorn")
        yield port
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The server of `manage.py up`; its port."""
    port = free_port()
    server = WebServer(Place(data_dir=tmp_path_factory.mktemp("ends"), host="127.0.0.1", port=port))
    server.start(greeter.application)
    try:
        yield port
    finally:
        server.stop()


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def send(port: int, length: str) -> bytes:
    """Return all that comes back for a request with these lines about its length."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(f"POST /first HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode() + SMUGGLED)
        received = b""
        with suppress(ConnectionResetError):
            while piece := client.recv(65_536):
                received += piece
        return received


class RequestEnds:
    """What holds at every server."""

    @pytest.mark.parametrize("length", DOUBTFUL.values(), ids=DOUBTFUL)
    def test_are_not_guessed(self, port: int, length: str) -> None:
        answer = send(port, length)

        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"You asked for" not in answer

    def test_are_where_the_length_says(self, port: int) -> None:
        answer = send(port, f"Content-Length: {len(SMUGGLED)}\r\nConnection: close")

        assert b"You asked for /first." in answer
        assert b"/smuggled" not in answer

    def test_leave_the_connection_to_the_next_request(self, port: int) -> None:
        answer = send(port, "Content-Length: 0")

        assert b"You asked for /first." in answer
        assert b"You asked for /smuggled." in answer


@pytest.mark.slow
class TestGunicorn(RequestEnds):
    @pytest.fixture
    def port(self, gunicorn: int) -> int:
        """The port of the server."""
        return gunicorn


class TestUp(RequestEnds):
    @pytest.fixture
    def port(self, up: int) -> int:
        """The port of the server."""
        return up
