"""Pauses: what an operator keeps back for a while, of a webhook, an event type or a whole account."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import Combinable

from deliveries.identifiers import new_id
from deliveries.models.account import Account
from deliveries.models.webhook import Webhook


class PauseQuerySet(models.QuerySet["Pause"]):
    """Pauses."""

    def in_force(self, now: datetime) -> Self:
        """Keep those that hold something back at a moment: not ended, and not run out."""
        return self.filter(ended_at=None, until__gt=now)

    def of_type(self, event_type: str | Combinable, *, account: Account | Combinable) -> Self:
        """Keep those of an event type of an account."""
        return self.exclude(event_type="").filter(account=account, event_type=event_type)

    def of_webhook(self, webhook: Webhook | Combinable, *, account: Account | Combinable) -> Self:
        """Keep those of a webhook and those of its whole account."""
        whole_account = Q(webhook=None, event_type="")
        return self.filter(Q(webhook=webhook) | whole_account, account=account)

    def run_out(self, now: datetime) -> Self:
        """Keep those whose time is over and that nobody has ended yet."""
        return self.filter(ended_at=None, until__lte=now)

    def touching(self, webhook: Webhook) -> Self:
        """Keep those of a webhook, of its account, and of its account's event types."""
        return self.filter(Q(webhook=None) | Q(webhook=webhook), account=webhook.account_id)

    def end(self, *, by: str, at: datetime) -> int:
        """End those that nobody has ended yet, and return how many those were."""
        return self.filter(ended_at=None).update(ended_at=at, ended_by=by[:300])


class Pause(models.Model):
    """What is kept back, until when, by whom and why. Events are taken meanwhile, and their deliveries held.

    Of the webhook when it names one, of the event type when it names one, of the whole account otherwise.
    Pauses may overlap: each ends by itself, and what one of them covers is kept back.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="pauses", db_index=False)
    webhook = models.ForeignKey(
        Webhook, null=True, blank=True, on_delete=models.CASCADE, related_name="pauses", db_index=False
    )
    event_type = models.CharField(max_length=100, blank=True)
    why = models.CharField(max_length=500)
    by = models.CharField(max_length=300, help_text="Who made it.")
    created_at = models.DateTimeField()
    until = models.DateTimeField(help_text="When it ends by itself.")
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=300, blank=True)

    objects = PauseQuerySet.as_manager()

    class Meta:
        permissions = [("manage_pause", "Can pause and resume deliveries")]
        constraints = [
            models.CheckConstraint(condition=Q(webhook=None) | Q(event_type=""), name="pauses_of_one_thing"),
            models.CheckConstraint(
                condition=Q(until__gt=F("created_at")), name="pauses_end_after_they_begin"
            ),
        ]
        indexes = [
            # Serves the API's list of all there ever were.
            models.Index(fields=["account", "created_at", "id"], name="pauses_in_order"),
            # Serves the claim and the publisher, who ask for the pauses in force of one account.
            models.Index(fields=["account"], condition=Q(ended_at=None), name="pauses_of_account"),
            # Serves every worker's look for pauses that have run out.
            models.Index(fields=["until"], condition=Q(ended_at=None), name="pauses_by_end"),
        ]

    def __str__(self) -> str:
        subject = self.webhook_id or self.event_type or self.account_id
        return f"{subject} until {self.until}"

    def covers(self, webhook: Webhook, event_type: str) -> bool:
        """Tell whether it keeps back events of this type for this webhook of its account."""
        return self.webhook_id in (None, webhook.pk) and self.event_type in ("", event_type)

    def in_force(self, now: datetime) -> bool:
        """Whether it holds something back at a moment."""
        return self.ended_at is None and now < self.until
