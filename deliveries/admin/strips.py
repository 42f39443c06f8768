"""Strips: the last 24 hours of a webhook in a row of cells, and its retries on a line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from deliveries.admin import signs
from deliveries.models import Webhook
from deliveries.services.reviewing import Cell, Review, State

SIGNS = {
    State.DELETED: signs.Sign.OFF,
    State.DISABLED: signs.Sign.OFF,
    State.PAUSED: signs.Sign.HELD,
    State.OPEN: signs.Sign.WRONG,
    State.PROBING: signs.Sign.WARNING,
    State.RECOVERING: signs.Sign.WARNING,
    State.FAILING: signs.Sign.WRONG,
    State.ACTIVE: signs.Sign.WELL,
}
# What the circuit's states are called where nobody need know of circuits.
WORDS = {State.OPEN: "Out of order", State.PROBING: "Being tried"}
# The line of retries, in its own units.
WIDTH = 600
_MARGIN = 12


def badge(review: Review) -> SafeString:
    """Return the state of a webhook."""
    return signs.badge(SIGNS[review.state], WORDS.get(review.state, review.state.capitalize()))


@dataclass(frozen=True)
class Mark:
    """A cell as it is drawn: where, how high the part is that failed, and in words."""

    x: int
    kind: str
    failed: int


def strip(cells: Sequence[Cell], *, says: str) -> SafeString:
    """Return the drawing of the last 24 hours.

    :param says: what it shows, for who does not see it.
    """
    marks = [
        Mark(number * 3, _kind(cell), math.ceil(20 * cell.failed / max(cell.succeeded + cell.failed, 1)))
        for number, cell in enumerate(cells)
        if cell.succeeded + cell.failed
    ]
    context = {"marks": marks, "width": len(cells) * 3, "says": says}
    return render_to_string("console/strip.html", context)


def _kind(cell: Cell) -> str:
    return "succeeded" if not cell.failed else "unavailable" if not cell.succeeded else "refused"


def in_words(review: Review) -> str:
    """Say what the strip shows."""
    if review.success_ratio is None:
        return "No attempt in 24 hours"
    return f"{review.succeeded:,} of {review.attempts:,} attempts of 24 hours succeeded"


@dataclass(frozen=True)
class Try:
    """An attempt on the line of retries."""

    x: float
    number: int
    after: str


def schedule(webhook: Webhook) -> list[Try]:
    """Return when each attempt is made after the first, should all fail: where on a line, and in words.

    The line is logarithmic: the first retries come after seconds, the last after days.
    """
    delays = settings.WEBHOOKS_RETRY_DELAYS
    moments = [timedelta(0)]
    for number in range(webhook.max_retries):
        moments.append(moments[-1] + delays[min(number, len(delays) - 1)])
    longest = math.log1p(moments[-1].total_seconds()) or 1
    return [
        Try(
            x=round(_MARGIN + (WIDTH - 2 * _MARGIN) * math.log1p(moment.total_seconds()) / longest, 1),
            number=number,
            after=signs.lasting(moment) if moment else "at once",
        )
        for number, moment in enumerate(moments, start=1)
    ]
