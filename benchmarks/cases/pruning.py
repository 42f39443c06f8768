"""What events and deliveries notice of a million rows being pruned."""

from collections.abc import Iterator
from functools import partial

from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.figures import Numbers, Turn, milliseconds, plain
from benchmarks.ground import Ground
from benchmarks.history import DAYS, history
from benchmarks.installation import Installation
from benchmarks.traffic import flow
from tests.waiting import wait_until

ATTEMPTS = 1_000_000
WEBHOOKS = 20
# Days that are kept of it.
KEPT = DAYS // 10
RATE, SECONDS = 50, 6
POINT = "50 events/s"
CALM, PRUNES = "nothing is pruned", "a million rows are pruned"
P99 = milliseconds("p99")


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    installation = history(ground, ATTEMPTS)
    agents = installation.listen(ground.receiver, WEBHOOKS)
    installation.begin()
    contests = [
        Contest(
            point=POINT,
            variant=CALM,
            turn=partial(flow, ground, installation, agents, rate=RATE, seconds=SECONDS),
        ),
        Contest(point=POINT, variant=PRUNES, turn=partial(_beside_pruning, ground, installation, agents)),
    ]
    yield from rounds(plan, contests, most=4)


def _beside_pruning(ground: Ground, installation: Installation, agents: list[str]) -> Numbers:
    """Let traffic flow while what is left of the rows is pruned; what then is left is for the next turn."""
    before = _old(installation)
    pruning = installation.start("prune", "manage", "prune_logs", "--older-than", str(KEPT))
    wait_until(lambda: pruning.poll() is not None or _old(installation) != before, what="pruning", timeout=30)
    numbers = flow(ground, installation, agents, rate=RATE, seconds=SECONDS)
    assert pruning.poll() is None, "it was done before the traffic ended"
    installation.kill(pruning)
    return {**numbers, "pruned": before - _old(installation)}


def _old(installation: Installation) -> int:
    """Return how many attempts, deliveries and events there are to be pruned."""
    counts = (
        f"(SELECT count(*) FROM deliveries_{table} WHERE created_at < now() - interval '{KEPT + 1} days')"
        for table in ("attempt", "delivery", "event")
    )
    return int(installation.rows(f"SELECT {' + '.join(counts)}")[0][0])


CASE = Case(
    name="pruning",
    title="A million rows are pruned meanwhile",
    says=f"""\
Traffic through an installation with a million attempts of {DAYS} days, without and with `manage.py
prune_logs` deleting nine tenths of them, events and deliveries included. It is stopped when the traffic
ends, and goes on the next time.""",
    seconds=40,
    columns=(
        Column(title="p99, ms", value=P99, digits=1),
        Column(title="p50, ms", value=milliseconds("p50"), digits=1),
        Column(title="p95, ms", value=milliseconds("p95"), digits=1),
        Column(title="answer p99, ms", value=milliseconds("answer p99"), digits=1),
        Column(title="rows pruned meanwhile", value=plain("pruned"), needs="pruned"),
    ),
    to=CALM,
    measure=measure,
)
