"""The connections libcurl holds, known by what it tells of them."""

import os
import socket
import struct
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """One that was dialled by us, and checked, before libcurl got it."""

    fd: int
    end: End
    remote_address: str


class Arrivals:
    """Counts the bytes that come on a connection, beside libcurl, which tells of whole lines only."""

    def __init__(self, connection: Connection) -> None:
        # A descriptor of our own: libcurl may have closed its own by the time somebody asks.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=os.dup(connection.fd))
        self._before = self._count()

    def stop(self) -> int:
        """Return how many have come since, and let go of the connection."""
        # The end of the stream counts for one, so one alone may be none.
        came = self._count() - self._before - 1
        self._socket.close()
        return max(0, came)

    def _count(self) -> int:
        found = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_RECEIVED.size)
        return int(_BYTES_RECEIVED.unpack(found)[0]) if len(found) == _BYTES_RECEIVED.size else 0


class Connections:
    """All of them. Those that are closed stay until their descriptor comes up again: no more than a few."""

    def __init__(self) -> None:
        self._by_fd: dict[int, Connection] = {}
        self._by_end: dict[End, Connection] = {}

    def add(self, connection: Connection) -> None:
        old = self._by_fd.get(connection.fd)
        if old is not None and self._by_end.get(old.end) is old:
            del self._by_end[old.end]
        self._by_fd[connection.fd] = connection
        self._by_end[connection.end] = connection

    def at_end(self, end: End) -> Connection | None:
        return self._by_end.get(end)
