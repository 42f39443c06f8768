import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deliveries.api.logs import entries
from deliveries.models import Account, Delivery, Webhook, WebhookHealth, databases
from deliveries.reasons import Reason
from tests import builders

KEYS = [
    "id",
    "webhook_id",
    "event",
    "attempt",
    "status",
    "http_status",
    "error",
    "request_payload",
    "response_body",
    "response_headers",
    "duration_ms",
    "delivered_at",
    "created_at",
]


@pytest.fixture
def webhook(account: Account) -> Webhook:
    """A webhook of an agent."""
    return builders.a_webhook(agent=builders.an_agent(account))


@pytest.fixture
def path(webhook: Webhook) -> str:
    """The path of the webhook's logs."""
    return f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}/logs"


def logs(api: Client, path: str, query: str = "") -> Any:
    """Return the logs a query lists."""
    response = api.get(f"{path}{query}")
    assert response.status_code == 200, response.content
    return response.json()["data"]


def finished(webhook: Webhook, status: Delivery.Status, **changes: Any) -> Delivery:
    """Return a delivery with nothing outstanding."""
    return builders.a_delivery(
        webhook,
        **{
            "status": status,
            "attempts_made": 1,
            "due_at": None,
            "scheduled_at": None,
            "next_attempt_id": None,
            "finished_at": builders.NOW,
            **changes,
        },
    )


class TestLog:
    def test_tells_of_a_success(self, api: Client, webhook: Webhook, path: str, now: datetime) -> None:
        delivery = finished(webhook, Delivery.Status.SUCCEEDED)
        attempt = builders.an_attempt(
            delivery,
            http_status=200,
            started_at=now + timedelta(milliseconds=900),
            duration=timedelta(microseconds=142_999),
        )

        (log,) = logs(api, path)

        assert list(log.items()) == [
            ("id", str(attempt.pk)),
            ("webhook_id", str(webhook.pk)),
            ("event", "call.ended"),
            ("attempt", 1),
            ("status", "success"),
            ("http_status", 200),
            ("error", None),
            ("request_payload", {"call_id": "call-uuid", "duration": 45}),
            ("response_body", '{"received":true}'),
            ("response_headers", {"content-type": "application/json"}),
            ("duration_ms", 142),
            ("delivered_at", "2026-03-15T10:00:01Z"),
            ("created_at", "2026-03-15T10:00:00Z"),
        ]

    def test_tells_of_an_answer_that_was_no_success(self, api: Client, webhook: Webhook, path: str) -> None:
        builders.a_failed_delivery(webhook)

        (log,) = logs(api, path)

        assert list(log) == KEYS
        assert (log["status"], log["http_status"], log["error"]) == (
            "failed",
            500,
            "Internal Server Error",
        )
        assert log["delivered_at"] is None

    @pytest.mark.parametrize(
        ("http_status", "text"),
        [(302, "Found"), (404, "Not Found"), (503, "Service Unavailable"), (599, "HTTP 599")],
    )
    def test_calls_an_answer_by_its_standard_name(
        self, api: Client, webhook: Webhook, path: str, http_status: int, text: str
    ) -> None:
        builders.an_attempt(finished(webhook, Delivery.Status.FAILED), http_status=http_status)

        (log,) = logs(api, path)

        assert (log["http_status"], log["error"]) == (http_status, text)

    def test_tells_of_no_answer_at_all(self, api: Client, webhook: Webhook, path: str) -> None:
        delivery = finished(webhook, Delivery.Status.FAILED)
        builders.an_attempt(
            delivery,
            http_status=None,
            reason_code=Reason.CONNECTION_TIMEOUT,
            response_body=None,
            response_headers=None,
        )

        (log,) = logs(api, path)

        assert list(log) == KEYS
        assert (log["http_status"], log["error"]) == (None, "Connection timeout")
        assert (log["response_body"], log["response_headers"]) == (None, None)

    def test_tells_of_an_attempt_in_the_queue(
        self, api: Client, webhook: Webhook, path: str, now: datetime
    ) -> None:
        delivery = builders.a_delivery(
            webhook, attempts_made=2, scheduled_at=now + timedelta(minutes=5), due_at=now + timedelta(hours=1)
        )

        (log,) = logs(api, path)

        assert list(log) == KEYS
        assert log == {
            **dict.fromkeys(KEYS),
            "id": str(delivery.next_attempt_id),
            "webhook_id": str(webhook.pk),
            "event": "call.ended",
            "attempt": 3,
            "status": "pending",
            "request_payload": {"call_id": "call-uuid", "duration": 45},
            "created_at": "2026-03-15T10:05:00Z",
        }

    @pytest.mark.parametrize("status", Delivery.UNFINISHED)
    def test_is_retrying_while_its_successor_is_outstanding(
        self, api: Client, webhook: Webhook, path: str, status: Delivery.Status
    ) -> None:
        delivery = builders.a_delivery(webhook, status=status, attempts_made=2)
        for number in (1, 2):
            builders.an_attempt(delivery, number=number)

        found = {log["attempt"]: log["status"] for log in logs(api, path)}

        assert found == {1: "failed", 2: "retrying", 3: "pending"}

    def test_is_not_retrying_when_a_person_sends_it_again(
        self, api: Client, webhook: Webhook, path: str
    ) -> None:
        delivery = builders.a_delivery(webhook, attempts_made=1, round=2)
        builders.an_attempt(delivery, round=1)

        found = {log["attempt"]: log["status"] for log in logs(api, path)}

        assert found == {1: "failed", 2: "pending"}

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b"", ""),
            ("gr\u00fc\u00df".encode(), "gr\u00fc\u00df"),
            (b"\xff\x00ok", "\ufffd\ufffdok"),
            (b"half \xe2\x82", "half \ufffd"),
        ],
    )
    def test_makes_a_body_text(
        self, api: Client, webhook: Webhook, path: str, body: bytes, text: str
    ) -> None:
        delivery = finished(webhook, Delivery.Status.SUCCEEDED)
        builders.an_attempt(delivery, http_status=204, response_body=body)

        assert logs(api, path)[0]["response_body"] == text


