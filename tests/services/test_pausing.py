"""Pauses by an operator: what makes one, what ends one, and what goes on meanwhile."""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.identifiers import new_id
from deliveries.models import Account, AuditEntry, Delivery, Failure, Pause, Webhook, WebhookHealth
from deliveries.models.health import Tally
from deliveries.services import circuits, holding, pausing, redelivery, tending, webhooks
from tests import builders
from tests.waiting import wait_until

HOUR = timedelta(hours=1)


def pause(account: Account, *, now: datetime = builders.NOW, **changes: Any) -> Pause:
    """Pause an account, unless something else is named, for an hour."""
    wanted = {"until": now + HOUR, "why": "The receiver is being moved.", "by": "ada", **changes}
    return pausing.pause(account=account, now=now, **wanted)


class TestPause:
    def test_is_a_row_with_an_end_an_author_and_a_reason(self, account: Account, now: datetime) -> None:
        webhook = builders.a_webhook(account)

        made = pause(account, webhook_id=webhook.pk)

        assert made == Pause.objects.get()
        assert (made.account, made.webhook, made.event_type) == (account, webhook, "")
        assert (made.created_at, made.until) == (now, now + HOUR)
        assert (made.by, made.why) == ("ada", "The receiver is being moved.")
        assert made.in_force(now)

    def test_leaves_one_audit_row(self, account: Account, now: datetime) -> None:
        made = pause(account, event_type="call.ended")

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.account, entry.by) == ("pause.created", account, "ada")
        assert (entry.subject_id, entry.why) == (str(made.pk), "The receiver is being moved.")
        assert entry.details == {
            "webhook_id": None,
            "event_type": "call.ended",
            "until": "2026-03-15T11:00:00+00:00",
        }

    def test_takes_an_event_type_nobody_has_used(self, account: Account) -> None:
        assert pause(account, event_type="of.the.future").event_type == "of.the.future"

    def test_may_last_for_thirty_days(self, account: Account, now: datetime) -> None:
        assert pause(account, until=now + timedelta(days=30)).in_force(now + timedelta(days=29))

    def test_is_one_where_it_is_asked_for_twice(self, account: Account, now: datetime) -> None:
        pk, moment = new_id(), timedelta(milliseconds=20)

        made = pause(account, pk=pk)
        again = pause(account, pk=pk, now=now + moment)

        assert again == made == Pause.objects.get(pk=pk)
        assert AuditEntry.objects.count() == 1

    @pytest.mark.parametrize(
        "changes", [{"event_type": "call.ended"}, {"why": "Another."}, {"until": builders.NOW + 2 * HOUR}]
    )
    def test_is_another_where_that_is_asked_for(self, account: Account, changes: dict[str, Any]) -> None:
        pk = new_id()

        assert pause(account, pk=pk) != pause(account, pk=pk, **changes)

    def test_is_another_where_the_first_has_ended(self, account: Account, now: datetime) -> None:
        pk = new_id()
        pausing.resume(pause(account, pk=pk), by="ada", now=now)

        assert pause(account, pk=pk).in_force(now)

    def test_may_overlap_another(self, account: Account) -> None:
        pause(account)
        pause(account)

        assert Pause.objects.count() == 2

    @pytest.mark.parametrize(
        ("part", "value", "message"),
        [
            ("until", builders.NOW, "in the future"),
            ("until", builders.NOW - HOUR, "in the future"),
            ("until", builders.NOW + timedelta(days=30, microseconds=1), "within 30 days"),
            ("why", "", "Say why"),
            ("why", " \n", "Say why"),
            ("why", "w" * 501, "at most 500"),
            ("event_type", "Call ended", "not an event type"),
            ("event_type", "t" * 101, "not an event type"),
            ("event_type", "call.ended\n", "not an event type"),
            ("webhook_id", new_id(), "not a webhook of the account"),
        ],
        ids=lambda value: value if isinstance(value, str) and value.isidentifier() else "",
    )
    def test_refuses_bad_parts(self, account: Account, part: str, value: Any, message: str) -> None:
        with pytest.raises(pausing.InvalidPause) as refused:
            pause(account, **{part: value})

        ((field, (problem,)),) = refused.value.problems.items()
        assert field == part
        assert message in problem
        assert not Pause.objects.exists()
        assert not AuditEntry.objects.exists()

    def test_refuses_a_webhook_that_is_deleted_or_another_account_s(
        self, account: Account, now: datetime
    ) -> None:
        deleted, foreign = builders.a_webhook(account), builders.a_webhook()
        webhooks.delete(deleted, by="a test", now=now)

        for webhook in (deleted, foreign):
            with pytest.raises(pausing.InvalidPause, match="not a webhook of the account"):
                pause(account, webhook_id=webhook.pk)

    def test_is_of_one_thing(self, account: Account) -> None:
        with pytest.raises(pausing.InvalidPause, match="not of both"):
            pause(account, webhook_id=builders.a_webhook(account).pk, event_type="call.ended")


