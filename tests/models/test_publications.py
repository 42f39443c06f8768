"""Writing events with their deliveries and keys: whatever way it goes, it comes to the same."""

from datetime import timedelta

import pytest
from django.db import DataError, IntegrityError, transaction

from deliveries.identifiers import new_id_at
from deliveries.models import Delivery, Event, IdempotencyKey, Webhook, databases
from deliveries.models.databases import publications
from tests import builders

FEW, MANY = 3, publications.MANY

Rows = tuple[list[Event], list[Delivery], list[IdempotencyKey]]


def rows(webhook: Webhook, number: int, *, event_type: str = "call.ended") -> Rows:
    """Return events with everything in them, each with a delivery and a key."""
    account, now = webhook.account, builders.NOW
    agent = builders.an_agent(account)
    events = [
        Event(
            account=account,
            agent=agent if place % 2 else None,
            type=event_type,
            body=b'{"a":"\\\\x00\\t\\"\xc3\xa9"}' + bytes([32]) * place,
            occurred_at=now - timedelta(microseconds=place),
            created_at=now,
        )
        for place in range(number)
    ]
    deliveries = [
        Delivery(
            account=account,
            event=event,
            webhook=webhook,
            status=Delivery.Status.HELD if place % 2 else Delivery.Status.PENDING,
            retries_left=place,
            created_at=now,
            due_at=now,
            next_attempt_id=new_id_at(now),
            scheduled_at=now,
        )
        for place, event in enumerate(events)
    ]
    keys = [
        IdempotencyKey(account=account, key=f"k-{place}", fingerprint="f" * 64, event=event, created_at=now)
        for place, event in enumerate(events)
    ]
    return events, deliveries, keys


def everything() -> list[list[object]]:
    """Return all rows, value by value."""
    return [
        [bytes(value) if isinstance(value, memoryview) else value for value in row]
        for model in (Event, Delivery)
        for row in model._default_manager.order_by("pk").values_list()
    ]


@pytest.fixture
def webhook(db: None) -> Webhook:
    return builders.a_webhook()


@pytest.mark.parametrize("number", [FEW, MANY])
class TestStore:
    def test_writes_what_the_orm_would(self, webhook: Webhook, number: int) -> None:
        events, deliveries, keys = rows(webhook, number)
        with transaction.atomic():
            Event.objects.bulk_create(events)
            Delivery.objects.bulk_create(deliveries)
            expected = everything()
            transaction.set_rollback(True)
        assert everything() == []

        databases.store(events, deliveries, keys)

        assert everything() == expected
        found = IdempotencyKey.objects.values_list("key", "fingerprint", "event", "created_at")
        assert set(found) == {(key.key, "f" * 64, key.event_id, builders.NOW) for key in keys}

    @pytest.mark.parametrize("taken", [1, FEW])
    def test_writes_nothing_where_a_key_is_there(self, webhook: Webhook, number: int, taken: int) -> None:
        databases.store(*rows(webhook, taken))

        with pytest.raises(IntegrityError):
            databases.store(*rows(webhook, number))

        # In the transaction of the caller, who may go on.
        assert (Event.objects.count(), Delivery.objects.count(), IdempotencyKey.objects.count()) == (
            taken,
        ) * 3

    @pytest.mark.postgresql
    def test_cuts_nothing_off(self, webhook: Webhook, number: int) -> None:
        with pytest.raises(DataError):
            databases.store(*rows(webhook, number, event_type="x" * 101))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [FEW, MANY])
@pytest.mark.parametrize("taken", [1, FEW])
def test_writes_nothing_where_a_key_is_there_and_nobody_has_begun_a_transaction(
    transactional_db: None, number: int, taken: int
) -> None:
    webhook = builders.a_webhook()
    databases.store(*rows(webhook, taken))

    with pytest.raises(IntegrityError):
        databases.store(*rows(webhook, number))

    assert (Event.objects.count(), Delivery.objects.count(), IdempotencyKey.objects.count()) == (taken,) * 3
