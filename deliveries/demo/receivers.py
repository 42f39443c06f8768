"""The receivers themselves: how each answers, and what it has got. In memory, for as long as the process."""

import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# Deliveries that are remembered, over all receivers.
HISTORY = 200
# A receiver exists from its first use on; this many may.
MAX_RECEIVERS = 50
# Messages whose failures a flaky receiver counts.
MAX_COUNTED = 1000
FAILURES_OF_FLAKY = 2
# When a flaky one has failed so many requests in a row, which are then of several messages, it takes as many:
# else many events at once would open its circuit, and each probe would meet another one's failure.
AT_A_STRETCH = 3


class Behaviour(StrEnum):
    """How a receiver answers; the word is what a caller sends to choose it."""

    OK = "200"
    ERROR = "500"
    FLAKY = "500-twice-then-200"
    SLOW = "slow"
    NEVER = "never"
    BUSY = "429"
    GONE = "410"
    MOVED = "301"

    @property
    def meaning(self) -> str:
        """Say in a few words what the sender will see."""
        return _MEANINGS[self]


_MEANINGS = {
    Behaviour.OK: "Takes everything",
    Behaviour.ERROR: "Always fails",
    Behaviour.FLAKY: "Fails twice, then takes the event",
    Behaviour.SLOW: "Takes everything after 3 seconds",
    Behaviour.NEVER: "Gives no answer at all",
    Behaviour.BUSY: "Asks to be tried again in a minute",
    Behaviour.GONE: "Is gone, which disables the webhook",
    Behaviour.MOVED: "Redirects, which nobody follows",
}
# Of the demo data's webhooks, the one that points here is switched off from the beginning.
_UNREACHED = "disabled"


def meaning(name: str, behaviour: Behaviour) -> str:
    """Say in a few words what this receiver's sender will see."""
    if (name, behaviour) == (_UNREACHED, Behaviour.OK):
        return "Nothing comes until its webhook is turned on"
    return behaviour.meaning


class Signature(StrEnum):
    """What came of checking a delivery's signature, in words for people."""

    VALID = "signature valid"
    INVALID = "signature invalid"
    NONE = "not signed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a receiver says to one delivery; `http_status` is None where it says nothing."""

    http_status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    text: str


_TAKEN = Answer(http_status=200, text="200 OK")
_FAILED = Answer(http_status=500, text="500 Internal Server Error")
_ANSWERS = {
    Behaviour.OK: _TAKEN,
    Behaviour.ERROR: _FAILED,
    Behaviour.SLOW: Answer(http_status=200, delay=3.0, text="200 OK after 3 seconds"),
    Behaviour.NEVER: Answer(http_status=None, text="no answer"),
    Behaviour.BUSY: Answer(
        http_status=429, headers={"Retry-After": "60"}, text="429 Too Many Requests, Retry-After: 60"
    ),
    Behaviour.GONE: Answer(http_status=410, text="410 Gone"),
    Behaviour.MOVED: Answer(
        http_status=301, headers={"Location": "/demo/receivers/healthy"}, text="301 Moved Permanently"
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One request as it arrived, and what was said to it."""

    receiver: str
    received_at: datetime
    method: str
    headers: Mapping[str, str]
    body: str
    message_id: str
    event: str
    attempt: str
    signature: Signature
    answer: str


class TooManyReceivers(Exception):
    """There are as many receivers as there may be."""


class Receivers:
    """All receivers, for any number of threads."""

    def __init__(self, behaviours: Mapping[str, Behaviour]) -> None:
        # Tells a page that was open before that it looks at another process, whose numbers start again.
        self.run = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._behaviours = dict(behaviours)
        self._failures: OrderedDict[tuple[str, str], int] = OrderedDict()
        # By name: failed in a row; below 0, so many requests are taken first.
        self._stretches: dict[str, int] = {}
        self._deliveries: deque[tuple[int, Delivery]] = deque(maxlen=HISTORY)
        self._last = 0

    def behaviours(self) -> Mapping[str, Behaviour]:
        """Return how each receiver answers, by name."""
        with self._lock:
            return dict(self._behaviours)

    def behaviour(self, name: str) -> Behaviour:
        """Return how a receiver answers.

        :raises TooManyReceivers: it would be a new one, and there are enough.
        """
        with self._lock:
            return self._behaviour(name)

    def behave(self, name: str, behaviour: Behaviour) -> None:
        """Choose how a receiver answers from now on.

        :raises TooManyReceivers: it would be a new one, and there are enough.
        """
        with self._lock:
            self._behaviour(name)
            self._behaviours[name] = behaviour

    def answer(self, name: str, message_id: str) -> Answer:
        """Return what the receiver says to this message now; a flaky one counts what it said before.

        :raises TooManyReceivers: it would be a new one, and there are enough.
        """
        with self._lock:
            behaviour = self._behaviour(name)
            if behaviour is not Behaviour.FLAKY:
                return _ANSWERS[behaviour]
            return _FAILED if self._fails(name, message_id) else _TAKEN

    def note(self, delivery: Delivery) -> None:
        """Remember a delivery, and forget the oldest where there are too many."""
        with self._lock:
            self._last += 1
            self._deliveries.append((self._last, delivery))

    def since(self, number: int) -> tuple[int, Sequence[Delivery]]:
        """Return the number of the last delivery, and those after `number`, newest first."""
        with self._lock:
            newer = [delivery for each, delivery in self._deliveries if each > number]
            return self._last, newer[::-1]

    def _fails(self, name: str, message_id: str) -> bool:
        """Tell whether a flaky receiver fails this request, and count it."""
        stretch = self._stretches.get(name, 0)
        failures = self._failures.get((name, message_id), 0)
        if stretch < 0 or failures >= FAILURES_OF_FLAKY:
            self._stretches[name] = min(stretch + 1, 0)
            return False
        self._stretches[name] = stretch + 1 if stretch + 1 < AT_A_STRETCH else -AT_A_STRETCH
        self._failures[name, message_id] = failures + 1
        if len(self._failures) > MAX_COUNTED:
            self._failures.popitem(last=False)
        return True

    def _behaviour(self, name: str) -> Behaviour:
        if name not in self._behaviours and len(self._behaviours) >= MAX_RECEIVERS:
            raise TooManyReceivers(f"There are {MAX_RECEIVERS} receivers already; use one of them.")
        return self._behaviours.setdefault(name, Behaviour.OK)


# The names are those of the demo data's webhooks.
RECEIVERS = Receivers(
    {
        "healthy": Behaviour.OK,
        "flaky": Behaviour.FLAKY,
        "failing": Behaviour.ERROR,
        _UNREACHED: Behaviour.OK,
    }
)
