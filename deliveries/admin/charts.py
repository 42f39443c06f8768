"""Charts as shapes: where each goes in a drawing, which a template makes of it, with a table underneath."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.text import capfirst

from deliveries import circuits
from deliveries.admin import signs
from deliveries.services.glancing import Minute

# The drawing, in its own units; a page makes it as wide as there is room.
WIDTH, HEIGHT = 600, 130
# What failed, as `circuits.is_unavailable` tells it: where the receiver could take nothing, and the rest.
UNAVAILABLE = f"no answer, or HTTP 5xx, {', '.join(map(str, sorted(circuits.BUSY)))}"
REFUSED = "refused, or not sent"
# The steps an axis may end at, times a power of ten.
_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Bar:
    """A rectangle; `kind` says how it is filled."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """A line, with a gap where there is nothing."""

    kind: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing of the last hour.

    :param top: what its upper edge stands for, in words.
    :param keys: what the kinds of its shapes are, in words.
    :param head: the head of the table, and `rows` what is in it, newest first.
    """

    name: str
    title: str
    top: str
    start: datetime
    end: datetime
    keys: Sequence[tuple[str, str]]
    head: Sequence[str]
    rows: Sequence[tuple[datetime, Sequence[str]]]
    bars: Sequence[Bar] = ()
    lines: Sequence[Line] = ()

    width = WIDTH
    height = HEIGHT


def charts(minutes: Sequence[Minute]) -> list[Chart]:
    """Return the charts of the overview."""
    return [_attempts(minutes), _latency(minutes), _age(minutes)]


def _attempts(minutes: Sequence[Minute]) -> Chart:
    kinds = ("succeeded", "refused", "unavailable")
    stacks = [[getattr(minute, kind) for kind in kinds] for minute in minutes]
    top = _ceiling(max(map(sum, stacks), default=0))
    return Chart(
        name="attempts",
        title="Attempts a minute",
        top=f"{top:,}",
        start=minutes[0].start,
        end=minutes[-1].start,
        keys=[
            ("succeeded", "succeeded"),
            ("refused", REFUSED),
            ("unavailable", UNAVAILABLE),
        ],
        bars=_stacked(stacks, kinds, top),
        head=("Succeeded", capfirst(REFUSED), capfirst(UNAVAILABLE)),
        rows=_rows(minutes, [[f"{count:,}" for count in stack] for stack in stacks]),
    )


def _latency(minutes: Sequence[Minute]) -> Chart:
    p50, p95 = [minute.p50_ms for minute in minutes], [minute.p95_ms for minute in minutes]
    top = _ceiling(max((value for value in p95 if value is not None), default=0))
    return Chart(
        name="latency",
        title="How long attempts took",
        top=f"{top:,} ms",
        start=minutes[0].start,
        end=minutes[-1].start,
        keys=[("p50", "50 % of them (p50)"), ("p95", "95 % of them (p95)")],
        lines=[Line("p50", _path(p50, top)), Line("p95", _path(p95, top))],
        head=("p50", "p95"),
        rows=_rows(minutes, [[_ms(a), _ms(b)] for a, b in zip(p50, p95, strict=True)]),
    )


def _age(minutes: Sequence[Minute]) -> Chart:
    ages = [None if each.oldest_due is None else each.oldest_due.total_seconds() for each in minutes]
    top = _ceiling(max((age for age in ages if age is not None), default=0))
    texts = [
        ["not looked at"] * 2
        if each.oldest_due is None
        else [signs.lasting(each.oldest_due), f"{each.due:,}"]
        for each in minutes
    ]
    return Chart(
        name="age",
        title="How long the oldest due delivery had waited",
        top=signs.lasting(timedelta(seconds=top)),
        start=minutes[0].start,
        end=minutes[-1].start,
        keys=[("age", "oldest due")],
        bars=_stacked([[age or 0] for age in ages], ("age",), top),
        head=("Oldest due", "Due"),
        rows=_rows(minutes, texts),
    )


def _stacked(stacks: Sequence[Sequence[float]], kinds: Sequence[str], top: float) -> list[Bar]:
    step = WIDTH / len(stacks)
    bars = []
    for place, stack in enumerate(stacks):
        below = 0.0
        for kind, value in zip(kinds, stack, strict=True):
            height = HEIGHT * value / top
            below += height
            if value:
                bars.append(
                    Bar(
                        kind,
                        x=round(place * step + step * 0.1, 1),
                        y=round(HEIGHT - below, 1),
                        width=round(step * 0.8, 1),
                        height=round(height, 1),
                    )
                )
    return bars


def _path(values: Sequence[float | None], top: float) -> str:
    """Return the line through the values: each begins half a step to the left, so that one alone is seen."""
    step, parts, drawing = WIDTH / len(values), [], False
    for place, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        y = round(HEIGHT - HEIGHT * value / top, 1)
        if not drawing:
            parts.append(f"M{place * step:.1f} {y}")
        parts.append(f"L{(place + 0.5) * step:.1f} {y}")
        drawing = True
    return "".join(parts)


def _rows(minutes: Sequence[Minute], texts: Sequence[Sequence[str]]) -> list[tuple[datetime, Sequence[str]]]:
    return [(minute.start, row) for minute, row in zip(minutes, texts, strict=True)][::-1]


def _ms(value: int | None) -> str:
    return "-" if value is None else f"{value:,} ms"


def _ceiling(value: float) -> int:
    """Return the next round number, at least 1."""
    if value <= 1:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return int(next(step * power for step in _STEPS if step * power >= value))
