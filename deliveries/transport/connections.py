"""Connections that cannot be opened around the guard, and the pools that keep them.

The check sits in `_new_conn`, the one place where urllib3 opens a socket. Whoever sends through these classes
passes it, whatever they forgot. Failures leave as `TransportError`, told apart where the original exception
is still at hand; requests and urllib3 know nothing of that class and let it through.
"""

import http.client
import logging
import queue
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from deliveries.addresses import AddressPolicy
from deliveries.reasons import Reason
from deliveries.transport import dialling
from deliveries.transport.base import AGE_LIMIT, IDLE_LIMIT, READ_LIMIT, TransportError
from deliveries.transport.calls import Call, Enough, current
from deliveries.transport.sockets import DeadlineSocket

# urllib3 logs a receiver's odd headers together with the URL, tokens and all, and every connection that finds
# its pool full. Neither is news here.
logging.getLogger("urllib3").setLevel(logging.ERROR)


# Their answers end with their headers. Interim answers have no body either, and are never the final one.
_WITHOUT_BODY = frozenset((http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED))


class _FinalResponse(http.client.HTTPResponse):
    """The answer proper. http.client skips a 100 before it, but takes a 103 for the answer."""

    def begin(self) -> None:
        """Read the status and the headers, and settle where the body ends.

        Where the status allows none, there is none, whatever the headers say (RFC 9112 section 6.3): the
        receiver has taken the event, and must not get it again because of a header too many.
        """
        super().begin()
        if self.status not in _WITHOUT_BODY:
            return
        lengths = {
            length.strip()
            for field in self.headers.get_all("content-length", ())
            for length in field.split(",")
        }
        if "transfer-encoding" not in self.headers and lengths <= {"0"}:
            return
        self.chunked, self.length = False, 0
        # A body that comes all the same would be taken for the beginning of the next answer.
        self.will_close = True
        if len(lengths) > 1:
            del self.headers["content-length"]  # for urllib3, which refuses lengths that differ

    def _read_status(self) -> tuple[str, int, str]:
        """Return the first status line that is not an interim one (RFC 9110 section 15.2)."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200:
                return version, status, reason
            if status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                raise http.client.UnknownProtocol(reason)
            http.client.parse_headers(self.fp)


class GuardedHTTPConnection(HTTPConnection):
    """A connection to an address that the policy of the call under way lets pass."""

    response_class = _FinalResponse

    checked_by: AddressPolicy
    opened_at: float
    idle_since: float
    remote_address: str | None

    def may_serve(self, call: Call) -> bool:
        """Whether the open connection is young enough, and was let pass by the very policy of this call."""
        return not call.insists_on_fresh and self.checked_by == call.policy and not self.is_old()

    def is_old(self) -> bool:
        """Whether the open connection has been idle for too long, or in use for too long."""
        now = time.monotonic()
        return now - self.idle_since >= IDLE_LIMIT or now - self.opened_at >= AGE_LIMIT

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request.

        :raises TransportError: RESPONSE_TOO_SLOW, CONNECTION_CLOSED or INVALID_REQUEST.
        """
        try:
            super().request(*args, **kwargs)
        except (BrokenPipeError, ConnectionResetError):
            raise  # urllib3 goes on to read the answer a receiver may have sent before it hung up
        except OSError as error:
            raise TransportError(_reason(error, current.get())) from error
        except (ValueError, http.client.HTTPException) as error:
            raise TransportError(Reason.INVALID_REQUEST) from error

    def getresponse(self) -> HTTPResponse:  # type: ignore[override] # as in urllib3
        """Read the status and the headers.

        :raises TransportError: RESPONSE_TOO_SLOW, CONNECTION_CLOSED, TLS_FAILED or INVALID_RESPONSE.
        """
        call = current.get()
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException, HTTPError, Enough) as error:
            raise TransportError(_reason(error, call)) from error
        # http.client takes the end of the stream for the end of the headers.
        if call.hung_up:
            raise TransportError(Reason.CONNECTION_CLOSED)
        return response

    def _new_conn(self) -> DeadlineSocket:
        call = current.get()
        self.checked_by = call.policy
        self.opened_at = self.idle_since = time.monotonic()
        connection = dialling.dial(self.host, self.port, call)
        self.remote_address = call.trace.remote_address
        call.trace.sent_at = time.monotonic()
        return connection


