"""Circuits: they open where a receiver is down, look again later, and let go what was held step by step.

Every move holds the row of the webhook's health. What was held, for whatever reason, leaves this way and no
other: one delivery as a probe where the webhook was failing, and then ever more.
"""

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum

from deliveries import circuits as policy
from deliveries.models import Delivery, TrafficMinute, WebhookHealth
from deliveries.models.health import Tally
from deliveries.services import guarding, holding, matching

logger = logging.getLogger(__name__)

Circuit = WebhookHealth.Circuit
# Nothing goes, or one at a time.
_SHUT = (Circuit.OPEN, Circuit.PROBING)
# How often a recovering circuit is looked at, by whichever process comes first.
STEP = timedelta(seconds=1)
# By how much the clocks of workers may differ.
TOLERANCE = timedelta(seconds=1)
# How many circuits one call moves, so that it ends soon.
MOST = 100


def resume(webhook_ids: Collection[UUID], *, now: datetime) -> int:
    """Begin to let go what is held for these webhooks and need not be any more; return how many begin.

    The first of it goes when a worker next looks, within a second; where a receiver was down, as a probe.
    Webhooks that are disabled, whose circuit is open, or for which nothing is held but what a pause keeps
    back, stay as they are. Where a paused type keeps back all that one look takes in, the ramp sees the rest.
    """
    with transaction.atomic():
        waiting = WebhookHealth.objects.exclude(circuit=Circuit.OPEN).filter(webhook__enabled=True)
        found = dict(waiting.holding_back(now).taken(webhook_ids).values_list("pk", "circuit"))
        of_types = WebhookHealth.objects.filter(pk__in=found).with_paused_types(now)
        for pk in of_types.values_list("pk", flat=True):
            ready = holding.ready(pk, behind=None, now=now)
            if ready.behind is None and not ready.deliveries.exists():
                del found[pk]
        closed = [pk for pk, circuit in found.items() if circuit == Circuit.CLOSED]
        # These begin with the first again. One that is under way meanwhile is no harm: the claim lets out one
        # at a time.
        under_way = WebhookHealth.objects.filter(pk__in=found.keys() - closed)
        under_way.update(next_step_at=now, looked_up_to=None)
        return _begin(closed, now=now)


def resume_next(webhook_id: UUID, *, now: datetime) -> None:
    """Do as `resume` does, unless a paused event type keeps back all that is looked at.

    Each time it looks at what comes after that, and so comes round to all that is held.
    """
    with transaction.atomic():
        closed = WebhookHealth.objects.filter(circuit=Circuit.CLOSED, webhook__enabled=True)
        for health in closed.holding_back(now).taken([webhook_id]):
            ready = holding.ready(webhook_id, behind=health.looked_up_to, now=now)
            if ready.deliveries.exists():
                _begin([webhook_id], now=now)
            else:
                WebhookHealth.objects.filter(pk=webhook_id).update(looked_up_to=ready.behind)


def _begin(closed: Collection[UUID], *, now: datetime) -> int:
    return WebhookHealth.objects.filter(pk__in=closed).update(
        circuit=Circuit.RECOVERING, circuit_since=now, next_step_at=now, let_go=0, looked_up_to=None
    )


def follow(
    health: WebhookHealth, tally: Tally, *, recent: "Recent", now: datetime, jitter: random.Random
) -> None:
    """Move a webhook's circuit if results move it. Where all is well it asks nothing of the database.

    Of attempts that began before a circuit became what it is nothing follows: they say what was known.

    :param health: as it is after them.
    :param recent: all the attempts of the last minutes, where one of these found the receiver unavailable.
    """
    if health.circuit in _SHUT:
        if _is_news(tally.answered_at, health):
            _unless_moved(health, _recover, now=now)
        elif health.circuit == Circuit.PROBING and _is_news(tally.unavailable_at, health):
            _unless_moved(health, partial(_open, jitter=jitter), now=now)
    elif tally.unavailable and policy.trips(
        in_a_row=health.unavailable_in_a_row, attempts=recent.attempts, unavailable=recent.unavailable
    ):
        _unless_moved(health, partial(_open, jitter=jitter), now=now)


def probe(webhook_id: UUID, *, now: datetime) -> None:
    """Try a receiver that was down now: its webhook points elsewhere, or speaks to it in another way.

    What comes of a probe that is under way says nothing about that.
    """
    with transaction.atomic():
        for health in WebhookHealth.objects.filter(circuit__in=_SHUT).taken([webhook_id]):
            _probe(health, now=now, circuit_since=now)


