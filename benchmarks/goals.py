"""The figures to reach, each told with what was measured, reached or not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.cases import backlog, delivery, hanging, idle, ingest, latency, lists, pruning, scaling
from benchmarks.contenders import BASELINE, CURL, FLOOR
from benchmarks.figures import Measured, Spread, Turn, Value, ratio, spread

Figure = Callable[[Sequence[Turn]], Spread | None]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure to reach.

    :param case: where it is measured.
    :param least: what its median must be at least; `most` what it may be at most.
    """

    what: str
    case: str
    figure: Figure
    unit: str
    digits: int = 0
    least: float | None = None
    most: float | None = None

    @property
    def goal(self) -> str:
        """The goal in words."""
        sign, bound = (">=", self.least) if self.least is not None else ("<=", self.most)
        return f"{sign} {bound:,g}{self.unit}"

    def measured(self, cases: Mapping[str, Measured]) -> Spread | None:
        """Return what was measured; None when it was not."""
        case = cases.get(self.case)
        return self.figure(case.turns) if case else None

    def is_reached_by(self, figure: Spread) -> bool:
        """Tell whether a figure is good enough."""
        return (self.least is None or figure.median >= self.least) and (
            self.most is None or figure.median <= self.most
        )


def _of(point: str, variant: str, value: Value) -> Figure:
    return lambda turns: spread(turns, point, variant, value)


def _ratio(value: Value, of: tuple[str, str], to: tuple[str, str]) -> Figure:
    return lambda turns: ratio(turns, value, of=of, to=to)


def _slowest_page(turns: Sequence[Turn]) -> Spread | None:
    """Return the first page that takes longest."""
    pages = [spread(turns, page, lists.FULL, lists.P95) for page in lists.PAGES if page != lists.LOGS_100]
    return max((page for page in pages if page), key=lambda page: page.median, default=None)


def _slowest_of_console(turns: Sequence[Turn]) -> Spread | None:
    """Return the page of the console that takes longest."""
    points = dict.fromkeys(turn.point for turn in turns)
    pages = [spread(turns, page, lists.CONSOLE, lists.CONSOLE_P95) for page in points]
    return max((page for page in pages if page), key=lambda page: page.median, default=None)


_DELIVERY = delivery.POINT
_IDLE = idle.PREFORK.format(CURL)

GOALS = (
    Goal(
        what="CPU per delivery: one task per delivery against ours",
        case="delivery",
        figure=_ratio(delivery.COST, (_DELIVERY, BASELINE), (_DELIVERY, CURL)),
        unit=" x",
        digits=1,
        least=40,
    ),
    Goal(
        what="CPU per delivery, whole stack",
        case="delivery",
        figure=_of(_DELIVERY, CURL, delivery.COST),
        unit=" µs",
        most=250,
    ),
    Goal(
        what="CPU per delivery against bare libcurl + bulk insert",
        case="delivery",
        figure=_ratio(delivery.COST, (_DELIVERY, CURL), (_DELIVERY, FLOOR)),
        unit=" x",
        digits=2,
        most=2.5,
    ),
    Goal(
        what="two worker processes against one",
        case="scaling",
        figure=_ratio(scaling.RATE, (scaling.POINT, scaling.TWO), (scaling.POINT, scaling.ONE)),
        unit=" x",
        digits=2,
        least=1.7,
    ),
    Goal(
        what="single publish over HTTP, sustained",
        case="ingest",
        figure=_of(ingest.POINTS[1], ingest.SINGLE, ingest.RATE),
        unit=" events/s",
        least=1000,
    ),
    Goal(
        what="batches of 100 over HTTP",
        case="ingest",
        figure=_of(ingest.POINTS[1], ingest.BATCH, ingest.RATE),
        unit=" events/s",
        least=8000,
    ),
    Goal(
        what="publish to arrival at 50/s, p50",
        case="latency",
        figure=_of(latency.SLOW, CURL, latency.P50),
        unit=" ms",
        digits=1,
        most=15,
    ),
    Goal(
        what="publish to arrival at 50/s, p99",
        case="latency",
        figure=_of(latency.SLOW, CURL, latency.P99),
        unit=" ms",
        digits=1,
        most=60,
    ),
    Goal(
        what="one of 100 webhooks hangs: the others' p99 against a calm one",
        case="hanging",
        figure=_ratio(hanging.P99, (hanging.POINT, hanging.HANGS), (hanging.POINT, hanging.CALM)),
        unit=" x",
        digits=2,
        most=1.1,
    ),
    Goal(
        what="a million due on one webhook: claim p99",
        case="backlog",
        figure=_of(backlog.DEEP, CURL, backlog.CLAIM_P99),
        unit=" ms",
        digits=1,
        most=50,
    ),
    Goal(
        what="a million due on one webhook: throughput against none",
        case="backlog",
        figure=_ratio(backlog.RATE, (backlog.DEEP, CURL), (backlog.EMPTY, CURL)),
        unit=" x",
        digits=2,
        least=0.9,
    ),
    Goal(
        what="a million due on one webhook: CPU per delivery against none",
        case="backlog",
        figure=_ratio(backlog.COST, (backlog.DEEP, CURL), (backlog.EMPTY, CURL)),
        unit=" x",
        digits=2,
        most=1.1,
    ),
    Goal(
        what="ten million attempts: the slowest first page, p95",
        case="lists-full",
        figure=_slowest_page,
        unit=" ms",
        most=50,
    ),
    Goal(
        what="ten million attempts: page 100 of a webhook's logs, p95",
        case="lists-full",
        figure=_of(lists.LOGS_100, lists.FULL, lists.P95),
        unit=" ms",
        most=150,
    ),
    Goal(
        what="ten million attempts: the slowest page of the console, p95",
        case=lists.CONSOLE,
        figure=_slowest_of_console,
        unit=" ms",
        most=300,
    ),
    Goal(
        what="a million rows are pruned: publish to arrival p99 against a calm one",
        case="pruning",
        figure=_ratio(pruning.P99, (pruning.POINT, pruning.PRUNES), (pruning.POINT, pruning.CALM)),
        unit=" x",
        digits=2,
        most=1.1,
    ),
    Goal(
        what="idle worker: CPU",
        case="idle",
        figure=_of(idle.POINT, _IDLE, idle.CPU),
        unit=" % of a core",
        digits=2,
        most=1,
    ),
    Goal(
        what="idle worker that has delivered nothing yet: memory",
        case="idle",
        figure=_of(idle.POINT, _IDLE, idle.MEMORY),
        unit=" MB",
        most=120,
    ),
)
