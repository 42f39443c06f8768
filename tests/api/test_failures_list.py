from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from deliveries.api.failures.serializers import STATUS_WORDS
from deliveries.models import Account, Failure
from tests import builders

PATH = "/api/v4/tasks/webhook_failures"


def listed(api: Client, query: str = "") -> Any:
    """Return what the list says to a query."""
    response = api.get(f"{PATH}{query}")
    assert response.status_code == 200, response.content
    return response.json()


def ids(api: Client, query: str = "") -> list[str]:
    """Return the ids the list says to a query."""
    return [failure["id"] for failure in listed(api, query)["webhook_failures"]]


def some_failures(account: Account, count: int, *, now: datetime) -> list[str]:
    """Return the ids of failures a minute apart, the newest first."""
    webhook = builders.a_webhook(account)
    moments = [now - timedelta(minutes=number) for number in range(count)]
    return [builders.a_failed_delivery(webhook, created_at=moment).failure.pk for moment in moments]


class TestList:
    def test_shows_a_failure_key_by_key(self, api: Client, account: Account, now: datetime) -> None:
        webhook = builders.a_webhook(account)
        delivery = builders.a_failed_delivery(webhook)
        Failure.objects.update(
            last_attempt_at=now + timedelta(minutes=32, seconds=14, microseconds=999_999),
            updated_at=now + timedelta(minutes=32, seconds=14),
        )

        answer = listed(api)

        assert list(answer) == ["webhook_failures", "metadata"]
        assert list(answer["webhook_failures"][0].items()) == [
            ("id", delivery.failure.pk),
            ("event", "call.ended"),
            ("status", "inactive"),
            ("reason", "Connection timeout"),
            ("webhook", {"id": str(webhook.pk), "name": "CRM call events"}),
            ("last_attempt_at", "2026-03-15T10:32:14Z"),
            ("created_at", "2026-03-15T10:00:00Z"),
            ("updated_at", "2026-03-15T10:32:14Z"),
        ]
        assert answer["metadata"] == {"total": 1}

    def test_holds_what_needs_attention_only(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(account)
        for status in (Failure.Status.PENDING, Failure.Status.DELIVERED):
            builders.a_failure(builders.a_delivery(webhook), status=status)

        assert listed(api) == {"webhook_failures": [], "metadata": {"total": 0}}

    def test_keeps_a_failure_whose_webhook_is_gone(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        webhook = builders.a_webhook(account)
        builders.a_failed_delivery(webhook)
        webhook.__class__.objects.update(enabled=False, deleted_at=now, name="Renamed")

        assert listed(api)["webhook_failures"][0]["webhook"]["name"] == "CRM call events"

    def test_begins_with_the_newest(self, api: Client, account: Account, now: datetime) -> None:
        newest_first = some_failures(account, 3, now=now)

        assert ids(api) == newest_first

    def test_orders_failures_of_one_moment_by_id(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(account)
        made = [builders.a_failed_delivery(webhook).failure.pk for _ in range(5)]

        pages = [ids(api, f"?limit=2&offset={offset}") for offset in (0, 2, 4)]

        assert sum(pages, []) == sorted(made, reverse=True)

    def test_hides_the_failures_of_other_accounts(self, stranger: Client, account: Account) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        assert listed(stranger) == {"webhook_failures": [], "metadata": {"total": 0}}

    @pytest.mark.parametrize("path", [PATH, f"{PATH}/"])
    def test_works_with_and_without_a_slash(self, api: Client, path: str) -> None:
        assert api.get(path).status_code == 200

    def test_costs_the_same_for_one_as_for_a_hundred(
        self, api: Client, account: Account, now: datetime, django_assert_num_queries: Any
    ) -> None:
        some_failures(account, 1, now=now)
        listed(api)  # notes the use of the key

        with django_assert_num_queries(3):
            listed(api)
        some_failures(account, 99, now=now)
        with django_assert_num_queries(3):
            assert len(ids(api)) == 100


class TestListPages:
    def test_returns_a_hundred_at_most(self, api: Client, account: Account, now: datetime) -> None:
        newest_first = some_failures(account, 101, now=now)

        for query in ("", "?limit=101", "?limit=1000"):
            assert ids(api, query) == newest_first[:100]
        assert listed(api)["metadata"] == {"total": 101}

    def test_returns_nothing_but_the_total_for_a_limit_of_0(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        some_failures(account, 2, now=now)

        assert listed(api, "?limit=0") == {"webhook_failures": [], "metadata": {"total": 2}}

    @pytest.mark.parametrize("offset", ["2", "1" + "0" * 30, "9" * 5000])
    def test_is_empty_behind_the_last_row(
        self, api: Client, account: Account, now: datetime, offset: str
    ) -> None:
        some_failures(account, 2, now=now)

        answer = listed(api, f"?offset={offset}")

        assert answer == {"webhook_failures": [], "metadata": {"total": 2}}

    def test_stays_where_it_is_while_newer_failures_come(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        newest_first = some_failures(account, 4, now=now)
        before = ids(api, "?limit=2&created_at[lt]=2026-03-15T10:00:01Z&offset=2")

        some_failures(account, 2, now=now + timedelta(hours=1))

        after = ids(api, "?limit=2&created_at[lt]=2026-03-15T10:00:01Z&offset=2")
        assert before == after == newest_first[2:]

    def test_takes_the_last_of_a_repeated_parameter(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        newest_first = some_failures(account, 3, now=now)

        assert ids(api, "?limit=many&limit=2") == newest_first[:2]


class TestListFilters:
    @pytest.mark.parametrize(
        ("query", "places"),
        [
            ("created_at[gte]=2026-03-15T09:59:00Z", [0, 1]),
            ("created_at[lt]=2026-03-15T09:59:00Z", [2]),
            ("created_at%5Bgte%5D=2026-03-15T09:59:00Z&created_at%5Blt%5D=2026-03-15T10:00:00Z", [1]),
            ("created_at[gte]=2026-03-15T11:59:00%2B02:00", [0, 1]),
            ("created_at[gte]=2026-03-15T10:00:00Z&created_at[lt]=2026-03-15T10:00:00Z", []),
            ("created_at[gte]=2026-03-16T00:00:00Z&created_at[lt]=2026-03-15T00:00:00Z", []),
            ("created_at[gte]=0001-01-01T00:00:00Z&created_at[lt]=9999-12-31T23:59:59Z", [0, 1, 2]),
            ("created_at__gte=2026-03-16T00:00:00Z&page=x&%00=%00", [0, 1, 2]),
        ],
    )
    def test_narrows_by_the_moment_of_the_first_failure(
        self, api: Client, account: Account, now: datetime, query: str, places: list[int]
    ) -> None:
        newest_first = some_failures(account, 3, now=now)

        answer = listed(api, f"?{query}")

        assert [failure["id"] for failure in answer["webhook_failures"]] == [
            newest_first[place] for place in places
        ]
        assert answer["metadata"] == {"total": len(places)}

    @pytest.mark.parametrize(
        "query",
        [
            "limit=-1",
            "limit=1001",
            "limit=ten",
            "limit=",
            "limit=%D9%A3",
            "limit=1.0",
            "offset=-1",
            "offset=",
            "offset=%00",
            "created_at[gte]=2026-03-15T10:00:00",
            "created_at[gte]=2026-02-30T10:00:00Z",
            "created_at[gte]=",
            "created_at[gte]=%00",
            "created_at[lt]=0001-01-01T00:00:00%2B01:00",
            "created_at[lt]=10000-01-01T00:00:00Z",
            "created_at=2026-03-15T10:00:00Z",
            "created_at[gt]=2026-03-15T10:00:00Z",
            "created_at[lte]=2026-03-15T10:00:00Z",
            "created_at[=2026-03-15T10:00:00Z",
        ],
    )
    def test_refuses_a_bad_value(self, api: Client, query: str) -> None:
        response = api.get(f"{PATH}?{query}")

        assert response.status_code == 422
        answer = response.json()
        assert list(answer) == ["errors"]
        ((name, messages),) = answer["errors"].items()
        assert name == query.rpartition("=")[0]
        assert [type(message) for message in messages] == [str]

    def test_says_how_to_write_a_plus_that_arrived_as_a_space(self, api: Client) -> None:
        response = api.get(f"{PATH}?created_at[gte]=2026-03-01T00:00:00+02:00")

        assert response.status_code == 422
        (message,) = response.json()["errors"]["created_at[gte]"]
        assert "Write + as %2B" in message

    def test_lists_every_bad_parameter(self, api: Client) -> None:
        query = "?limit=x&offset=x&created_at[gte]=x&created_at[lt]=x&created_at[%2525s]=x&created_at=x"

        response = api.get(f"{PATH}{query}")

        assert response.status_code == 422
        assert set(response.json()["errors"]) == {
            "limit",
            "offset",
            "created_at[gte]",
            "created_at[lt]",
            "created_at[%25s]",
            "created_at",
        }


class TestGet:
    @pytest.mark.parametrize("status", Failure.Status)
    def test_shows_a_failure_of_any_status(
        self, api: Client, account: Account, status: Failure.Status
    ) -> None:
        failure = builders.a_failure(builders.a_delivery(builders.a_webhook(account)), status=status)

        response = api.get(f"{PATH}/{failure.pk}")

        assert response.status_code == 200
        assert list(response.json()) == ["webhook_failure"]
        assert response.json()["webhook_failure"]["status"] == status.value

    def test_shows_what_the_list_shows(self, api: Client, account: Account) -> None:
        delivery = builders.a_failed_delivery(builders.a_webhook(account))

        one = api.get(f"{PATH}/{delivery.failure.pk}/").json()["webhook_failure"]

        assert listed(api)["webhook_failures"] == [one]

    @pytest.mark.parametrize("status", Failure.Status)
    def test_has_a_word_for_every_state(self, status: Failure.Status) -> None:
        assert status in STATUS_WORDS
