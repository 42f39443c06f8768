"""A receiver in a process of its own, cheaper than anything that sends to it; its CPU counts for nobody.

It answers by the first part of the path: `/keep/...` and keeps the connection, `/close/...` and closes it,
`/fail/...` with 500, and `/hang/...` never. It remembers when which event came, except to those that hang.
"""

import asyncio
import re
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from tests.measuring.helper import Helper, helping, obey_meanwhile
from tests.servers.process import free_port
from tests.waiting import wait_until

_KEEP = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
_CLOSE = _KEEP.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
_FAIL = _KEEP.replace(b"200 OK", b"500 No")
_ANSWERS = {b"keep": _KEEP, b"close": _CLOSE, b"fail": _FAIL}
_PATH = re.compile(rb"\S+ (?:https?://[^/]+)?/(\w+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *(\S+)", re.IGNORECASE)


class Receiver:
    """The process as whoever measures sees it."""

    def __init__(self, helper: Helper, scheme: str, port: int) -> None:
        self._helper = helper
        self._root = f"{scheme}://127.0.0.1:{port}"

    @property
    def pid(self) -> int:
        """The process itself."""
        return self._helper.pid

    def url(self, path: str) -> str:
        """Return the URL of a path here."""
        return f"{self._root}{path}"

    def forget(self) -> None:
        """Begin to count anew, and cut the connections of all that hangs."""
        self._helper.ask("forget")

    def count(self) -> int:
        """Return how many requests have come."""
        return int(self._helper.ask("count"))

    def span(self) -> tuple[float, float]:
        """Return when the first and the last one came, by the clock of the machine."""
        first, last = self._helper.ask("span")
        return first, last

    def wait_for(self, number: int) -> None:
        """Wait until so many have come."""
        wait_until(lambda: self.count() >= number, what=f"{number} requests", timeout=60, every=0.01)

    def arrivals(self) -> dict[str, float]:
        """Return when each event came first, by its id."""
        return dict(self._helper.ask("arrivals"))


@contextmanager
def receiving(*, certificate: str = "") -> Iterator[Receiver]:
    """Run a receiver on a free port of the loopback interface.

    :param certificate: a file with a certificate and its key, in PEM; plain HTTP without.
    """
    port = free_port()
    with helping("benchmarks.receiver", str(port), certificate) as helper:
        receiver = Receiver(helper, "https" if certificate else "http", port)
        assert receiver.count() == 0
        yield receiver


class _Log:
    def __init__(self) -> None:
        self.count = 0
        self.first: dict[bytes, float] = {}
        self.first_at = self.last_at = 0.0
        self.hanging: list[asyncio.Transport] = []

    async def obey(self, verb: str, order: dict[str, Any]) -> object:
        match verb:
            case "count":
                return self.count
            case "span":
                return self.first_at, self.last_at
            case "arrivals":
                return {event_id.decode(): at for event_id, at in self.first.items()}
            case "forget":
                for transport in self.hanging:
                    transport.abort()
                self.count, self.first, self.hanging, self.first_at = 0, {}, [], 0.0
        return None


class _Connection(asyncio.Protocol):
    def __init__(self, log: _Log) -> None:
        self.log = log
        self.begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.begun += data
        head, end, rest = self.begun.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(rest) >= (int(length[1]) if length else 0):
            # Nobody who sends here begins with the next request before this one is answered.
            self.begun = b""
            self.answer(head)

    def answer(self, head: bytes) -> None:
        path, event_id = _PATH.match(head), _ID.search(head)
        answer = _ANSWERS.get(path[1]) if path else None
        if answer is None:
            self.log.hanging.append(self.transport)
            return
        self.log.count += 1
        self.log.last_at = time.time()
        self.log.first_at = self.log.first_at or self.log.last_at
        if event_id:
            self.log.first.setdefault(event_id[1], self.log.last_at)
        self.transport.write(answer)
        if answer is _CLOSE:
            self.transport.close()


async def _serve(port: int, certificate: str) -> None:
    log, tls = _Log(), None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Connection(log), "127.0.0.1", port, backlog=1024, ssl=tls)
    await obey_meanwhile(log.obey)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))
