"""The engine on libcurl: one thread, the caller's, and hundreds of exchanges under way in it.

Everything happens inside `collect`. An exchange is given to libcurl at once. Where that has a connection for
it, nobody resolves or connects. Where not, its name is looked up and dialled, and it is given to libcurl
again together with the connection. Deadlines are ours: one of the whole exchange, whatever it is at.
"""

import heapq
import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from deliveries import addresses
from deliveries.addresses import AddressPolicy
from deliveries.reasons import Reason
from deliveries.transport import curl_outcomes, dialling, outgoing, resolving
from deliveries.transport.base import IDLE_LIMIT, Exchange, Reply, Request, Timings, TransportError
from deliveries.transport.curl_dialling import Dial
from deliveries.transport.curl_handles import Handle
from deliveries.transport.curl_multi import Multi, News
from deliveries.transport.resolving import Lookup, Resolver, system_lookup

logger = logging.getLogger(__name__)

# Seconds a caller may be away between two calls of `collect` before deadlines take notice; and seconds an
# exchange gets back at most, for all such times together: well below what a lease grants beyond the timeout.
ABSENCE = 1.0
MOST_ABSENCES = 15.0


@dataclass(kw_only=True, slots=True, eq=False)
class _Running:
    """An exchange that has begun."""

    key: UUID
    request: Request
    policy: AddressPolicy
    """The policy for this very URL."""
    handle: Handle
    started_at: float
    ends_at: float
    step_began_at: float
    step_ends_at: float
    """When the lookup, or the address that is being tried, has had its time."""
    absences: float = 0.0
    """Seconds it got back because nobody collected."""
    port: int = 0
    looking_up: bool = False
    dial: Dial | None = None
    fresh: bool = False
    """It goes out once more, because the connection of the first time had gone stale."""
    short: bool = False
    """It is tried once more, because this machine had nothing left."""
    dns: float | None = None
    connect: float | None = None


