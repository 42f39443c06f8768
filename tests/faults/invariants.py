"""What must hold after every scenario, whatever was done to the service in it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from uuid import UUID

from tests.faults.scene import POLL, SLOTS, Scene

# Seconds by which the times of two attempts must differ before their timestamps, whole seconds, must.
TELLABLE = 2
# What receivers grant a timestamp, in seconds.
TOLERANCE = 300
# By how many threads more than it began with a worker process gets through: those that look up names.
MORE_THREADS = 24
# By how much memory may have grown, of what it was and whatever it was, in bytes.
GROWTH, GROWTH_AT_LEAST = 0.10, 24 * 1024 * 1024
# What a log says only when the code is wrong. A scenario may state exceptions; see `Scene.excused`.
NEVER_LOGGED = (
    "attempt.dropped",
    "attempt.stripped",
    "days.missing",
    "delivery.uncomposable",
    "dispatcher.died",
    "dispatcher.failed",
    "dispatcher.stuck",
    "exchange.failed",
    "tending.failed",
    "request.failed",
    "webhook.not_followed",
)


def check(scene: Scene) -> None:
    """Assert all of them.

    :raises AssertionError: with a line for each that does not hold, which says for what it does not.
    """
    problems = [
        f"{invariant.__name__}: {problem}"
        for invariant in INVARIANTS
        for problem in _few(list(invariant(scene)))
    ]
    assert not problems, "After the scenario\n" + "\n".join(problems)


def _one_delivery_for_each_event_and_webhook(scene: Scene) -> Iterator[str]:
    """I1: every acknowledged event is there, with exactly one delivery for each of its webhooks."""
    missing = scene.acknowledged().keys() - scene.stored()
    yield from (f"acknowledged event {event_id} is not in the database" for event_id in missing)
    rows = scene.stack.rows("SELECT event_id, webhook_id FROM deliveries_delivery")
    paths = {each.webhook_id: each.path for each in scene.subscriptions}
    times = Counter((_id(event), paths.get(_id(webhook), _id(webhook))) for event, webhook in rows)
    for event_id, path in scene.expected():
        if times[event_id, path] != 1 and event_id not in missing:
            yield f"event {event_id} has {times[event_id, path]} deliveries to {path}"


def _nothing_came_of_nothing(scene: Scene) -> Iterator[str]:
    """I1 the other way round: no event is stored twice, and nothing is sent that nobody has published.

    What was never acknowledged may be stored: its answer got lost, and whoever published it gave up.
    """
    for number, published in enumerate(scene.published):
        if not published.acknowledged:
            yield f"nothing was acknowledged of order {number}: {published}"
    given_up = sum(published.given_up for published in scene.published)
    more = len(scene.stored() - scene.acknowledged().keys())
    if more > given_up + scene.unannounced:
        yield f"{more} events are stored that were not acknowledged, and {given_up} were given up"
    rows = scene.stack.rows("SELECT DISTINCT event_id FROM deliveries_delivery")
    unknown = {each.event_id for each in scene.receiver.arrivals()} - {_id(event_id) for (event_id,) in rows}
    yield from (f"event {event_id} has arrived and has no delivery" for event_id in unknown)


def _nothing_is_left_behind(scene: Scene) -> Iterator[str]:
    """I2: no delivery is overdue, no finished one is leased."""
    overdue = scene.unsettled(horizon=-2 * POLL)
    if overdue:
        yield f"{overdue} deliveries are leased or overdue"
    leased = (
        "SELECT id, status FROM deliveries_delivery WHERE lease_token IS NOT NULL AND status <> 'pending'"
    )
    for delivery_id, status in scene.stack.rows(leased):
        yield f"delivery {delivery_id} is {status} and leased"


def _states_are_what_happened(scene: Scene) -> Iterator[str]:
    """I3: what succeeded was seen by the receiver; what the receiver never saw says why."""
    seen = {(arrival.event_id, arrival.path) for arrival in scene.receiver.arrivals()}
    paths = {each.webhook_id: each.path for each in scene.subscriptions}
    for delivery_id, event_id, webhook_id, status, attempts in scene.stack.rows(
        "SELECT id, event_id, webhook_id, status, attempts_made FROM deliveries_delivery"
    ):
        path = paths.get(_id(webhook_id))
        if path is None or (_id(event_id), path) in seen:
            continue
        if status == "succeeded":
            yield f"delivery {delivery_id} has succeeded, and {path} has never seen event {_id(event_id)}"
        if status == "failed" and attempts == 0:
            yield f"delivery {delivery_id} has failed without an attempt"


def _duplicates_are_few(scene: Scene) -> Iterator[str]:
    """I4: no more requests arrived unaccounted for than the scenario allows."""
    repeated = scene.repeated()
    if repeated.total() > scene.allowed_duplicates:
        most = [f"{event_id} at {path} {times} times" for (event_id, path), times in repeated.most_common(3)]
        yield f"{repeated.total()} duplicates, {scene.allowed_duplicates} allowed: {', '.join(most)}"


def _states_only_go_forward(scene: Scene) -> Iterator[str]:
    """I5: attempts are numbered without a gap, rounds follow each other, nothing follows a success.

    No attempt is of nothing; no foreign key says so.
    """
    attempts: dict[object, list[tuple[int, int, bool]]] = defaultdict(list)
    for delivery_id, number, round_, succeeded in scene.stack.rows(
        "SELECT delivery_id, number, round, succeeded FROM deliveries_attempt ORDER BY delivery_id, number"
    ):
        attempts[delivery_id].append((number, round_, bool(succeeded)))
    for delivery_id, status, made, round_ in scene.stack.rows(
        "SELECT id, status, attempts_made, round FROM deliveries_delivery"
    ):
        its = attempts.pop(delivery_id, [])
        if [number for number, _, _ in its] != list(range(1, made + 1)):
            yield f"delivery {delivery_id} counts {made} attempts and has {[number for number, *_ in its]}"
        rounds = [each for _, each, _ in its]
        if rounds != sorted(rounds) or any(each > round_ for each in rounds):
            yield f"delivery {delivery_id} is in round {round_} and has attempts of rounds {rounds}"
        if any(succeeded for *_, succeeded in its[:-1]):
            yield f"delivery {delivery_id} was tried again after a success"
        if (status == "succeeded") != (bool(its) and its[-1][2]):
            yield f"delivery {delivery_id} is {status}, and its last attempt says otherwise"
    yield from (f"there are attempts of {delivery_id}, which is no delivery" for delivery_id in attempts)


def _totals_are_what_there_is(scene: Scene) -> Iterator[str]:
    """I5: as many attempts are there of each webhook as the total of its logs says."""
    for webhook_id, said, there in scene.stack.rows(
        "SELECT webhook_id, attempts_kept, (SELECT count(*) FROM deliveries_attempt"
        " WHERE deliveries_attempt.webhook_id = deliveries_webhookhealth.webhook_id)"
        " FROM deliveries_webhookhealth"
    ):
        if said != there:
            yield f"webhook {webhook_id} is said to have {said} attempts and has {there}"


def _requests_are_signed_afresh(scene: Scene) -> Iterator[str]:
    """I6: same id and body on every attempt, with a timestamp and a signature of its own that fits."""
    digests: dict[tuple[str, str], str] = {}
    latest: dict[tuple[str, str], tuple[float, int]] = {}
    for arrival in scene.receiver.arrivals():
        key = (arrival.path, arrival.event_id)
        who = f"attempt {arrival.attempt} of event {arrival.event_id} at {arrival.path}"
        if arrival.verified is False:
            yield f"{who} has no signature that fits"
        if abs(arrival.at - arrival.timestamp) > TOLERANCE:
            yield f"{who} is dated {arrival.at - arrival.timestamp:.0f} s before it came"
        if digests.setdefault(key, arrival.digest) != arrival.digest:
            yield f"{who} has another body than before"
        before = latest.get(key)
        if before and arrival.at - before[0] > TELLABLE and arrival.timestamp == before[1]:
            yield f"{who} carries the timestamp of the one before it"
        latest[key] = (arrival.at, arrival.timestamp)


def nothing_is_hoarded(scene: Scene) -> Iterator[str]:
    """I7: two database connections for each worker process at most; what else it holds has not grown."""
    ports = {scene.postgresql.port} | scene.database_ports
    for pid, now in scene.footprints().items():
        if now.connections(ports) > 2:
            yield f"worker process {pid} has {now.connections(ports)} database connections"
        before = scene.baseline.get(pid)
        if before is None:
            continue
        if now.threads > before.threads + MORE_THREADS:
            yield f"worker process {pid} had {before.threads} threads, now {now.threads}"
        # Connections to receivers are kept, one for each slot at most.
        if now.sockets > before.sockets + SLOTS + 4:
            yield f"worker process {pid} had {before.sockets} sockets, now {now.sockets}"
        grown = now.resident - before.resident
        if grown > max(GROWTH * before.resident, GROWTH_AT_LEAST):
            yield f"worker process {pid} has grown by {grown / 2**20:.0f} MB"


def _workers_end_when_told(scene: Scene) -> Iterator[str]:
    """I7: no worker has ended that nobody has ended."""
    for worker in scene.workers:
        if worker.poll() is not None and worker not in scene.ended:
            yield f"worker {worker.pid} has ended by itself with {worker.returncode}"


def _logs_keep_secrets(scene: Scene) -> Iterator[str]:
    """I8: no log holds a key, a secret or a payload, and none says that the code is wrong."""
    planted = {
        "API key": scene.stack.key,
        "payload": scene.words,
        "SECRET_KEY": scene.stack.environment["SECRET_KEY"],
        "ENCRYPTION_KEYS": scene.stack.environment["ENCRYPTION_KEYS"],
        **{f"secret of {each.path}": each.secret for each in scene.subscriptions},
        **{f"secret {place}": secret for place, secret in enumerate(scene.secrets)},
    }
    for path in scene.stack.folder.glob("*.log"):
        text = path.read_text(errors="replace")
        for name, canary in planted.items():
            if canary and canary in text:
                yield f"{path.name} holds the {name}"
        for word in NEVER_LOGGED:
            if word not in scene.excused and f'"{word}"' in text:
                line = next(line for line in text.splitlines() if f'"{word}"' in line)
                yield f"{path.name} says {line[:2000]}"


def _what_arrived_is_no_failure(scene: Scene) -> Iterator[str]:
    """I9: nothing the receiver took has failed, and nothing was set aside, but for what is allowed."""
    denied = scene.denied()
    if len(denied) > scene.allowed_denied:
        yield f"{len(denied)} deliveries failed that were answered with a 2xx, {scene.allowed_denied} allowed"
        yield from (f"the delivery of event {event_id} to {path} has failed" for event_id, path in denied)
    set_aside = scene.set_aside()
    if set_aside > scene.allowed_set_aside:
        yield f"{set_aside} deliveries were set aside, {scene.allowed_set_aside} allowed"


INVARIANTS: Sequence[Callable[[Scene], Iterable[str]]] = (
    _one_delivery_for_each_event_and_webhook,
    _nothing_came_of_nothing,
    _nothing_is_left_behind,
    _states_are_what_happened,
    _duplicates_are_few,
    _states_only_go_forward,
    _totals_are_what_there_is,
    _requests_are_signed_afresh,
    nothing_is_hoarded,
    _workers_end_when_told,
    _logs_keep_secrets,
    _what_arrived_is_no_failure,
)


def _id(value: object) -> str:
    """Return an id as the APIs write it, whatever the database makes of it."""
    with suppress(ValueError):
        return str(UUID(str(value)))
    return str(value)


def _few(problems: list[str]) -> list[str]:
    more = [f"... and {len(problems) - 5} more"] if len(problems) > 5 else []
    return problems[:5] + more
