from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from deliveries.models import Account, AuditEntry, Delivery, EventType, Webhook
from deliveries.reasons import Reason
from tests import builders
from tests.api.conftest import AtOnce, ClientWith

PATH = "/api/v1/deliveries"
UNKNOWN = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"


@pytest.fixture
def webhook(account: Account) -> Webhook:
    """A webhook of the account."""
    return builders.a_webhook(account)


def ids(api: Client, query: str = "") -> list[str]:
    """Return the ids on the first page."""
    response = api.get(f"{PATH}?{query}")
    assert response.status_code == 200, response.content
    return [each["id"] for each in response.json()["results"]]


class TestList:
    def test_shows_the_newest_first(self, api: Client, webhook: Webhook, now: datetime) -> None:
        older = builders.a_delivery(webhook)
        newer = builders.a_delivery(webhook, created_at=now + timedelta(seconds=1))
        builders.a_delivery()

        answer = api.get(PATH).json()

        assert [each["id"] for each in answer["results"]] == [str(newer.pk), str(older.pk)]
        assert list(answer["results"][1].items()) == [
            ("id", str(older.pk)),
            ("event_id", str(older.event_id)),
            ("event", "call.ended"),
            ("webhook", {"id": str(webhook.pk), "name": "CRM call events"}),
            ("status", "pending"),
            ("attempts_made", 0),
            ("next_attempt_at", "2026-03-15T10:00:00.000000Z"),
            ("created_at", "2026-03-15T10:00:00.000000Z"),
            ("finished_at", None),
        ]
        assert api.get(f"{PATH}/{older.pk}/").json() == answer["results"][1]

    def test_is_filtered(self, api: Client, account: Account, webhook: Webhook, now: datetime) -> None:
        pending = str(builders.a_delivery(webhook).pk)
        failed = str(builders.a_failed_delivery(webhook).pk)
        message = builders.an_event(account, type="message.sent")
        of_message = str(builders.a_delivery(webhook, event=message).pk)
        elsewhere = str(builders.a_delivery(builders.a_webhook(account)).pk)
        later = str(builders.a_delivery(webhook, created_at=now + timedelta(hours=1)).pk)

        assert ids(api, "status=failed") == [failed]
        assert ids(api, f"webhook_id={webhook.pk}") == [later, of_message, failed, pending]
        assert ids(api, f"event_id={message.pk}") == [of_message]
        assert ids(api, "event=message.sent&status=pending") == [of_message]
        assert ids(api, "created_at[gte]=2026-03-15T10:00:01Z") == [later]
        assert ids(api, "created_at[lt]=2026-03-15T10:00:01Z&status=pending") == [
            elsewhere,
            of_message,
            pending,
        ]
        assert ids(api, f"webhook_id={builders.a_webhook().pk}") == []

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("status=inactive", ["status"]),
            ("status=FAILED", ["status"]),
            ("status=", ["status"]),
            (
                "webhook_id=1&event_id=x&event=%20&page_size=x",
                ["webhook_id", "event_id", "event", "page_size"],
            ),
            ("agent_id=1", ["agent_id"]),
        ],
    )
    def test_refuses_bad_values(self, api: Client, query: str, fields: list[str]) -> None:
        response = api.get(f"{PATH}?{query}")

        assert response.status_code == 422
        assert list(response.json()["errors"]) == fields

    def test_costs_the_same_for_one_as_for_a_hundred(
        self, api: Client, account: Account, django_assert_num_queries: Any
    ) -> None:
        builders.a_delivery(builders.a_webhook(account))
        api.get(PATH)  # notes the use of the key

        with django_assert_num_queries(2):
            api.get(PATH)
        for _ in range(100):
            builders.a_delivery(builders.a_webhook(account))
        with django_assert_num_queries(2):
            assert len(api.get(PATH).json()["results"]) == 100