class CurlTransport:
    """Sends with libcurl's multi interface. See `Transport` for what the methods promise.

    A child would share its connections: make it in the process that uses it.

    Nothing moves but while somebody collects. That is no receiver's doing, so a caller who was away for long
    (its database was slow) finds deadlines put off: a handshake takes several turns, and gets them.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        slots: int = 32,
        ca_file: str | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        """Read the authorities.

        :param ca_file: certificate authorities to trust, in PEM, instead of certifi's.
        :param lookup: finds the addresses of a name.
        :raises OSError: they cannot be read.
        """
        self._policy = policy
        self._slots = slots
        self._resolver = Resolver(lookup)
        self._multi = Multi(ca_file)
        self._submitted: deque[tuple[UUID, Request]] = deque()
        self._running: dict[UUID, _Running] = {}
        self._by_handle: dict[Handle, _Running] = {}
        self._by_fd: dict[int, _Running] = {}
        self._deadlines: list[tuple[float, UUID]] = []
        self._answers: deque[tuple[UUID, Future[tuple[str, ...]]]] = deque()
        self._news = News()
        self._finished: list[Exchange] = []
        self._groups: dict[AddressPolicy, int] = {}
        self._woken = False
        self._closed = False
        self._left_at = time.monotonic()

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, key: UUID, request: Request) -> None:
        """Start an exchange, at the next `collect`.

        :raises RuntimeError: the transport is closed.
        """
        if self._closed:
            raise RuntimeError("the transport is closed")
        self._submitted.append((key, request))

    def collect(self, timeout: timedelta) -> list[Exchange]:
        now = time.monotonic()
        until = now + max(timeout.total_seconds(), 0)
        if now - self._left_at >= ABSENCE:
            self._put_off_deadlines(now - self._left_at)
        if not self._running and now - self._multi.used_at >= IDLE_LIMIT:
            self._multi.close_connections()
        while True:
            while self._submitted and len(self._running) < self._slots:
                self._begin(*self._submitted.popleft())
            self._turn(0.0 if self._finished or self._woken else until)
            if self._finished or self._woken or time.monotonic() >= until:
                break
        self._woken = False
        finished, self._finished = self._finished, []
        self._left_at = time.monotonic()
        return finished

    def wake(self) -> None:
        self._woken = True
        self._multi.wake()

    def close(self) -> None:
        self._closed = True
        self._submitted.clear()
        for running in self._running.values():
            self._hang_up(running)
        self._running.clear()
        self._multi.close()

    def _turn(self, until: float) -> None:
        """Wait for something to happen, and do what follows from it."""
        if self._deadlines:
            until = min(until, self._deadlines[0][0])
        self._multi.turn(self._news, until=until)
        # One by one: whatever interrupts this, none is lost.
        while self._news.ended:
            handle, code = self._news.ended.popleft()
            self._step(self._by_handle[handle], self._leave_curl, code)
        while self._news.connected:
            running = self._by_fd.pop(self._news.connected.popleft())
            self._step(running, self._connected)
        while self._answers:
            key, future = self._answers.popleft()
            if (asking := self._running.get(key)) is not None and asking.looking_up:
                self._step(asking, self._looked_up, future)
        self._expire()

    def _step(self, running: _Running, step: Callable[..., None], *args: Any) -> None:
        """Take an exchange one step further; whatever happens, it comes to an outcome."""
        try:
            step(running, *args)
        except TransportError as error:
            if error.reason is Reason.NO_RESOURCES and not running.short:
                self._step(running, self._make_room)
            else:
                self._finish(running, TransportError(error.reason))
        except Exception as error:
            _log(error)
            self._finish(running, TransportError(Reason.INVALID_RESPONSE))
        except BaseException:
            self._finish(running, TransportError(Reason.INVALID_RESPONSE))
            raise

    # An exchange begins ...

    def _begin(self, key: UUID, request: Request) -> None:
        now = time.monotonic()
        try:
            policy = outgoing.check(request, self._policy)
            handle = self._multi.take_handle()
            try:
                handle.load(request, self._groups.setdefault(policy, len(self._groups)))
            except Exception:
                self._multi.give_back(handle)
                raise
        except Exception as error:
            if isinstance(error, TransportError):
                reason = error.reason
            else:
                reason = Reason.INVALID_REQUEST
                _log(error)
            # A new error: the traceback of this one holds on to whatever there is.
            self._finished.append(Exchange(key=key, outcome=TransportError(reason), duration=timedelta(0)))
            return
        ends_at = now + request.timeout.total_seconds()
        running = _Running(
            key=key,
            request=request,
            policy=policy,
            handle=handle,
            started_at=now,
            ends_at=ends_at,
            step_began_at=now,
            step_ends_at=ends_at,
        )
        self._running[key] = self._by_handle[handle] = running
        heapq.heappush(self._deadlines, (ends_at, key))
        self._step(running, self._enter_curl)

    # ... is given to libcurl ...

    def _enter_curl(self, running: _Running, *, without_idle: bool = False) -> None:
        running.handle.prepare(dial=running.dial, fresh=running.fresh)
        running.step_ends_at = running.ends_at
        self._multi.add(running.handle, without_idle=without_idle)

    def _make_room(self, running: _Running) -> None:
        """Give up connections that are kept for later: they are worth less than this one."""
        self._hang_up(running)
        running.short = True
        running.dns = running.connect = None
        self._enter_curl(running, without_idle=True)

    def _leave_curl(self, running: _Running, code: int) -> None:
        handle = running.handle
        if handle.trouble is not None:
            raise handle.trouble
        if handle.needs_connection:
            self._look_up(running)
            return
        outcome = curl_outcomes.outcome(handle, code)
        if isinstance(outcome, TransportError):
            if outcome.reason is Reason.NO_RESOURCES:
                raise outcome
            # `Transport` says why this is safe (and RFC 9110 section 9.2.2 that it is allowed).
            closed = handle.tried_again or outcome.reason is Reason.CONNECTION_CLOSED
            if closed and handle.reused and not handle.answer.received and not running.fresh:
                self._hang_up(running)
                running.fresh = True
                self._look_up(running)
                return
            if handle.tried_again:
                outcome = TransportError(Reason.CONNECTION_CLOSED)
        self._finish(running, outcome)

    # ... looked up and dialled, where it must be ...

    def _look_up(self, running: _Running) -> None:
        running.step_began_at = time.monotonic()
        running.dns = running.connect = None
        host, running.port = addresses.endpoint(running.request.url)
        if addresses.as_address(host) is not None:
            self._dial(running, (host,))
            return
        running.looking_up = True
        self._limit_step(running, resolving.LOOKUP_LIMIT)
        future = self._resolver.ask(host)
        if future.done():
            self._looked_up(running, future)
        else:
            future.add_done_callback(partial(self._on_answer, running.key))

    def _on_answer(self, key: UUID, future: "Future[tuple[str, ...]]") -> None:
        """Take an answer from one of the resolver's threads."""
        self._answers.append((key, future))
        self._multi.wake()

    def _looked_up(self, running: _Running, future: "Future[tuple[str, ...]]") -> None:
        running.looking_up = False
        now = time.monotonic()
        running.dns = now - running.step_began_at
        running.step_began_at = now
        if (error := future.exception()) is not None:
            raise TransportError(resolving.reason(error))
        self._dial(running, future.result())

    def _dial(self, running: _Running, found: tuple[str, ...]) -> None:
        running.dial = Dial(found, running.port, running.policy)
        self._await_connection(running, running.dial.begin())

    def _await_connection(self, running: _Running, connection: socket.socket) -> None:
        self._multi.watch(connection)
        self._by_fd[connection.fileno()] = running
        self._limit_step(running, dialling.CONNECT_LIMIT)

    def _connected(self, running: _Running) -> None:
        assert running.dial is not None  # noqa: S101
        if (another := running.dial.finish()) is not None:
            self._await_connection(running, another)
            return
        running.connect = time.monotonic() - running.step_began_at
        self._enter_curl(running)

    # ... and ends, at its deadline at the latest.

    def _limit_step(self, running: _Running, seconds: float) -> None:
        running.step_ends_at = min(running.ends_at, time.monotonic() + seconds)
        heapq.heappush(self._deadlines, (running.step_ends_at, running.key))

    def _put_off_deadlines(self, absence: float) -> None:
        for running in self._running.values():
            granted = min(absence, MOST_ABSENCES - running.absences)
            running.absences += granted
            running.ends_at += granted
            running.step_ends_at += granted
            heapq.heappush(self._deadlines, (running.step_ends_at, running.key))
            heapq.heappush(self._deadlines, (running.ends_at, running.key))

    def _expire(self) -> None:
        if len(self._deadlines) > 4 * len(self._running) + 64:
            # Most exchanges end long before their deadline.
            self._deadlines = [each for each in self._deadlines if each[1] in self._running]
            heapq.heapify(self._deadlines)
        now = time.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key = heapq.heappop(self._deadlines)
            running = self._running.get(key)
            if running is not None and running.step_ends_at <= now:
                self._step(running, self._overdue)

    def _overdue(self, running: _Running) -> None:
        if running.looking_up:
            raise TransportError(Reason.DNS_FAILED)
        if running.dial is not None and running.connect is None:
            if time.monotonic() < running.ends_at:
                self._forget_connection(running.dial)
                self._await_connection(running, running.dial.give_up_address())
                return
            raise TransportError(Reason.CONNECTION_TIMEOUT)
        raise curl_outcomes.late(running.handle)

    def _finish(self, running: _Running, outcome: Reply | TransportError) -> None:
        handle = running.handle
        timings = Timings.of_seconds(
            dns=running.dns, connect=running.connect, tls=handle.tls, first_byte=handle.first_byte
        )
        remote_address = handle.connection.remote_address if handle.connection else None
        if remote_address is None and running.dial is not None:
            remote_address = running.dial.address
        self._hang_up(running)
        self._multi.give_back(handle)
        del self._running[running.key], self._by_handle[handle]
        duration = timedelta(seconds=time.monotonic() - running.started_at)
        self._finished.append(
            Exchange(
                key=running.key,
                outcome=outcome,
                duration=duration,
                timings=timings,
                remote_address=remote_address,
            )
        )

    def _hang_up(self, running: _Running) -> None:
        """Drop whatever an exchange has under way."""
        self._multi.remove(running.handle)
        running.looking_up = False
        if running.dial is not None:
            self._forget_connection(running.dial)
            running.dial.close()
            running.dial = None

    def _forget_connection(self, dial: Dial) -> None:
        if dial.connection is not None:
            self._by_fd.pop(dial.connection.fileno(), None)
            self._multi.unwatch(dial.connection)


def _log(error: Exception) -> None:
    with suppress(Exception):  # no memory for it, perhaps; the exchange must come back all the same
        logger.error("Exchange failed unexpectedly", extra={"event": "exchange.failed"}, exc_info=error)
