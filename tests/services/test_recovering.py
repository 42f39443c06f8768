import logging
import math
import random
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from deliveries.identifiers import new_id, new_id_at
from deliveries.models import Account, AuditEntry, Delivery, Event, Failure, Recovery, Webhook
from deliveries.services import recovering, redelivery, webhooks
from deliveries.services.recovering import AHEAD, Selection
from tests import builders
from tests.builders import NOW

pytestmark = pytest.mark.django_db

CALLS = Selection(event_type="call.ended")
LATER = NOW + timedelta(hours=1)
SLICE = timedelta(seconds=0.1)


def some_failures(webhook: Webhook, count: int) -> list[Delivery]:
    """Return failed deliveries, a second apart, the oldest first."""
    return [
        builders.a_failed_delivery(webhook, created_at=NOW + timedelta(seconds=number))
        for number in range(count)
    ]


def create(account: Account, *, selection: Selection = CALLS, **changes: Any) -> Recovery:
    """Return a recovery made after all that the builders make."""
    return recovering.create(
        **{"account": account, "selection": selection, "by": "a test", "now": LATER, **changes}
    )


def run(recovery: Recovery, *, at: datetime = LATER) -> Recovery:
    """Advance a recovery from a moment on until it does not go on, and return it as it is then."""
    for number in range(10_000):
        if not recovering.advance(recovery, now=at + number * SLICE):
            break
    recovery.refresh_from_db()
    return recovery


def queued() -> list[Delivery]:
    """Return the deliveries that are in the queue, in the order they are due."""
    return list(Delivery.objects.filter(status=Delivery.Status.PENDING).order_by("due_at"))


class TestAskedForTwice:
    def test_is_one_also_where_there_is_room_for_no_more(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovering, "MAX_UNFINISHED", 1)
        some_failures(builders.a_webhook(account), 1)
        pk = new_id()

        assert create(account, pk=pk) == create(account, pk=pk) == Recovery.objects.get(pk=pk)
        assert AuditEntry.objects.filter(action="recovery.created").count() == 1

    def test_is_another_where_that_selects_something_else(self, account: Account) -> None:
        pk = new_id()

        other = create(account, pk=pk, selection=Selection(event_type="message.sent"))

        assert other.pk == pk
        assert create(account, pk=pk) != other

    def test_is_another_where_the_id_is_of_another_account(self, account: Account) -> None:
        pk = new_id()

        other = create(builders.an_account(), pk=pk)

        assert create(account, pk=pk) != other


