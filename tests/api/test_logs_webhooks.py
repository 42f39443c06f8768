from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from deliveries.models import Account, Agent, Webhook
from tests import builders

KEYS = [
    "id",
    "agent_id",
    "name",
    "webhook_url",
    "events",
    "timeout",
    "max_retries",
    "enabled",
    "created_at",
    "updated_at",
    "events_count",
    "status",
    "http_method",
    "authorization_scheme",
]
LEAST = {"name": "My Webhook", "webhook_url": "https://example.com/webhook", "events": ["call.ended"]}


@pytest.fixture
def agent(account: Account) -> Agent:
    """An agent."""
    return builders.an_agent(account)


@pytest.fixture
def path(agent: Agent) -> str:
    """The path of the agent's webhooks."""
    return f"/api/v1/agents/{agent.pk}/webhooks"


class TestList:
    def test_shows_webhooks_and_the_catalogue(self, api: Client, agent: Agent, path: str) -> None:
        webhook = builders.a_webhook(agent=agent, events=["event_phone_call_ended", "call.*"])

        answer = api.get(path).json()

        assert list(answer) == ["success", "data"]
        assert answer["success"] is True
        assert list(answer["data"]) == ["webhooks", "available_events"]
        assert [list(each) for each in answer["data"]["webhooks"]] == [KEYS]
        assert answer["data"]["webhooks"][0] == {
            "id": str(webhook.pk),
            "agent_id": str(agent.pk),
            "name": "CRM call events",
            "webhook_url": "https://example.com/webhook",
            "events": ["event_phone_call_ended", "call.*"],
            "timeout": 30,
            "max_retries": 3,
            "enabled": True,
            "created_at": "2026-03-15T10:00:00.000000Z",
            "updated_at": "2026-03-15T10:00:00.000000Z",
            "events_count": 2,
            "status": "active",
            "http_method": "POST",
            "authorization_scheme": "none",
        }
        assert answer["data"]["available_events"]["event_user_connected"] == "User connected"
        assert len(answer["data"]["available_events"]) >= 19

    def test_holds_the_existing_ones_of_this_agent_only(
        self, api: Client, account: Account, agent: Agent, path: str
    ) -> None:
        builders.a_webhook(agent=agent)
        Webhook.objects.update(enabled=False, deleted_at=builders.NOW)
        builders.a_webhook(account)
        builders.a_webhook(agent=builders.an_agent(account))

        assert api.get(f"{path}/").json()["data"]["webhooks"] == []

    def test_begins_with_the_newest(self, api: Client, agent: Agent, path: str, now: datetime) -> None:
        made = [
            builders.a_webhook(agent=agent, now=now + timedelta(hours=number // 2)) for number in range(4)
        ]

        listed = [each["id"] for each in api.get(path).json()["data"]["webhooks"]]

        assert listed == [str(webhook.pk) for webhook in reversed(made)]

    def test_costs_the_same_for_one_as_for_a_hundred(
        self, api: Client, agent: Agent, path: str, django_assert_num_queries: Any
    ) -> None:
        builders.a_webhook(agent=agent)
        api.get(path)  # notes the use of the key

        with django_assert_num_queries(4):
            api.get(path)
        for _ in range(99):
            builders.a_webhook(agent=agent)
        with django_assert_num_queries(4):
            assert len(api.get(path).json()["data"]["webhooks"]) == 100


class TestGet:
    def test_shows_one(self, api: Client, agent: Agent, path: str) -> None:
        webhook = builders.a_webhook(agent=agent, enabled=False)

        answer = api.get(f"{path}/{webhook.pk}").json()

        assert list(answer) == ["success", "data"]
        assert list(answer["data"]) == KEYS
        assert (answer["data"]["enabled"], answer["data"]["status"]) == (False, "disabled")

    def test_keeps_what_is_secret(self, api: Client, agent: Agent, path: str) -> None:
        webhook = builders.a_webhook(
            agent=agent,
            secret="tell-nobody",
            authorization_scheme="bearer",
            authorization_credential="tell-nobody",
            custom_headers={"X-Token": "tell-nobody"},
        )

        assert b"tell-nobody" not in api.get(f"{path}/{webhook.pk}/").content


class TestCreate:
    def test_makes_a_webhook_of_the_least(self, api: Client, agent: Agent, path: str) -> None:
        response = api.post(path, LEAST, content_type="application/json")

        assert response.status_code == 201
        answer = response.json()
        assert list(answer) == ["success", "data", "message"]
        assert (answer["success"], answer["message"]) == (True, "Webhook created successfully")
        assert list(answer["data"]) == KEYS
        webhook = Webhook.objects.get(pk=answer["data"]["id"])
        assert (webhook.account_id, webhook.agent_id) == (agent.account_id, agent.pk)
        assert (webhook.timeout, webhook.max_retries, webhook.enabled) == (30, 3, True)
        assert (webhook.http_method, webhook.authorization_scheme, webhook.secret) == ("POST", "none", None)

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_says_where_it_is(self, api: Client, path: str, slash: str) -> None:
        response = api.post(f"{path}{slash}", LEAST, content_type="application/json")

        webhook = response.json()["data"]
        assert response.headers["Location"] == f"{path}/{webhook['id']}"
        assert api.get(response.headers["Location"]).json()["data"] == webhook

    def test_makes_a_webhook_of_everything(self, api: Client, path: str) -> None:
        everything = {
            **LEAST,
            "webhook_secret": "whsec_c2VjcmV0",
            "events": ["event_phone_call_ended", "call.*", "*"],
            "timeout": 5,
            "max_retries": 0,
            "enabled": False,
            "http_method": "PUT",
            "authorization_scheme": "api_key",
            "authorization_credential": "k-1",
            "custom_headers": [{"key": "X-Team", "value": "blue"}],
        }

        response = api.post(f"{path}/", everything, content_type="application/json")

        assert response.status_code == 201, response.content
        webhook = Webhook.objects.get()
        assert webhook.secret is not None
        assert webhook.secret.reveal() == "whsec_c2VjcmV0"
        assert webhook.authorization_credential is not None
        assert webhook.authorization_credential.reveal() == "k-1"
        assert webhook.reveal_headers() == {"X-Team": "blue"}
        assert (webhook.timeout, webhook.max_retries, webhook.enabled) == (5, 0, False)
        assert response.json()["data"]["events_count"] == 3

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("timeout", 120),
            ("max_retries", 10),
            ("name", "n" * 255),
            ("webhook_url", "https://example.com/" + "u" * 480),
            ("webhook_secret", "s" * 255),
            ("webhook_secret", None),
            ("authorization_credential", None),
            ("custom_headers", []),
        ],
    )
    def test_takes_the_edges(self, api: Client, path: str, field: str, value: object) -> None:
        response = api.post(path, {**LEAST, field: value}, content_type="application/json")

        assert response.status_code == 201, response.content

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("name", None, "The name field is required."),
            ("name", "", "The name field is required."),
            ("name", "  ", "The name field is required."),
            ("name", 5, "The name field must be a string."),
            ("name", "n" * 256, "The name field must not be greater than 255 characters."),
            ("webhook_url", None, "The webhook url field is required."),
            ("webhook_url", True, "The webhook url field must be a string."),
            (
                "webhook_url",
                "https://example.com/" + "u" * 481,
                "The webhook url field must not be greater than 500 characters.",
            ),
            ("webhook_url", "https://127.0.0.1/", "The URL points at an address that is not public."),
            ("webhook_url", "http://example.com/", "The URL must start with https://."),
            (
                "webhook_secret",
                "s" * 256,
                "The webhook secret field must not be greater than 255 characters.",
            ),
            ("webhook_secret", "whsec_?", "A secret that starts with whsec_ must go on in base64."),
            ("events", None, "The events field is required."),
            ("events", [], "The events field must contain at least 1 items."),
            ("events", "call.ended", "The events field must be an array."),
            ("events", ["call.ended", 5], "The events field must contain strings only."),
            ("events", ["*"] * 1001, "The events field must not contain more than 1000 items."),
            ("events", ["call.ended", "*", "call.ended"], "The events field has a duplicate value."),
            ("events", ["call.begun"], "call.begun is not a known event type."),
            ("timeout", "30", "The timeout field must be an integer."),
            ("timeout", True, "The timeout field must be an integer."),
            ("timeout", 30.0, "The timeout field must be an integer."),
            ("timeout", None, "The timeout field must be an integer."),
            ("timeout", 4, "The timeout field must be between 5 and 120."),
            ("timeout", 121, "The timeout field must be between 5 and 120."),
            ("timeout", 10**299, "The timeout field must be between 5 and 120."),
            ("max_retries", -1, "The max retries field must be between 0 and 10."),
            ("max_retries", 11, "The max retries field must be between 0 and 10."),
            ("max_retries", False, "The max retries field must be an integer."),
            ("enabled", 1, "The enabled field must be true or false."),
            ("enabled", "true", "The enabled field must be true or false."),
            ("enabled", None, "The enabled field must be true or false."),
            ("http_method", "post", "The selected http method is invalid."),
            ("http_method", "GET", "The selected http method is invalid."),
            ("http_method", ["POST"], "The selected http method is invalid."),
            ("authorization_scheme", "digest", "The selected authorization scheme is invalid."),
            (
                "authorization_credential",
                "a\r\nb",
                "The authorization credential field must only contain printable ASCII characters.",
            ),
            ("custom_headers", {"X-Team": "blue"}, "The custom headers field must be an array."),
            (
                "custom_headers",
                [{"key": "X-Team"}],
                "The custom headers field must contain objects with a key and a value only, both strings.",
            ),
            (
                "custom_headers",
                [{"key": "X-Team", "value": 5}],
                "The custom headers field must contain objects with a key and a value only, both strings.",
            ),
            (
                "custom_headers",
                [{"key": "X-Team", "value": "a"}, {"key": "x-team", "value": "b"}],
                "The custom headers field must not contain a key twice.",
            ),
            ("custom_headers", [{"key": "Host", "value": "a"}], "The header Host cannot be set."),
            ("max_in_flight", 5, "The max_in_flight field is unknown."),
            ("url", "https://example.com/", "The url field is unknown."),
        ],
    )
    def test_refuses(self, api: Client, path: str, field: str, value: object, message: str) -> None:
        response = api.post(path, {**LEAST, field: value}, content_type="application/json")

        assert response.status_code == 422
        assert list(response.json()) == ["message", "errors"]
        assert response.json() == {"message": "The given data was invalid.", "errors": {field: [message]}}
        assert not Webhook.objects.exists()

    def test_tells_the_first_ten_unknown_fields_and_counts_the_rest(self, api: Client, path: str) -> None:
        unknown = {f"k{number}": 1 for number in range(5000)}

        response = api.post(path, {**LEAST, **unknown}, content_type="application/json")

        assert list(response.json()["errors"]) == [*(f"k{number}" for number in range(10)), "body"]
        assert response.json()["errors"]["body"] == ["4,990 more fields are unknown."]

    @pytest.mark.parametrize("scheme", ["bearer", "basic", "api_key"])
    @pytest.mark.parametrize("credential", [{}, {"authorization_credential": ""}])
    def test_wants_the_credential_a_scheme_sends(
        self, api: Client, path: str, scheme: str, credential: dict[str, str]
    ) -> None:
        body = {**LEAST, "authorization_scheme": scheme, **credential}

        response = api.post(path, body, content_type="application/json")

        assert response.status_code == 422
        assert response.json()["errors"] == {
            "authorization_credential": [
                f"The authorization credential field is required when the authorization scheme is {scheme}."
            ]
        }

    @pytest.mark.parametrize("scheme", ["none", "custom"])
    def test_wants_no_credential_for_a_scheme_that_sends_none(
        self, api: Client, path: str, scheme: str
    ) -> None:
        body = {**LEAST, "authorization_scheme": scheme}

        assert api.post(path, body, content_type="application/json").status_code == 201

    def test_lists_every_bad_field(self, api: Client, path: str) -> None:
        response = api.post(path, {"timeout": "30", "colour": "red"}, content_type="application/json")

        assert list(response.json()["errors"]) == ["name", "webhook_url", "events", "timeout", "colour"]

    def test_lists_every_rule_of_ours_that_is_broken(self, api: Client, path: str) -> None:
        body = {**LEAST, "webhook_url": "https://10.0.0.1", "webhook_secret": "whsec_?", "events": ["x"]}

        response = api.post(path, body, content_type="application/json")

        assert set(response.json()["errors"]) == {"webhook_url", "webhook_secret", "events"}

    @pytest.mark.parametrize("body", ["[]", '"x"', "null", "5"])
    def test_wants_an_object(self, api: Client, path: str, body: str) -> None:
        response = api.post(path, body, content_type="application/json")

        assert response.status_code == 422
        assert list(response.json()["errors"]) == ["body"]

    def test_names_what_is_missing_from_an_empty_body(self, api: Client, path: str) -> None:
        response = api.post(path, content_type="application/json")

        assert response.status_code == 422
