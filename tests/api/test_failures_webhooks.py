from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from deliveries.models import Account, Scope, Sealed, Webhook
from tests import builders
from tests.api.conftest import ClientWith

PATH = "/api/v4/tasks/webhooks"
UNKNOWN = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"


def check(response: Any, status: int, body: dict[str, Any]) -> None:
    """Check an answer to the letter."""
    assert (response.status_code, response.json()) == (status, body)
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"


def listed(api: Client, query: str = "") -> Any:
    """Return what the list says to a query."""
    response = api.get(f"{PATH}{query}")
    assert response.status_code == 200, response.content
    return response.json()


def ids(api: Client, query: str = "") -> list[str]:
    """Return the ids the list says to a query."""
    return [webhook["id"] for webhook in listed(api, query)["webhooks"]]


def some_webhooks(account: Account, count: int, *, now: datetime) -> list[str]:
    """Return the ids of webhooks a minute apart, the newest first."""
    moments = [now - timedelta(minutes=number) for number in range(count)]
    return [str(builders.a_webhook(account, now=moment).pk) for moment in moments]


class TestGet:
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_shows_a_webhook_key_by_key(
        self, api: Client, account: Account, now: datetime, slash: str
    ) -> None:
        webhook = builders.a_webhook(
            account,
            events=["inbound.call.answered", "outbound.call.answered"],
            authorization_scheme="basic",
            authorization_credential="tell-nobody",
            secret="tell-nobody",
            custom_headers={"X-Custom-Header": "value", "X-Api-Token": "tell-nobody"},
        )
        Webhook.objects.update(updated_at=now + timedelta(microseconds=7))

        response = api.get(f"{PATH}/{webhook.pk}{slash}")

        assert list(response.json()) == ["webhook"]
        assert list(response.json()["webhook"].items()) == [
            ("id", str(webhook.pk)),
            ("name", "CRM call events"),
            ("http_method", "post"),
            ("url", "https://example.com/webhook"),
            ("authentication_method", "basic"),
            ("headers", {"X-Custom-Header": "value", "X-Api-Token": "***"}),
            ("events", ["inbound.call.answered", "outbound.call.answered"]),
            ("created_at", "2026-03-15T10:00:00.000000Z"),
            ("updated_at", "2026-03-15T10:00:00.000007Z"),
        ]
        assert b"tell-nobody" not in response.content

    @pytest.mark.parametrize(("method", "word"), [("POST", "post"), ("PUT", "put"), ("PATCH", "patch")])
    def test_writes_the_method_small(self, api: Client, account: Account, method: str, word: str) -> None:
        webhook = builders.a_webhook(account, http_method=method)

        assert api.get(f"{PATH}/{webhook.pk}").json()["webhook"]["http_method"] == word

    def test_shows_one_of_an_agent_and_one_that_is_disabled(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account), enabled=False)

        assert api.get(f"{PATH}/{webhook.pk}").status_code == 200

    @pytest.mark.parametrize(
        "webhook_id",
        [
            UNKNOWN,
            "1",
            "9" * 5000,
            UNKNOWN.replace("-", ""),
            f"{UNKNOWN}%0A",
            f"{UNKNOWN[:-1]}%00",
            "%ED%A0%80",
        ],
    )
    def test_answers_404_to_an_unknown_or_malformed_id(self, api: Client, webhook_id: str) -> None:
        check(api.get(f"{PATH}/{webhook_id}"), 404, {"error": "Not found"})

    def test_answers_404_to_another_account(self, stranger: Client, account: Account) -> None:
        webhook = builders.a_webhook(account)

        check(stranger.get(f"{PATH}/{webhook.pk}"), 404, {"error": "Not found"})

    def test_answers_404_once_it_is_deleted(self, api: Client, account: Account, now: datetime) -> None:
        webhook = builders.a_webhook(account)
        Webhook.objects.update(enabled=False, deleted_at=now)

        check(api.get(f"{PATH}/{webhook.pk}"), 404, {"error": "Not found"})


