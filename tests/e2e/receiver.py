"""A receiver for tests with real processes: it answers as told, and remembers what arrived."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Arrival:
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def event_id(self) -> str:
        """Return the id that is the same on every attempt."""
        return self.headers["webhook-id"]

    def repeats(self, other: "Arrival") -> bool:
        """Tell whether it is the same event at the same path."""
        return (self.path, self.event_id) == (other.path, other.event_id)

    @property
    def attempt(self) -> int:
        """Return the number of the attempt."""
        return int(self.headers["x-webhook-attempt"])


# Gives the status for the n-th arrival of an event at a path, n counted from 1.
Behaviour = Callable[[int], int]


@dataclass
class Receiver:
    """What the tests ask and tell the server."""

    port: int
    arrivals: list[Arrival] = field(default_factory=list)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    delay: float = 0.0
    echoing: bool = False
    """Answer with what came: its headers as headers, and all of it as JSON and as it is."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        """Return the URL of a path here."""
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Arrival]:
        """Return what arrived at a path so far, in order."""
        with self.lock:
            return [arrival for arrival in self.arrivals if arrival.path == path]

    def take(self, arrival: Arrival) -> int:
        """Remember an arrival and return the status to answer with."""
        with self.lock:
            self.arrivals.append(arrival)
            times = sum(arrival.repeats(other) for other in self.arrivals)
        time.sleep(self.delay)
        behaviour = self.behaviours.get(arrival.path)
        return behaviour(times) if behaviour else 200


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(Arrival(self.path, headers, body, time.time()))
            answer = b'{"received":true}'
            self.send_response(status)
            self.send_header("content-type", "application/json")
            if receiver.echoing:
                answer = json.dumps(headers).encode() + str(self.headers).encode() + body
                for name, value in headers.items():
                    self.send_header(f"x-echo-{name}", value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            """Keep the output of the tests to the tests."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A worker that was killed leaves its connections reset; that is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(port=server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="receiver", daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
