"""The engine on requests and urllib3: a pool of threads that share one adapter.

Requests go through `HTTPAdapter.send`, not through a Session. A Session follows redirects, or at least reads
the whole body of one to prepare for it; remembers cookies across customers; and takes proxies, credentials
and certificate authorities from the environment. The adapter does none of that.
"""

import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import certifi
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse
from urllib3.util import SKIP_HEADER

from deliveries.addresses import AddressPolicy
from deliveries.reasons import Reason
from deliveries.transport import incoming, outgoing
from deliveries.transport.base import KEEP_LIMIT, Exchange, Reply, Request, TransportError
from deliveries.transport.calls import Call, Trace, current
from deliveries.transport.connections import (
    GuardedHTTPConnection,
    GuardedHTTPPool,
    GuardedHTTPSPool,
    read_body,
)
from deliveries.transport.resolving import Lookup, Resolver, system_lookup
from deliveries.transport.sockets import DeadlineTLSSocket

logger = logging.getLogger(__name__)

# Hosts whose connections are kept, and connections kept for each.
HOSTS = 256
CONNECTIONS_PER_HOST = 10
# Seconds between two looks for idle connections to close.
SWEEP_INTERVAL = 30.0

_WITHOUT_BODY = frozenset(("GET", "HEAD"))


class _Adapter(HTTPAdapter):
    """An adapter whose connections are guarded and whose certificate store is settled once."""

    def __init__(self, ca_file: str | None) -> None:
        self._tls = _tls_context(ca_file)
        super().__init__(pool_connections=HOSTS, pool_maxsize=CONNECTIONS_PER_HOST, pool_block=False)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": GuardedHTTPPool, "https": GuardedHTTPSPool}

    def cert_verify(self, conn: Any, url: object, verify: object, cert: object) -> None:
        # The original has urllib3 load the whole store into our context again with every connection.
        conn.cert_reqs = ssl.CERT_REQUIRED

    def build_response(self, req: PreparedRequest, resp: object) -> Response:
        # The original parses the cookies, which nobody wants.
        response = Response()
        response.raw = resp
        return response

    def close_idle_connections(self, which: Callable[[GuardedHTTPConnection], bool]) -> None:
        """Close those of the idle connections, also those of hosts nobody sends to any more."""
        pools = self.poolmanager.pools
        with pools.lock:
            # Behind the container's back: asking it for a pool would make that the one used last.
            found = list(pools._container.values())
        for pool in found:
            pool.close_idle(which)


