"""What the service takes while nothing happens."""

import time
from collections.abc import Iterator
from functools import partial

from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.contenders import CURL, REQUESTS
from benchmarks.figures import Numbers, Turn, Value, plain
from benchmarks.ground import Ground
from benchmarks.installation import Installation
from tests.measuring import footprint

POINT = "an empty queue"
PREFORK, ALONE = "celery worker, {}", "manage.py deliver, {}"
MEGABYTE = 1024 * 1024


def of_a_core(part: str) -> Value:
    """Return how to make the percent of a core that a part has taken."""
    return lambda numbers: 100 * numbers[f"cpu {part}"] / numbers["seconds"]


CPU, MEMORY = of_a_core("worker"), plain("delivers", times=1 / MEGABYTE)


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    contests = []
    seconds = plan.pick(quick=2, usual=5)
    for engine in (CURL, REQUESTS):
        worker = ground.installation(f"idle_{engine}", WEBHOOKS_TRANSPORT=engine)
        worker.begin()
        alone = ground.installation(f"alone_{engine}", WEBHOOKS_TRANSPORT=engine)
        alone.begin_without_celery()
        for name, installation in ((PREFORK, worker), (ALONE, alone)):
            turn = partial(_watch, ground, installation, seconds)
            contests.append(Contest(point=POINT, variant=name.format(engine), turn=turn))
    yield from rounds(plan, contests, most=2)


def _watch(ground: Ground, installation: Installation, seconds: float) -> Numbers:
    with installation.going():
        time.sleep(1)  # what has waited for its turn is over
        with ground.spending(installation.database, worker=installation.worker.pid) as numbers:
            time.sleep(seconds)
        family = footprint.family(installation.worker.pid)
        held = [each.resident for pid in family if (each := footprint.of(pid)) is not None]
    return {**numbers, "delivers": held[-1], "all": sum(held)}


CASE = Case(
    name="idle",
    title="Nothing happens",
    says="""\
A worker that has had nothing to do yet. Memory is what Linux calls resident; of Celery's two processes the
one that delivers shares much of it with its parent. It grows by some 0.1 MB for each connection with TLS
there has been at once, and does not shrink with them. `manage.py deliver` is the worker without Celery.""",
    seconds=25,
    columns=(
        Column(title="worker, % of a core", value=CPU, digits=2),
        Column(title="PostgreSQL, % of a core", value=of_a_core("postgresql"), digits=2),
        Column(title="Redis, % of a core", value=of_a_core("redis"), digits=2),
        Column(title="the process that delivers, MB", value=MEMORY),
        Column(title="all its processes, MB", value=plain("all", times=1 / MEGABYTE)),
        Column(title="statements/s", value=lambda n: n["statements"] / n["seconds"], digits=1),
    ),
    measure=measure,
)
