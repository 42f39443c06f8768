"""Who delivers: our service with each engine, the baseline, and clients that do nothing else."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import psycopg

from benchmarks import floor
from benchmarks.figures import Numbers
from benchmarks.ground import Ground, payload
from benchmarks.installation import Installation, Load, Standing
from benchmarks.rival import rival
from tests.measuring import footprint
from tests.measuring.helper import Helper
from tests.waiting import wait_until

Deliver = Callable[[Load], Numbers]

CURL, REQUESTS, BASELINE = "curl", "requests", "one task per delivery"
FLOOR, BARE_CURL, BARE_REQUESTS, CURL_ALONE, REQUESTS_ALONE = floor.CLIENTS

# Deliveries of the turn that does not count, and of one that does at most.
WARM, MOST = 60, 20_000


@contextmanager
def contenders(ground: Ground) -> Iterator[dict[str, Deliver]]:
    """Yield all, by name."""
    database = ground.database("floor", template="template0")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS attempt; {floor.TABLE}".encode())
    with floor.sending(database) as client:
        yield {
            CURL: partial(drain, ground, service(ground, CURL)),
            REQUESTS: partial(drain, ground, service(ground, REQUESTS)),
            BASELINE: partial(drain, ground, rival(ground)),
            **{name: partial(_send, ground, client, name) for name in floor.CLIENTS},
        }


def sized(deliver: Deliver, load: Load, *, seconds: float) -> Callable[[], Numbers]:
    """Return a turn that takes about so long, on whatever machine.

    What finds out how many deliveries that are makes caches, plans and connections, which are there in
    earnest.
    """
    warm = deliver(replace(load, deliveries=WARM))
    # So few arrive at one blow, which says nothing of how many could follow; what they cost does.
    rate = WARM / max(warm["seconds"], warm["cpu worker"])
    number = min(max(round(rate * seconds, -2), 100), MOST)
    return partial(deliver, replace(load, deliveries=int(number)))


def service(ground: Ground, engine: str, *, processes: int = 1) -> Installation:
    """Return an installation with a worker of so many processes, which stands still."""
    installation = ground.installation(f"{engine}_{processes}", WEBHOOKS_TRANSPORT=engine)
    installation.begin(concurrency=processes)
    return installation


def drain(ground: Ground, standing: Standing, load: Load) -> Numbers:
    """Fill the queue, have the worker empty it, and return what that took."""
    receiver = ground.receiver_of(tls=load.tls)
    standing.queue(load, receiver)
    receiver.forget()
    receiving = footprint.cpu(receiver.pid)
    with ground.spending(standing.database, worker=standing.worker.pid) as numbers, standing.going():
        receiver.wait_for(load.deliveries)
        wait_until(standing.is_idle, what="an empty queue", timeout=20, every=0.05)
    # From the first on: how long an idle worker takes to look is another question.
    first, last = receiver.span()
    return {
        **numbers,
        "deliveries": load.deliveries,
        "seconds": last - first,
        "receiver": footprint.cpu(receiver.pid) - receiving,
    }


def _send(ground: Ground, client: Helper, name: str, load: Load) -> Numbers:
    receiver = ground.receiver_of(tls=load.tls)
    order = floor.Order(
        urls=[receiver.url(f"/{load.kind}/{place}") for place in range(load.webhooks)],
        number=load.deliveries,
        body=json.dumps(payload(load.kilobytes), separators=(",", ":")),
        authority=str(ground.authority),
    )
    receiver.forget()
    with ground.spending("floor", worker=client.pid) as numbers:
        floor.send(client, name, order)
    return {**numbers, "deliveries": load.deliveries}