class GuardedHTTPSConnection(GuardedHTTPConnection, HTTPSConnection):
    """The same over TLS. The certificate is checked against the name in the URL, not against the address."""

    def connect(self) -> None:
        """Connect and shake hands.

        :raises TransportError: what `dialling.dial` raises, or CONNECTION_TIMEOUT or TLS_FAILED.
        """
        try:
            super().connect()
        except TimeoutError as error:
            raise TransportError(Reason.CONNECTION_TIMEOUT) from error
        except OSError as error:  # ssl.SSLError is one, and a reset during the handshake is no better
            raise TransportError(Reason.TLS_FAILED) from error
        trace, connected_at = current.get().trace, current.get().trace.sent_at
        trace.sent_at = time.monotonic()
        trace.tls = trace.sent_at - connected_at


class GuardedHTTPPool(HTTPConnectionPool):
    """The connections to one host and port."""

    ConnectionCls = GuardedHTTPConnection

    def _get_conn(self, timeout: float | None = None) -> GuardedHTTPConnection:
        connection = cast(GuardedHTTPConnection, super()._get_conn(timeout))
        call = current.get()
        if not connection.is_closed and not connection.may_serve(call):
            connection.close()  # and it connects anew
        call.reused = not connection.is_closed
        if call.reused:
            call.trace.remote_address = connection.remote_address
            call.trace.sent_at = time.monotonic()
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)

    def close_idle(self, which: Callable[[GuardedHTTPConnection], bool]) -> None:
        """Close those of the idle connections, so that they hold no files open."""
        waiting = []
        with suppress(queue.Empty):
            while self.pool is not None:
                waiting.append(self.pool.get_nowait())
        for connection in reversed(waiting):
            if connection is not None and not connection.is_closed and which(connection):
                connection.close()
            super()._put_conn(connection)


class GuardedHTTPSPool(GuardedHTTPPool, HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = GuardedHTTPSConnection


def read_body(response: HTTPResponse, *, keep: int) -> bytes:
    """Return the first `keep` bytes of the body, after reading at most `READ_LIMIT`, as they came.

    The connection goes back to its pool if that was all of the body, and is closed otherwise.

    :raises TransportError: the body ends early (CONNECTION_CLOSED), not in time (RESPONSE_TOO_SLOW), or is
        no valid body (INVALID_RESPONSE).
    """
    call = current.get()
    call.allowance = READ_LIMIT
    body = bytearray()
    read = 0
    try:
        while read < READ_LIMIT and (part := response.read1(READ_LIMIT - read, decode_content=False)):
            read += len(part)
            body += part[: keep - len(body)]
    except Enough:
        pass
    except (OSError, http.client.HTTPException, HTTPError) as error:
        raise TransportError(_reason(error, call)) from error
    finally:
        response.close()
        response.release_conn()
    return bytes(body)


def _reason(error: Exception, call: Call) -> Reason:
    """Return why an exchange failed once its connection stood. A table: the first row that fits."""
    if isinstance(error, HTTPError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    for kinds, reason in (
        (TimeoutError, Reason.RESPONSE_TOO_SLOW),
        ((ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError), Reason.CONNECTION_CLOSED),
        (ssl.SSLError, Reason.TLS_FAILED),
        (OSError, Reason.CONNECTION_CLOSED),
        ((http.client.BadStatusLine, Enough), Reason.INVALID_RESPONSE),
    ):
        if isinstance(error, kinds):
            return reason
    return Reason.CONNECTION_CLOSED if call.hung_up else Reason.INVALID_RESPONSE
