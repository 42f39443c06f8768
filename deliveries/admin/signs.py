"""Signs: a state as a colour, an icon and a word; a moment as UTC and as how long ago it was."""

from datetime import datetime, timedelta
from enum import Enum

from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries import clock
from deliveries.models import Delivery, Failure, Recovery, WebhookHealth
from deliveries.printing import utc
from deliveries.services import diagnosing, inspecting

NOTHING = "-"
# The greatest first, with the span from which on it is used.
_UNITS = (
    (timedelta(days=2), timedelta(days=1), "d"),
    (timedelta(minutes=100), timedelta(hours=1), "h"),
    (timedelta(seconds=100), timedelta(minutes=1), "min"),
    (timedelta(0), timedelta(seconds=1), "s"),
)
# What people call what has another name in the APIs.
WORDS: dict[str, str] = {
    Failure.Status.INACTIVE: "Given up",
    WebhookHealth.Circuit.OPEN: "Out of order",
    WebhookHealth.Circuit.PROBING: "Being tried",
}


class Sign(Enum):
    """How something is, at a glance; the value is the icon, which no colour is needed to tell apart."""

    WELL = "✓"
    WAITING = "◷"
    HELD = "‖"
    WRONG = "✕"
    WARNING = "!"
    OFF = "○"


SIGNS: dict[str, Sign] = {
    Delivery.Status.PENDING: Sign.WAITING,
    Delivery.Status.HELD: Sign.HELD,
    Delivery.Status.SUCCEEDED: Sign.WELL,
    Delivery.Status.FAILED: Sign.WRONG,
    Delivery.Status.CANCELLED: Sign.OFF,
    Failure.Status.INACTIVE: Sign.WRONG,
    Failure.Status.DELIVERED: Sign.WELL,
    Recovery.Status.RUNNING: Sign.WAITING,
    Recovery.Status.PAUSED: Sign.HELD,
    # All is queued, which says nothing of what arrives.
    Recovery.Status.COMPLETED: Sign.OFF,
    WebhookHealth.Circuit.CLOSED: Sign.WELL,
    WebhookHealth.Circuit.OPEN: Sign.WRONG,
    WebhookHealth.Circuit.PROBING: Sign.WARNING,
    WebhookHealth.Circuit.RECOVERING: Sign.WARNING,
}

VERDICTS: dict[str, tuple[Sign, str]] = {
    diagnosing.Verdict.OK: (Sign.WELL, "In order"),
    diagnosing.Verdict.LOOK: (Sign.WARNING, "Look"),
    diagnosing.Verdict.BROKEN: (Sign.WRONG, "Broken"),
    inspecting.Verdict.RIGHT: (Sign.WELL, "Right"),
    inspecting.Verdict.WRONG: (Sign.WRONG, "Wrong"),
    inspecting.Verdict.UNKNOWN: (Sign.OFF, "Cannot say"),
}


def badge(sign: Sign, word: str) -> SafeString:
    """Return a state as a colour, an icon and a word."""
    return format_html(
        '<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>',
        sign.name.lower(),
        sign.value,
        word,
    )


def state(status: str) -> SafeString:
    """Return the badge of a status of a delivery, a failure, a recovery or a circuit."""
    return badge(SIGNS[status], word(status))


def word(status: str) -> str:
    """Return what people call one."""
    return WORDS.get(status, status.capitalize())


def verdict(given: str) -> SafeString:
    """Return the badge of a verdict, on the installation or on a part of a request."""
    return badge(*VERDICTS[given])


def moment(at: datetime | None) -> SafeString:
    """Return a moment as how long ago it was or will be, and in UTC."""
    if at is None:
        return format_html("{}", NOTHING)
    return format_html(
        '<time datetime="{}">{} <span class="utc">{}</span></time>', at.isoformat(), relative(at), utc(at)
    )


def counted(number: int, *, most: int) -> str:
    """Return a number that was counted so far at most: "12,345", or "100,000+" where there may be more."""
    return f"{number:,}{'+' if number >= most else ''}"


def relative(at: datetime) -> str:
    """Return how long ago a moment was: "3 min ago"; or when it will be, to the nearest: "in 5 s"."""
    span = at - clock.now()
    if span <= timedelta(0):
        return f"{lasting(-span)} ago"
    unit, name = _unit(span)
    return f"in {round(span / unit)} {name}"


def lasting(span: timedelta) -> str:
    """Return a span of time in its greatest unit: "45 s", "3 min", "5 h", "12 d"."""
    unit, name = _unit(span)
    return f"{span // unit} {name}"


def _unit(span: timedelta) -> tuple[timedelta, str]:
    return next((unit, name) for least, unit, name in _UNITS if span >= least)
