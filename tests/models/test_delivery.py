from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from deliveries.models import Delivery, Webhook
from tests import builders

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def these(*deliveries: Delivery) -> Any:
    return Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries])


class TestFinish:
    def test_ends_the_schedule_and_counts_the_attempt(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()

        assert these(delivery).finish(Delivery.Status.SUCCEEDED, now=now) == 1

        delivery.refresh_from_db()
        assert delivery.status == Delivery.Status.SUCCEEDED
        assert delivery.attempts_made == 1
        assert delivery.claims == 0
        assert delivery.finished_at == now
        assert [delivery.due_at, delivery.next_attempt_id, delivery.scheduled_at, delivery.lease_token] == [
            None
        ] * 4

    def test_changes_nothing_that_has_ended(self, now: datetime) -> None:
        delivery = builders.a_failed_delivery()

        assert these(delivery).finish(Delivery.Status.SUCCEEDED, now=now) == 0


class TestScheduleRetries:
    def test_gives_each_its_own_delay_and_attempt(self, now: datetime) -> None:
        soon, late = builders.a_claimed_delivery(), builders.a_claimed_delivery()
        before = {soon.next_attempt_id, late.next_attempt_id}

        assert Delivery.objects.schedule_retries({soon.pk: MINUTE, late.pk: 2 * MINUTE}, now=now) == 2

        soon.refresh_from_db()
        late.refresh_from_db()
        assert (soon.due_at, late.due_at) == (now + MINUTE, now + 2 * MINUTE)
        assert len(before | {soon.next_attempt_id, late.next_attempt_id}) == 4
        assert builders.is_id_of(now, soon.next_attempt_id)
        assert (soon.attempts_made, soon.retries_left, soon.claims, soon.scheduled_at) == (1, 2, 0, now)
        assert soon.lease_token is None


class TestRequeue:
    def test_starts_a_round_of_one_attempt(self, now: datetime) -> None:
        delivery = builders.a_failed_delivery()

        assert Delivery.objects.requeue({delivery.pk: now}, now=now) == 1

        delivery.refresh_from_db()
        assert (delivery.status, delivery.round, delivery.retries_left) == (Delivery.Status.PENDING, 2, 0)
        assert (delivery.due_at, delivery.scheduled_at, delivery.finished_at) == (now, now, None)
        assert builders.is_id_of(now, delivery.next_attempt_id)
        assert delivery.attempts_made == 1

    @pytest.mark.parametrize("status", [Delivery.Status.SUCCEEDED, Delivery.Status.CANCELLED])
    def test_leaves_what_has_not_failed(self, status: Delivery.Status, now: datetime) -> None:
        delivery = builders.a_failed_delivery(status=status)

        assert Delivery.objects.requeue({delivery.pk: now}, now=now) == 0

    @pytest.mark.parametrize("changes", [{"enabled": False}, {"enabled": False, "deleted_at": builders.NOW}])
    def test_leaves_what_its_webhook_cannot_get(self, changes: dict[str, object], now: datetime) -> None:
        delivery = builders.a_failed_delivery()
        Webhook.objects.update(**changes)

        assert Delivery.objects.requeue({delivery.pk: now}, now=now) == 0


class TestHold:
    def test_keeps_the_schedule_for_the_release(self, now: datetime) -> None:
        delivery = builders.a_delivery(due_at=now + MINUTE)

        assert these(delivery).hold(now=now) == 1
        assert these(delivery).release() == 1

        delivery.refresh_from_db()
        assert (delivery.status, delivery.due_at) == (Delivery.Status.PENDING, now + MINUTE)

    def test_leaves_what_is_under_way(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()

        assert these(delivery).hold(now=now) == 0

    def test_takes_what_a_dead_worker_held(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()

        assert these(delivery).hold(now=now + timedelta(hours=1)) == 1


class TestHandBack:
    def test_undoes_the_claim(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()

        assert Delivery.objects.hand_back(token=delivery.lease_token, now=now) == 1

        delivery.refresh_from_db()
        assert (delivery.due_at, delivery.lease_token, delivery.claims) == (now, None, 0)


class TestConstraints:
    @pytest.mark.parametrize(
        "changes",
        [
            {"status": "sending"},
            {"due_at": None},
            {"next_attempt_id": None},
            {"scheduled_at": None},
            {"finished_at": builders.NOW},
            {"status": "succeeded"},
            {"status": "held", "lease_token": "0198f4a0-0000-7000-8000-000000000000"},
        ],
    )
    def test_refuse_what_two_columns_cannot_both_say(self, changes: dict[str, object]) -> None:
        delivery = builders.a_delivery()

        with pytest.raises(IntegrityError), transaction.atomic():
            these(delivery).update(**changes)

    def test_allow_one_delivery_of_an_event_to_a_webhook(self) -> None:
        delivery = builders.a_delivery()

        with pytest.raises(IntegrityError), transaction.atomic():
            builders.a_delivery(delivery.webhook, event=delivery.event)
