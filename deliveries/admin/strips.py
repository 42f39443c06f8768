"""Strips: the last 24 hours of a webhook in a row of cells, and its retries on a line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

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
# A cell of the strip, in its units: how wide with the gap behind it, and how high.
_CELL, _GAP, _HEIGHT = 3, 0.6, 20
# The line of retries, in its own units.
WIDTH = 600
_MARGIN = 12


def badge(review: Review) -> SafeString:
    """Return the state of a webhook."""
    return signs.badge(SIGNS[review.state], signs.word(review.state))


@dataclass(frozen=True)
class Mark:
    """Cells in a row that look alike, as they are drawn: where, and how high the part is that failed."""

    x: int
    width: float
    kind: str
    failed: int


def strip(cells: Sequence[Cell], *, says: str) -> SafeString:
    """Return the drawing of the last 24 hours.

    :param says: what it shows, for who does not see it.
    """
    marks = []
    for (kind, failed), alike in groupby(enumerate(cells), key=lambda numbered: _looks(numbered[1])):
        first, *others = (number for number, _ in alike)
        if kind:
            width = round((len(others) + 1) * _CELL - _GAP, 1)
            marks.append(Mark(x=first * _CELL, width=width, kind=kind, failed=failed))
    context = {"marks": marks, "width": len(cells) * _CELL, "says": says}
    return render_to_string("console/strip.html", context)


def _looks(cell: Cell) -> tuple[str, int]:
    """Return the kind of a cell, and how high the part of it is that failed."""
    attempts = cell.succeeded + cell.failed
    if not attempts:
        return "", 0
    kind = "succeeded" if not cell.failed else "unavailable" if not cell.succeeded else "refused"
    return kind, math.ceil(_HEIGHT * cell.failed / attempts)


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
