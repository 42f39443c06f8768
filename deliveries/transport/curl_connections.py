"""The connections libcurl holds, known by what it tells of them."""

import os
import select
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Where the kernel's `struct tcp_info` counts the bytes that have come (Linux 4.1).
_BYTES_RECEIVED = struct.Struct("=128xQ")


class End(NamedTuple):
    """What libcurl tells of a connection when it is about to send: our side's address and port.

    They say which one it is together with whom it was opened for. Connections to different addresses may
    have the same port on our side.
    """

    group: int
    """The policy it was opened under, by number."""
    origin: str
    """Scheme, host and port of the URL."""
    host: str
    port: int


@dataclass(kw_only=True, slots=True, eq=False)
class Connection:
    """One that was dialled by us, and checked, before libcurl got it."""

    fd: int
    end: End
    remote_address: str
    _poll: select.poll = field(init=False, default_factory=select.poll)

    def __post_init__(self) -> None:
        self._poll.register(self.fd, select.POLLIN | select.POLLRDHUP)

    def has_news(self) -> bool:
        """Whether its end has come, or anything else, while nobody had asked for anything."""
        return bool(self._poll.poll(0))


class Arrivals:
    """Counts the bytes that come on a connection, beside libcurl, which tells of whole lines only."""

    def __init__(self, connection: Connection) -> None:
        # A descriptor of our own: libcurl may have closed its own by the time somebody asks.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=os.dup(connection.fd))
        self._before = self._count()

    def stop(self) -> int:
        """Return how many have come since, and let go of the connection."""
        with self._socket:
            # The end of the stream counts for one, so one alone may be none.
            return max(0, self._count() - self._before - 1)

    def _count(self) -> int:
        found = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.size)
        return int(_BYTES_RECEIVED.unpack(found)[0]) if len(found) == _BYTES_RECEIVED.size else 0


class Connections:
    """All of them. Those that are closed stay until their descriptor comes up again: no more than a few."""

    def __init__(self) -> None:
        self._by_fd: dict[int, Connection] = {}
        self._by_end: dict[End, list[Connection]] = {}

    def add(self, connection: Connection) -> None:
        old = self._by_fd.get(connection.fd)
        if old is not None:
            self._by_end[old.end].remove(old)
            if not self._by_end[old.end]:
                del self._by_end[old.end]
        self._by_fd[connection.fd] = connection
        self._by_end.setdefault(connection.end, []).append(connection)

    def at_end(self, end: End) -> Sequence[Connection]:
        """Return those it may be, the one opened last at the end.

        Two addresses of one name may have connections from the same port, and an old one may be closed.
        """
        return self._by_end.get(end, ())