class TestPreview:
    @pytest.mark.parametrize(
        "part",
        [
            {"event_type": "message.sent"},
            {"reason_code": "dns_failed"},
            {"failed_from": NOW + timedelta(seconds=5)},
            {"failed_before": NOW},
            {"failed_from": NOW - timedelta(days=2), "failed_before": NOW - timedelta(days=1)},
            {"reason": "HTTP 503"},
            {"reason_code": "http_status", "reason": "HTTP 503"},
        ],
        ids=lambda part: "+".join(part),
    )
    def test_counts_what_every_part_selects(self, part: dict[str, Any], account: Account) -> None:
        webhook = builders.a_webhook(account)
        builders.a_failed_delivery(webhook)
        wanted = builders.a_failed_delivery(
            webhook, event=builders.an_event(account, type=part.get("event_type", "call.ended"))
        )
        Failure.objects.filter(delivery=wanted).update(
            reason_code=part.get("reason_code", "http_status"),
            reason=part.get("reason", "HTTP 500"),
            created_at=part.get("failed_from", NOW),
        )
        if "failed_before" in part:
            Failure.objects.filter(delivery=wanted).update(
                created_at=part["failed_before"] - timedelta(microseconds=1)
            )

        preview = recovering.preview(account=account, selection=Selection(**part))

        assert [failure.delivery for failure in preview.sample] == [wanted]
        assert (preview.count, preview.excluded) == (1, 0)

    def test_counts_what_was_made_in_a_stretch_of_time(self, account: Account) -> None:
        webhook = builders.a_webhook(account)
        old, wanted, new = (
            builders.a_failed_delivery(webhook, id=new_id_at(NOW + timedelta(hours=hours)))
            for hours in (0, 1, 2)
        )
        selection = Selection(made_from=NOW + timedelta(hours=1), made_before=NOW + timedelta(hours=2))

        preview = recovering.preview(account=account, selection=selection)

        assert [failure.delivery for failure in preview.sample] == [wanted]
        assert {old, new}.isdisjoint(failure.delivery for failure in preview.sample)

    def test_counts_what_all_the_parts_select(self, account: Account) -> None:
        webhook, other = builders.a_webhook(account), builders.a_webhook(account)
        builders.a_failed_delivery(webhook)
        builders.a_failed_delivery(other)
        both = Selection(webhook_id=webhook.pk, event_type="call.ended")
        neither = Selection(webhook_id=webhook.pk, event_type="message.sent")

        assert recovering.preview(account=account, selection=both).count == 1
        assert recovering.preview(account=account, selection=neither).count == 0

    def test_selects_nothing_where_nothing_is_given(self, account: Account) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        assert Selection().empty
        assert recovering.preview(account=account, selection=Selection()).count == 0
        assert create(account, selection=Selection()).total == 0

    @pytest.mark.parametrize(
        "selection",
        [
            Selection(webhook_id=UUID(int=1)),
            Selection(event_type="call.begun"),
            Selection(failed_from=NOW, failed_before=NOW),
            Selection(failed_from=LATER, failed_before=NOW),
        ],
        ids=["unknown webhook", "unknown event", "no time", "negative time"],
    )
    def test_selects_nothing_by_what_is_not_there(self, selection: Selection, account: Account) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        assert recovering.preview(account=account, selection=selection).count == 0

    def test_selects_nothing_of_another_account(self, account: Account) -> None:
        stranger = builders.a_failed_delivery()
        selections = [CALLS, Selection(webhook_id=stranger.webhook_id)]

        for selection in selections:
            preview = recovering.preview(account=account, selection=selection)
            assert (preview.count, preview.sample, preview.excluded) == (0, [], 0)

    @pytest.mark.parametrize("status", ["pending", "delivered"])
    def test_leaves_out_what_needs_nobody(self, status: str, account: Account) -> None:
        delivery = builders.a_failed_delivery(builders.a_webhook(account))
        Failure.objects.filter(delivery=delivery).update(status=status)

        preview = recovering.preview(account=account, selection=CALLS)

        assert (preview.count, preview.excluded) == (0, 0)

    def test_says_how_many_cannot_be_sent(self, account: Account) -> None:
        sendable, disabled, deleted = (builders.a_webhook(account) for _ in range(3))
        for webhook in (sendable, disabled, deleted):
            builders.a_failed_delivery(webhook)
        webhooks.disable(disabled.pk, reason="Maintenance.", by="a test", now=NOW)
        webhooks.delete(deleted, by="a test", now=NOW)

        preview = recovering.preview(account=account, selection=CALLS)

        assert (preview.count, preview.excluded) == (1, 2)
        assert [failure.webhook_id for failure in preview.sample] == [sendable.pk]
        # The one definition of what can be sent again says the same.
        assert redelivery.redeliverable(Delivery.objects.all()).count() == 1

    def test_shows_the_ten_oldest(self, account: Account) -> None:
        made = some_failures(builders.a_webhook(account), 12)

        sample = recovering.preview(account=account, selection=CALLS).sample

        assert [failure.delivery for failure in sample] == made[:10]

    def test_changes_nothing(self, account: Account) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        recovering.preview(account=account, selection=CALLS)

        assert not Recovery.objects.exists()
        assert not queued()