class TestResume:
    def test_ends_a_pause_and_says_who_did(self, account: Account, now: datetime) -> None:
        made, later = pause(account), now + timedelta(minutes=5)

        ended = pausing.resume(made, by="grace", now=later)

        assert ended == Pause.objects.get()
        assert (ended.ended_at, ended.ended_by) == (later, "grace")
        assert not ended.in_force(later)
        entry = AuditEntry.objects.get(action="pause.ended")
        assert (entry.by, entry.subject_id, entry.created_at) == ("grace", str(made.pk), later)

    def test_ends_nothing_twice(self, account: Account, now: datetime) -> None:
        made = pause(account)
        pausing.resume(made, by="grace", now=now)

        with pytest.raises(pausing.AlreadyEnded, match="was ended at 2026-03-15 10:00:00 UTC by grace"):
            pausing.resume(made, by="eve", now=now + HOUR / 2)

        assert Pause.objects.get().ended_by == "grace"
        assert AuditEntry.objects.filter(action="pause.ended").count() == 1

    def test_changes_nothing_of_a_row_that_has_ended(self, account: Account, now: datetime) -> None:
        made = pausing.resume(pause(account), by="grace", now=now)

        assert Pause.objects.filter(pk=made.pk).end(by="eve", at=now + HOUR) == 0

        assert Pause.objects.get().ended_by == "grace"

    def test_does_not_end_what_has_run_out(self, account: Account, now: datetime) -> None:
        made = pause(account)

        with pytest.raises(pausing.AlreadyEnded, match="ran out at 2026-03-15 11:00:00 UTC"):
            pausing.resume(made, by="grace", now=now + HOUR)

        assert Pause.objects.get().ended_at is None


class TestExpire:
    def test_ends_what_has_run_out(self, account: Account, now: datetime) -> None:
        over, lasting = pause(account), pause(account, until=now + 2 * HOUR)

        assert pausing.expire(now=now + HOUR) == 1

        over.refresh_from_db()
        lasting.refresh_from_db()
        assert (over.ended_at, over.ended_by) == (over.until, "The clock")
        assert lasting.ended_at is None
        entry = AuditEntry.objects.get(action="pause.ended")
        assert (entry.by, entry.subject_id, entry.created_at) == ("The clock", str(over.pk), now + HOUR)

    def test_leaves_what_was_ended_by_somebody(self, account: Account, now: datetime) -> None:
        pausing.resume(pause(account), by="grace", now=now)

        assert pausing.expire(now=now + HOUR) == 0
        assert Pause.objects.get().ended_by == "grace"

    def test_costs_one_query_when_there_is_nothing(
        self, account: Account, now: datetime, django_assert_num_queries: Any
    ) -> None:
        pause(account)

        with django_assert_num_queries(1):
            assert pausing.expire(now=now) == 0


def states() -> Counter[str]:
    return Counter(Delivery.objects.values_list("status", flat=True))


def go_on(now: datetime, *, seconds: int = 0) -> None:
    """Do what a dispatcher does by itself, second by second."""
    for second in range(seconds + 1):
        tending.tend(now=now + timedelta(seconds=second))


# What of a webhook and an event type a pause of the account may name.
SUBJECTS = ["webhook", "event type", "account"]
every_subject = pytest.mark.parametrize("of", SUBJECTS)


def pause_of(of: str, delivery: Delivery, **changes: Any) -> Pause:
    """Pause what a delivery goes to, what it is of, or all of its account."""
    if of == "webhook":
        changes["webhook_id"] = delivery.webhook_id
    elif of == "event type":
        changes["event_type"] = "call.ended"
    return pause(delivery.account, **changes)


