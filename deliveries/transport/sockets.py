"""Sockets that know the deadline of the whole exchange, and how much may still be read.

A timeout set on a socket starts anew with every operation, so a receiver that sends one byte a second holds a
thread for ever. These sockets set the time that is left for the exchange before every operation instead.
CPython bounds each operation they override as a whole, whatever number of packets it takes: `sendall` (over
TLS one `SSL_write`), the TLS handshake and one read.
"""

import socket
import ssl
from typing import TYPE_CHECKING

from deliveries.transport.calls import Enough, current

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class DeadlineSocket(socket.socket):
    """A TCP socket that raises TimeoutError at the deadline of the exchange under way."""

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int | None = None, flags: int = 0) -> int:
        """Read into the buffer, and note how much.

        :raises Enough: the exchange's allowance is used up.
        """
        call = current.get()
        if call.allowance <= 0:
            raise Enough
        wanted = min(nbytes or memoryview(buffer).nbytes, call.allowance)
        self.settimeout(call.remaining())
        count = super().recv_into(buffer, wanted, flags)
        call.took(count)
        return count

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Send everything before the deadline."""
        self.settimeout(current.get().remaining())
        super().sendall(data, flags)


class DeadlineTLSSocket(DeadlineSocket, ssl.SSLSocket):
    """The same over TLS. An SSL context makes these when it is its `sslsocket_class`."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands before the deadline."""
        self.settimeout(current.get().remaining())
        super().do_handshake(block)