class TestList:
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_shows_what_a_get_shows(self, api: Client, account: Account, slash: str) -> None:
        webhook = builders.a_webhook(account)

        answer = api.get(f"{PATH}{slash}").json()

        assert list(answer) == ["webhooks", "metadata"]
        assert answer == {
            "webhooks": [api.get(f"{PATH}/{webhook.pk}").json()["webhook"]],
            "metadata": {"total": 1},
        }

    def test_begins_with_the_newest(self, api: Client, account: Account, now: datetime) -> None:
        newest_first = some_webhooks(account, 3, now=now)

        assert ids(api) == newest_first

    def test_orders_those_of_one_moment_by_id(self, api: Client, account: Account) -> None:
        made = [str(builders.a_webhook(account).pk) for _ in range(5)]

        pages = [ids(api, f"?limit=2&offset={offset}") for offset in (0, 2, 4)]

        assert sum(pages, []) == sorted(made, reverse=True)

    def test_holds_those_of_the_account_that_exist(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        deleted = builders.a_webhook(account)
        Webhook.objects.filter(pk=deleted.pk).update(enabled=False, deleted_at=now)
        builders.a_webhook()
        mine = builders.a_webhook(agent=builders.an_agent(account))

        assert ids(api) == [str(mine.pk)]
        assert listed(api)["metadata"] == {"total": 1}

    def test_returns_a_hundred_at_most(self, api: Client, account: Account, now: datetime) -> None:
        newest_first = some_webhooks(account, 101, now=now)

        for query in ("", "?limit=101", "?limit=1000"):
            assert ids(api, query) == newest_first[:100]
        assert listed(api, "?limit=0") == {"webhooks": [], "metadata": {"total": 101}}

    @pytest.mark.parametrize("offset", ["1", "1" + "0" * 30, "9" * 5000])
    def test_is_empty_behind_the_last_row(self, api: Client, account: Account, offset: str) -> None:
        builders.a_webhook(account)

        assert listed(api, f"?offset={offset}") == {"webhooks": [], "metadata": {"total": 1}}

    @pytest.mark.parametrize("limit", ["-1", "1001", "abc", "", "1.0", "+1", "\u0661", "9" * 5000])
    @pytest.mark.parametrize("offset", ["-1", "abc", "", "\u0661"])
    def test_names_every_bad_parameter(self, api: Client, limit: str, offset: str) -> None:
        response = api.get(PATH, {"limit": limit, "offset": offset})

        check(
            response,
            422,
            {
                "errors": {
                    "limit": ["Must be a whole number from 0 to 1000."],
                    "offset": ["Must be a whole number, 0 or more."],
                }
            },
        )

    def test_ignores_parameters_it_does_not_know(self, api: Client, account: Account) -> None:
        builders.a_webhook(account)

        assert len(ids(api, "?created_at=x&colour=red")) == 1

    def test_goes_on_over_headers_no_key_opens(self, api: Client, account: Account) -> None:
        good = builders.a_webhook(account, custom_headers={"X-Team": "blue"})
        bad = builders.a_webhook(account, custom_headers={"X-Team": "blue"})
        Webhook.objects.filter(pk=bad.pk).update(custom_headers=Sealed("nonsense"))

        shown = {webhook["id"]: webhook["headers"] for webhook in listed(api)["webhooks"]}

        assert shown == {str(good.pk): {"X-Team": "blue"}, str(bad.pk): {}}

    def test_costs_the_same_for_one_as_for_a_hundred(
        self, api: Client, account: Account, now: datetime, django_assert_num_queries: Any
    ) -> None:
        some_webhooks(account, 1, now=now)
        listed(api)  # notes the use of the key

        with django_assert_num_queries(3):
            listed(api)
        some_webhooks(account, 99, now=now)
        with django_assert_num_queries(3):
            assert len(ids(api)) == 100


class TestRefusals:
    @pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}"])
    def test_answers_401_without_a_key(self, db: None, client: Client, path: str) -> None:
        check(client.get(path), 401, {"error": "Unauthorized"})

    @pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}"])
    def test_answers_403_to_every_scope_but_one(self, client_with: ClientWith, path: str) -> None:
        others = [scope for scope in Scope if scope is not Scope.FAILURES_READ]

        check(client_with(*others).get(path), 403, {"error": "Forbidden"})
        assert client_with(Scope.FAILURES_READ).get(path).status_code != 403

    @pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_answers_405_to_a_change(self, api: Client, path: str, method: str) -> None:
        response = api.generic(method, path)

        check(response, 405, {"error": "Method Not Allowed"})
        assert response.headers["Allow"] == "GET, HEAD"

    @pytest.mark.parametrize("path", [f"{PATH}//", f"{PATH}/{UNKNOWN}//", f"{PATH}/{UNKNOWN}/logs"])
    def test_knows_no_path_below(self, api: Client, path: str) -> None:
        check(api.get(path), 404, {"error": "Not found"})
