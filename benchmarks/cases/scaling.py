"""How much more two worker processes deliver than one."""

import os
from collections.abc import Iterator
from functools import partial

from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.contenders import CURL, drain, service, sized
from benchmarks.figures import Numbers, Turn, cpu_per, rate
from benchmarks.ground import Ground
from benchmarks.installation import Load

POINT = "1 KB, http, kept connections, 100 webhooks"
ONE, TWO = "1 worker process", "2 worker processes"
RATE = rate("deliveries")


def busy(numbers: Numbers) -> float:
    """Return the share of the machine, in percent, that senders, servers and receiver took together."""
    cpu = sum(value for name, value in numbers.items() if name.startswith("cpu "))
    return 100 * (cpu + numbers["receiver"]) / numbers["seconds"] / (os.cpu_count() or 1)


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    workers = {ONE: service(ground, CURL), TWO: service(ground, CURL, processes=2)}
    contests = [
        Contest(point=POINT, variant=name, turn=sized(partial(drain, ground, worker), Load(), seconds=2.0))
        for name, worker in workers.items()
    ]
    yield from rounds(plan, contests, most=4)


CASE = Case(
    name="scaling",
    title="A second worker process",
    says="""\
The same queue, emptied by one worker process and by two, with libcurl. Senders, PostgreSQL, Redis and the
receiver share the machine: where it is busy all over, the machine is what limits, and not a lock or a queue
for one.""",
    seconds=25,
    columns=(
        Column(title="deliveries/s", value=RATE),
        Column(title="CPU per delivery, µs", value=cpu_per("deliveries")),
        Column(title="of all cores busy, %", value=busy),
        Column(
            title="the receiver's own, µs",
            value=lambda numbers: numbers["receiver"] / numbers["deliveries"] * 1_000_000,
        ),
    ),
    to=ONE,
    measure=measure,
)