class RequestsTransport:
    """Sends with threads, one exchange each. See `Transport` for what the methods promise.

    Threads do not survive a fork: make it in the process that uses it.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        slots: int = 32,
        ca_file: str | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        """Start the threads.

        :param ca_file: certificate authorities to trust, in PEM, instead of certifi's.
        :param lookup: finds the addresses of a name.
        """
        self._policy = policy
        self._slots = slots
        self._adapter = _Adapter(ca_file)
        self._resolver = Resolver(lookup)
        self._submitted: queue.SimpleQueue[_Submission | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Exchange | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._swept_at = time.monotonic()
        for number in range(slots):
            threading.Thread(target=self._work, name=f"sender-{number}", daemon=True).start()

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, key: UUID, request: Request) -> None:
        """Start an exchange.

        :raises RuntimeError: the transport is closed.
        """
        if self._closed.is_set():
            raise RuntimeError("the transport is closed")
        self._submitted.put(_Submission(key=key, request=request))

    def collect(self, timeout: timedelta) -> list[Exchange]:
        self._sweep()
        try:
            found = [self._finished.get(timeout=max(timeout.total_seconds(), 0))]
        except queue.Empty:
            return []
        while not self._finished.empty():
            found.append(self._finished.get())
        return [exchange for exchange in found if exchange is not None]

    def wake(self) -> None:
        self._finished.put(None)

    def close(self) -> None:
        self._closed.set()
        for _ in range(self._slots):
            self._submitted.put(None)
        self._adapter.close()

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept_at >= SWEEP_INTERVAL:
            self._swept_at = now
            self._adapter.close_idle_connections(GuardedHTTPConnection.is_old)

    def _work(self) -> None:
        while (submission := self._submitted.get()) is not None and not self._closed.is_set():
            # Made before, because where there is no memory left not even that something failed can be said.
            exchange = Exchange(
                key=submission.key, outcome=TransportError(Reason.INVALID_RESPONSE), duration=timedelta(0)
            )
            with suppress(Exception):
                exchange = self._exchange(submission)
            self._finished.put(exchange)

    def _exchange(self, submission: "_Submission") -> Exchange:
        started_at, trace = time.monotonic(), Trace()
        outcome = self._outcome(submission.request, started_at, trace)
        return Exchange(
            key=submission.key,
            outcome=outcome,
            duration=timedelta(seconds=time.monotonic() - started_at),
            timings=trace.timings(),
            remote_address=trace.remote_address,
        )

    def _outcome(self, request: Request, started_at: float, trace: Trace) -> Reply | TransportError:
        """Return what came of the request; whatever happens, something does."""
        fault = Reason.INVALID_REQUEST
        try:
            call = Call(
                policy=outgoing.check(request, self._policy),
                resolver=self._resolver,
                ends_at=started_at + request.timeout.total_seconds(),
                trace=trace,
            )
            prepared = _prepare(request)
            fault = Reason.INVALID_RESPONSE
            return self._send(prepared, call)
        except TransportError as error:
            # A new one: the traceback of this one holds on to connections and buffers.
            return TransportError(error.reason)
        except Exception:
            logger.exception("Exchange failed unexpectedly", extra={"event": "exchange.failed"})
            return TransportError(fault)

    def _send(self, prepared: PreparedRequest, call: Call) -> Reply:
        try:
            return self._send_once(prepared, call)
        except TransportError as error:
            if error.reason is Reason.NO_RESOURCES:
                # Connections that are kept for later are worth less than this one.
                self._adapter.close_idle_connections(lambda connection: True)
                return self._send_once(prepared, call)
            # `Transport` says why this is safe (and RFC 9110 section 9.2.2 that it is allowed).
            went_stale = call.reused and not call.received and error.reason is Reason.CONNECTION_CLOSED
            if not went_stale:
                raise
        return self._send_once(prepared, call.again())

    def _send_once(self, prepared: PreparedRequest, call: Call) -> Reply:
        token = current.set(call)
        try:
            # `stream` leaves the body unread; the timeout is for sockets that are not ours, so for none.
            response = self._adapter.send(prepared, stream=True, timeout=_time_left(call))
            raw = cast(HTTPResponse, response.raw)
            return Reply(
                http_status=raw.status,
                headers=incoming.kept_headers(raw.headers.items()),
                body=read_body(raw, keep=KEEP_LIMIT),
            )
        finally:
            current.reset(token)


def _time_left(call: Call) -> float:
    """Return the seconds that are left; a busy machine may have taken all of them before anything is sent.

    :raises TransportError: none are.
    """
    try:
        return call.remaining()
    except TimeoutError as error:
        late = Reason.RESPONSE_TOO_SLOW if call.insists_on_fresh else Reason.CONNECTION_TIMEOUT
        raise TransportError(late) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Submission:
    key: UUID
    request: Request


def _prepare(request: Request) -> PreparedRequest:
    """Return the request in the adapter's own terms, without `prepare`, which would rewrite the URL."""
    prepared = PreparedRequest()
    prepared.method = request.method
    prepared.url = request.url
    prepared.headers = CaseInsensitiveDict(_headers(request))
    prepared.body = request.body or None
    return prepared


def _headers(request: Request) -> Mapping[str, str]:
    headers = dict(request.headers)
    headers["Accept-Encoding"] = "identity"
    if request.body or request.method not in _WITHOUT_BODY:
        headers["Content-Length"] = str(len(request.body))
    if "user-agent" not in (name.lower() for name in headers):
        headers["User-Agent"] = SKIP_HEADER  # keeps urllib3 from adding its own
    return headers


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that requires a valid certificate for the host's name, and our sockets' deadline."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.load_verify_locations(ca_file or certifi.where())
    context.sslsocket_class = DeadlineTLSSocket
    return context
