"""One row of every kind, as an operator would find them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import models
from django.test import Client

from deliveries import clock
from deliveries.models import ApiKey, Attempt, Chore, EventType, IdempotencyKey, QueueMinute, Scope
from tests import builders

Make = Callable[[], models.Model]


@pytest.fixture
def operator(db: None) -> User:
    """Somebody who may do everything."""
    # Nobody logs in with the password, so none is hashed.
    return User.objects.create(username="operator", password="!", is_staff=True, is_superuser=True)


@pytest.fixture
def console(operator: User) -> Client:
    """The operator's browser."""
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def viewer(db: None) -> Client:
    """Somebody who may look at everything, and do nothing."""
    user = User.objects.create(username="viewer", password="!", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    return client


def an_event_type() -> EventType:
    return EventType.objects.create(code=f"type.{EventType.objects.count()}", label="A type")


def an_api_key() -> ApiKey:
    key, _ = ApiKey.objects.issue(
        account=builders.an_account(), name="test", scopes=[Scope.EVENTS_READ], now=builders.NOW
    )
    return key


def an_idempotency_key() -> IdempotencyKey:
    event = builders.an_event()
    return IdempotencyKey.objects.create(
        account=event.account, key="order-1", fingerprint="f" * 64, event=event, created_at=builders.NOW
    )


def an_attempt() -> Attempt:
    """Return one whose id is of now, as the list shows what is of the last day."""
    return builders.a_failed_delivery(created_at=clock.now()).attempts.get()


# How to make one row of each model of the console, with all that it hangs on.
MAKERS: dict[str, Callable[[], Any]] = {
    "account": builders.an_account,
    "agent": builders.an_agent,
    "apikey": an_api_key,
    "auditentry": builders.an_audit_entry,
    "attempt": an_attempt,
    "chore": lambda: builders.a_chore(name=f"chore_{Chore.objects.count()}"),
    "delivery": builders.a_failed_delivery,
    "event": builders.an_event,
    "eventtype": an_event_type,
    "failuregroup": lambda: builders.a_failure_group(seen=7),
    "failure": lambda: builders.a_failed_delivery().failure,
    "idempotencykey": an_idempotency_key,
    "pause": lambda: builders.a_pause(until=clock.now() + timedelta(hours=1)),
    "queueminute": lambda: builders.a_minute_of_the_queue(minute=QueueMinute.objects.count() + 1000),
    "recovery": builders.a_recovery,
    "trafficminute": builders.a_minute_of_traffic,
    "webhook": builders.a_webhook,
    "webhookhealth": lambda: builders.a_webhook().health,
    "webhookrevision": lambda: builders.a_webhook().revisions.get(),
    "worker": builders.a_worker,
}
HISTORY = (
    "attempt",
    "auditentry",
    "chore",
    "delivery",
    "event",
    "failure",
    "idempotencykey",
    "queueminute",
    "recovery",
    "trafficminute",
    "webhookhealth",
    "webhookrevision",
    "worker",
)
MADE_BY_HAND = tuple(sorted(set(MAKERS) - {*HISTORY, "failuregroup"}))
