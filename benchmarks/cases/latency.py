"""How long an event takes from its publisher to its receiver."""

from collections.abc import Iterator
from functools import partial

from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.contenders import CURL, REQUESTS
from benchmarks.figures import Turn, Value, cpu_per, milliseconds, per
from benchmarks.ground import Ground
from benchmarks.traffic import flow

WEBHOOKS = 20
SLOW, FAST = "50 events/s", "500 events/s"
RATES = {SLOW: 50, FAST: 500}
P50, P99 = milliseconds("p50"), milliseconds("p99")


def _step(first: str, second: str) -> Value:
    return lambda numbers: (numbers[second] - numbers[first]) * 1000


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    engines = (CURL,) if plan.quick else (CURL, REQUESTS)
    contests = []
    for engine in engines:
        installation = ground.installation(f"traffic_{engine}", WEBHOOKS_TRANSPORT=engine)
        agents = installation.listen(ground.receiver, WEBHOOKS)
        installation.begin()
        for point, rate in RATES.items():
            turn = partial(flow, ground, installation, agents, rate=rate, seconds=plan.pick(quick=3, usual=4))
            contests.append(Contest(point=point, variant=engine, turn=turn))
    if plan.quick:
        contests = [contest for contest in contests if contest.point == SLOW]
    yield from rounds(plan, contests, most=plan.pick(quick=2, usual=4))


CASE = Case(
    name="latency",
    title="From the publisher to the receiver",
    says="""\
Events of 1 KB are published through the API at a steady rate, each to one of 20 webhooks. How long one
takes counts from the moment it was meant to be published, whatever kept the publisher, until the receiver
has it.""",
    seconds=50,
    when="always",
    columns=(
        Column(title="p50, ms", value=P50, digits=1),
        Column(title="p95, ms", value=milliseconds("p95"), digits=1),
        Column(title="p99, ms", value=P99, digits=1),
        Column(title="answer p99, ms", value=milliseconds("answer p99"), digits=1),
        Column(title="CPU per event, µs", value=cpu_per("events")),
        Column(title="web", value=cpu_per("events", "web")),
        Column(title="worker", value=cpu_per("events", "worker")),
        Column(title="PostgreSQL", value=cpu_per("events", "postgresql")),
        Column(title="Redis", value=cpu_per("events", "redis")),
        Column(title="statements per event", value=per("events", "statements"), digits=1),
    ),
    bars=(
        Column(title="p50, ms", value=P50, digits=1),
        Column(title="from there to p95", value=_step("p50", "p95"), digits=1),
        Column(title="from there to p99", value=_step("p95", "p99"), digits=1),
    ),
    measure=measure,
)
