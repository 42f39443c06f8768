"""Events at a steady rate, and how long each took from the moment it was meant for until it came."""

from collections.abc import Sequence

from benchmarks.figures import Numbers
from benchmarks.ground import EVENT_TYPE, Ground
from benchmarks.installation import Installation
from tests.measuring import controller
from tests.measuring.controller import Order
from tests.measuring.measures import percentile
from tests.waiting import wait_until

# Of an event that shall be about a kilobyte.
WORDS = "." * 960
SHARES = (0.5, 0.95, 0.99)


def flow(
    ground: Ground,
    installation: Installation,
    agents: Sequence[str],
    *,
    rate: float,
    seconds: float,
    but_for: Sequence[str] = (),
) -> Numbers:
    """Publish to the agents by turns while everybody works, and wait until all has arrived.

    :param agents: each with one webhook.
    :param but_for: those of them whose events are not waited for, nor counted.
    """
    installation.orders += 1
    order = Order(
        port=installation.port,
        key=installation.key,
        rate=rate,
        seconds=seconds,
        agents=agents,
        words=WORDS,
        name=f"order-{installation.orders}",
        event_type=EVENT_TYPE,
    )
    receiver = ground.receiver
    receiver.forget()
    worker = installation.worker
    with (
        ground.spending(installation.database, web=installation.serve(), worker=worker.pid) as numbers,
        installation.going(),
    ):
        with controller.publishing(order) as published:
            pass
        counted = [each for each in published.acknowledged if each.agent_id not in but_for]
        assert counted, published
        wait_until(lambda: receiver.count() >= len(counted), what="arrivals", timeout=60, every=0.05)
    arrivals = receiver.arrivals()
    took = [arrivals[each.event_id] - each.meant_at for each in counted]
    answered = [each.took for each in counted]
    return {
        **numbers,
        "events": len(counted),
        **{f"p{share * 100:.0f}": percentile(took, share) for share in SHARES},
        **{f"answer p{share * 100:.0f}": percentile(answered, share) for share in SHARES},
    }
