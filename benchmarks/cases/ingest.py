"""How many events a second are taken, and what each costs."""

from collections.abc import Iterator
from functools import partial

from benchmarks import inside, publisher
from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.figures import Numbers, Turn, cpu_per, milliseconds, per, rate
from benchmarks.ground import Ground
from benchmarks.installation import Installation
from tests.measuring.helper import Helper
from tests.measuring.measures import percentile

SINGLE, BATCH, CALLED, CALLED_BATCH = (
    "POST /events",
    "POST /events/batch, 100 each",
    "publish_many() from Python, 1 each",
    "publish_many() from Python, 100 each",
)
POINTS = {1: "1 KB", 10: "10 KB"}
RATE = rate("events")
# Others of the account that the events are not for.
OTHERS = 19


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    installation = ground.installation("ingest")
    installation.listen(ground.receiver, OTHERS)
    seconds = plan.pick(quick=1, usual=2)
    with publisher.publishing() as customer, inside.calling(installation.environment) as caller:
        contests = []
        for kilobytes, point in POINTS.items():
            for variant, batch in ((SINGLE, 0), (BATCH, 100)):
                turn = partial(_publish, ground, installation, customer, kilobytes, batch, seconds)
                contests.append(Contest(point=point, variant=variant, turn=turn))
            for variant, batch in ((CALLED, 1), (CALLED_BATCH, 100)):
                turn = partial(_call, ground, installation, caller, kilobytes, batch, seconds)
                contests.append(Contest(point=point, variant=variant, turn=turn))
        if plan.quick:
            contests = [contest for contest in contests if contest.point == POINTS[1]]
        yield from rounds(plan, contests, most=plan.pick(quick=2, usual=4))


def _publish(
    ground: Ground,
    installation: Installation,
    customer: Helper,
    kilobytes: int,
    batch: int,
    seconds: float,
) -> Numbers:
    order = publisher.Order(
        port=installation.port,
        key=installation.key,
        agent_id=installation.agent_id,
        kilobytes=kilobytes,
        batch=batch,
        seconds=seconds,
    )
    with ground.spending(installation.database, web=installation.serve()) as numbers:
        published = publisher.publish(customer, order)
    shares = {f"p{share * 100:.0f}": percentile(published.took, share) for share in (0.5, 0.95, 0.99)}
    return {**numbers, **shares, "events": published.events, "seconds": published.seconds}


def _call(
    ground: Ground, installation: Installation, caller: Helper, kilobytes: int, batch: int, seconds: float
) -> Numbers:
    with ground.spending(installation.database, web=caller.pid) as numbers:
        events, took = caller.ask(
            "publish",
            agent_id=installation.agent_id,
            kilobytes=kilobytes,
            batch=batch,
            seconds=seconds,
        )
    return {**numbers, "events": events, "seconds": took}


CASE = Case(
    name="ingest",
    title="Taking events",
    says="""\
Eight connections publish as fast as they are answered, to two gunicorn processes; each event matches one of
twenty webhooks and is on the disk before its 202. No worker delivers meanwhile. The last two call the
service's function in a Django process of their own, one call after the other. `web` is whoever stores the
event.""",
    seconds=40,
    when="always",
    columns=(
        Column(title="events/s", value=RATE),
        Column(title="CPU per event, µs", value=cpu_per("events")),
        Column(title="web", value=cpu_per("events", "web")),
        Column(title="PostgreSQL", value=cpu_per("events", "postgresql")),
        Column(title="Redis", value=cpu_per("events", "redis")),
        Column(title="statements per event", value=per("events", "statements"), digits=2),
        Column(title="answer p50, ms", value=milliseconds("p50"), digits=1, needs="p50"),
        Column(title="p95, ms", value=milliseconds("p95"), digits=1, needs="p95"),
        Column(title="p99, ms", value=milliseconds("p99"), digits=1, needs="p99"),
    ),
    measure=measure,
)