@pytest.mark.django_db
class TestWhatWaits:
    @every_subject
    def test_is_held_at_once_and_claimed_no_more(self, of: str, now: datetime) -> None:
        paused, other = builders.a_delivery(), builders.a_delivery()

        pause_of(of, paused)

        paused.refresh_from_db()
        assert (paused.status, paused.due_at) == ("held", now)
        assert builders.claim(now + timedelta(minutes=59)) == [other]

    @every_subject
    def test_is_not_claimed_where_it_came_after_the_pause(self, of: str, now: datetime) -> None:
        pause_of(of, builders.a_delivery())
        builders.a_delivery(Webhook.objects.get(), due_at=now - HOUR)

        assert builders.claim(now) == []

    @every_subject
    def test_waits_for_its_retry_all_the_same(self, of: str, now: datetime) -> None:
        retried = builders.a_delivery(due_at=now + timedelta(minutes=5), attempts_made=1)

        made = pause_of(of, retried)
        assert builders.claim(now + timedelta(minutes=10)) == []
        pausing.resume(made, by="grace", now=now)
        go_on(now)

        retried.refresh_from_db()
        assert (retried.status, retried.due_at) == ("pending", now + timedelta(minutes=5))

    @every_subject
    def test_is_not_what_is_under_way(self, of: str, now: datetime) -> None:
        under_way = builders.a_claimed_delivery()

        pause_of(of, under_way)

        under_way.refresh_from_db()
        assert (under_way.status, under_way.lease_token is None) == ("pending", False)

    def test_of_other_types_goes_on(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook)
        other = builders.a_delivery(webhook, event=builders.an_event(webhook.account, type="message.sent"))

        pause(webhook.account, event_type="call.ended")

        assert builders.claim(now) == [other]
        assert states() == {"held": 1, "pending": 1}

    def test_of_the_same_type_elsewhere_goes_on(self, now: datetime) -> None:
        elsewhere = builders.a_delivery()

        pause(builders.an_account(), event_type="call.ended")

        assert builders.claim(now) == [elsewhere]

    @pytest.mark.parametrize("size", [4, 5, 9])
    @every_subject
    def test_is_held_by_one_statement_and_the_rest_by_and_by(
        self, of: str, size: int, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(holding, "BATCH", 4)
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, size)

        with CaptureQueriesContext(connection) as statements:
            pause_of(of, Delivery.objects.all()[0])

        updates = [each["sql"] for each in statements if each["sql"].startswith("UPDATE")]
        assert len(updates) == 1
        assert states() == Counter({"held": 4, "pending": size - 4})
        for _ in range(2):
            tending.sweep(now=now)
        assert states() == {"held": size}


