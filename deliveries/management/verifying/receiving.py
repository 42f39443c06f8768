"""Where the events of a trial arrive: at a receiver of our own, or at the built-in one of `manage.py up`."""

import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from deliveries import clock, signing
from deliveries.management.try_it.client import Client

_ANSWER = b'{"received":true}'
# Can be listened at, and not be sent to.
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - only where an operator says so
# A connection nobody uses any more is given up after so many seconds.
_IDLE = 60.0


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A request as it came in: for which event, when, and whether it was signed with the webhook's secret."""

    event_id: str
    at: datetime
    verified: bool


class Receiver(Protocol):
    """Something that requests arrive at."""

    @property
    def url(self) -> str:
        """Where."""

    def news(self) -> Sequence[Arrival]:
        """Return what has arrived since this was asked last.

        :raises OSError: it cannot be asked.
        """


class OwnReceiver:
    """Takes every request, on a socket of this process."""

    def __init__(self, host: str, port: int, *, secret: str, reached_at: str | None = None) -> None:
        """Listen.

        :param port: 0 for any that is free.
        :param reached_at: the host by which others reach it, if that is not where it listens. Who listens at
            every address is reached on this machine.
        :raises OSError: that address is not free, or not ours.
        """
        self._secret = secret
        self._lock = threading.Lock()
        self._arrivals: list[Arrival] = []
        self._server = _Server((host, port), self._handler())
        here = "127.0.0.1" if host == _EVERY_ADDRESS else host
        self.url = f"http://{reached_at or here}:{self._server.server_address[1]}/"

    @contextmanager
    def open(self) -> Iterator[None]:
        """Answer, for the length of the block."""
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()

    def news(self) -> Sequence[Arrival]:
        """Return what has arrived since this was asked last."""
        with self._lock:
            news, self._arrivals = self._arrivals, []
        return news

    def _take(self, headers: Any, body: bytes) -> None:
        arrival = Arrival(
            event_id=headers.get("webhook-id", ""), at=clock.now(), verified=self._verified(headers, body)
        )
        with self._lock:
            self._arrivals.append(arrival)

    def _verified(self, headers: Any, body: bytes) -> bool:
        timestamp = headers.get("webhook-timestamp", "")
        return (timestamp.isascii() and timestamp.isdigit()) and signing.verify(
            message_id=headers.get("webhook-id", ""),
            timestamp=int(timestamp),
            body=body,
            key=self._secret,
            signature=headers.get("webhook-signature", ""),
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            timeout = _IDLE

            def do_POST(self) -> None:  # noqa: N802 - the name the library calls
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                receiver._take(self.headers, body)
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(_ANSWER)))
                self.end_headers()
                self.wfile.write(_ANSWER)

            def log_message(self, *args: Any) -> None:
                """Say nothing: the report does."""

        return Handler


class BuiltInReceiver:
    """The one `manage.py up` has, which verifies signatures itself."""

    _NAME = "verify"
    # What it says of a signature that fits.
    _VALID = "signature valid"

    def __init__(self, url: str) -> None:
        """Remember how far it has come.

        :param url: of all its receivers, ending with a slash.
        :raises OSError: nothing answers there.
        """
        self.url = f"{url}receivers/{self._NAME}"
        self._client = Client(url)
        self._last = int(self._client.get("state")["last"])

    def news(self) -> Sequence[Arrival]:
        """Return what has arrived since this was asked last, as long as it remembers: 200 requests.

        :raises OSError: nothing answers there.
        """
        state = self._client.get(f"state?after={self._last}")
        self._last = state["last"]
        return [
            Arrival(
                event_id=each["message_id"],
                at=datetime.fromisoformat(each["received_at"]),
                verified=each["signature"] == self._VALID,
            )
            for each in state["deliveries"]
            if each["receiver"] == self._NAME
        ]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a worker that is killed leaves its connections reset."""
