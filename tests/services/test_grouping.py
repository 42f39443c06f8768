"""Failures in groups: what recording makes of them, and what an operator does."""

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import OperationalError, connection

from deliveries.identifiers import new_id
from deliveries.models import AuditEntry, Delivery, Failure, FailureGroup, Webhook
from deliveries.models.failure_group import FailureGroupQuerySet
from deliveries.reasons import Reason
from deliveries.services import auditing, composing, grouping, webhooks
from deliveries.services.recording import Result
from deliveries.transport import Reply, TransportError
from tests import builders
from tests.services.fakes import Steady, a_reply, record_and_follow

pytestmark = pytest.mark.django_db

State = FailureGroup.State
HOUR = timedelta(hours=1)


@pytest.fixture
def webhook() -> Webhook:
    """A webhook whose deliveries fail at once."""
    return builders.a_webhook(max_retries=0)


def fail(webhook: Webhook, outcome: Reply | TransportError, *, at: datetime, times: int = 1) -> None:
    """Have deliveries fail in one batch."""
    deliveries = [builders.a_claimed_delivery(webhook, now=at) for _ in range(times)]
    results = [
        Result(
            delivery=delivery,
            request=composing.compose(delivery, at=at),
            started_at=at,
            duration=timedelta(0),
            outcome=outcome,
        )
        for delivery in deliveries
    ]
    assert record_and_follow(results, now=at, jitter=Steady()).left == []


def waiting() -> dict[str, int]:
    """Return how many failures of each group wait for somebody."""
    return {group.reason: group.waiting for group in FailureGroup.objects.with_waiting(most=100)}


