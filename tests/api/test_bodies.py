"""Bodies that come in pieces, or not to their end, through real servers."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from deliveries.api import parsing
from deliveries.models import Event
from tests import builders
from tests.e2e.stack import Stack, installation

EVENT = b'{"event": "call.ended", "payload": {"call_id": "c-1"}}'
CHUNKED = "Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
# As the content of a chunk it is data. Whoever does not read chunks takes it for the next request.
HIDDEN = b"GET /api/v4/tasks/webhook_failures HTTP/1.1\r\nHost: localhost\r\n\r\n"
# The line before a chunk may say more than its length, and so look like the beginning of a request.
MISREAD = b"0; /api HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Answer(NamedTuple):
    """What came back until the server hung up."""

    status: int
    head: str
    json: Any
    answers: int


def chunk(data: bytes) -> bytes:
    """Return data as one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def send(port: int, body: bytes, *headers: str, method: str = "POST", path: str = "/api/v1/events") -> Answer:
    """Send a request and no more, and return what comes until the server hangs up."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        connection.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    text = rest[rest.find(b"{") : rest.rfind(b"}") + 1]
    return Answer(
        status=int(head.split(b" ")[1]),
        head=head.decode(),
        json=json.loads(text) if text and received.count(b"HTTP/1.1 ") == 1 else None,
        answers=received.count(b"HTTP/1.1 "),
    )


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The web server of a real installation."""
    with installation() as stack:
        stack.make_account()
        stack.start_web()
        yield stack


class TestGunicorn:
    pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

    def send(self, stack: Stack, body: bytes, *headers: str) -> Answer:
        """Send a request with the key."""
        return send(stack.port, body, f"Authorization: Bearer {stack.key}", *headers)

    @pytest.mark.parametrize("size", [1, 7, len(EVENT)])
    def test_takes_a_body_in_chunks(self, stack: Stack, size: int) -> None:
        chunks = [chunk(EVENT[start : start + size]) for start in range(0, len(EVENT), size)]

        answer = self.send(stack, b"".join(chunks) + END, CHUNKED)

        assert (answer.status, answer.json["event"]) == (202, "call.ended")

    def test_goes_on_behind_the_last_chunk(self, stack: Stack) -> None:
        answer = self.send(stack, chunk(EVENT) + END + HIDDEN, CHUNKED)

        assert (answer.status, answer.answers) == (202, 2)

    def test_answers_413_to_chunks_that_are_too_much(self, stack: Stack) -> None:
        answer = self.send(stack, chunk(b"x" * 70_000) * 5 + END, CHUNKED)

        assert (answer.status, answer.json["code"]) == (413, "body_too_large")

    @pytest.mark.parametrize(
        "body",
        [
            chunk(EVENT[:10]) + b"no length\r\n" + HIDDEN,
            chunk(EVENT)[:-2] + b"no end" + HIDDEN,
            chunk(EVENT),
            chunk(EVENT)[:20],
            b"",
        ],
    )
    def test_answers_400_to_chunks_that_cannot_be_read(self, stack: Stack, body: bytes) -> None:
        answer = self.send(stack, body, CHUNKED)

        assert (answer.status, answer.answers, answer.json["code"]) == (400, 1, "parse_error")

    def test_answers_400_to_a_body_that_is_cut_short(self, stack: Stack) -> None:
        answer = self.send(stack, EVENT, "Content-Length: 500")

        assert (answer.status, answer.json["code"]) == (400, "parse_error")


@pytest.mark.django_db(transaction=True)
class TestBuiltInServer:
    """It reads no chunks, so what they hold must not be taken for the next request either."""

    @pytest.fixture
    def port(self) -> Iterator[int]:
        """The port of the server Django brings along, which `manage.py up` uses."""
        server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
        server.set_app(WSGIHandler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
        server.server_close()

    @pytest.fixture
    def key(self, transactional_db: None) -> str:
        """The header with a good key."""
        return f"Authorization: Bearer {builders.a_key(builders.an_account())}"

    def test_answers_411_to_chunks_and_hangs_up(self, port: int, key: str) -> None:
        answer = send(port, MISREAD, key, CHUNKED)

        assert (answer.status, answer.answers, answer.json["code"]) == (411, 1, "length_required")
        assert answer.json["title"] == "Length Required"
        assert "Connection: close" in answer.head

    def test_believes_no_length_beside_chunks(self, port: int, key: str) -> None:
        answer = send(port, MISREAD, key, CHUNKED, "Content-Length: 5")

        assert (answer.status, answer.answers) == (411, 1)

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/api/v1/agents", 200),
            ("POST", "/api/v4/tasks/webhook_failures/aabbccddeeff001122334455/retrigger", 404),
            ("POST", "/api/v1/nothing", 404),
            ("POST", "/api", 404),
        ],
    )
    def test_hangs_up_also_where_no_body_is_read(
        self, port: int, key: str, method: str, path: str, status: int
    ) -> None:
        answer = send(port, MISREAD, key, CHUNKED, method=method, path=path)

        assert (answer.status, answer.answers) == (status, 1)

    def test_hangs_up_on_strangers_as_well(self, port: int, db: None) -> None:
        answer = send(port, MISREAD, CHUNKED)

        assert (answer.status, answer.answers) == (401, 1)

    def test_answers_400_to_a_body_that_is_cut_short(self, port: int, key: str) -> None:
        answer = send(port, EVENT, key, "Content-Length: 500")

        assert (answer.status, answer.json["code"]) == (400, "parse_error")
        assert not Event.objects.exists()

    def test_answers_413_whatever_is_still_to_come(self, port: int, key: str) -> None:
        answer = send(port, b"x" * (parsing.MAX_BODY_BYTES + 1), key, "Content-Length: 1000000")

        assert (answer.status, answer.json["code"]) == (413, "body_too_large")
