"""What happened: events, the catalogue of their types, and the keys that make publishing repeatable."""

import re
from datetime import timedelta
from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models

from deliveries.identifiers import new_id
from deliveries.models.account import Account
from deliveries.models.agent import Agent

TYPE_FORM = re.compile(r"[a-z0-9_.]{1,100}")


class EventType(models.Model):
    """An entry of the catalogue. The catalogue is data: seeded by a migration, edited in the console."""

    code = models.CharField(
        primary_key=True, max_length=100, validators=[RegexValidator(rf"\A{TYPE_FORM.pattern}\Z")]
    )
    label = models.CharField(max_length=255)

    def __str__(self) -> str:
        return self.code


class Event(models.Model):
    """What happened, with the exact bytes every attempt sends. Never changed."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="events", db_index=False)
    agent = models.ForeignKey(
        Agent, null=True, on_delete=models.PROTECT, related_name="events", db_index=False
    )
    type = models.CharField(max_length=100)
    body = models.BinaryField()
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        permissions = [("view_bodies", "Can see bodies: what was sent and what came back")]
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="events_of_account"),
            # Serves retention, which goes from the oldest on.
            models.Index(fields=["created_at"], name="events_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"


class IdempotencyKey(models.Model):
    """A publisher's name for one publication: asked again within 72 hours, it gets the same event."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, related_name="idempotency_keys", db_index=False
    )
    key = models.CharField(max_length=128)
    fingerprint = models.CharField(max_length=64)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="idempotency_keys")
    created_at = models.DateTimeField(db_index=True)

    KEPT: ClassVar = timedelta(hours=72)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "key"], name="idempotency_key_names_one_event")
        ]

    def __str__(self) -> str:
        return f"{self.key} -> {self.event_id}"
