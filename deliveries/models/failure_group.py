"""Groups of failures: one webhook, one reason; what an operator deals with at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.db import models
from django.db.models import Case, Count, F, Max, Min, OuterRef, Q, Value, When
from django.db.models.functions import Greatest, Least

from deliveries.identifiers import new_id
from deliveries.models.account import Account
from deliveries.models.failure import Failure
from deliveries.models.webhook import Webhook, number_up_to
from deliveries.printing import printable
from deliveries.reasons import Reason


class GroupKey(NamedTuple):
    """What there is one group of. The text of a reason says the status code where there was one."""

    webhook_id: UUID
    reason: str


@dataclass(slots=True)
class Sightings:
    """Failures of one group that a batch of results has brought."""

    account_id: UUID
    reason_code: str
    count: int
    first_at: datetime
    last_at: datetime


class FailureGroupQuerySet(models.QuerySet["FailureGroup"]):
    """Groups of failures."""

    def see(self, sightings: Mapping[GroupKey, Sightings]) -> None:
        """Count failures, in the transaction that writes them; a resolved group is open again.

        The caller holds the health of the webhooks, which keeps apart who records for the same.
        """
        for key, seen in sorted(sightings.items()):
            if not self._add(key, seen):
                new = FailureGroup(
                    account_id=seen.account_id,
                    webhook_id=key.webhook_id,
                    reason_code=seen.reason_code,
                    reason=key.reason,
                    seen=0,
                    first_seen_at=seen.first_at,
                    last_seen_at=seen.last_at,
                )
                # `complete` holds no health, and may make it in this very moment.
                self.bulk_create([new], ignore_conflicts=True)
                self._add(key, seen)

    def _add(self, key: GroupKey, seen: Sightings) -> int:
        return self.filter(webhook=key.webhook_id, reason=key.reason).update(
            seen=F("seen") + seen.count,
            first_seen_at=Least("first_seen_at", seen.first_at),
            last_seen_at=Greatest("last_seen_at", seen.last_at),
            state=Case(
                When(state=FailureGroup.State.RESOLVED, then=Value(FailureGroup.State.OPEN)),
                default=F("state"),
            ),
        )

    def complete(self) -> int:
        """Make the groups that failures which wait for somebody lack, and return how many those were.

        A version before the groups, at work while others are upgraded, writes failures without.
        """
        # Nothing in the database keeps a failure's webhook.
        inactive = Failure.objects.inactive().filter(webhook_id__in=Webhook.objects.values("pk"))
        found = inactive.exclude(reason="").values("account", "webhook_id", "reason_code", "reason")
        there = set(self.values_list("webhook", "reason"))
        lacking = [
            FailureGroup(
                account_id=each["account"],
                webhook_id=each["webhook_id"],
                reason_code=each["reason_code"],
                reason=each["reason"],
                seen=each["seen"],
                first_seen_at=each["first"],
                last_seen_at=each["last"],
            )
            # In the order in which recorders make them.
            for each in found.annotate(seen=Count("*"), first=Min("created_at"), last=Max("last_attempt_at"))
            .order_by("webhook_id", "reason")
            .iterator()
            if (each["webhook_id"], each["reason"]) not in there
        ]
        self.bulk_create(lacking, ignore_conflicts=True)
        return len(lacking)

    def open(self, now: datetime) -> Self:
        """Keep those that want somebody: open, or snoozed until a moment that is past."""
        return self.exclude(state=FailureGroup.State.RESOLVED).exclude(self._asleep(now))

    def snoozed(self, now: datetime) -> Self:
        """Keep those that are snoozed still."""
        return self.filter(self._asleep(now))

    def resolved(self) -> Self:
        """Keep those that somebody is done with."""
        return self.filter(state=FailureGroup.State.RESOLVED)

    def with_waiting(self, *, most: int) -> "models.QuerySet[Any]":
        """Add to each how many of its failures wait for somebody: `waiting`, which ends at `most`."""
        its = Failure.objects.inactive().filter(webhook_id=OuterRef("webhook"), reason=OuterRef("reason"))
        return self.annotate(waiting=number_up_to(its.order_by("delivery"), most))

    @staticmethod
    def _asleep(now: datetime) -> Q:
        return Q(state=FailureGroup.State.SNOOZED, snoozed_until__gt=now)


class FailureGroup(models.Model):
    """Failures of one webhook for one reason, since the first of them, and what an operator makes of them."""

    class State(models.TextChoices):
        """open <-> snoozed | resolved; resolved -> open also by the next such failure."""

        OPEN = "open", "Open"
        SNOOZED = "snoozed", "Snoozed"
        RESOLVED = "resolved", "Resolved"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, related_name="failure_groups", db_index=False
    )
    webhook = models.ForeignKey(
        Webhook, on_delete=models.CASCADE, related_name="failure_groups", db_index=False
    )
    reason_code = models.CharField(max_length=32, choices=[(reason.value, reason.value) for reason in Reason])
    reason = models.CharField(max_length=255)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN, db_default=State.OPEN)
    snoozed_until = models.DateTimeField(null=True)
    settled_by = models.CharField(
        max_length=300, blank=True, help_text="Who snoozed, resolved or reopened it last."
    )
    settled_at = models.DateTimeField(null=True)
    seen = models.PositiveBigIntegerField(help_text="How often a delivery was given up like this.")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    objects = FailureGroupQuerySet.as_manager()

    class Meta:
        permissions = [("manage_failuregroup", "Can snooze, resolve and reopen a group of failures")]
        constraints = [
            models.UniqueConstraint(fields=["webhook", "reason"], name="failure_groups_one_per_reason"),
            models.CheckConstraint(
                condition=Q(state__in=["open", "snoozed", "resolved"]), name="failure_groups_state_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="snoozed") | Q(snoozed_until__isnull=False),
                name="failure_groups_snoozed_until_some_moment",
            ),
        ]
        indexes = [
            # Serves the inbox.
            models.Index(fields=["state", "last_seen_at"], name="failure_groups_by_state")
        ]

    def __str__(self) -> str:
        return f"{printable(self.webhook.name)}: {printable(self.reason)}"

    def state_at(self, now: datetime) -> "FailureGroup.State":
        """Return its state: one that was snoozed until a moment that is past is open."""
        over = self.snoozed_until is not None and self.snoozed_until <= now
        return self.State.OPEN if self.state == self.State.SNOOZED and over else self.State(self.state)
