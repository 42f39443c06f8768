"""What a receiver that never answers costs the others."""

import time
from collections.abc import Iterator
from functools import partial

from benchmarks.case import Case, Column, Contest, Plan, rounds
from benchmarks.contenders import CURL
from benchmarks.figures import Numbers, Turn, milliseconds
from benchmarks.ground import Ground
from benchmarks.installation import Installation
from benchmarks.traffic import flow

WEBHOOKS = 100
RATE, SECONDS = 50, 6
# Events for the one that hangs beside a hundred for the others: more than it has slots for.
ITS_EVENTS = 10
# The shortest the logs API takes, so that a turn does not wait for long for what hangs.
TIMEOUT = 5
CALM, HANGS = "all answer", "one hangs"
POINT = "50 events/s to 100 webhooks"
P99 = milliseconds("p99")


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    installation = ground.installation("hanging", WEBHOOKS_TRANSPORT=CURL)
    agents = installation.listen(ground.receiver, WEBHOOKS)
    installation.begin()
    contests = [
        Contest(
            point=POINT,
            variant=CALM,
            turn=partial(flow, ground, installation, agents, rate=RATE, seconds=SECONDS),
        ),
        Contest(point=POINT, variant=HANGS, turn=partial(_with_one, ground, installation, agents[1:])),
    ]
    yield from rounds(plan, contests, most=3)


def _with_one(ground: Ground, installation: Installation, agents: list[str]) -> Numbers:
    """Let traffic flow with a webhook in it that was made for it, and delete that."""
    webhook_id, agent_id = installation.make_webhook(
        ground.receiver.url("/hang/0"), name="hangs", timeout=TIMEOUT, max_retries=0
    )
    try:
        return flow(
            ground,
            installation,
            [*agents, *[agent_id] * ITS_EVENTS],
            rate=RATE,
            seconds=SECONDS,
            but_for=[agent_id],
        )
    finally:
        deleted = installation.call("DELETE", f"/api/v1/agents/{agent_id}/webhooks/{webhook_id}")
        assert deleted.status < 300, deleted
        ground.receiver.forget()
        with installation.going():
            time.sleep(0.5)  # whoever has waited for an answer hears now that none comes


CASE = Case(
    name="hanging",
    title="One of a hundred webhooks hangs",
    says="""\
The same traffic, with and without a receiver that takes one event of ten and never answers: of its webhook as
many are under way as it may have. The figures are of the other 99.""",
    seconds=45,
    columns=(
        Column(title="p99, ms", value=P99, digits=1),
        Column(title="p50, ms", value=milliseconds("p50"), digits=1),
        Column(title="p95, ms", value=milliseconds("p95"), digits=1),
    ),
    to=CALM,
    measure=measure,
)