@pytest.mark.django_db
class TestSweepOfTypes:
    def test_takes_from_so_many_queues_at_once(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pausing, "QUEUES", 2)
        monkeypatch.setattr(pausing, "AHEAD", 4)
        account = builders.an_account()
        for _ in range(3):
            builders.a_backlog(builders.a_webhook(account), 6)

        pause(account, event_type="call.ended")

        assert states() == {"held": 8, "pending": 10}
        sweeps = 0
        while tending.sweep(now=now):
            sweeps += 1
        assert states() == {"held": 18}
        assert 2 <= sweeps <= 4

    def test_leaves_the_claims_what_is_in_nobody_s_way(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        first = builders.an_event(webhook.account, type="message.sent")
        builders.a_delivery(webhook, event=first, due_at=now - timedelta(seconds=1))
        builders.a_delivery(webhook)

        pause(webhook.account, event_type="call.ended")

        assert not tending.sweep(now=now)
        assert states() == {"pending": 2}
        assert [delivery.event for delivery in builders.claim(now)] == [first]
        assert states() == {"pending": 1, "held": 1}

    @pytest.mark.postgresql
    @pytest.mark.parametrize("event_type", ["call.ended", "of.no.event"])
    def test_reads_no_further_than_it_may(
        self, event_type: str, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pausing, "AHEAD", 50)
        webhook = builders.a_webhook()
        # So many that reading all of them costs more than finding those taken by their ids, for any planner.
        builders.a_backlog(webhook, 10_000)
        analyze()
        builders.a_pause(webhook.account, event_type=event_type)

        with CaptureQueriesContext(connection) as queries:
            held = pausing.hold_types(now=now)

        assert held == (50 if event_type == "call.ended" else 0)
        for query in (each["sql"] for each in queries if each["sql"].startswith("SELECT")):
            reads_at_most(500, query)


@pytest.mark.django_db
class TestALongQueueOfAPausedType:
    @pytest.fixture
    def webhook(self, monkeypatch: pytest.MonkeyPatch) -> Webhook:
        """Everything held in front is of the paused type, and more than one look takes in."""
        monkeypatch.setattr(holding, "AHEAD", 4)
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 10, status=Delivery.Status.HELD)
        builders.a_pause(webhook.account, event_type="call.ended")
        return webhook

    @staticmethod
    def behind(webhook: Webhook, **changes: Any) -> Delivery:
        event = builders.an_event(webhook.account, type="message.sent")
        return builders.a_delivery(webhook, event=event, status=Delivery.Status.HELD, **changes)

    def test_hides_nothing_from_the_sweep(self, webhook: Webhook, now: datetime) -> None:
        other = self.behind(webhook)

        for _ in range(3):
            tending.sweep(now=now)
        go_on(now, seconds=9)

        assert Delivery.objects.get(status=Delivery.Status.PENDING) == other

    def test_hides_nothing_that_comes_late_and_in_front(self, webhook: Webhook, now: datetime) -> None:
        """Held late, like a retry, it stands before what was looked at."""
        for _ in range(2):
            tending.sweep(now=now)
        front = self.behind(webhook, pk=UUID(int=1))

        for _ in range(2):
            tending.sweep(now=now)
        go_on(now, seconds=9)

        assert Delivery.objects.get(status=Delivery.Status.PENDING) == front

    def test_has_no_circuit_move_back_and_forth(self, webhook: Webhook, now: datetime) -> None:
        for _ in range(5):
            tending.sweep(now=now)
            assert WebhookHealth.objects.get(webhook=webhook).circuit == WebhookHealth.Circuit.CLOSED

    def test_hides_nothing_from_the_ramp(self, webhook: Webhook, now: datetime) -> None:
        other = self.behind(webhook)
        WebhookHealth.objects.filter(webhook=webhook).update(
            circuit="recovering", circuit_since=now, next_step_at=now
        )

        go_on(now, seconds=9)

        assert Delivery.objects.get(status=Delivery.Status.PENDING) == other
        assert WebhookHealth.objects.get(webhook=webhook).circuit == WebhookHealth.Circuit.CLOSED

    def test_hides_nothing_from_a_probe(self, webhook: Webhook, now: datetime) -> None:
        other = self.behind(webhook)
        WebhookHealth.objects.filter(webhook=webhook).update(
            circuit="open", circuit_since=now, next_step_at=now
        )

        go_on(now, seconds=9)

        assert Delivery.objects.get(status=Delivery.Status.PENDING) == other

    def test_goes_from_the_first_on_when_the_pause_ends_under_a_ramp(
        self, webhook: Webhook, now: datetime
    ) -> None:
        first = Delivery.objects.earliest("pk")
        WebhookHealth.objects.filter(webhook=webhook).update(
            circuit="recovering", circuit_since=now, next_step_at=now
        )
        tending.tend(now=now)
        builders.a_pause(webhook.account, event_type="of.another")

        pausing.resume(Pause.objects.get(event_type="call.ended"), by="grace", now=now)
        go_on(now, seconds=9)

        first.refresh_from_db()
        assert first.status == "pending"

    def test_goes_from_the_first_on_when_a_probe_that_looked_far_is_answered(
        self, webhook: Webhook, now: datetime
    ) -> None:
        health = WebhookHealth.objects.filter(webhook=webhook)
        health.update(circuit="open", circuit_since=now, next_step_at=now)
        go_on(now, seconds=1)
        front = self.behind(webhook, pk=UUID(int=1))
        far = health.get()

        answered = Tally(succeeded=1, answered_at=now)
        circuits.follow(far, answered, recent=circuits.Recent(), now=now, jitter=random.Random(1))

        assert far.looked_up_to is not None
        assert Delivery.objects.get(status=Delivery.Status.PENDING) == front

    @pytest.mark.postgresql
    def test_is_not_read_to_see_whether_anything_is_held(self, now: datetime) -> None:
        """Of many webhooks, where one plan for all of them may look cheaper."""
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 20_000, status=Delivery.Status.HELD)
        for _ in range(200):
            builders.a_webhook(webhook.account)
        analyze()
        builders.a_pause(webhook.account, event_type="call.ended")

        with CaptureQueriesContext(connection) as queries:
            assert list(WebhookHealth.objects.holding_back(now)) == [webhook.health]

        (query,) = queries
        reads_at_most(2_000, query["sql"])

    @pytest.mark.postgresql
    @pytest.mark.parametrize("act", ["sweep", "resume", "ramp", "probe"])
    def test_is_read_no_further_than_it_may(
        self, act: str, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(holding, "AHEAD", 50)
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 10_000, status=Delivery.Status.HELD)
        analyze()
        builders.a_pause(webhook.account, event_type="call.ended")
        health = WebhookHealth.objects.filter(webhook=webhook)
        if act in ("ramp", "probe"):
            circuit = "recovering" if act == "ramp" else "open"
            health.update(circuit=circuit, circuit_since=now, next_step_at=now)
        acts: dict[str, Callable[[], object]] = {
            "sweep": lambda: tending.sweep(now=now),
            "resume": lambda: circuits.resume([webhook.pk], now=now),
        }

        with CaptureQueriesContext(connection) as queries:
            acts.get(act, lambda: tending.tend(now=now))()

        for query in (each["sql"] for each in queries if each["sql"].startswith("SELECT")):
            reads_at_most(500, query)