class TestCreate:
    def test_writes_down_what_is_to_be_done(self, account: Account, doorbell_rings: list[str]) -> None:
        webhook = builders.a_webhook(account)
        first, second = some_failures(webhook, 2)
        selection = Selection(
            webhook_id=webhook.pk,
            event_type="call.ended",
            reason_code="connection_timeout",
            reason="Connection timeout",
            failed_from=NOW,
            failed_before=LATER,
            made_from=NOW - timedelta(days=1),
            made_before=LATER + timedelta(days=36_500),
        )

        recovery = create(account, selection=selection, rate=7, why="It was down.")

        recovery.refresh_from_db()
        assert Selection.of(recovery) == selection
        assert (recovery.status, recovery.rate, recovery.total, recovery.queued) == ("running", 7, 2, 0)
        assert (recovery.by, recovery.why, recovery.created_at) == ("a test", "It was down.", LATER)
        assert recovery.sample == [first.failure.pk, second.failure.pk]
        assert not queued()
        assert not doorbell_rings

    def test_notes_the_act(self, account: Account) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))
        AuditEntry.objects.all().delete()

        recovery = create(account, why="It was down.")

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.subject_id) == ("recovery.created", str(recovery.pk))
        assert (entry.by, entry.why, entry.account) == ("a test", "It was down.", account)
        assert entry.details == {"total": 1, "rate": 50}

    @pytest.mark.parametrize("ahead", [-5, 0, 5], ids=["behind", "at once", "ahead"])
    def test_covers_what_the_preview_showed_whatever_the_clock_of_who_recorded_it(
        self, ahead: int, account: Account
    ) -> None:
        made = some_failures(builders.a_webhook(account), 3)
        skewed = LATER + timedelta(seconds=ahead)
        Failure.objects.filter(delivery=made[1]).update(updated_at=skewed)

        previewed = recovering.preview(account=account, selection=CALLS).count
        recovery = create(account)

        assert recovery.total == previewed == 3
        assert recovery.covers_until == max(skewed, LATER)
        assert (run(recovery).queued, recovery.skipped) == (3, 0)

    def test_does_not_cover_longer_for_what_it_does_not_select(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 1)
        disabled = builders.a_failed_delivery(builders.a_webhook(account))
        Webhook.objects.filter(pk=disabled.webhook_id).update(enabled=False)
        Failure.objects.filter(delivery=disabled).update(updated_at=LATER + SLICE)

        assert create(account).covers_until == LATER

    def test_refuses_more_than_can_be_looked_after(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 1)
        for status in ("running", "paused") * 5:
            builders.a_recovery(account, status=status)
        builders.a_recovery(account, status="completed", finished_at=NOW)
        builders.a_recovery(status="running")

        with pytest.raises(recovering.TooMany, match="10 unfinished recoveries.*cancel one"):
            create(account)
        assert Recovery.objects.filter(account=account).count() == 11
        assert not AuditEntry.objects.filter(action="recovery.created").exists()

        recovering.cancel(Recovery.objects.filter(account=account)[0], by="a person", now=LATER)
        assert create(account).status == "running"

    def test_is_done_at_once_when_there_is_nothing_to_do(self, account: Account) -> None:
        recovery = create(account)

        assert (recovery.status, recovery.finished_at, recovery.total) == ("completed", LATER, 0)

    def test_keeps_as_much_of_a_long_name_as_there_is_room_for(self, account: Account) -> None:
        assert create(account, by="n" * 400).by == "n" * 300