def probe_with(delivery: Delivery, *, now: datetime) -> None:
    """Make a delivery that is pending the probe of its webhook's circuit, if that is open.

    The caller's transaction holds the delivery.
    """
    with transaction.atomic():
        for health in WebhookHealth.objects.filter(circuit=Circuit.OPEN).taken([delivery.webhook_id]):
            holding.hold(Delivery.objects.filter(webhook=health.pk).exclude(pk=delivery.pk), now=now)
            _move(health, Circuit.PROBING, now=now, next_step_at=now + _lease(health))


def start_over(webhook_id: UUID, *, now: datetime) -> None:
    """Begin to let go what was held while a webhook was disabled; with a probe, if it was failing before."""
    with transaction.atomic():
        for health in WebhookHealth.objects.taken([webhook_id]):
            was_failing = health.failing_since is not None
            _move(health, Circuit.CLOSED, now=now, consecutive_failures=0, failing_since=None)
            if was_failing:
                _probe(health, now=now)
            else:
                _recover(health, now=now)


def give_time(webhook_ids: Collection[UUID], *, now: datetime) -> None:
    """Start anew the time after which a webhook without a success is disabled: a pause kept it all back.

    It takes the healths of all of them, because `resume`, which follows, takes others than those that fail.
    """
    with transaction.atomic():
        rows = WebhookHealth.objects.taken(webhook_ids).values_list("pk", "failing_since")
        failing = [pk for pk, since in rows if since is not None and since < now]
        WebhookHealth.objects.filter(pk__in=failing).update(failing_since=now)


def shut(webhook_id: UUID, *, now: datetime) -> None:
    """Take no more steps: the webhook is disabled or deleted."""
    with transaction.atomic():
        for health in WebhookHealth.objects.taken([webhook_id]):
            _move(health, Circuit.CLOSED, now=now)


def step(webhook_id: UUID, *, now: datetime) -> int:
    """Take the step a circuit has to take by now, unless another process does; return how many it let go."""
    with transaction.atomic():
        stepping = WebhookHealth.objects.stepping(now).filter(pk=webhook_id)
        health = stepping.select_for_update(skip_locked=True).first()
        return 0 if health is None else _take_step(health, now=now)


def step_all(*, now: datetime, go_on: Callable[[], bool] = lambda: True) -> int:
    """Take the steps that are due by now, but for those other processes take; return how many went."""
    gone = 0
    stepping = WebhookHealth.objects.stepping(now).order_by("next_step_at")
    longest = list(stepping.values_list("pk", flat=True)[:MOST])
    # Those that wait longest, so that none waits for ever, but not always the same first: that would be one
    # that takes all the time in vain, because somebody holds its rows.
    for webhook_id in random.sample(longest, len(longest)):
        if not go_on():
            break
        with guarding.going_on("step", webhook_id=webhook_id):
            gone += step(webhook_id, now=now)
    return gone


def _take_step(health: WebhookHealth, *, now: datetime) -> int:
    if health.circuit == Circuit.RECOVERING:
        return _ramp(health, now=now)
    return _probe(health, now=now)


class Recent(NamedTuple):
    """How many attempts there were, and how many of them found the receiver unavailable."""

    attempts: int = 0
    unavailable: int = 0


def recent(healths: Sequence[WebhookHealth], *, now: datetime) -> Mapping[UUID, Recent]:
    """Return the attempts of the last minutes, of those only that began after the circuit last moved.

    None at all for any other webhook.
    """
    counts: dict[UUID, Recent] = defaultdict(Recent)
    if not healths:
        return counts
    rows = TrafficMinute.objects.filter(
        webhook__in=[health.pk for health in healths], minute__gt=TrafficMinute.of(now - policy.WINDOW)
    )
    moved = {health.pk: TrafficMinute.of(health.circuit_since) for health in healths if health.circuit_since}
    sums = rows.values_list("webhook", "minute").annotate(
        attempts=Sum(F("succeeded") + F("failed")), lost=Sum("unavailable")
    )
    for webhook_id, minute, attempts, unavailable in sums:
        if minute > moved.get(webhook_id, 0):
            before = counts[webhook_id]
            counts[webhook_id] = Recent(before.attempts + attempts, before.unavailable + unavailable)
    return counts


def _is_news(began_at: datetime | None, health: WebhookHealth) -> bool:
    """Tell whether something began since the circuit is what it is, give or take what clocks differ by."""
    since = health.circuit_since
    return began_at is not None and since is not None and began_at >= since - TOLERANCE


def _unless_moved(seen: WebhookHealth, act: Callable[..., object], *, now: datetime) -> None:
    """Move a circuit, unless somebody else has since it was seen, or the webhook has been disabled."""
    with transaction.atomic():
        same = WebhookHealth.objects.filter(circuit=seen.circuit, circuit_since=seen.circuit_since)
        for health in same.taken([seen.pk]):
            if health.webhook.enabled:
                act(health, now=now)