def analyze() -> None:
    """Tell the planner what there is."""
    with connection.cursor() as cursor:
        for table in ("delivery", "event", "webhook", "webhookhealth"):
            cursor.execute(f"ANALYZE deliveries_{table}")


def reads_at_most(most: int, query: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {query}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    read = re.findall(r"actual rows=(\d+)|Removed by [^:]*: (\d+)", plan)
    assert sum(int(rows or removed) for rows, removed in read) <= most, plan


@pytest.mark.django_db
class TestTheEnd:
    @pytest.mark.parametrize("by", ["a person", "the clock"])
    @every_subject
    def test_lets_go_on_the_ramp(self, of: str, by: str, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 25)
        made = pause_of(of, Delivery.objects.all()[0])
        assert states() == {"held": 25}
        end = made.until if by == "the clock" else now

        if by == "a person":
            pausing.resume(made, by="grace", now=now)
        go_on(end)

        assert states() == {"pending": 10, "held": 15}
        webhook.health.refresh_from_db()
        assert webhook.health.circuit == "recovering"
        go_on(end, seconds=5)
        assert states() == {"pending": 25}

    @pytest.mark.parametrize("first", SUBJECTS)
    @pytest.mark.parametrize("second", SUBJECTS)
    def test_lets_nothing_go_that_another_pause_covers(self, first: str, second: str, now: datetime) -> None:
        delivery = builders.a_delivery()
        ended, lasting = pause_of(first, delivery), pause_of(second, delivery, until=now + 2 * HOUR)

        pausing.resume(ended, by="grace", now=now)
        go_on(now, seconds=2)
        tending.sweep(now=now)

        assert states() == {"held": 1}
        assert builders.claim(now) == []
        pausing.resume(lasting, by="grace", now=now)
        go_on(now)
        assert builders.claim(now) == [delivery]

    def test_of_a_type_leaves_what_another_type_s_pause_covers(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        of_message = builders.an_event(webhook.account, type="message.sent")
        call, message = builders.a_delivery(webhook), builders.a_delivery(webhook, event=of_message)
        calls = pause(webhook.account, event_type="call.ended")
        pause(webhook.account, event_type="message.sent")

        pausing.resume(calls, by="grace", now=now)
        go_on(now, seconds=2)

        assert states() == {"pending": 1, "held": 1}
        assert builders.claim(now) == [call]
        message.refresh_from_db()
        assert message.status == "held"

    @every_subject
    def test_lets_nothing_go_to_a_disabled_webhook(self, of: str, now: datetime) -> None:
        delivery = builders.a_delivery()
        made = pause_of(of, delivery)
        webhooks.disable(delivery.webhook_id, reason="Maintenance.", by="a test", now=now)

        pausing.resume(made, by="grace", now=now)
        go_on(now, seconds=2)
        tending.sweep(now=now)

        assert states() == {"held": 1}

    @every_subject
    def test_lets_nothing_go_to_an_open_circuit(self, of: str, now: datetime) -> None:
        delivery = builders.a_delivery()
        made = pause_of(of, delivery)
        later = now + HOUR
        WebhookHealth.objects.update(circuit="open", circuit_since=now, next_step_at=later)

        pausing.resume(made, by="grace", now=now)
        go_on(now, seconds=2)
        tending.sweep(now=now)

        assert states() == {"held": 1}
        go_on(later)
        assert builders.claim(later) == [delivery]

    def test_of_a_webhook_that_was_deleted_meanwhile_harms_nothing(self, now: datetime) -> None:
        delivery = builders.a_delivery()
        made = pause_of("webhook", delivery)
        webhooks.delete(delivery.webhook, by="a test", now=now)

        pausing.resume(made, by="grace", now=now)
        go_on(now)

        assert states() == {"cancelled": 1}


@pytest.mark.django_db
class TestRedeliveryMeanwhile:
    @every_subject
    def test_is_queued_and_held_and_says_so(self, of: str, now: datetime) -> None:
        failed = builders.a_failed_delivery()
        made = pause_of(of, failed)

        sent_again = redelivery.redeliver(failed, by="ada", now=now)

        assert (sent_again.status, sent_again.round) == ("held", 2)
        assert Failure.objects.get().status == "pending"
        assert builders.claim(now) == []
        pausing.resume(made, by="grace", now=now)
        go_on(now)
        assert builders.claim(now) == [failed]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    @every_subject
    def test_nothing_is_claimed_from_the_commit_on(self, of: str, now: datetime) -> None:
        webhook = builders.a_webhook(max_in_flight=1000)
        builders.a_backlog(webhook, 600)
        stop = threading.Event()
        # How many claims gave something, by whether they had begun after the commit.
        gave: Counter[bool] = Counter()
        committed = threading.Event()

        def work() -> None:
            try:
                while not stop.is_set():
                    after = committed.is_set()
                    gave[after] += len(builders.claim(now, limit=3))
            finally:
                connection.close()

        with ThreadPoolExecutor(3) as pool:
            workers = [pool.submit(work) for _ in range(3)]
            wait_until(lambda: gave[False] >= 30, what="claims", timeout=20)
            pause_of(of, Delivery.objects.all()[0])
            committed.set()
            before = gave[False]
            # New ones come in meanwhile, as published by somebody who had not heard of it.
            builders.a_backlog(webhook, 30)
            time.sleep(0.5)  # nothing to wait for: nothing is to happen
            stop.set()
            for each in workers:
                each.result()

        assert before < 600
        assert gave[True] == 0

    def test_of_two_that_end_a_pause_one_succeeds(self, now: datetime) -> None:
        delivery = builders.a_delivery()
        made = pause_of("webhook", delivery)
        together = threading.Barrier(4)

        def end() -> bool:
            try:
                together.wait()
                pausing.resume(Pause.objects.get(pk=made.pk), by="grace", now=now)
            except pausing.AlreadyEnded:
                return False
            finally:
                connection.close()
            return True

        with ThreadPoolExecutor(4) as pool:
            ended = [each.result() for each in [pool.submit(end) for _ in range(4)]]

        assert sorted(ended) == [False, False, False, True]
        assert AuditEntry.objects.filter(action="pause.ended").count() == 1

    def test_what_has_run_out_is_ended_once_by_all_workers_together(self, now: datetime) -> None:
        for _ in range(3):
            pause_of("webhook", builders.a_delivery())
        together = threading.Barrier(4)

        def expire() -> int:
            try:
                together.wait()
                return pausing.expire(now=now + HOUR)
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            ended = [each.result() for each in [pool.submit(expire) for _ in range(4)]]

        assert AuditEntry.objects.filter(action="pause.ended").count() == 3
        assert sum(ended) == 3
