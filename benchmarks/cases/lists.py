"""How long a page of a list takes when there is much to list."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection

from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.figures import Numbers, Turn, cpu_per, milliseconds, per
from benchmarks.ground import Ground
from benchmarks.history import history
from benchmarks.installation import Installation
from tests.measuring.measures import percentile

SMALL, LARGE, FULL = "10,000 attempts", "1,000,000 attempts", "10,000,000 attempts"
SIZES = {SMALL: 10_000, LARGE: 1_000_000, FULL: 10_000_000}
REQUESTS = 40
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


def measure(ground: Ground, plan: Plan, *, variants: Sequence[str]) -> Iterator[Turn]:
    """Measure."""
    contests = []
    for variant in variants:
        installation = history(ground, SIZES[variant])
        installation.serve()
        cookies = installation.sign_in().cookies.get_dict()
        headers = {
            "Authorization": f"Bearer {installation.key}",
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        }
        for point, path in PAGES.items():
            where = path.format(agent=installation.agent_id, webhook=installation.busy)
            turn = partial(_ask, ground, installation, where, headers)
            contests.append(Contest(point=point, variant=variant, turn=turn))
    yield from rounds(plan, contests, most=3)


def _ask(ground: Ground, installation: Installation, path: str, headers: dict[str, str]) -> Numbers:
    connection = HTTPConnection("127.0.0.1", installation.port, timeout=60)
    took = []
    with ground.spending(installation.database, web=installation.serve()) as numbers:
        for _ in range(REQUESTS):
            began = time.monotonic()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            took.append(time.monotonic() - began)
            assert answer.status == 200, (path, answer.status)
    connection.close()
    return {
        **numbers,
        "requests": REQUESTS,
        "p50": percentile(took, 0.5),
        "p95": percentile(took, 0.95),
    }


CASE = Case(
    name="lists",
    title="Pages of lists",
    says=f"""\
One request after the other, {REQUESTS} for each page, over a kept connection. Half of all attempts belong
to the webhook whose logs are read.""",
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
The same with ten million attempts, a million events and deliveries, and 100,000 failures. Only `make
bench-long` does this: filling them in takes longer than everything else together.""",
    seconds=1200,
    when="asked",
    measure=partial(measure, variants=(FULL,)),
)