class TestAdvance:
    def test_queues_what_may_leave_soon_each_in_its_moment(self, account: Account) -> None:
        made = some_failures(builders.a_webhook(account), 20)
        recovery = create(account, rate=50)

        assert recovering.advance(recovery, now=LATER)

        assert queued() == made[:15]
        assert [delivery.due_at for delivery in queued()] == [
            LATER + timedelta(seconds=number / 50) for number in range(15)
        ]
        recovery.refresh_from_db()
        assert (recovery.queued, recovery.next_slot_at) == (15, LATER + AHEAD)

    def test_gives_each_one_attempt_and_no_retries(self, account: Account) -> None:
        (delivery,) = some_failures(builders.a_webhook(account), 1)
        recovery = create(account)

        recovering.advance(recovery, now=LATER)

        delivery.refresh_from_db()
        assert (delivery.status, delivery.round, delivery.retries_left) == ("pending", 2, 0)
        failure = Failure.objects.get()
        assert (failure.status, failure.reason, failure.reason_code) == ("pending", "", "")
        assert (failure.recovery, failure.updated_at) == (recovery, LATER)

    def test_queues_no_more_before_its_time(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 30)
        recovery = create(account, rate=50)

        counts = []
        for moment in (LATER, LATER, LATER + SLICE / 100, LATER + SLICE):
            recovering.advance(recovery, now=moment)
            counts.append(len(queued()))

        assert counts == [15, 15, 16, 20]

    def test_does_not_catch_up_after_a_stop(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 40)
        recovery = create(account, rate=50)
        recovering.advance(recovery, now=LATER)

        recovering.advance(recovery, now=LATER + timedelta(minutes=5))

        assert len(queued()) == 30
        assert {delivery.due_at for delivery in queued()[15:]} == {
            LATER + timedelta(minutes=5, seconds=number / 50) for number in range(15)
        }

    @pytest.mark.parametrize("rate", [1, 50])
    def test_goes_on_after_a_worker_whose_clock_is_an_hour_ahead(self, rate: int, account: Account) -> None:
        some_failures(builders.a_webhook(account), 40)
        recovery = create(account, rate=rate)
        recovering.advance(recovery, now=LATER + timedelta(hours=1))
        before = len(queued())

        assert recovering.advance(recovery, now=LATER + SLICE)

        assert len(queued()) == before + math.ceil(AHEAD.total_seconds() * rate)
        assert queued()[0].due_at == LATER + SLICE
        run(recovery, at=LATER + 2 * SLICE)
        assert (recovery.status, recovery.queued) == ("completed", 40)

    @pytest.mark.parametrize("rate", [1, 50])
    def test_keeps_its_distance_where_a_clock_is_a_second_behind(self, rate: int, account: Account) -> None:
        some_failures(builders.a_webhook(account), 40)
        recovery = create(account, rate=rate)
        recovering.advance(recovery, now=LATER)
        before = len(queued())

        recovering.advance(recovery, now=LATER - timedelta(seconds=1))

        assert len(queued()) == before

    @pytest.mark.parametrize("rate", [1, 7, 50, 1000])
    def test_keeps_its_distance_however_it_is_called(self, rate: int, account: Account) -> None:
        some_failures(builders.a_webhook(account), 30)
        recovery, moment, chance = create(account, rate=rate), LATER, random.Random(rate)

        while recovering.advance(recovery, now=moment):
            moment += timedelta(seconds=chance.uniform(0, 0.5))

        moments = [delivery.due_at for delivery in queued() if delivery.due_at]
        assert len(moments) == 30
        least = min(after - before for before, after in zip(moments, moments[1:], strict=False))
        assert least >= timedelta(seconds=1 / rate, microseconds=-1)

    def test_takes_no_more_at_once_than_a_statement_can(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovering, "BATCH", 2)
        some_failures(builders.a_webhook(account), 5)
        recovery = create(account, rate=1000)

        recovering.advance(recovery, now=LATER)

        assert len(queued()) == 2
        assert run(recovery).queued == 5

    def test_is_complete_when_the_last_has_had_its_moment(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 3)
        recovery = create(account, rate=20)

        assert recovering.advance(recovery, now=LATER)
        assert recovering.advance(recovery, now=LATER + SLICE)
        assert not recovering.advance(recovery, now=LATER + 2 * SLICE)

        recovery.refresh_from_db()
        assert (recovery.status, recovery.finished_at) == ("completed", LATER + 2 * SLICE)
        assert (recovery.queued, recovery.skipped, recovery.total) == (3, 0, 3)

    def test_skips_what_was_sent_by_somebody_else_meanwhile(self, account: Account) -> None:
        succeeded, pending, failed_again, left = some_failures(builders.a_webhook(account), 4)
        recovery = create(account, rate=1)
        moment = LATER + timedelta(seconds=1)
        for delivery in (succeeded, pending, failed_again):
            redelivery.redeliver(delivery, by="a person", now=moment)
        Delivery.objects.filter(pk=succeeded.pk).finish(Delivery.Status.SUCCEEDED, now=moment)
        Failure.objects.mark_delivered({succeeded.pk: moment})
        Delivery.objects.filter(pk=failed_again.pk).finish(Delivery.Status.FAILED, now=moment)
        Failure.objects.filter(delivery=failed_again).update(status="inactive", updated_at=moment)

        run(recovery, at=moment)

        assert (recovery.status, recovery.queued, recovery.skipped) == ("completed", 1, 3)
        rounds = {delivery.pk: delivery.round for delivery in Delivery.objects.all()}
        assert rounds == {succeeded.pk: 2, pending.pk: 2, failed_again.pk: 2, left.pk: 2}
        assert Failure.objects.get(recovery=recovery).delivery == left

    def test_sends_nothing_twice_that_fails_again(self, account: Account) -> None:
        made = some_failures(builders.a_webhook(account), 3)
        recovery = create(account, rate=10)

        for number in range(10):
            recovering.advance(recovery, now=LATER + number * SLICE)
            # A clock that is behind, as another machine's may be.
            pending = [delivery.pk for delivery in queued()]
            Delivery.objects.filter(pk__in=pending).finish(Delivery.Status.FAILED, now=NOW)
            Failure.objects.filter(delivery__in=pending).update(status="inactive", updated_at=NOW)

        assert [Delivery.objects.get(pk=delivery.pk).round for delivery in made] == [2, 2, 2]

    def test_takes_nothing_on_that_failed_only_after_it_was_made(self, account: Account) -> None:
        webhook = builders.a_webhook(account)
        some_failures(webhook, 1)
        recovery = create(account)
        late = builders.a_failed_delivery(webhook, created_at=NOW + timedelta(minutes=1))
        Failure.objects.filter(delivery=late).update(updated_at=LATER + SLICE)

        run(recovery, at=LATER + SLICE)

        assert Delivery.objects.get(pk=late.pk).status == "failed"

    def test_keeps_to_its_selection(self, account: Account) -> None:
        webhook, other = builders.a_webhook(account), builders.a_webhook(account)
        wanted, left = builders.a_failed_delivery(webhook), builders.a_failed_delivery(other)
        stranger = builders.a_failed_delivery()

        run(create(account, selection=Selection(webhook_id=webhook.pk)))

        assert queued() == [wanted]
        assert {Delivery.objects.get(pk=each.pk).status for each in (left, stranger)} == {"failed"}

    def test_keeps_to_the_stretch_of_time_it_was_made_of(self, account: Account) -> None:
        webhook = builders.a_webhook(account)
        _, wanted, _ = (
            builders.a_failed_delivery(webhook, id=new_id_at(NOW + timedelta(hours=hours)))
            for hours in (0, 1, 2)
        )
        start, end = NOW + timedelta(hours=1), NOW + timedelta(hours=2)

        recovery = run(create(account, selection=Selection(made_from=start, made_before=end)))

        assert queued() == [wanted]
        assert (recovery.total, recovery.queued, recovery.skipped) == (1, 1, 0)

    @pytest.mark.parametrize("how", ["disabled", "deleted"])
    def test_skips_webhooks_that_have_gone(self, how: str, account: Account) -> None:
        webhook, other = builders.a_webhook(account), builders.a_webhook(account)
        some_failures(webhook, 3)
        (left,) = some_failures(other, 1)
        recovery = create(account)
        if how == "disabled":
            webhooks.disable(webhook.pk, reason="Maintenance.", by="a test", now=LATER)
        else:
            webhooks.delete(webhook, by="a test", now=LATER)

        run(recovery)

        assert queued() == [left]
        assert (recovery.status, recovery.queued, recovery.skipped) == ("completed", 1, 3)

    def test_gives_no_moment_to_what_it_skips(self, account: Account) -> None:
        disabled, webhook = builders.a_webhook(account), builders.a_webhook(account)
        some_failures(disabled, 3)
        (left,) = some_failures(webhook, 1)
        recovery = create(account, rate=1)
        webhooks.disable(disabled.pk, reason="Maintenance.", by="a test", now=LATER)

        recovering.advance(recovery, now=LATER)

        assert queued() == [left]

    def test_leaves_to_somebody_else_what_they_are_just_sending(self, account: Account) -> None:
        webhook = builders.a_webhook(account)
        taken, left = some_failures(webhook, 2)
        recovery = create(account)
        found = [taken.failure, left.failure]
        redelivery.redeliver(taken, by="a person", now=LATER + SLICE)

        recovering._queue(recovery, found, first=LATER + 2 * SLICE, now=LATER + 2 * SLICE)

        assert Failure.objects.get(delivery=taken).recovery is None
        assert [delivery.due_at for delivery in queued()] == [LATER + SLICE, LATER + 2 * SLICE]
        recovery.refresh_from_db()
        assert recovery.queued == 1

    def test_leaves_out_webhooks_that_are_enabled_only_later(self, account: Account) -> None:
        webhook, disabled = builders.a_webhook(account), builders.a_webhook(account)
        some_failures(webhook, 1)
        some_failures(disabled, 2)
        webhooks.disable(disabled.pk, reason="Maintenance.", by="a test", now=NOW)
        recovery = create(account)
        webhooks.change(disabled, by="a test", now=LATER, enabled=True)

        run(recovery)

        assert (recovery.total, recovery.queued, recovery.skipped) == (1, 1, 0)

    def test_goes_on_when_failures_have_been_deleted(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 12)
        recovery = create(account, rate=10)
        recovering.advance(recovery, now=LATER)
        Event.objects.filter(deliveries__failure__id__in=recovery.sample).delete()

        run(recovery, at=LATER + SLICE)

        assert (recovery.status, recovery.queued, recovery.skipped) == ("completed", 5, 7)
        assert recovering.progress([recovery])[recovery.pk].outstanding == 2

    def test_passes_those_that_failed_at_one_moment_once_each(self, account: Account) -> None:
        webhook = builders.a_webhook(account)
        for _ in range(10):
            builders.a_failed_delivery(webhook)

        recovery = run(create(account, rate=10))

        assert (recovery.queued, recovery.skipped) == (10, 0)
        assert set(Delivery.objects.values_list("round", flat=True)) == {2}

    def test_does_a_slice_or_none_of_it(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        some_failures(builders.a_webhook(account), 3)
        recovery = create(account)

        def break_down(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError("The process ended here.")

        with monkeypatch.context() as patch:
            patch.setattr(Recovery, "save", break_down)
            assert not recovering.advance(recovery, now=LATER)
        assert not queued()

        assert run(recovery).queued == 3

    def test_is_not_kept_from_one_recovery_by_another(
        self, account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        good, bad = builders.a_webhook(account), builders.a_webhook(account)
        (wanted,) = some_failures(good, 1)
        some_failures(bad, 1)
        broken = create(account, selection=Selection(webhook_id=bad.pk))
        well = create(account, selection=Selection(webhook_id=good.pk))
        queue = redelivery.queue

        def queue_or_fail(*args: Any, recovery: Recovery, **kwargs: Any) -> int:
            if recovery == broken:
                raise RuntimeError("Broken.")
            return queue(*args, recovery=recovery, **kwargs)

        monkeypatch.setattr(redelivery, "queue", queue_or_fail)
        with caplog.at_level(logging.ERROR):
            assert [recovering.advance(each, now=LATER) for each in (broken, well)] == [False, True]

        assert queued() == [wanted]
        (record,) = caplog.records
        assert record.exc_info is not None
        assert vars(record)["recovery_id"] == broken.pk

    def test_asks_as_much_for_one_as_for_many(self, account: Account) -> None:
        webhook = builders.a_webhook(account)
        few, many = create_of(webhook, 1), create_of(webhook, 14)
        counts = []
        for recovery in (few, many):
            with CaptureQueriesContext(connection) as queries:
                recovering.advance(recovery, now=LATER)
            counts.append(len(queries))

        assert len(queued()) == 15
        assert counts[0] == counts[1] <= 9

    def test_writes_nothing_to_the_audit(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 3)
        recovery = create(account)
        before = AuditEntry.objects.count()

        run(recovery)

        assert AuditEntry.objects.count() == before


def create_of(webhook: Webhook, count: int) -> Recovery:
    """Return a recovery of failures of a type of their own."""
    event_type = f"type_{count}"
    for _ in range(count):
        builders.a_failed_delivery(webhook, event=builders.an_event(webhook.account, type=event_type))
    return create(webhook.account, selection=Selection(event_type=event_type))


ACTIONS: dict[Callable[..., Recovery], str] = {
    recovering.pause: "recovery.paused",
    recovering.resume: "recovery.resumed",
    recovering.cancel: "recovery.cancelled",
}


class TestSteering:
    def test_pauses_and_goes_on_where_it_was(self, account: Account) -> None:
        made = some_failures(builders.a_webhook(account), 6)
        recovery = create(account, rate=10)
        recovering.advance(recovery, now=LATER)

        recovering.pause(recovery, by="a person", now=LATER)
        assert not recovering.advance(recovery, now=LATER + timedelta(minutes=1))
        assert queued() == made[:3]
        recovering.resume(recovery, by="a person", now=LATER + timedelta(minutes=2))

        run(recovery, at=LATER + timedelta(minutes=2))
        assert queued() == made
        assert recovery.status == "completed"

    def test_ends_for_good_what_is_cancelled(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 6)
        recovery = create(account, rate=10)
        recovering.advance(recovery, now=LATER)

        recovering.cancel(recovery, by="a person", now=LATER + SLICE)

        assert (recovery.status, recovery.finished_at) == ("cancelled", LATER + SLICE)
        assert not recovering.advance(recovery, now=LATER + timedelta(minutes=1))
        assert len(queued()) == 3

    @pytest.mark.parametrize("act", ACTIONS, ids=ACTIONS.values())
    @pytest.mark.parametrize("status", Recovery.Status)
    def test_does_what_the_state_allows(
        self, act: Callable[..., Recovery], status: Recovery.Status, account: Account
    ) -> None:
        allowed = {
            "recovery.paused": {"running": "paused"},
            "recovery.resumed": {"paused": "running"},
            "recovery.cancelled": {"running": "cancelled", "paused": "cancelled"},
        }[ACTIONS[act]]
        unfinished = status in Recovery.UNFINISHED
        recovery = builders.a_recovery(account, status=status, finished_at=None if unfinished else NOW)

        if status in allowed:
            assert act(recovery, by="a person", now=LATER).status == allowed[status]
            entry = AuditEntry.objects.get()
            assert entry.action == ACTIONS[act]
            assert (entry.by, entry.subject_id, entry.account) == ("a person", str(recovery.pk), account)
        else:
            with pytest.raises(recovering.StateConflict, match=f"The recovery is {status}."):
                act(recovery, by="a person", now=LATER)
            assert not AuditEntry.objects.exists()
            assert Recovery.objects.get().status == status

    def test_goes_by_what_is_stored(self, account: Account) -> None:
        recovery = builders.a_recovery(account)
        recovering.cancel(Recovery.objects.get(), by="a person", now=LATER)

        with pytest.raises(recovering.StateConflict):
            recovering.pause(recovery, by="another", now=LATER)


class TestProgress:
    def test_counts_what_became_of_what_was_queued(
        self, account: Account, django_assert_num_queries: Any
    ) -> None:
        webhook = builders.a_webhook(account)
        first, second = builders.a_recovery(account), builders.a_recovery(account)
        for status, count in (("delivered", 3), ("inactive", 2), ("pending", 1)):
            for _ in range(count):
                failure = builders.a_failed_delivery(webhook).failure
                Failure.objects.filter(pk=failure.pk).update(status=status, recovery=first)

        with django_assert_num_queries(1):
            progress = recovering.progress([first, second])

        assert progress == {
            first.pk: recovering.Progress(delivered=3, failed=2, outstanding=1),
            second.pk: recovering.Progress(delivered=0, failed=0, outstanding=0),
        }


class TestTakeUp:
    def test_takes_on_what_nobody_keeps_going(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 20)
        recovery = create(account)

        (taken,) = recovering.take_up(but_for=[], now=LATER)

        assert taken == recovery
        assert recovering.advance(taken, now=LATER)
        assert taken.next_slot_at == LATER + AHEAD
        assert recovering.take_up(but_for=[], now=LATER + SLICE) == []
        assert recovering.take_up(but_for=[], now=LATER + AHEAD) == [recovery]
        assert recovering.take_up(but_for=[recovery.pk], now=LATER + AHEAD) == []

    @pytest.mark.parametrize("rate", [1, 1000])
    def test_leaves_the_slowest_to_who_keeps_it_going(self, rate: int, account: Account) -> None:
        some_failures(builders.a_webhook(account), 2)
        recovery = create(account, rate=rate)
        recovering.advance(recovery, now=LATER)

        behind = timedelta(seconds=-1)
        assert recovering.take_up(but_for=[], now=LATER + behind) == []

    def test_takes_on_what_a_clock_wrote_that_was_an_hour_ahead(self, account: Account) -> None:
        recovery = builders.a_recovery(account, next_slot_at=LATER + timedelta(hours=1))

        assert recovering.take_up(but_for=[], now=LATER) == [recovery]

    @pytest.mark.parametrize("status", ["paused", "completed", "cancelled"])
    def test_leaves_what_does_not_run(self, status: str, account: Account) -> None:
        finished = {} if status == "paused" else {"finished_at": NOW}
        builders.a_recovery(account, status=status, next_slot_at=NOW, **finished)

        assert recovering.take_up(but_for=[], now=LATER) == []

    def test_leaves_it_to_one_of_two_who_take_it_on(self, account: Account) -> None:
        some_failures(builders.a_webhook(account), 20)
        create(account)
        (mine,), (theirs,) = (recovering.take_up(but_for=[], now=LATER) for _ in range(2))

        assert recovering.advance(theirs, now=LATER)
        assert not recovering.advance(mine, now=LATER + SLICE)
        assert recovering.advance(theirs, now=LATER + SLICE)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_many_keep_the_pace_of_one(self) -> None:
        webhook = builders.a_webhook()
        some_failures(webhook, 40)
        recovery = create(webhook.account, rate=50)

        in_threads(8, lambda: recovering.advance(recovery, now=LATER))

        recovery.refresh_from_db()
        assert len(queued()) == recovery.queued == 15
        assert len({delivery.due_at for delivery in queued()}) == 15

    @pytest.mark.postgresql
    def test_waits_for_nobody_who_is_at_it(self, within: Callable[[float], None]) -> None:
        webhook = builders.a_webhook()
        some_failures(webhook, 1)
        recovery = create(webhook.account)

        def advance() -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '9s'")
            return recovering.advance(recovery, now=LATER)

        with transaction.atomic():
            Recovery.objects.select_for_update().get()
            (advanced,) = in_threads(1, advance)

        assert not advanced
        assert not queued()
        within(8)  # less than a lock is waited for

    def test_of_two_for_the_last_place_one_is_made(self) -> None:
        webhook = builders.a_webhook()
        some_failures(webhook, 1)
        for _ in range(recovering.MAX_UNFINISHED - 1):
            builders.a_recovery(webhook.account)
        together = threading.Barrier(4)

        def try_to() -> bool:
            together.wait(10)
            try:
                create(webhook.account)
            except recovering.TooMany:
                return False
            return True

        assert sorted(in_threads(4, try_to)) == [False, False, False, True]
        assert Recovery.objects.count() == recovering.MAX_UNFINISHED

    @pytest.mark.postgresql
    def test_keeps_nobody_from_publishing_while_one_is_made(self) -> None:
        account = builders.an_account()

        with transaction.atomic():
            create(account)
            (event,) = in_threads(1, lambda: builders.an_event(account))

        assert Event.objects.get() == event

    @pytest.mark.parametrize("act", [recovering.pause, recovering.cancel], ids=["pause", "cancel"])
    def test_of_two_acts_one_is_done(self, act: Callable[..., Recovery]) -> None:
        recovery = builders.a_recovery()
        together = threading.Barrier(2)

        def try_to() -> bool:
            mine = Recovery.objects.get(pk=recovery.pk)
            together.wait(10)
            try:
                act(mine, by="a person", now=LATER)
            except recovering.StateConflict:
                return False
            return True

        assert sorted(in_threads(2, try_to)) == [False, True]
        assert AuditEntry.objects.filter(subject_id=str(recovery.pk)).count() == 1


def in_threads(count: int, do: Callable[[], Any]) -> list[Any]:
    """Do something in several threads at once, each with a connection of its own; return what it returned."""

    def do_and_close() -> Any:
        try:
            return do()
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return [done.result() for done in [pool.submit(do_and_close) for _ in range(count)]]


@pytest.mark.postgresql
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestFarAlong:
    def test_reads_only_what_is_ahead(self) -> None:
        webhook = builders.a_webhook()
        a_long_list_of_failures(webhook, 50_000)
        recovery = create(webhook.account)
        passed = Failure.objects.order_by("-created_at")[500]
        Recovery.objects.update(passed_created_at=passed.created_at, passed_failure_id=passed.pk)
        recovery.refresh_from_db()

        ahead = recovering._ahead(recovery).order_by("created_at", "pk")[:15]
        plan = ahead.explain(analyze=True, buffers=True, timing=False)

        assert "failures_needing_attention" in plan
        assert "Seq Scan on deliveries_failure" not in plan
        assert "Sort" not in plan
        removed = [int(line.split(":")[1]) for line in plan.splitlines() if "Rows Removed by" in line]
        assert sum(removed) <= 1
        began = datetime.now(tz=NOW.tzinfo)
        recovering.advance(recovery, now=LATER)
        assert datetime.now(tz=NOW.tzinfo) - began < timedelta(seconds=5)
        assert len(queued()) == 15


@pytest.mark.postgresql
class TestFullQueue:
    def test_is_read_by_no_slice_whatever_the_planner_knows_of_it(self, account: Account) -> None:
        webhook = builders.a_webhook(account)
        a_long_list_of_failures(webhook, 2000)
        builders.a_backlog(webhook, 2000)
        recovery = create(account, rate=50)

        with CaptureQueriesContext(connection) as queries:
            recovering.advance(recovery, now=LATER)

        (update,) = [each["sql"] for each in queries if each["sql"].startswith('UPDATE "deliveries_failure"')]
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {update}")
            plan = [line for (line,) in cursor.fetchall()]
        read = [int(count) for count in re.findall(r"actual rows=(\d+)", "\n".join(plan))]
        # A row changed twice in a transaction counts twice.
        assert sum(read) <= 100, plan
        assert Failure.objects.filter(recovery=recovery, status="pending").count() == 15


def a_long_list_of_failures(webhook: Webhook, size: int) -> None:
    """Make many failures, a millisecond apart, and have the planner know them; by SQL, which is faster."""
    with connection.cursor() as cursor:
        # In parts that no slow machine takes too long for.
        for first in range(1, size + 1, 5000):
            cursor.execute(
                """
            WITH events AS (
                INSERT INTO deliveries_event (id, account_id, type, body, occurred_at, created_at)
                SELECT gen_random_uuid(), %(account)s, 'call.ended', '{}', %(now)s, %(now)s
                  FROM generate_series(%(first)s, %(last)s)
                RETURNING id
            ), failed AS (
                INSERT INTO deliveries_delivery
                    (id, account_id, event_id, webhook_id, status, created_at, claims, round,
                     attempts_made, retries_left, finished_at)
                SELECT gen_random_uuid(), %(account)s, id, %(webhook)s, 'failed', %(now)s, 0, 1, 1, 0, %(now)s
                  FROM events
                RETURNING id
            )
            INSERT INTO deliveries_failure
                (id, account_id, delivery_id, status, reason, reason_code, webhook_id, webhook_name,
                 event_type, last_attempt_at, created_at, updated_at)
            SELECT substr(md5(id::text), 1, 24), %(account)s, id, 'inactive', 'HTTP 500', 'http_status',
                   %(webhook)s, 'CRM', 'call.ended', %(now)s,
                   %(now)s + (%(first)s + row_number() OVER ()) * interval '1 millisecond', %(now)s
              FROM failed
            """,
                {
                    "account": webhook.account_id,
                    "webhook": webhook.pk,
                    "now": NOW,
                    "first": first,
                    "last": min(first + 4999, size),
                },
            )
        for table in ("failure", "delivery", "webhook"):
            cursor.execute(f"ANALYZE deliveries_{table}")
