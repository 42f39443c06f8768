"""Circuits: they open where a receiver is down, look again later, and let go what was held step by step.

Every move holds the row of the webhook's health. What was held, for whatever reason, leaves this way and no
other: one delivery as a probe where the webhook was failing, and then ever more.
"""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from deliveries import circuits as policy
from deliveries.models import Delivery, WebhookHealth
from deliveries.services import holding

logger = logging.getLogger(__name__)

Circuit = WebhookHealth.Circuit
# How often a recovering circuit is looked at, by whichever process comes first.
STEP = timedelta(seconds=1)
# How many circuits one call moves, so that it ends soon.
MOST = 100


def resume(webhook_ids: Collection[UUID], *, now: datetime) -> int:
    """Begin to let go what is held for these webhooks and need not be any more; return how many begin.

    The first of it goes when a worker next looks, within a second. Webhooks that are disabled, whose circuit
    is not closed, or for which nothing is held but what a pause keeps back, stay as they are.
    """
    with transaction.atomic():
        ready = WebhookHealth.objects.filter(circuit=Circuit.CLOSED, webhook__enabled=True)
        rows = ready.holding_back(now).taken(webhook_ids)
        return WebhookHealth.objects.filter(pk__in=list(rows.values_list("pk", flat=True))).update(
            circuit=Circuit.RECOVERING, circuit_since=now, next_step_at=now, let_go=0
        )


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


def step_all(*, now: datetime) -> int:
    """Take the steps that are due by now, but for those other processes take; return how many went."""
    gone = 0
    for webhook_id in list(WebhookHealth.objects.stepping(now).values_list("pk", flat=True)[:MOST]):
        try:
            gone += step(webhook_id, now=now)
        except (InterfaceError, OperationalError):
            raise
        except Exception:
            # One that cannot be moved must not keep the others where they are.
            logger.exception("A circuit failed", extra={"event": "circuit.failed", "webhook_id": webhook_id})
    return gone


def _take_step(health: WebhookHealth, *, now: datetime) -> int:
    if health.circuit == Circuit.RECOVERING:
        return _ramp(health, now=now)
    return _probe(health, now=now)


def _probe(health: WebhookHealth, *, now: datetime) -> int:
    """Let one delivery go, the oldest that is due; with none, the next that is published goes.

    A retry's schedule is not hurried for it.
    """
    holding.hold(Delivery.objects.filter(webhook=health.pk), now=now)
    held = holding.held(health.pk, now=now)
    gone = holding.let_go(held.filter(due_at__lte=now), most=1)
    again = now + timedelta(seconds=health.webhook.timeout) + settings.WEBHOOKS_LEASE_GRACE
    if not gone:
        next_due = held.filter(due_at__gt=now).order_by("due_at").values_list("due_at", flat=True).first()
        again = min(again, next_due or again)
    _move(health, Circuit.PROBING, now=now, next_step_at=again)
    return gone


def _recover(health: WebhookHealth, *, now: datetime) -> int:
    """Begin to let go what is held: the first stretch now."""
    _move(health, Circuit.RECOVERING, now=now, next_step_at=now, let_go=0)
    return _ramp(health, now=now)


def _ramp(health: WebhookHealth, *, now: datetime) -> int:
    """Let go as many more as may have gone by now; close the circuit when nothing is left."""
    assert health.circuit_since is not None  # noqa: S101 - the CHECK on circuits that are not closed says so
    held = holding.held(health.pk, now=now)
    room = policy.allowed(now - health.circuit_since) - health.let_go
    gone = holding.let_go(held, most=room) if room > 0 else 0
    health.let_go += gone
    if gone < room and not held.exists():
        _move(health, Circuit.CLOSED, now=now)
    else:
        _move(health, Circuit.RECOVERING, now=now, next_step_at=now + STEP)
    return gone


def _move(health: WebhookHealth, circuit: WebhookHealth.Circuit, *, now: datetime, **changes: Any) -> None:
    """Save what a circuit is now, with the columns that follow from it, and say where it changed."""
    before = health.circuit
    if circuit != before:
        changes["circuit_since"] = now
    if circuit == Circuit.CLOSED:
        changes |= {"next_step_at": None, "openings": 0, "unavailable_in_a_row": 0}
    for name, value in {"circuit": circuit, **changes}.items():
        setattr(health, name, value)
    health.save(update_fields=["circuit", "let_go", *changes])
    if circuit != before:
        transaction.on_commit(lambda: _log(health, circuit))


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
