"""The exchange under way in this thread, as its sockets and connections see it.

urllib3 hands a connection nothing but a host, a port and a timeout per operation. Everything else a guarded
connection has to know (until when, which addresses, how many more bytes) it asks of the call that runs in its
thread. Without one it does not connect at all.
"""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Self

from deliveries.addresses import AddressPolicy
from deliveries.transport.base import READ_LIMIT, Timings
from deliveries.transport.resolving import Resolver


class Enough(Exception):
    """The receiver has sent as many bytes as we are willing to read."""


@dataclass(kw_only=True, slots=True)
class Trace:
    """Where the time of a try went, in seconds, and what it was sent to: see `Exchange`."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    sent_at: float = 0.0
    first_byte: float | None = None
    remote_address: str | None = None

    def restart(self) -> None:
        """Forget the try before."""
        self.dns = self.connect = self.tls = self.first_byte = self.remote_address = None

    def timings(self) -> Timings:
        """Return them as an exchange has them."""
        return Timings.of_seconds(
            dns=self.dns, connect=self.connect, tls=self.tls, first_byte=self.first_byte
        )


@dataclass(kw_only=True, slots=True)
class Call:
    """One exchange: its deadline, its guard, and what has happened on the wire so far."""

    policy: AddressPolicy
    """The policy for this very URL."""
    resolver: Resolver
    ends_at: float
    """The deadline, by `time.monotonic()`."""

    insists_on_fresh: bool = False
    """No connection from the pool will do."""
    reused: bool = False
    """The connection had been used before."""
    received: int = 0
    """Bytes of the answer so far."""
    allowance: int = READ_LIMIT
    """How many more bytes may be read: first of the status line and the headers, then of the body."""
    hung_up: bool = False
    """The receiver has closed its side."""
    trace: Trace = field(default_factory=Trace)

    def remaining(self) -> float:
        """Return the seconds that are left.

        :raises TimeoutError: none are.
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange's deadline has passed")
        return left

    def again(self) -> Self:
        """Return the call for a second try on a new connection, within the same deadline."""
        self.trace.restart()
        return type(self)(
            policy=self.policy,
            resolver=self.resolver,
            ends_at=self.ends_at,
            insists_on_fresh=True,
            trace=self.trace,
        )

    def took(self, count: int) -> None:
        """Note that so many bytes have been read; none means that the receiver has closed its side."""
        if not self.received and count:
            self.trace.first_byte = time.monotonic() - self.trace.sent_at
        self.received += count
        self.allowance -= count
        if count == 0:
            self.hung_up = True


current: ContextVar[Call] = ContextVar("current")