class TestRecording:
    def test_groups_what_was_given_up_by_webhook_and_reason(self, webhook: Webhook, now: datetime) -> None:
        other = builders.a_webhook(webhook.account, max_retries=0)

        fail(webhook, a_reply(500), at=now, times=2)
        fail(webhook, a_reply(503), at=now)
        fail(webhook, TransportError(Reason.CONNECTION_TIMEOUT), at=now)
        fail(other, a_reply(500), at=now)

        groups = FailureGroup.objects.values_list("webhook", "reason", "reason_code", "seen")
        assert set(groups) == {
            (webhook.pk, "HTTP 500", "http_status", 2),
            (webhook.pk, "HTTP 503", "http_status", 1),
            (webhook.pk, "Connection timeout", "connection_timeout", 1),
            (other.pk, "HTTP 500", "http_status", 1),
        }

    def test_keeps_when_it_was_seen_first_and_last(self, webhook: Webhook, now: datetime) -> None:
        for at in (now, now + 2 * HOUR, now + HOUR):
            fail(webhook, a_reply(500), at=at)

        group = FailureGroup.objects.get()
        assert (group.first_seen_at, group.last_seen_at, group.seen) == (now, now + 2 * HOUR, 3)

    def test_leaves_out_what_is_tried_again_by_itself(self, now: datetime) -> None:
        fail(builders.a_webhook(max_retries=1), a_reply(500), at=now)

        assert not FailureGroup.objects.exists()

    def test_counts_into_a_group_that_somebody_makes_in_this_moment(
        self, webhook: Webhook, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        builders.a_failed_delivery(webhook)
        update = FailureGroupQuerySet.update

        def made_meanwhile(groups: FailureGroupQuerySet, **changes: Any) -> int:
            found = update(groups, **changes)
            FailureGroup.objects.complete()
            return found

        monkeypatch.setattr(FailureGroupQuerySet, "update", made_meanwhile)

        fail(webhook, TransportError(Reason.CONNECTION_TIMEOUT), at=now)

        # Of two failures one was there before; the other is counted by both.
        assert FailureGroup.objects.get().seen == 3
        assert waiting() == {"Connection timeout": 2}

    def test_opens_a_resolved_group_again(self, webhook: Webhook, now: datetime) -> None:
        fail(webhook, a_reply(500), at=now)
        grouping.resolve(FailureGroup.objects.get(), by="ada", now=now)

        fail(webhook, a_reply(500), at=now + HOUR)

        assert FailureGroup.objects.get().state == State.OPEN

    def test_lets_a_snoozed_group_sleep(self, webhook: Webhook, now: datetime) -> None:
        fail(webhook, a_reply(500), at=now)
        grouping.snooze(FailureGroup.objects.get(), until=now + 2 * HOUR, by="ada", now=now)

        fail(webhook, a_reply(500), at=now + HOUR)

        assert FailureGroup.objects.snoozed(now + HOUR).get().seen == 2
        assert not FailureGroup.objects.open(now + HOUR).exists()

    def test_is_of_the_transaction_of_the_failures(
        self, webhook: Webhook, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*args: object, **kwargs: object) -> None:
            raise OperationalError

        monkeypatch.setattr("deliveries.models.failure_group.FailureGroupQuerySet.see", away)

        with pytest.raises(OperationalError):
            fail(webhook, a_reply(500), at=now)
        assert not Failure.objects.exists()
        assert Delivery.objects.get().status == Delivery.Status.PENDING


class TestWaiting:
    def test_is_what_somebody_can_still_send_again(self, webhook: Webhook) -> None:
        first = builders.a_failed_delivery(webhook)
        builders.a_failed_delivery(webhook)
        delivered = builders.a_failed_delivery(webhook)
        Failure.objects.filter(delivery=delivered).update(status="delivered")
        other = builders.a_failed_delivery(webhook)
        Failure.objects.filter(delivery=other).update(reason="HTTP 503")
        builders.a_failure_group(first)

        assert waiting() == {"Connection timeout": 2}

    def test_ends_where_it_is_told_to(self, webhook: Webhook) -> None:
        deliveries = [builders.a_failed_delivery(webhook) for _ in range(3)]
        builders.a_failure_group(deliveries[0])

        assert FailureGroup.objects.with_waiting(most=2).get().waiting == 2


class TestStates:
    @pytest.fixture
    def group(self) -> FailureGroup:
        """A group that somebody is to look at."""
        return builders.a_failure_group()

    def test_of_a_group_are_who_wants_it(self, group: FailureGroup, now: datetime) -> None:
        assert FailureGroup.objects.open(now).get() == group
        grouping.snooze(group, until=now + HOUR, by="ada", now=now)
        assert FailureGroup.objects.snoozed(now).get() == group
        assert not FailureGroup.objects.open(now).exists()
        assert FailureGroup.objects.open(now + HOUR).get() == group
        assert group.state_at(now) == State.SNOOZED
        assert group.state_at(now + HOUR) == State.OPEN
        grouping.resolve(group, by="ada", now=now)
        assert FailureGroup.objects.resolved().get() == group
        assert not FailureGroup.objects.open(now + HOUR).exists()
        grouping.reopen(group, by="ada", now=now)
        assert FailureGroup.objects.open(now).get() == group

    @pytest.mark.parametrize("settle", [grouping.resolve, grouping.snooze])
    def test_are_of_what_somebody_saw(self, group: FailureGroup, now: datetime, settle: Any) -> None:
        FailureGroup.objects.update(seen=3)
        until = {"until": now + HOUR} if settle is grouping.snooze else {}

        with pytest.raises(grouping.SeenMore, match="Meanwhile 2 more failed like this"):
            settle(group, by="ada", now=now, seen=1, **until)

        with pytest.raises(grouping.SeenMore, match="Meanwhile 3 more failed like this"):
            settle(group, by="ada", now=now, seen=0, **until)
        assert FailureGroup.objects.get().state == State.OPEN
        assert not AuditEntry.objects.filter(action__startswith="failures.").exists()
        assert settle(group, by="ada", now=now, seen=3, **until).state != State.OPEN

    def test_say_who_chose_them_and_when(self, group: FailureGroup, now: datetime) -> None:
        grouping.resolve(group, by="ada", now=now)

        assert (group.settled_by, group.settled_at) == ("ada", now)

    def test_keep_as_much_of_a_long_name_as_there_is_room_for(
        self, group: FailureGroup, now: datetime
    ) -> None:
        grouping.resolve(group, by="x" * 400, now=now)

        assert FailureGroup.objects.get().settled_by == "x" * 300

    def test_do_not_change_where_that_cannot_be_noted(
        self, group: FailureGroup, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*args: object, **kwargs: object) -> None:
            raise OperationalError

        monkeypatch.setattr(auditing, "note", away)

        with pytest.raises(OperationalError):
            grouping.resolve(group, by="ada", now=now)
        assert FailureGroup.objects.get().state == State.OPEN

    def test_are_audited(self, group: FailureGroup, now: datetime) -> None:
        grouping.snooze(group, until=now + HOUR, by="ada", now=now)
        grouping.resolve(group, by="ada", now=now)
        grouping.reopen(group, by="ada", now=now)

        entries = AuditEntry.objects.filter(subject_id=group.pk).order_by("pk")
        assert [entry.action for entry in entries] == [
            "failures.snoozed",
            "failures.resolved",
            "failures.reopened",
        ]
        assert entries[0].details == {
            "webhook": str(group.webhook_id),
            "reason": "Connection timeout",
            "until": (now + HOUR).isoformat(),
        }
        assert {entry.account_id for entry in entries} == {group.account_id}

    def test_are_resolved_with_their_webhook(self, group: FailureGroup, now: datetime) -> None:
        webhooks.delete(group.webhook, by="ada", now=now)

        assert (FailureGroup.objects.resolved().get().settled_by, group.webhook.name) == (
            "ada",
            "CRM call events",
        )

    def test_are_no_sleep_that_is_over(self, group: FailureGroup, now: datetime) -> None:
        with pytest.raises(ValueError, match="in the future"):
            grouping.snooze(group, until=now, by="ada", now=now)

        assert group.state == State.OPEN


class TestMigration:
    @pytest.fixture
    def found(self) -> None:
        """What the migration makes of the failures that are there."""
        module = import_module("deliveries.migrations._failure_groups")
        for webhook in (builders.a_webhook(), builders.a_webhook()):
            for _ in range(2):
                builders.a_failed_delivery(webhook)
        done = builders.a_failed_delivery().failure
        type(done).objects.filter(pk=done.pk).update(status="delivered", reason="")
        with connection.schema_editor() as editor:
            module.find(apps, editor)

    def test_passes_over_what_has_no_webhook_any_more(self) -> None:
        failure = builders.a_failed_delivery().failure
        type(failure).objects.filter(pk=failure.pk).update(webhook_id=new_id())

        assert FailureGroup.objects.complete() == 0

    def test_passes_over_what_has_no_reason(self) -> None:
        builders.a_failed_delivery()
        Failure.objects.update(reason="")

        assert FailureGroup.objects.complete() == 0

    @pytest.mark.django_db(transaction=True)
    def test_makes_a_group_of_what_waits(self, found: None) -> None:
        assert list(FailureGroup.objects.values_list("seen", "reason")) == [(2, "Connection timeout")] * 2
        assert waiting() == {"Connection timeout": 2}

    def test_is_made_up_for_later_where_a_version_before_wrote_more(self) -> None:
        deliveries = [builders.a_failed_delivery() for _ in range(3)]
        builders.a_failure_group(deliveries[0], seen=7)

        assert FailureGroup.objects.complete() == 2
        assert FailureGroup.objects.complete() == 0
        assert sorted(FailureGroup.objects.values_list("seen", flat=True)) == [1, 1, 7]
