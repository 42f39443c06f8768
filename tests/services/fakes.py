"""A transport that sends nothing: it answers as told. What it promises, the conformance suite checks."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from deliveries.services import following, recording
from deliveries.services.recording import Recorded, Result
from deliveries.transport import Exchange, Reply, Request, TransportError

Outcome = Reply | TransportError


def a_reply(http_status: int = 200, **headers: str) -> Reply:
    """Return an answer of the receiver."""
    return Reply(
        http_status=http_status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=b'{"received":true}',
    )


class FakeTransport:
    """Answers every request with what `answer` returns; None leaves it under way."""

    def __init__(self, answer: Callable[[Request], Outcome | None] = lambda request: a_reply()) -> None:
        self.slots = 32
        self.answer = answer
        # What else an exchange tells.
        self.details: dict[str, Any] = {}
        self.sent: list[Request] = []
        self.closed = False
        self._finished: deque[Exchange] = deque()

    def submit(self, key: UUID, request: Request) -> None:
        """Answer."""
        self.sent.append(request)
        outcome = self.answer(request)
        if outcome is not None:
            took = timedelta(milliseconds=142)
            self._finished.append(Exchange(key=key, outcome=outcome, duration=took, **self.details))

    def collect(self, timeout: timedelta) -> list[Exchange]:
        """Return all answers given."""
        finished = list(self._finished)
        self._finished.clear()
        return finished

    def wake(self) -> None:
        """Nothing ever waits here."""

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


class Steady(random.Random):
    """Jitter that changes nothing."""

    def uniform(self, a: float, b: float) -> float:
        """Return the middle."""
        return (a + b) / 2


def record_and_follow(results: Sequence[Result], *, now: datetime, jitter: random.Random) -> Recorded:
    """Record, and do what follows for the webhooks, as the dispatcher does."""
    recorded = recording.record(results, now=now, jitter=jitter)
    inbox = following.Inbox()
    inbox.add(recorded.news)
    inbox.follow(now=now, jitter=jitter)
    assert not inbox, "somebody holds the rows"
    if recorded.trouble is not None:
        raise recorded.trouble
    return recorded
