"""How webhooks are doing, and the circuit that keeps a dead receiver from costing anybody else."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery

from deliveries import circuits
from deliveries.models import databases
from deliveries.models.delivery import Delivery
from deliveries.models.pause import Pause
from deliveries.models.webhook import Webhook

_COUNTED = (
    "consecutive_failures",
    "failing_since",
    "last_success_at",
    "last_failure_at",
    "unavailable_in_a_row",
    "attempts_kept",
)


@dataclass(slots=True)
class Tally:
    """What came of a batch of attempts for one webhook.

    :param unavailable: how many of the failed the receiver could not take at all.
    :param unavailable_at: when the last of those began; None when there is none.
    :param answered_at: when the last one began that shows a receiver which is there; None when there is none.
    """

    succeeded: int = 0
    failed: int = 0
    unavailable: int = 0
    unavailable_at: datetime | None = None
    answered_at: datetime | None = None

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            succeeded=self.succeeded + other.succeeded,
            failed=self.failed + other.failed,
            unavailable=self.unavailable + other.unavailable,
            unavailable_at=_later(self.unavailable_at, other.unavailable_at),
            answered_at=_later(self.answered_at, other.answered_at),
        )


def _later(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


class WebhookHealthQuerySet(models.QuerySet["WebhookHealth"]):
    """Health rows."""

    def note(self, tallies: Mapping[UUID, "Tally"], *, at: datetime) -> "list[WebhookHealth]":
        """Count a batch of outcomes, by webhook, and return the rows as they are now."""
        rows = list(self.taken(tallies))
        for row in rows:
            row.include(tallies[row.pk], at=at)
        databases.rewrite(rows, _COUNTED)
        return rows

    def forget(self, attempts: Mapping[UUID, int]) -> None:
        """Count attempts as deleted, by webhook, in the transaction that deletes them."""
        rows = list(self.taken(attempts))
        for row in rows:
            # Never less than none, whoever has miscounted: what is past its time must go.
            row.attempts_kept = max(0, row.attempts_kept - attempts[row.pk])
        databases.rewrite(rows, ["attempts_kept"])

    def taken(self, webhooks: Collection[UUID]) -> Self:
        """Keep those of the webhooks, locked, in the order in which everybody locks them."""
        return self.filter(pk__in=webhooks).select_for_update(of=("self",)).order_by("pk")

    def free(self, webhooks: Collection[UUID]) -> set[UUID]:
        """Return which of the webhooks nobody holds, locked."""
        rows = self.filter(pk__in=webhooks).select_for_update(of=("self",), skip_locked=True).order_by("pk")
        return set(rows.values_list("pk", flat=True))

    def holding_back(self, now: datetime) -> Self:
        """Keep those of webhooks for which something is held, unless a pause keeps back all of it."""
        held = Delivery.objects.filter(webhook=OuterRef("pk"), status=Delivery.Status.HELD)
        pauses = Pause.objects.in_force(now).of_webhook(OuterRef("pk"), account=OuterRef("webhook__account"))
        # The first in the order of an index: any, a planner may look for by reading all there is.
        first = Subquery(held.order_by("due_at").values("pk")[:1])
        return self.alias(held=first).filter(~Exists(pauses), held__isnull=False)

    def with_paused_types(self, now: datetime) -> Self:
        """Keep those of accounts an event type of which is paused."""
        pauses = Pause.objects.in_force(now).exclude(event_type="")
        return self.filter(webhook__account__in=pauses.values("account"))

    def out_of_order(self) -> Self:
        """Keep those whose circuit is not closed: only these have a next step, and an index has them."""
        return self.filter(next_step_at__isnull=False)

    def stepping(self, now: datetime) -> Self:
        """Keep those whose circuit has a step to take: a probe, or the next stretch of a ramp."""
        return self.filter(next_step_at__lte=now)


class WebhookHealth(models.Model):
    """How a webhook is doing. Apart from the webhook, because every batch of results writes here.

    Everybody locks in this order: the webhook, deliveries, the health. Whoever holds such a row waits for no
    delivery, because recorders hold deliveries while they wait for it.
    """

    class Circuit(models.TextChoices):
        """closed -> open -> probing -> recovering -> closed; probing | recovering -> open.

        Open, nothing is claimed for the webhook and its queue is held. Probing, one delivery at a time goes
        out. Recovering, what was held is let go at a rate that grows.
        """

        CLOSED = "closed", "Closed"
        OPEN = "open", "Open"
        PROBING = "probing", "Probing"
        RECOVERING = "recovering", "Recovering"

    webhook = models.OneToOneField(Webhook, primary_key=True, on_delete=models.CASCADE, related_name="health")
    consecutive_failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    last_failure_at = models.DateTimeField(null=True)
    unavailable_in_a_row = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Attempts the receiver could not take at all, since the last answer.",
    )
    circuit = models.CharField(
        max_length=10, choices=Circuit.choices, default=Circuit.CLOSED, db_default=Circuit.CLOSED
    )
    circuit_since = models.DateTimeField(null=True, help_text="Since when the circuit is what it is.")
    next_step_at = models.DateTimeField(null=True, help_text="When the circuit is looked at next.")
    openings = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="How often it opened since it was last closed."
    )
    let_go = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Held deliveries let go since it began to recover."
    )
    looked_up_to = models.UUIDField(
        null=True,
        help_text="The held delivery the last look ended with, where a paused type may keep back any.",
    )

    attempts_kept = models.PositiveBigIntegerField(
        default=0,
        db_default=0,
        help_text="How many attempts are kept: all that were made, but for those pruned.",
    )

    objects = WebhookHealthQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(circuit__in=["closed", "open", "probing", "recovering"]),
                name="health_circuit_is_known",
            ),
            models.CheckConstraint(
                condition=Q(circuit="closed", next_step_at=None)
                | (~Q(circuit="closed") & Q(next_step_at__isnull=False, circuit_since__isnull=False)),
                name="health_steps_unless_closed",
            ),
        ]
        indexes = [
            # Serves every worker's look, once a second, for circuits with a step to take.
            models.Index(
                fields=["next_step_at"], condition=Q(next_step_at__isnull=False), name="health_steps"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.webhook_id}: {self.consecutive_failures} failures in a row"

    def _was_quiet(self, at: datetime) -> bool:
        return self.last_failure_at is not None and at - self.last_failure_at > circuits.QUIET

    def include(self, tally: Tally, *, at: datetime) -> None:
        """Count what came of a batch, all of which is kept. An answer ends the row of what could not be
        taken, a success that of failures, also of those that came in the same batch."""
        if tally.failed:
            self.consecutive_failures += tally.failed
            if self.failing_since is None or self._was_quiet(at):
                self.failing_since = at
            self.last_failure_at = at
        if tally.succeeded:
            self.consecutive_failures = 0
            self.failing_since = None
            self.last_success_at = at
        self.unavailable_in_a_row = 0 if tally.answered_at else self.unavailable_in_a_row + tally.unavailable
        self.attempts_kept += tally.succeeded + tally.failed
