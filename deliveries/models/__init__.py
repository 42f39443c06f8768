"""Rows, the querysets that speak of them, guarded moves and constraints."""

from deliveries.models.account import Account, ApiKey, Scope
from deliveries.models.agent import Agent
from deliveries.models.attempt import Attempt
from deliveries.models.audit import AuditEntry
from deliveries.models.chore import Chore
from deliveries.models.delivery import Delivery
from deliveries.models.event import Event, EventType, IdempotencyKey
from deliveries.models.failure import Failure
from deliveries.models.failure_group import FailureGroup
from deliveries.models.fields import Sealed
from deliveries.models.health import WebhookHealth
from deliveries.models.pause import Pause
from deliveries.models.queue_minute import QueueMinute
from deliveries.models.recovery import Recovery
from deliveries.models.traffic import TrafficMinute
from deliveries.models.webhook import Webhook, WebhookRevision
from deliveries.models.worker import Worker

__all__ = [
    "Account",
    "Agent",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Chore",
    "Delivery",
    "Event",
    "EventType",
    "Failure",
    "FailureGroup",
    "IdempotencyKey",
    "Pause",
    "QueueMinute",
    "Recovery",
    "Scope",
    "Sealed",
    "TrafficMinute",
    "Webhook",
    "WebhookHealth",
    "WebhookRevision",
    "Worker",
]