def _open(health: WebhookHealth, *, now: datetime, jitter: random.Random) -> None:
    """Let nothing through for a while, longer each time, and hold what is queued. A sweep holds the rest."""
    wait = policy.open_for(
        health.openings, delays=settings.WEBHOOKS_CIRCUIT_DELAYS, jitter=jitter.uniform(0.8, 1.2)
    )
    _move(health, Circuit.OPEN, now=now, next_step_at=now + wait, openings=health.openings + 1)
    holding.hold(Delivery.objects.filter(webhook=health.pk), now=now)


def _lease(health: WebhookHealth) -> timedelta:
    """Return after how long a probe must have come to something."""
    return timedelta(seconds=health.webhook.timeout) + settings.WEBHOOKS_LEASE_GRACE


def _probe(health: WebhookHealth, *, now: datetime, **changes: Any) -> int:
    """Let one delivery go, the oldest that is due; with none, the next that is published goes.

    A retry's schedule is not hurried for it.

    :param changes: what else to save of the circuit.
    """
    holding.hold(Delivery.objects.filter(webhook=health.pk), now=now)
    ready = holding.ready(health.pk, behind=health.looked_up_to, now=now)
    gone = holding.let_go(ready.deliveries.filter(due_at__lte=now), most=1)
    again = now + _lease(health)
    if not gone:
        changes["looked_up_to"] = ready.behind
        next_due = (
            ready.deliveries.filter(due_at__gt=now)
            .order_by("due_at")
            .values_list("due_at", flat=True)
            .first()
        )
        again = min(again, next_due or again, again if ready.behind is None else now + STEP)
    _move(health, Circuit.PROBING, now=now, next_step_at=again, **changes)
    return gone


def _recover(health: WebhookHealth, *, now: datetime) -> int:
    """Begin to let go what is held, and what waited beside a probe: the first stretch now.

    So much may wait that not all of it is held yet, and would go beside the ramp. Then one more goes alone.
    """
    if health.circuit in _SHUT:
        held = holding.hold(Delivery.objects.filter(webhook=health.pk), now=now)
        if held >= holding.BATCH:
            return _probe(health, now=now)
    _move(health, Circuit.RECOVERING, now=now, next_step_at=now, let_go=0)
    return _ramp(health, now=now)


def _ramp(health: WebhookHealth, *, now: datetime) -> int:
    """Let go as many more as may have gone by now; close the circuit when nothing is left."""
    assert health.circuit_since is not None  # noqa: S101 - the CHECK on circuits that are not closed says so
    ready = holding.ready(health.pk, behind=health.looked_up_to, now=now)
    room = policy.allowed(now - health.circuit_since) - health.let_go
    gone = holding.let_go(ready.deliveries, most=room) if room > 0 else 0
    health.let_go += gone
    looked_up_to = health.looked_up_to
    if gone < room and not ready.deliveries.exists():
        if ready.behind is None:
            _move(health, Circuit.CLOSED, now=now)
            return gone
        looked_up_to = ready.behind
    _move(health, Circuit.RECOVERING, now=now, next_step_at=now + STEP, looked_up_to=looked_up_to)
    return gone


def _move(health: WebhookHealth, circuit: WebhookHealth.Circuit, *, now: datetime, **changes: Any) -> None:
    """Save what a circuit is now, with the columns that follow from it, and say where it changed."""
    before = health.circuit
    if circuit != before:
        changes = {"looked_up_to": None, **changes, "circuit_since": now}
    if circuit == Circuit.CLOSED:
        changes |= {"next_step_at": None, "openings": 0, "unavailable_in_a_row": 0}
    for name, value in {"circuit": circuit, **changes}.items():
        setattr(health, name, value)
    health.save(update_fields=["circuit", "let_go", *changes])
    if circuit != before:
        transaction.on_commit(lambda: _log(health, circuit))
    if (circuit == Circuit.OPEN) != (before == Circuit.OPEN):
        matching.changed(health.webhook.account_id)


def _log(health: WebhookHealth, circuit: WebhookHealth.Circuit) -> None:
    event = "circuit.opened" if circuit == Circuit.OPEN else f"circuit.{circuit}"
    logger.info(
        "A circuit moved",
        extra={
            "event": event,
            "webhook_id": health.pk,
            "openings": health.openings,
            "let_go": health.let_go,
            "unavailable_in_a_row": health.unavailable_in_a_row,
            "next_step_at": health.next_step_at,
        },
    )
