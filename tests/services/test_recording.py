from collections.abc import Container
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import (
    DatabaseError,
    DataError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
)

from deliveries.models import Attempt, Delivery, Failure, Webhook, WebhookHealth, databases
from deliveries.reasons import Reason
from deliveries.services import composing, recording, redelivery, webhooks
from deliveries.services.recording import Result
from deliveries.transport import Reply, TransportError
from tests import builders
from tests.services.fakes import Steady, a_reply, record_and_follow
from tests.somebody_else import holding, locking, waits

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
TIMEOUT = TransportError(Reason.CONNECTION_TIMEOUT)


def a_result(delivery: Delivery, outcome: Reply | TransportError, *, at: datetime = builders.NOW) -> Result:
    return Result(
        delivery=delivery,
        request=composing.compose(delivery, at=at),
        started_at=at,
        duration=timedelta(milliseconds=142),
        outcome=outcome,
    )


def record(*results: Result, now: datetime = builders.NOW) -> int:
    """Record, and return how many results changed nothing."""
    recorded = record_and_follow(results, now=now, jitter=Steady())
    assert recorded.left == []
    return recorded.fenced


def stored(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


def claim_again(delivery: Delivery, *, now: datetime) -> Delivery:
    return next(d for d in builders.claim(now) if d.pk == delivery.pk)


class TestSuccess:
    @pytest.mark.parametrize("http_status", [200, 201, 202, 204, 299])
    def test_is_any_2xx(self, http_status: int, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()

        assert record(a_result(delivery, a_reply(http_status))) == 0

        assert stored(delivery).status == Delivery.Status.SUCCEEDED
        assert not Failure.objects.exists()

    def test_is_logged_under_the_id_it_was_announced_with(self, now: datetime) -> None:
        webhook = builders.a_webhook(
            authorization_scheme="bearer",
            authorization_credential="canary",
            custom_headers={"X-Token": "canary"},
            secret="canary",
        )
        delivery = builders.a_claimed_delivery(webhook)
        announced = stored(delivery).next_attempt_id

        record(a_result(delivery, a_reply(200, content_type="application/json"), at=now + SECOND))

        attempt = Attempt.objects.get()
        assert attempt.pk == announced
        assert (attempt.number, attempt.round, attempt.succeeded, attempt.http_status) == (1, 1, True, 200)
        assert (attempt.created_at, attempt.started_at) == (now, now + SECOND)
        assert attempt.duration == timedelta(milliseconds=142)
        assert bytes(attempt.response_body or b"") == b'{"received":true}'
        assert attempt.response_headers == {"content-type": "application/json"}
        assert (attempt.url, attempt.http_method) == (webhook.url, "POST")
        assert attempt.request_headers["Authorization"] == attempt.request_headers["X-Token"] == "***"
        assert attempt.request_headers["webhook-id"] == str(delivery.event_id)
        assert "canary" not in str(attempt.request_headers)

    def test_keeps_no_secret_that_the_receiver_sends_back(self, now: datetime) -> None:
        webhook = builders.a_webhook(
            authorization_scheme="basic",
            authorization_credential="ada:canary-credential",
            custom_headers={"X-Token": "canary-token"},
        )
        delivery = builders.a_claimed_delivery(webhook)
        got = composing.compose(delivery, at=now).headers
        echo = Reply(http_status=200, headers=dict(got), body=str(got).encode())

        record(a_result(delivery, echo))

        attempt = Attempt.objects.get()
        for kept in (str(attempt.response_headers), bytes(attempt.response_body or b"").decode()):
            assert got["Authorization"] not in kept
            assert "canary" not in kept
            assert got["webhook-id"] in kept

    def test_resets_the_health(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        WebhookHealth.objects.update(consecutive_failures=5, failing_since=now)

        record(a_result(builders.a_claimed_delivery(webhook), a_reply()), now=now + SECOND)

        health = WebhookHealth.objects.get()
        assert (health.consecutive_failures, health.failing_since) == (0, None)
        assert health.last_success_at == now + SECOND


class TestFailedAttempt:
    @pytest.mark.parametrize("http_status", [100, 199, 300, 301, 302, 304, 400, 404, 500])
    def test_is_everything_else(self, http_status: int) -> None:
        delivery = builders.a_claimed_delivery()

        record(a_result(delivery, a_reply(http_status)))

        assert stored(delivery).status == Delivery.Status.PENDING
        assert Failure.objects.get().reason == f"HTTP {http_status}"

    def test_is_tried_again_by_the_schedule(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()

        record(a_result(delivery, a_reply(500)))

        after = stored(delivery)
        assert (after.due_at, after.retries_left, after.attempts_made) == (now + 5 * SECOND, 2, 1)
        assert after.lease_token is None
        failure = Failure.objects.get()
        assert (failure.status, failure.reason_code) == (Failure.Status.PENDING, Reason.HTTP_STATUS)
        assert (failure.webhook_id, failure.webhook_name) == (delivery.webhook_id, "CRM call events")
        assert failure.event_type == "call.ended"

    @pytest.mark.parametrize(
        "outcome", [a_reply(429), a_reply(503), TIMEOUT, TransportError(Reason.RESPONSE_TOO_SLOW)]
    )
    def test_gives_an_overloaded_receiver_a_minute(
        self, outcome: Reply | TransportError, now: datetime
    ) -> None:
        delivery = builders.a_claimed_delivery()

        record(a_result(delivery, outcome))

        assert stored(delivery).due_at == now + 60 * SECOND

    def test_waits_as_long_as_the_receiver_asks(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()

        record(a_result(delivery, a_reply(503, retry_after="600")))

        assert stored(delivery).due_at == now + 600 * SECOND

    def test_needs_a_person_once_the_retries_are_used_up(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery(builders.a_webhook(max_retries=1))
        record(a_result(delivery, a_reply(500)))
        later = now + 5 * SECOND
        again = claim_again(delivery, now=later)

        record(a_result(again, TIMEOUT, at=later), now=later)

        after = stored(delivery)
        assert (after.status, after.attempts_made, after.finished_at) == (Delivery.Status.FAILED, 2, later)
        failure = Failure.objects.get()
        ended = timedelta(milliseconds=142)
        assert (failure.status, failure.reason) == (Failure.Status.INACTIVE, "Connection timeout")
        assert (failure.created_at, failure.last_attempt_at) == (now + ended, later + ended)
        assert [attempt.number for attempt in Attempt.objects.order_by("number")] == [1, 2]

    def test_counts_in_the_total_of_the_logs(self, now: datetime) -> None:
        deliveries = [builders.a_claimed_delivery(builders.a_webhook()) for _ in range(2)]
        results = [
            a_result(delivery, outcome)
            for delivery, outcome in zip(deliveries, (a_reply(500), a_reply(200)), strict=True)
        ]
        record(*results)

        assert record(*results) == 2  # once more, which counts nothing

        assert [health.attempts_kept for health in WebhookHealth.objects.all()] == [1, 1]

    def test_counts_against_the_health(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        results = [a_result(builders.a_claimed_delivery(webhook), a_reply(500)) for _ in range(3)]

        record(*results, now=now + SECOND)

        health = WebhookHealth.objects.get()
        assert (health.consecutive_failures, health.failing_since) == (3, now + SECOND)

    def test_turns_delivered_when_a_later_attempt_arrives(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()
        record(a_result(delivery, a_reply(500)))
        later = now + 5 * SECOND

        record(a_result(claim_again(delivery, now=later), a_reply(200), at=later), now=later)

        assert Failure.objects.get().status == Failure.Status.DELIVERED


class TestGone:
    def test_turns_the_webhook_off_and_says_why(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        gone, waiting = builders.a_claimed_delivery(webhook), builders.a_delivery(webhook)

        record(a_result(gone, a_reply(410)))

        webhook.refresh_from_db()
        assert not webhook.enabled
        assert webhook.disabled_reason == "The receiver answered 410 Gone."
        assert stored(gone).status == Delivery.Status.FAILED
        assert stored(waiting).status == Delivery.Status.HELD
        assert Failure.objects.get().status == Failure.Status.INACTIVE

    def test_says_nothing_about_the_url_the_webhook_has_by_now(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        result = a_result(builders.a_claimed_delivery(webhook), a_reply(410))
        webhooks.change(webhook, by="a test", now=now, url="https://example.org/new")

        record(result)

        webhook.refresh_from_db()
        assert webhook.enabled


class TestRedelivery:
    def test_has_no_automatic_retries(self, now: datetime) -> None:
        delivery = builders.a_failed_delivery()
        redelivery.redeliver(delivery, by="a test", now=now)

        record(a_result(claim_again(delivery, now=now), a_reply(503)))

        after = stored(delivery)
        assert (after.status, after.attempts_made, after.round) == (Delivery.Status.FAILED, 2, 2)
        failure = Failure.objects.get()
        assert (failure.status, failure.reason) == (Failure.Status.INACTIVE, "HTTP 503")

    def test_takes_the_failure_off_the_list_when_it_arrives(self, now: datetime) -> None:
        delivery = builders.a_failed_delivery()
        redelivery.redeliver(delivery, by="a test", now=now)

        record(a_result(claim_again(delivery, now=now), a_reply()))

        assert Failure.objects.get().status == Failure.Status.DELIVERED


class TestOldClaim:
    """A worker that was paused past its lease wakes up with a result."""

    def test_changes_nothing_with_a_failure(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()
        later = now + timedelta(minutes=2)
        claim_again(delivery, now=later)
        before = Delivery.objects.filter(pk=delivery.pk).values().get()

        assert record(a_result(delivery, a_reply(500)), now=later) == 1

        assert Delivery.objects.filter(pk=delivery.pk).values().get() == before
        assert not Attempt.objects.exists()
        assert not Failure.objects.exists()

    def test_counts_with_a_success_as_long_as_the_round_is_open(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()
        later = now + timedelta(minutes=2)
        current = claim_again(delivery, now=later)
        record(a_result(current, a_reply(500)), now=later)
        announced = stored(delivery).next_attempt_id

        assert record(a_result(delivery, a_reply()), now=later) == 0

        assert stored(delivery).status == Delivery.Status.SUCCEEDED
        assert Attempt.objects.get(number=2).pk == announced
        assert Failure.objects.get().status == Failure.Status.DELIVERED

    def test_does_not_count_in_a_later_round(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery(builders.a_webhook(max_retries=0))
        later = now + timedelta(minutes=2)
        record(a_result(claim_again(delivery, now=later), a_reply(500)), now=later)
        redelivery.redeliver(stored(delivery), by="a test", now=later)

        assert record(a_result(delivery, a_reply()), now=later) == 1

        assert stored(delivery).status == Delivery.Status.PENDING

    @pytest.mark.parametrize("outcome", [a_reply(200), a_reply(500)])
    def test_changes_nothing_that_was_cancelled(self, outcome: Reply, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()
        webhooks.delete(delivery.webhook, by="a test", now=now)

        assert record(a_result(delivery, outcome)) == 1

        assert stored(delivery).status == Delivery.Status.CANCELLED

    def test_counts_once_when_both_results_come_together(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()
        later = now + timedelta(minutes=2)
        current = claim_again(delivery, now=later)

        assert record(a_result(current, a_reply(500)), a_result(delivery, a_reply()), now=later) == 1

        assert stored(delivery).status == Delivery.Status.SUCCEEDED
        assert Attempt.objects.count() == 1

    def test_is_of_no_account_when_the_delivery_is_gone(self) -> None:
        delivery = builders.a_claimed_delivery()
        result = a_result(delivery, a_reply())
        delivery.event.delete()

        assert record(result) == 1


def too_much() -> OperationalError:
    """Return what PostgreSQL says to a value beyond its limits, which the library takes for operational."""
    error = OperationalError()
    error.__cause__ = psycopg.errors.ProgramLimitExceeded()
    return error


class TestBadRow:
    @pytest.mark.parametrize("error", [DataError("NUL in a text"), too_much()], ids=["refused", "too much"])
    def test_costs_no_other_result_anything(
        self, monkeypatch: pytest.MonkeyPatch, error: DatabaseError
    ) -> None:
        webhook = builders.a_webhook(max_in_flight=100)
        builders.a_backlog(webhook, 100)
        results = [a_result(delivery, a_reply()) for delivery in builders.claim(builders.NOW)]
        poison = Reply(http_status=200, headers={"x-poison": "yes"}, body=b"poison")
        results[37] = a_result(results[37].delivery, poison)
        refuse_poison(monkeypatch, error)

        assert record(*results) == 0

        assert Delivery.objects.filter(status=Delivery.Status.SUCCEEDED).count() == 100
        assert Attempt.objects.filter(response_body=b'{"received":true}').count() == 99
        stripped = Attempt.objects.get(delivery=results[37].delivery)
        assert (stripped.http_status, stripped.response_headers, bytes(stripped.response_body or b"")) == (
            200,
            {},
            b"",
        )

    def test_that_can_not_even_be_stripped_is_dropped_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bad, good = builders.a_claimed_delivery(), builders.a_claimed_delivery()
        make = recording._attempt

        def fail_for_one(result: Result, row: Any) -> Any:
            if row.pk == bad.pk:
                raise ArithmeticError("a bug")
            return make(result, row)

        monkeypatch.setattr(recording, "_attempt", fail_for_one)

        record(a_result(bad, a_reply()), a_result(good, a_reply()))

        assert stored(good).status == Delivery.Status.SUCCEEDED
        assert stored(bad).lease_token is not None

    def test_does_not_hide_that_the_database_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*args: Any, **kwargs: Any) -> None:
            raise OperationalError

        delivery = builders.a_claimed_delivery()
        monkeypatch.setattr(databases, "write", away)

        with pytest.raises(OperationalError):
            record(a_result(delivery, a_reply()))

        assert stored(delivery).status == Delivery.Status.PENDING


class TestTrouble:
    """What keeps everything from being written says nothing about any one result."""

    @pytest.mark.parametrize("error", [OperationalError, ProgrammingError, InternalError, NotSupportedError])
    def test_leaves_all_results_as_they_are(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        error: type[DatabaseError],
        now: datetime,
    ) -> None:
        results = [a_result(builders.a_claimed_delivery(), a_reply()) for _ in range(4)]
        asked = failing(monkeypatch, {1, 2, 3, 4, 5, 6, 7, 8}, error())

        recorded = recording.record(results, now=now, jitter=Steady())

        assert (recorded.left, recorded.fenced, type(recorded.trouble)) == (results, 0, error)
        assert (asked, caplog.records) == ([1], [])

    def test_with_a_column_that_is_not_there_is_such(self, now: datetime) -> None:
        result = a_result(builders.a_claimed_delivery(), a_reply())
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE deliveries_attempt RENAME COLUMN error TO fault")

        recorded = recording.record([result], now=now, jitter=Steady())

        assert (recorded.left, type(recorded.trouble)) == (
            [result],
            ProgrammingError if connection.vendor == "postgresql" else OperationalError,
        )

    def test_keeps_nobody_from_knowing_what_was_written_before_it(
        self, monkeypatch: pytest.MonkeyPatch, now: datetime
    ) -> None:
        """The batch is refused, its first half is written, and then the database is away."""
        results = [a_result(builders.a_claimed_delivery(), a_reply(410)) for _ in range(4)]
        failing(monkeypatch, {1}, DataError())
        failing(monkeypatch, {3}, OperationalError())

        recorded = recording.record(results, now=now, jitter=Steady())

        assert (recorded.left, recorded.fenced) == (results[2:], 0)
        assert isinstance(recorded.trouble, OperationalError)
        written = {result.delivery.webhook_id for result in results[:2]}
        assert {news.health.pk for news in recorded.news if news.gone} == written

    def test_with_a_lock_drops_no_result_that_was_refused_before_it(
        self, monkeypatch: pytest.MonkeyPatch, now: datetime
    ) -> None:
        result = a_result(builders.a_claimed_delivery(), a_reply())
        failing(monkeypatch, {1}, DataError())
        failing(monkeypatch, {2}, locked())

        recorded = recording.record([result], now=now, jitter=Steady())

        assert (recorded.left, recorded.trouble) == ([result], None)


def locked() -> OperationalError:
    """Return what PostgreSQL says when a lock is not to be had in time."""
    error = OperationalError()
    error.__cause__ = psycopg.errors.LockNotAvailable()
    return error


def failing(monkeypatch: pytest.MonkeyPatch, times: Container[int], error: Exception) -> list[int]:
    """Have some of the tries to write a batch fail, by their number; return how many there were."""
    write, asked = recording._record, [0]

    def fail_at_times(*args: Any, **kwargs: Any) -> None:
        asked[0] += 1
        if asked[0] in times:
            raise error
        write(*args, **kwargs)

    monkeypatch.setattr(recording, "_record", fail_at_times)
    return asked


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("impatient")
class TestLock:
    """Nothing else of the process moves while its dispatcher waits, so it waits once, not for each."""

    def test_on_one_webhook_s_health_leaves_its_results_alone(self) -> None:
        busy, *others = (builders.a_webhook() for _ in range(16))
        for webhook in (busy, *others):
            builders.a_delivery(webhook)
        results = [a_result(delivery, a_reply()) for delivery in builders.claim(builders.NOW)]

        with holding(WebhookHealth.objects.get(pk=busy.pk)), waits() as waited:
            recorded = record_and_follow(results, now=builders.NOW, jitter=Steady())

        assert waited == [1]
        assert [result.delivery.webhook_id for result in recorded.left] == [busy.pk]
        assert (recorded.fenced, Attempt.objects.count()) == (0, 15)
        record(*recorded.left)
        assert Attempt.objects.count() == 16

    def test_on_a_table_leaves_all_of_them(self) -> None:
        builders.a_backlog(builders.a_webhook(max_in_flight=32), 32)
        results = [a_result(delivery, a_reply()) for delivery in builders.claim(builders.NOW)]

        with locking("deliveries_attempt"), waits() as waited:
            recorded = record_and_follow(results, now=builders.NOW, jitter=Steady())

        assert waited[0] <= 3
        assert (recorded.left, recorded.fenced, recorded.news) == (results, 0, [])
        record(*recorded.left)
        assert Delivery.objects.filter(status=Delivery.Status.SUCCEEDED).count() == 32


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestHeldRow:
    def test_is_left_for_later_and_keeps_nobody_waiting(self) -> None:
        held, free = builders.a_claimed_delivery(), builders.a_claimed_delivery()
        results = [a_result(held, a_reply()), a_result(free, a_reply())]

        with holding(held):
            recorded = record_and_follow(results, now=builders.NOW, jitter=Steady())

        assert (recorded.fenced, recorded.left) == (0, results[:1])
        assert stored(free).status == Delivery.Status.SUCCEEDED
        record(*recorded.left)
        assert stored(held).status == Delivery.Status.SUCCEEDED


def refuse_poison(monkeypatch: pytest.MonkeyPatch, error: DatabaseError) -> None:
    """Make the database refuse what one receiver sent."""
    write = databases.write

    def refuse(model: Any, columns: Any, rows: Any) -> None:
        if any({"x-poison": "yes"} in row for row in rows):
            raise error
        write(model, columns, rows)

    monkeypatch.setattr(databases, "write", refuse)


class TestRetrying:
    def test_ends_when_its_successor_ends(self, now: datetime) -> None:
        delivery = builders.a_claimed_delivery()
        record(a_result(delivery, a_reply(500)))
        first = Attempt.objects.get(number=1)
        assert first.retrying
        later = now + 5 * SECOND

        record(a_result(claim_again(delivery, now=later), a_reply(500), at=later), now=later)

        assert not Attempt.objects.get(number=1).retrying
        assert Attempt.objects.get(number=2).retrying

    def test_is_not_what_a_person_starts(self, now: datetime) -> None:
        delivery = builders.a_failed_delivery()

        redelivery.redeliver(delivery, by="a test", now=now)

        assert not Attempt.objects.get().retrying


def test_a_webhook_edited_meanwhile_does_not_matter(now: datetime) -> None:
    delivery = builders.a_claimed_delivery()
    result = a_result(delivery, a_reply(500))
    Webhook.objects.update(name="New name", url="https://example.org/new")

    record(result)

    assert Attempt.objects.get().url == builders.URL
