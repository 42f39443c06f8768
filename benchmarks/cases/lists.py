"""How long a page of a list takes when there is much to list."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection

from benchmarks import console
from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.figures import Numbers, Turn, Value, cpu_per, milliseconds, per
from benchmarks.ground import Ground
from benchmarks.history import history
from benchmarks.installation import Installation
from tests.measuring.measures import percentile

SMALL, LARGE, FULL = "10,000 attempts", "1,000,000 attempts", "10,000,000 attempts"
SIZES = {SMALL: 10_000, LARGE: 1_000_000, FULL: 10_000_000}
REQUESTS = 40
# For each page of the console, of which there are many.
FEWER_REQUESTS = 10
P95 = milliseconds("p95")
LOGS, LOGS_100 = "logs API: a webhook's logs", "logs API: page 100 of them"
PAGES = {
    LOGS: "/api/v1/agents/{agent}/webhooks/{webhook}/logs",
    LOGS_100: "/api/v1/agents/{agent}/webhooks/{webhook}/logs?page=100",
    "failures API: what needs attention": "/api/v4/tasks/webhook_failures",
    "native API: events": "/api/v1/events",
    "native API: deliveries": "/api/v1/deliveries",
    "console: attempts": "/admin/deliveries/attempt/",
    "console: deliveries": "/admin/deliveries/delivery/",
    "console: events": "/admin/deliveries/event/",
    "console: failures": "/admin/deliveries/failure/",
    "console: webhooks": "/admin/deliveries/webhook/",
}
CONSOLE = "console"
# What a turn's numbers are called that are of one of the sizes.
_OF = "{} {}"


def measure(ground: Ground, plan: Plan, *, variants: Sequence[str]) -> Iterator[Turn]:
    """Measure."""
    contests = []
    for variant in variants:
        installation, headers = _visited(ground, variant)
        for point, path in PAGES.items():
            where = path.format(agent=installation.agent_id, webhook=installation.busy)
            turn = partial(_ask, ground, installation, where, headers, requests=REQUESTS)
            contests.append(Contest(point=point, variant=variant, turn=turn))
    yield from rounds(plan, contests, most=3)


def measure_console(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure each page of the console in all sizes, in one turn."""
    visited = {variant: _visited(ground, variant) for variant in SIZES}
    pages = {
        variant: console.pages(console.places(installation)) for variant, (installation, _) in visited.items()
    }
    contests = [
        Contest(
            point=point,
            variant=CONSOLE,
            turn=partial(_ask_all, ground, visited, {each: pages[each][point] for each in SIZES}),
        )
        for point in pages[FULL]
    ]
    yield from rounds(plan, contests, most=3)


def _visited(ground: Ground, variant: str) -> tuple[Installation, dict[str, str]]:
    """Return an installation that serves, and what is sent with each request."""
    installation = history(ground, SIZES[variant])
    if not installation.headers:
        installation.serve()
        cookies = installation.sign_in().cookies.get_dict()
        installation.headers = {
            "Authorization": f"Bearer {installation.key}",
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        }
    return installation, installation.headers


def _ask_all(
    ground: Ground, visited: Mapping[str, tuple[Installation, dict[str, str]]], paths: Mapping[str, str]
) -> Numbers:
    numbers: dict[str, float] = {}
    for variant, (installation, headers) in visited.items():
        its = _ask(ground, installation, paths[variant], headers, requests=FEWER_REQUESTS)
        numbers |= {_OF.format(name, variant): value for name, value in its.items()}
    return numbers


def _ask(
    ground: Ground, installation: Installation, path: str, headers: dict[str, str], *, requests: int
) -> Numbers:
    connection = HTTPConnection("127.0.0.1", installation.port, timeout=60)
    took = []
    with ground.spending(installation.database, web=installation.serve()) as numbers:
        for _ in range(requests):
            began = time.monotonic()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            took.append(time.monotonic() - began)
            assert answer.status == 200, (path, answer.status)
    connection.close()
    return {
        **numbers,
        "requests": requests,
        "p50": percentile(took, 0.5),
        "p95": percentile(took, 0.95),
    }


def _of(variant: str, name: str) -> Value:
    return milliseconds(_OF.format(name, variant))


CASE = Case(
    name="lists",
    title="Pages of lists",
    says=f"""\
One request after the other, {REQUESTS} for each page, over a kept connection. A quarter of all attempts
belong to the webhook whose logs are read.""",
    seconds=55,
    columns=(
        Column(title="p95, ms", value=P95, digits=1),
        Column(title="p50, ms", value=milliseconds("p50"), digits=1),
        Column(title="PostgreSQL, µs CPU", value=cpu_per("requests", "postgresql")),
        Column(title="statements", value=per("requests", "statements"), digits=1),
    ),
    bars=(Column(title="p95, ms", value=P95, digits=1),),
    measure=partial(measure, variants=(SMALL, LARGE)),
)
FULL_CASE = replace(
    CASE,
    name="lists-full",
    title="Pages of lists, with ten million attempts",
    says="""\
The same with ten million attempts, nine million deliveries of two million events, and 200,000 failures, of
which 110,000 need a person. Only `make bench-long` does this: filling them in takes eight minutes.""",
    seconds=1200,
    when="asked",
    measure=partial(measure, variants=(FULL,)),
)
CONSOLE_P95 = _of(FULL, "p95")
CONSOLE_CASE = Case(
    name=CONSOLE,
    title="Every page of the console",
    says=f"""\
{FEWER_REQUESTS} requests for each page, by turns with each number of attempts, which are those of 30 days
and 320 to 3,000 webhooks: a quarter is the busiest one's, and a quiet one has ninety of ten million. A tenth
failed, a few of them for a rare reason. With ten million there are a thousand groups of failures, 860,000
minutes of traffic in the last day, and seven million in the days before. A list shows 24 hours, or all where
it is of failures, unless it says otherwise. Only `make bench-long` does this.""",
    seconds=900,
    when="asked",
    columns=(
        Column(title="10,000,000 attempts: p95, ms", value=CONSOLE_P95),
        Column(title="p50, ms", value=_of(FULL, "p50")),
        Column(
            title="PostgreSQL, ms CPU",
            value=lambda numbers: (
                numbers[_OF.format("cpu postgresql", FULL)] / numbers[_OF.format("requests", FULL)] * 1000
            ),
        ),
        Column(title="1,000,000: p95, ms", value=_of(LARGE, "p95")),
        Column(title="p50, ms", value=_of(LARGE, "p50")),
        Column(title="10,000: p95, ms", value=_of(SMALL, "p95")),
        Column(title="p50, ms", value=_of(SMALL, "p50")),
    ),
    measure=measure_console,
)