class TestAttempts:
    def test_are_listed_the_last_one_first(self, api: Client, webhook: Webhook, now: datetime) -> None:
        delivery = builders.a_delivery(webhook)
        failed = builders.an_attempt(delivery)
        arrived = builders.an_attempt(
            delivery, number=2, http_status=204, created_at=now + timedelta(seconds=5)
        )
        builders.an_attempt(builders.a_delivery(webhook))

        results = api.get(f"{PATH}/{delivery.pk}/attempts").json()["results"]

        assert [each["id"] for each in results] == [str(arrived.pk), str(failed.pk)]
        assert list(results[1].items()) == [
            ("id", str(failed.pk)),
            ("delivery_id", str(delivery.pk)),
            ("number", 1),
            ("status", "failed"),
            ("http_status", 500),
            ("reason_code", "http_status"),
            ("reason", "HTTP 500"),
            ("http_method", "POST"),
            ("url", builders.URL),
            ("created_at", "2026-03-15T10:00:00.000000Z"),
            ("started_at", "2026-03-15T10:00:00.000000Z"),
            ("duration_ms", 142),
        ]
        assert [results[0][name] for name in ("status", "reason_code", "reason")] == ["succeeded", None, None]

    def test_show_all_there_is_one_by_one(self, api: Client, webhook: Webhook) -> None:
        delivery = builders.a_delivery(webhook)
        attempt = builders.an_attempt(
            delivery, request_headers={"Authorization": "***"}, response_body=b"caf\xe9\x00"
        )

        path = f"{PATH}/{delivery.pk}/attempts"
        answer = api.get(f"{path}/{attempt.pk}/").json()

        (listed,) = api.get(path).json()["results"]
        assert answer == {
            **listed,
            "request_headers": {"Authorization": "***"},
            "response_headers": {"content-type": "application/json"},
            "response_body": "caf\ufffd\ufffd",
        }

    def test_show_what_there_is_when_nothing_came_back(self, api: Client, webhook: Webhook) -> None:
        delivery = builders.a_delivery(webhook)
        attempt = builders.an_attempt(
            delivery,
            http_status=None,
            reason_code=Reason.CONNECTION_TIMEOUT,
            response_headers=None,
            response_body=None,
        )

        answer = api.get(f"{PATH}/{delivery.pk}/attempts/{attempt.pk}").json()

        assert (answer["http_status"], answer["reason"]) == (None, "Connection timeout")
        assert (answer["response_headers"], answer["response_body"]) == (None, None)

    def test_are_found_below_their_own_delivery_only(self, api: Client, webhook: Webhook) -> None:
        attempt = builders.an_attempt(builders.a_delivery(webhook))
        other = builders.a_delivery(webhook)

        assert api.get(f"{PATH}/{other.pk}/attempts/{attempt.pk}").status_code == 404

    def test_can_be_paged(self, api: Client, webhook: Webhook, now: datetime) -> None:
        delivery = builders.a_delivery(webhook)
        for number in range(1, 4):
            builders.an_attempt(delivery, number=number, created_at=now + timedelta(seconds=number))

        first = api.get(f"{PATH}/{delivery.pk}/attempts?page_size=2").json()
        second = api.get(first["next"]).json()

        assert [each["number"] for each in first["results"] + second["results"]] == [3, 2, 1]

    def test_cost_the_same_for_one_as_for_a_hundred(
        self, api: Client, webhook: Webhook, django_assert_num_queries: Any
    ) -> None:
        delivery = builders.a_delivery(webhook)
        builders.an_attempt(delivery)
        path = f"{PATH}/{delivery.pk}/attempts"
        api.get(path)  # notes the use of the key

        with django_assert_num_queries(4):
            api.get(path)
        for number in range(2, 102):
            builders.an_attempt(delivery, number=number)
        with django_assert_num_queries(4) as queries:
            assert len(api.get(path).json()["results"]) == 100
        assert not any("response_body" in query["sql"] for query in queries.captured_queries)