class TestOrder:
    def test_mixes_what_was_made_and_what_is_queued(
        self, api: Client, webhook: Webhook, path: str, now: datetime
    ) -> None:
        """Newest first by the moment of queueing, and at one moment by id."""
        expected: list[UUID | None] = []
        for minute in range(3):
            moment = now + timedelta(minutes=minute)
            done = finished(webhook, Delivery.Status.SUCCEEDED)
            expected.append(builders.an_attempt(done, http_status=200, created_at=moment).pk)
            expected.append(builders.a_delivery(webhook, scheduled_at=moment).next_attempt_id)
            held = builders.a_delivery(webhook, scheduled_at=moment, status=Delivery.Status.HELD)
            expected.append(held.next_attempt_id)

        whole = [log["id"] for log in logs(api, path)]
        pages = [[log["id"] for log in logs(api, path, f"?per_page=2&page={page}")] for page in range(1, 6)]

        assert whole == [str(pk) for pk in reversed(expected)]
        assert sum(pages, []) == whole

    def test_keeps_its_place_when_the_result_comes(
        self, api: Client, webhook: Webhook, path: str, now: datetime
    ) -> None:
        deliveries = [builders.a_delivery(webhook, scheduled_at=now) for _ in range(3)]
        before = [log["id"] for log in logs(api, path)]

        middle = deliveries[1]
        builders.an_attempt(middle, id=middle.next_attempt_id, http_status=200, created_at=now)
        Delivery.objects.filter(pk=middle.pk).finish(Delivery.Status.SUCCEEDED, now=now)

        after = logs(api, path)
        assert [log["id"] for log in after] == before
        assert [log["status"] for log in after] == ["pending", "success", "pending"]

    def test_leaves_out_what_was_cancelled(
        self, api: Client, webhook: Webhook, path: str, now: datetime
    ) -> None:
        builders.a_delivery(webhook)
        Delivery.objects.cancel(now=now)

        assert logs(api, path) == []

    def test_leaves_out_other_webhooks(self, api: Client, webhook: Webhook, path: str) -> None:
        other = builders.a_webhook(agent=webhook.agent)
        builders.a_failed_delivery(other)
        builders.a_delivery(other)

        assert logs(api, path) == []


