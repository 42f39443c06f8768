"""Tending: what is to be done from time to time so that what is held goes on, and what must not go is held.

Every worker's dispatcher does it, so it needs no scheduler; of what two of them do at once, each does a part.
"""

import random
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from deliveries.models import Delivery, Pause, Webhook, WebhookHealth
from deliveries.models.webhook import WebhookQuerySet
from deliveries.services import circuits, guarding, holding, pausing

# How many webhooks one sweep looks after in each way, so that it ends soon.
MOST = 500


def tend(*, now: datetime, budget: Callable[[], Callable[[], bool]] = lambda: lambda: True) -> int:
    """End pauses that have run out, and take the steps that are due; once a second.

    Return how many deliveries were let go.

    :param budget: asked for the time each of the two has. What it returns is asked before each piece of the
        work; what is left when that says no is for the next time.
    """
    # One question for both: most seconds there is neither.
    run_out, stepping = Pause.objects.run_out(now), WebhookHealth.objects.stepping(now)
    if not run_out.values_list("pk").union(stepping.values_list("pk"), all=True).exists():
        return 0
    pausing.expire(now=now, go_on=budget())
    return circuits.step_all(now=now, go_on=budget())


def sweep(*, now: datetime, go_on: Callable[[], bool] = lambda: True) -> bool:
    """Put right what an act left for later and what a race left behind; twice a minute.

    Of what may not be sent the claim takes nothing, so this changes what is shown. What is held without a
    reason any more begins to go. Tell whether there is more to do: no more than one batch is held at a time.

    :param go_on: asked before each piece of the work; what is left when it says no is for the next time.
    """
    more = False
    jobs = (_cancel_what_was_deleted, _let_go_what_was_forgotten, pausing.hold_types, _hold_what_may_not_go)
    # In any order, so that a time that is up keeps none of them waiting for ever.
    for job in random.sample(jobs, len(jobs)):
        with guarding.going_on(job.__name__):
            more |= bool(job(now=now, go_on=go_on))
    return more


def _cancel_what_was_deleted(*, now: datetime, go_on: Callable[[], bool]) -> bool:
    deleted = Webhook.objects.filter(deleted_at__isnull=False)
    return _of_each(_with_queue(deleted, Delivery.UNFINISHED, now=now), holding.cancel, now=now, go_on=go_on)


def _let_go_what_was_forgotten(*, now: datetime, go_on: Callable[[], bool]) -> bool:
    closed = WebhookHealth.objects.filter(circuit=WebhookHealth.Circuit.CLOSED, webhook__enabled=True)
    holding_back = closed.holding_back(now)
    of_types = holding_back.with_paused_types(now)
    if go_on():
        others = holding_back.exclude(pk__in=WebhookHealth.objects.with_paused_types(now))
        circuits.resume(list(others.values_list("pk", flat=True)[:MOST]), now=now)
    for pk in list(of_types.order_by("?").values_list("pk", flat=True)[:MOST]):
        if not go_on():
            break
        with guarding.going_on("resume", webhook_id=pk):
            circuits.resume_next(pk, now=now)
    return False


def _hold_what_may_not_go(*, now: datetime, go_on: Callable[[], bool]) -> bool:
    waiting = _with_queue(unreachable(now), [Delivery.Status.PENDING], now=now)
    return _of_each(waiting, holding.hold, now=now, go_on=go_on)


def _of_each(
    webhook_ids: Iterable[UUID], act: Callable[..., int], *, now: datetime, go_on: Callable[[], bool]
) -> bool:
    """Do it with the deliveries of one webhook after the other, and tell whether more is left."""
    count = 0
    for pk in webhook_ids:
        if count >= holding.BATCH or not go_on():
            return True
        with guarding.going_on(act.__name__, webhook_id=pk):
            count += act(Delivery.objects.filter(webhook=pk), now=now)
    return count >= holding.BATCH


def unreachable(now: datetime) -> WebhookQuerySet:
    """Return the webhooks nothing is sent to: disabled, with an open circuit, or paused."""
    pauses = Pause.objects.in_force(now).of_webhook(OuterRef("pk"), account=OuterRef("account"))
    is_open = Q(health__circuit=WebhookHealth.Circuit.OPEN)
    return Webhook.objects.filter(Q(enabled=False) | is_open | Q(Exists(pauses)))


def _with_queue(webhooks: WebhookQuerySet, states: Iterable[Delivery.Status], *, now: datetime) -> list[UUID]:
    """Return those for which something in one of the states waits; one look into an index for each."""
    of_webhook = Delivery.objects.filter(webhook=OuterRef("pk")).unleased(now)
    waiting = reduce(or_, (Q(Exists(of_webhook.filter(status=status))) for status in states))
    return list(webhooks.filter(waiting).values_list("pk", flat=True)[:MOST])