class TestRetry:
    def test_queues_one_attempt(self, api: Client, webhook: Webhook) -> None:
        delivery = builders.a_failed_delivery(webhook)

        response = api.post(f"{PATH}/{delivery.pk}/retry")

        assert response.status_code == 202
        assert response.headers["Location"] == f"{PATH}/{delivery.pk}"
        queued = response.json()
        assert (queued["status"], queued["attempts_made"], queued["finished_at"]) == ("pending", 1, None)
        assert queued == api.get(response.headers["Location"]).json()
        delivery.refresh_from_db()
        assert (delivery.round, delivery.retries_left) == (2, 0)
        assert AuditEntry.objects.get(action=AuditEntry.Action.DELIVERIES_REDELIVERED).by.startswith(
            "API key"
        )

    @pytest.mark.parametrize("status", [Delivery.Status.PENDING, Delivery.Status.HELD])
    def test_is_refused_for_what_has_not_failed(
        self, api: Client, webhook: Webhook, status: Delivery.Status
    ) -> None:
        response = api.post(f"{PATH}/{builders.a_delivery(webhook, status=status).pk}/retry")

        assert response.status_code == 409
        assert response.json()["code"] == "not_redeliverable"
        assert response.headers["Content-Type"] == "application/problem+json"

    def test_is_refused_for_a_disabled_webhook(self, api: Client, webhook: Webhook) -> None:
        delivery = builders.a_failed_delivery(webhook)
        Webhook.objects.update(enabled=False)

        assert api.post(f"{PATH}/{delivery.pk}/retry").status_code == 409

    def test_does_not_read_a_body(self, api: Client, webhook: Webhook) -> None:
        delivery = builders.a_failed_delivery(webhook)

        assert api.post(f"{PATH}/{delivery.pk}/retry/", "{", content_type="text/plain").status_code == 202


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestRetryByTwo:
    def test_is_granted_to_one(self, api: Client, webhook: Webhook, at_once: AtOnce) -> None:
        delivery = builders.a_failed_delivery(webhook)

        answers = at_once(delivery, lambda: api.post(f"{PATH}/{delivery.pk}/retry"))

        assert sorted(answer.status_code for answer in answers) == [202, 409]


class TestEventTypes:
    def test_are_all_there(self, api: Client) -> None:
        answer = api.get("/api/v1/event_types/").json()

        assert list(answer) == ["results", "next", "previous"]
        assert answer["results"] == list(EventType.objects.order_by("code").values("code", "label"))
        assert {"code": "event_user_connected", "label": "User connected"} in answer["results"]

    def test_know_no_parameters(self, api: Client) -> None:
        assert api.get("/api/v1/event_types?code=call.ended").status_code == 422


class TestWhoami:
    def test_tells_any_key_what_it_is(self, client_with: ClientWith, account: Account) -> None:
        answer = client_with().get("/api/v1/whoami").json()

        key = account.api_keys.get()
        assert list(answer["account"].items()) == [
            ("id", str(account.pk)),
            ("name", "Harbour Calls"),
            ("open_event_types", False),
        ]
        assert list(answer["key"].items()) == [
            ("id", str(key.pk)),
            ("name", "test"),
            ("prefix", key.prefix),
            ("scopes", []),
            ("created_at", "2026-03-15T10:00:00.000000Z"),
            ("expires_at", None),
            ("last_used_at", key.last_used_at and key.last_used_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
        ]
        assert answer["limits"] == {
            "read": {"limit": 1200, "window_seconds": 60, "remaining": 1199},
            "publish": {"limit": 120_000, "window_seconds": 60, "remaining": 120_000},
            "manage": {"limit": 600, "window_seconds": 60, "remaining": 600},
            "test": {"limit": 10, "window_seconds": 60, "remaining": 10},
        }
        assert key.digest not in str(answer)

    def test_asks_for_a_key(self, db: None, client: Client) -> None:
        assert client.get("/api/v1/whoami").status_code == 401