class TestPages:
    def some_logs(self, webhook: Webhook, count: int) -> None:
        """Make logs of every kind."""
        for number in range(count):
            kind = number % 3
            if kind == 0:
                builders.a_delivery(webhook)
            elif kind == 1:
                builders.a_failed_delivery(webhook)
            else:
                delivery = finished(webhook, Delivery.Status.SUCCEEDED)
                builders.an_attempt(delivery, http_status=200)

    def test_says_where_it_stands(self, api: Client, webhook: Webhook, path: str) -> None:
        self.some_logs(webhook, 27)

        first = api.get(path).json()
        second = api.get(f"{path}/?page=2").json()

        assert list(first) == ["success", "data", "pagination"]
        assert list(first["pagination"].items()) == [
            ("current_page", 1),
            ("per_page", 25),
            ("total", 27),
            ("last_page", 2),
        ]
        assert (len(first["data"]), len(second["data"])) == (25, 2)

    def test_has_a_last_page_even_when_there_is_nothing(self, api: Client, path: str) -> None:
        assert api.get(path).json() == {
            "success": True,
            "data": [],
            "pagination": {"current_page": 1, "per_page": 25, "total": 0, "last_page": 1},
        }

    @pytest.mark.parametrize("page", [3, 10**30])
    def test_is_empty_past_the_last_page(self, api: Client, webhook: Webhook, path: str, page: int) -> None:
        self.some_logs(webhook, 2)

        answer = api.get(f"{path}?per_page=1&page={page}").json()

        assert answer["data"] == []
        assert answer["pagination"] == {"current_page": page, "per_page": 1, "total": 2, "last_page": 2}

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("per_page=0", ["per_page"]),
            ("per_page=101", ["per_page"]),
            ("per_page=", ["per_page"]),
            ("per_page=ten", ["per_page"]),
            ("per_page=%00", ["per_page"]),
            ("page=0", ["page"]),
            ("page=-1", ["page"]),
            ("page=1.0", ["page"]),
            ("page=%D9%A3", ["page"]),
            ("page=x&per_page=x", ["page", "per_page"]),
        ],
    )
    def test_refuses_bad_values(self, api: Client, path: str, query: str, fields: list[str]) -> None:
        response = api.get(f"{path}?{query}")

        assert response.status_code == 422
        answer = response.json()
        assert list(answer) == ["message", "errors"]
        assert answer["message"] == "The given data was invalid."
        assert list(answer["errors"]) == fields

    def test_counts_no_attempt_to_say_how_many_there_are(
        self, api: Client, webhook: Webhook, path: str
    ) -> None:
        """The recorder has counted them."""
        self.some_logs(webhook, 3)
        WebhookHealth.objects.filter(pk=webhook.pk).update(attempts_kept=2_000_000)

        answer = api.get(path).json()

        assert answer["pagination"]["total"] == 2_000_001

    def test_takes_the_last_of_a_repeated_parameter_and_ignores_others(
        self, api: Client, webhook: Webhook, path: str
    ) -> None:
        self.some_logs(webhook, 3)

        assert len(logs(api, path, "?per_page=x&limit=x&per_page=2")) == 2

    def test_costs_the_same_for_one_as_for_a_hundred(
        self, api: Client, webhook: Webhook, path: str, django_assert_num_queries: Any
    ) -> None:
        self.some_logs(webhook, 1)
        logs(api, path)  # notes the use of the key

        with django_assert_num_queries(8):
            logs(api, path)
        self.some_logs(webhook, 99)
        with django_assert_num_queries(8):
            assert len(logs(api, path, "?per_page=100")) == 100


class TestManyDays:
    """Of the days of attempts no more are looked into than a page needs."""

    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_are_pages_of_one_list(self, api: Client, webhook: Webhook, path: str, size: int) -> None:
        now = timezone.now()
        delivery = finished(webhook, Delivery.Status.SUCCEEDED)
        made = [
            builders.an_attempt(delivery, number=number + 1, created_at=now - number * timedelta(hours=11))
            for number in range(9)
        ]

        pages = [
            [log["id"] for log in logs(api, path, f"?per_page={size}&page={page}")]
            for page in range(1, 1 + -(-9 // size))
        ]

        assert sum(pages, []) == [str(attempt.pk) for attempt in made]

    @pytest.mark.postgresql
    def test_are_left_alone_when_the_last_ones_fill_the_page(self, webhook: Webhook, now: datetime) -> None:
        later = now + timedelta(days=40_000)
        databases.make_days(now=later - timedelta(days=8))
        databases.make_days(now=later)
        delivery = finished(webhook, Delivery.Status.SUCCEEDED)
        builders.an_attempt(delivery, created_at=later)
        places = entries.Places(webhook, now=later)

        def looked_into(most: int) -> set[str]:
            with CaptureQueriesContext(connection) as queries:
                assert places[0:most]
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {queries[-1]['sql']}")
                plan = "\n".join(line for (line,) in cursor.fetchall())
            return set(re.findall(r"deliveries_attempt_\w+", plan))

        eight_days_ago = f"deliveries_attempt_{later - timedelta(days=8):%Y_%m_%d}"
        assert not any(name.startswith(eight_days_ago) for name in looked_into(1))
        assert any(name.startswith(eight_days_ago) for name in looked_into(2))


class TestLogOfAnAttemptRecordedMeanwhile:
    def test_is_there_once_however_the_rows_are_read(self, webhook: Webhook, now: datetime) -> None:
        """Between finding the places and loading what stands there, a worker may finish."""
        delivery = builders.a_delivery(webhook)
        places = entries.Places(webhook, now=now)[0:25]
        builders.an_attempt(delivery, id=delivery.next_attempt_id, created_at=now)
        Delivery.objects.schedule_retries({delivery.pk: timedelta(minutes=5)}, now=now)

        (log,) = entries.load(places)

        assert (log.id, log.status, log.number) == (delivery.next_attempt_id, "retrying", 1)

    def test_is_gone_when_the_delivery_was_cancelled(self, webhook: Webhook, now: datetime) -> None:
        builders.a_delivery(webhook)
        places = entries.Places(webhook, now=now)[0:25]
        Delivery.objects.cancel(now=now)

        assert entries.load(places) == []
