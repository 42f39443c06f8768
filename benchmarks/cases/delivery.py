"""What a delivery costs, and how many a second there are: everybody beside everybody else."""

from collections.abc import Iterator

from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.contenders import CURL, contenders, sized
from benchmarks.figures import Turn, cpu_per, per, rate
from benchmarks.ground import Ground
from benchmarks.installation import Load

POINT = "1 KB, http, kept connections, 100 webhooks"
LOAD = Load()
COST = cpu_per("deliveries")
RATE = rate("deliveries")
COLUMNS = (
    Column(title="CPU per delivery, µs", value=COST),
    Column(title="worker", value=cpu_per("deliveries", "worker")),
    Column(title="PostgreSQL", value=cpu_per("deliveries", "postgresql")),
    Column(title="Redis", value=cpu_per("deliveries", "redis")),
    Column(title="deliveries/s", value=RATE),
    Column(title="statements per delivery", value=per("deliveries", "statements"), digits=2),
)


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    seconds = 0.5 if plan.quick else 2.0
    with contenders(ground) as deliver:
        contests = [
            Contest(point=POINT, variant=name, turn=sized(each, LOAD, seconds=seconds))
            for name, each in deliver.items()
        ]
        yield from rounds(plan, contests, most=plan.pick(quick=2, usual=5))


CASE = Case(
    name="delivery",
    title="What a delivery costs",
    says="""\
A queue is filled, one worker process empties it, and what that took is divided by the deliveries: worker,
PostgreSQL and Redis together, the receiver left out. The baseline is one Celery task for each delivery,
with `requests` and the ORM, its connections kept (decision record 46 describes it). The bare clients send
the same requests and do nothing else; the last of them writes a row for each, by `COPY`, a hundred at a
time.""",
    seconds=75,
    when="always",
    columns=COLUMNS,
    to=CURL,
    bars=COLUMNS[1:4],
    measure=measure,
)
