"""Whether a delivery costs more when a million wait behind one webhook."""

import re
from collections.abc import Iterator
from functools import partial

from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.contenders import CURL
from benchmarks.figures import Numbers, Turn, cpu_per, per, plain, rate
from benchmarks.ground import Ground
from benchmarks.installation import Installation
from tests.measuring.measures import percentile

ACTIVE = 2000
EMPTY, SOME, DEEP = "0", "100,000", "1,000,000"
BACKLOGS = {EMPTY: 0, SOME: 100_000, DEEP: 1_000_000}
COST, RATE, CLAIM_P99 = cpu_per("deliveries"), rate("deliveries"), plain("claim p99")
# What a turn delivers; before it, what makes every cache warm; and what is left, so that no turn ends with
# nobody but the webhook with the backlog, which gets ten at a time.
DELIVERIES, WARM, SPARE = 5000, 500, 1000
# In milliseconds: the server logs no statement that is faster, so that logging costs nothing.
LOGGED_FROM = 5
_LOGGED = re.compile(r"duration: ([\d.]+) ms  (?:(?!\n\d{4}-).)*?SKIP LOCKED", re.DOTALL)
_CLAIMS = """
SELECT coalesce(sum(calls), 0), coalesce(sum(total_exec_time), 0) FROM pg_stat_statements AS statement
  JOIN pg_database AS database ON database.oid = statement.dbid
 WHERE database.datname = %s AND query LIKE '%%deliveries_delivery%%SKIP LOCKED%%'
"""


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    contests = []
    for point, depth in BACKLOGS.items():
        installation = ground.installation(f"backlog_{depth}", WEBHOOKS_TRANSPORT=CURL)
        installation.watch.execute(
            f"ALTER DATABASE {installation.database} SET log_min_duration_statement = {LOGGED_FROM}".encode()
        )
        installation.have_webhooks(ACTIVE, "/keep/active", ground.receiver)
        deep = installation.have_webhooks(1, "/keep/deep", ground.receiver)
        if depth:
            installation.fill(depth, webhooks=1, kind=deep, kilobytes=0)
        installation.watch.execute("VACUUM (ANALYZE) deliveries_event, deliveries_delivery")
        installation.begin()
        contests.append(Contest(point=point, variant=CURL, turn=partial(_turn, ground, installation)))
    yield from rounds(plan, contests, most=6)


def _turn(ground: Ground, installation: Installation) -> Numbers:
    receiver = ground.receiver
    active = installation.have_webhooks(ACTIVE, "/keep/active", receiver)
    deep = installation.have_webhooks(1, "/keep/deep", receiver)
    installation.fill(WARM + DELIVERIES + SPARE, webhooks=ACTIVE, kind=active)
    # As many as its share of the slots may take meanwhile, so that it does so whatever the backlog.
    installation.fill(DELIVERIES // 2, webhooks=1, kind=deep, kilobytes=0)
    receiver.forget()
    with installation.going():
        receiver.wait_for(WARM)
        calls, seconds = _claims(ground, installation)
        log = ground.postgresql.log.stat().st_size
        with ground.spending(installation.database, worker=installation.worker.pid) as numbers:
            before = receiver.count()
            receiver.wait_for(before + DELIVERIES)
            delivered = receiver.count() - before
    more_calls, more_seconds = _claims(ground, installation)
    claims = more_calls - calls
    logged = _slow_claims(ground, since=log)
    times = [LOGGED_FROM] * (claims - len(logged)) + logged
    return {
        **numbers,
        "deliveries": delivered,
        "claims": claims,
        "claim mean": (more_seconds - seconds) / claims,
        "claim p99": percentile(times, 0.99),
    }


def _claims(ground: Ground, installation: Installation) -> tuple[int, float]:
    """Return how often deliveries were claimed, and the milliseconds that took altogether."""
    calls, milliseconds = ground.watch.execute(_CLAIMS, [installation.database]).fetchone() or (0, 0)
    return int(calls), float(milliseconds)


def _slow_claims(ground: Ground, *, since: int) -> list[float]:
    """Return the milliseconds of each claim that the server has logged."""
    with ground.postgresql.log.open("rb") as log:
        log.seek(since)
        return [float(each) for each in _LOGGED.findall(log.read().decode(errors="replace"))]


CASE = Case(
    name="backlog",
    title="A million waiting",
    says=f"""\
Deliveries to 2,000 webhooks are due, and as many more as it says to a single one, which is given its share
of the slots and no more. How long a claim took is what PostgreSQL says; none that took less than
{LOGGED_FROM} ms is told from another, so a p99 of {LOGGED_FROM} means that or less.""",
    seconds=110,
    columns=(
        Column(title="CPU per delivery, µs", value=COST),
        Column(title="worker", value=cpu_per("deliveries", "worker")),
        Column(title="PostgreSQL", value=cpu_per("deliveries", "postgresql")),
        Column(title="deliveries/s", value=RATE),
        Column(title="deliveries per claim", value=per("claims", "deliveries"), digits=1),
        Column(title="claim mean, ms", value=plain("claim mean"), digits=1),
        Column(title="claim p99, ms", value=CLAIM_P99, digits=1),
        Column(title="statements per delivery", value=per("deliveries", "statements"), digits=2),
    ),
    to=EMPTY,
    bars=(
        Column(title="worker, µs", value=cpu_per("deliveries", "worker")),
        Column(title="PostgreSQL, µs", value=cpu_per("deliveries", "postgresql")),
    ),
    measure=measure,
)
