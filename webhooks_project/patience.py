"""How long a client may keep a thread of a web server waiting, whichever server that is.

A timeout set on a socket starts anew with every operation, so a client that sends or takes one byte a second
holds a thread for ever. `PatientSocket` counts what a whole request has taken instead. What the service takes
to work out its answer is not counted.
"""

import errno
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from socket import _SendableFile

    from _typeshed import ReadableBuffer, WriteableBuffer

T = TypeVar("T")

# Seconds a client has to send its request, head and body; and as many to take the answer.
LIMIT = 10.0
# Seconds we go on reading behind our last answer, so that the client gets to see it.
LINGER = 2.0
_PIECE = 64 * 1024


class PatientSocket(socket.socket):
    """The socket of one client. Out of time it behaves as if the client had reset the connection.

    Servers take that calmly, and an application that is reading gets what it gets when a client has gone.
    """

    _read_until = 0.0
    _seconds_to_send = 0.0
    _cut_off = False

    @classmethod
    def instead_of(cls, plain: socket.socket) -> "PatientSocket":
        """Return a connection as one of these; the socket it had is done with."""
        patient = cls(fileno=plain.detach())
        patient.expect_request()
        return patient

    def expect_request(self) -> None:
        """Give the next request its time, from now on. To who was cut off already this gives nothing."""
        self._read_until = time.monotonic() + LIMIT
        self._seconds_to_send = LIMIT

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read.

        :raises ConnectionResetError: the request has taken too long, or the client is gone.
        """
        return self._read(lambda: super(PatientSocket, self).recv(bufsize, flags))

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        """Read into a buffer.

        :raises ConnectionResetError: the request has taken too long, or the client is gone.
        """
        return self._read(lambda: super(PatientSocket, self).recv_into(buffer, nbytes, flags))

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """Send everything.

        :raises ConnectionResetError: the client has taken too long over the answer, or it is gone.
        """
        began = time.monotonic()
        try:
            self.settimeout(max(self._seconds_to_send, 0))
            super().sendall(data, flags)
        except (BlockingIOError, TimeoutError) as error:
            raise self._reset() from error
        finally:
            self._seconds_to_send -= time.monotonic() - began

    def sendfile(self, file: "_SendableFile", offset: int = 0, count: int | None = None) -> int:
        """Send a file, or `count` bytes of it, and return how many bytes went out."""
        file.seek(offset)
        sent = 0
        while piece := file.read(_PIECE if count is None else min(_PIECE, count - sent)):
            self.sendall(piece)
            sent += len(piece)
        return sent

    def linger(self) -> None:
        """Send nothing more, and read for a moment what is not wanted.

        The kernel drops an answer that is still on its way when a socket is closed with something unread.
        """
        until = time.monotonic() + LINGER
        try:
            self.shutdown(socket.SHUT_WR)
            self._read_until = until
            while time.monotonic() < until and self.recv(_PIECE):
                pass
        except OSError:
            pass
        self._cut_off = True

    def _read(self, read: Callable[[], T]) -> T:
        if self._cut_off:
            raise self._reset()
        try:
            # What is there by now is read however late it is: perhaps it was us who had no time.
            self.settimeout(max(self._read_until - time.monotonic(), 0))
            return read()
        except (BlockingIOError, TimeoutError) as error:
            raise self._reset() from error

    def _reset(self) -> ConnectionResetError:
        self._cut_off = True
        return ConnectionResetError(errno.ECONNRESET, f"The client took more than {LIMIT:g} seconds")
