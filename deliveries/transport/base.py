"""What every engine offers: submit an exchange, collect what came back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, Self
from uuid import UUID

from deliveries.reasons import Reason, describe

# Bytes of a response body an engine reads at most before it hangs up; and how many of them it keeps.
READ_LIMIT = 64 * 1024
KEEP_LIMIT = 16 * 1024
# Seconds a connection may lie unused, and seconds it may be used at all: the bounds on how long we talk to an
# address after its name has moved on.
IDLE_LIMIT = 60.0
AGE_LIMIT = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One HTTP request, complete: nothing is added, looked up or followed on the way."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes
    timeout: timedelta
    """The deadline of the whole exchange, from the DNS lookup to the last byte read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the receiver answered, cut to what we keep and safe to store in any database."""

    http_status: int
    headers: Mapping[str, str]
    """Names in lower case; bytes that are not printable are replaced."""
    body: bytes
    """The first `KEEP_LIMIT` bytes, exactly as they came."""


class TransportError(Exception):
    """No usable answer came. `str(error)` is fit for the webhook's owner.

    Every engine tells the reasons apart in the same way:

    * INVALID_REQUEST, BLOCKED_ADDRESS: nothing was sent, because of the request or of the address policy.
    * DNS_FAILED: the name has no address, or none in time, or more than anybody needs.
    * CONNECTION_REFUSED: no connection, and we know at once; also when there is no route.
    * CONNECTION_TIMEOUT: no connection in time, TLS handshake included.
    * TLS_FAILED: the handshake failed, or the receiver ended it.
    * RESPONSE_TOO_SLOW: the connection stood, and the answer was not complete at the deadline.
    * CONNECTION_CLOSED: the receiver hung up before its answer was complete.
    * INVALID_RESPONSE: what came is no HTTP, or its headers exceed `READ_LIMIT`.
    * NO_RESOURCES: no connection, because this machine has no file, socket, thread or memory left for one or
      for the lookup, not even after the engine has closed all connections that are idle. It is no attempt: it
      says nothing about the receiver.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(describe(reason))
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Timings:
    """Where the time of an exchange went; None for what it did without, or did not come to.

    Of the last try: what a stale connection took before it is part of the duration alone.
    """

    dns: timedelta | None = None
    """Until the name had its addresses, remembered ones included."""
    connect: timedelta | None = None
    """Until there was a connection, all addresses included that were tried in vain."""
    tls: timedelta | None = None
    """The handshake."""
    first_byte: timedelta | None = None
    """From the request to the first byte of the answer."""

    @classmethod
    def of_seconds(
        cls, *, dns: float | None, connect: float | None, tls: float | None, first_byte: float | None
    ) -> Self:
        """Return them from what an engine measures in seconds."""
        return cls(dns=_span(dns), connect=_span(connect), tls=_span(tls), first_byte=_span(first_byte))


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A finished request: the key it was submitted under, and its outcome."""

    key: UUID
    outcome: Reply | TransportError
    duration: timedelta
    timings: Timings = Timings()
    remote_address: str | None = None
    """What the request was sent to, or the address that was tried last."""


class Transport(Protocol):
    """An engine. One per process, used from one thread; how it works inside is its own business.

    Connections are kept. A receiver may close one just when the next request is on its way; so when a
    connection that has served before ends without a single byte of an answer, the same request goes out once
    more: at once, on a fresh connection, before the same deadline. That is no attempt of its own but one
    exchange with one outcome, and what is sent is the same to the byte. It is safe because deliveries happen
    at least once anyway: a receiver that has acted on the first knows the second by its `webhook-id`. If the
    second fails too, its failure is the outcome. On a fresh connection, or once any byte of an answer has
    come, nothing is sent twice; over TLS an engine may know of whole lines only.
    """

    @property
    def slots(self) -> int:
        """How many exchanges may be under way at once."""

    def submit(self, key: UUID, request: Request) -> None:
        """Start an exchange. Never blocks and never raises for what the receiver or its URL is like.

        The caller keeps to `slots`; every key submitted comes back from `collect` exactly once.
        """

    def collect(self, timeout: timedelta) -> list[Exchange]:
        """Return what has finished, waiting at most `timeout` for the first; an empty list if nothing has."""

    def wake(self) -> None:
        """Make the `collect` that is waiting, or else the next one, return at once. Safe from any thread."""

    def close(self) -> None:
        """Drop all connections and threads. Exchanges under way are abandoned."""
