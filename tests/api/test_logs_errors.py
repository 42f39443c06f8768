import logging
from typing import Any

import limits
import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from deliveries.models import Account, Scope, Webhook
from tests import builders
from tests.api.conftest import ClientWith, DatabaseFails

UNKNOWN = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"
MALFORMED = ["1", "9" * 5000, UNKNOWN.replace("-", ""), f"{UNKNOWN}%0A", f"{UNKNOWN[:-1]}%00", "%ED%A0%80"]

NO_AGENT = {"success": False, "message": "Agent not found in this environment."}
NO_WEBHOOK = {"success": False, "message": "Webhook not found."}
NO_LOG = {"success": False, "message": "Log not found."}
NO_PATH = {"success": False, "message": "Not found."}
# Every call below a webhook.
BELOW = [
    ("GET", ""),
    ("PUT", ""),
    ("DELETE", ""),
    ("PATCH", "/toggle"),
    ("POST", "/test"),
    ("POST", "/rotate_secret"),
    ("GET", "/logs"),
    ("POST", f"/logs/{UNKNOWN}/retry"),
]


def check(response: Any, status: int, body: dict[str, Any]) -> None:
    """Check an answer to the letter."""
    assert (response.status_code, response.json()) == (status, body)
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"


def path_of(webhook: Webhook) -> str:
    """Return the path of a webhook."""
    return f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}"


@pytest.fixture
def webhook(account: Account) -> Webhook:
    """A webhook of an agent."""
    return builders.a_webhook(agent=builders.an_agent(account))


class TestUnauthorized:
    @pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"])
    def test_misses_the_token(self, db: None, client: Client, authorization: str | None) -> None:
        headers = {} if authorization is None else {"authorization": authorization}

        response = client.get(f"/api/v1/agents/{UNKNOWN}/webhooks", headers=headers)

        check(response, 401, {"message": "Missing Bearer Token"})
        assert response.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "token", ["talq_your_environment_token_here", "whk_abc_def", "whk_\x00_0", "a b"]
    )
    def test_refuses_a_token_it_does_not_know(self, db: None, client: Client, token: str) -> None:
        response = client.get(
            f"/api/v1/agents/{UNKNOWN}/webhooks", headers={"authorization": f"Bearer {token}"}
        )

        check(response, 401, {"message": "Invalid token"})
        assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


class TestForbidden:
    @pytest.mark.parametrize(
        ("method", "path", "needed"),
        [
            ("GET", "", Scope.LOGS_READ),
            ("POST", "", Scope.LOGS_MANAGE),
            ("GET", f"/{UNKNOWN}", Scope.LOGS_READ),
            ("PUT", f"/{UNKNOWN}", Scope.LOGS_MANAGE),
            ("DELETE", f"/{UNKNOWN}", Scope.LOGS_MANAGE),
            ("PATCH", f"/{UNKNOWN}/toggle", Scope.LOGS_MANAGE),
            ("POST", f"/{UNKNOWN}/test", Scope.LOGS_MANAGE),
            ("POST", f"/{UNKNOWN}/rotate_secret", Scope.LOGS_MANAGE),
            ("GET", f"/{UNKNOWN}/logs", Scope.LOGS_READ),
            ("POST", f"/{UNKNOWN}/logs/{UNKNOWN}/retry", Scope.LOGS_MANAGE),
        ],
    )
    def test_answers_403_to_every_scope_but_one(
        self, client_with: ClientWith, method: str, path: str, needed: Scope
    ) -> None:
        others = [scope for scope in Scope if scope is not needed]
        path = f"/api/v1/agents/{UNKNOWN}/webhooks{path}"

        refusal = client_with(*others).generic(method, path)

        check(refusal, 403, {"success": False, "message": "This token may not do that."})
        check(client_with(needed).generic(method, path), 404, NO_AGENT)


class TestNotFound:
    @pytest.mark.parametrize("agent_id", [UNKNOWN, *MALFORMED])
    def test_knows_no_such_agent(self, api: Client, agent_id: str) -> None:
        path = f"/api/v1/agents/{agent_id}/webhooks"

        check(api.get(path), 404, NO_AGENT)
        check(api.post(path, "{", content_type="application/json"), 404, NO_AGENT)
        for method, rest in BELOW:
            check(api.generic(method, f"{path}/{UNKNOWN}{rest}", "{"), 404, NO_AGENT)

    @pytest.mark.parametrize("webhook_id", [UNKNOWN, *MALFORMED])
    def test_knows_no_such_webhook(self, api: Client, account: Account, webhook_id: str) -> None:
        path = f"/api/v1/agents/{builders.an_agent(account).pk}/webhooks/{webhook_id}"

        for method, rest in BELOW:
            check(api.generic(method, f"{path}{rest}", "{"), 404, NO_WEBHOOK)

    @pytest.mark.parametrize("log_id", [UNKNOWN, *MALFORMED])
    def test_knows_no_such_log(self, api: Client, webhook: Webhook, log_id: str) -> None:
        check(api.post(f"{path_of(webhook)}/logs/{log_id}/retry"), 404, NO_LOG)

    def test_shows_nothing_to_another_account(self, stranger: Client, webhook: Webhook) -> None:
        attempt = builders.a_failed_delivery(webhook).attempts.get()
        before = Webhook.objects.values().get()

        check(stranger.get(f"/api/v1/agents/{webhook.agent_id}/webhooks"), 404, NO_AGENT)
        for method, rest in BELOW:
            rest = rest.replace(UNKNOWN, str(attempt.pk))
            check(stranger.generic(method, f"{path_of(webhook)}{rest}"), 404, NO_AGENT)
        assert Webhook.objects.values().get() == before

    def test_knows_no_webhook_of_another_agent(self, api: Client, account: Account, webhook: Webhook) -> None:
        other = builders.an_agent(account)

        for method, rest in BELOW:
            path = f"/api/v1/agents/{other.pk}/webhooks/{webhook.pk}{rest}"
            check(api.generic(method, path), 404, NO_WEBHOOK)

    def test_knows_no_webhook_without_an_agent(self, api: Client, account: Account, webhook: Webhook) -> None:
        shared = builders.a_webhook(account)

        for method, rest in BELOW:
            path = f"/api/v1/agents/{webhook.agent_id}/webhooks/{shared.pk}{rest}"
            check(api.generic(method, path), 404, NO_WEBHOOK)

    def test_knows_no_deleted_webhook(self, api: Client, webhook: Webhook) -> None:
        Webhook.objects.update(enabled=False, deleted_at=builders.NOW)

        for method, rest in BELOW:
            check(api.generic(method, f"{path_of(webhook)}{rest}"), 404, NO_WEBHOOK)

    def test_knows_no_log_of_another_webhook(self, api: Client, webhook: Webhook) -> None:
        attempt = builders.a_failed_delivery(builders.a_webhook(agent=webhook.agent)).attempts.get()

        check(api.post(f"{path_of(webhook)}/logs/{attempt.pk}/retry"), 404, NO_LOG)

    @pytest.mark.parametrize(
        "path",
        [
            f"/{UNKNOWN}/log",
            f"/{UNKNOWN}/logs/{UNKNOWN}",
            f"/{UNKNOWN}/logs/{UNKNOWN}/again",
            f"/{UNKNOWN}/logs//",
            "//",
            "/a/b/c/d/%00",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
    def test_knows_no_other_path(self, api: Client, method: str, path: str) -> None:
        check(api.generic(method, f"/api/v1/agents/{UNKNOWN}/webhooks{path}"), 404, NO_PATH)


class TestOtherRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("DELETE", "", "GET, HEAD, POST"),
            ("OPTIONS", "", "GET, HEAD, POST"),
            ("POST", f"/{UNKNOWN}", "GET, HEAD, PUT, DELETE"),
            ("PATCH", f"/{UNKNOWN}", "GET, HEAD, PUT, DELETE"),
            ("POST", f"/{UNKNOWN}/toggle", "PATCH"),
            ("GET", f"/{UNKNOWN}/test", "POST"),
            ("PUT", f"/{UNKNOWN}/rotate_secret", "POST"),
            ("POST", f"/{UNKNOWN}/logs", "GET, HEAD"),
            ("GET", f"/{UNKNOWN}/logs/{UNKNOWN}/retry", "POST"),
        ],
    )
    def test_answers_405_to_a_method_a_path_does_not_have(
        self, api: Client, method: str, path: str, allow: str
    ) -> None:
        response = api.generic(method, f"/api/v1/agents/{UNKNOWN}/webhooks{path}")

        check(response, 405, {"success": False, "message": f'Method "{method}" not allowed.'})
        assert response.headers["Allow"] == allow

    def test_answers_406_when_json_is_not_wanted(self, api: Client, webhook: Webhook) -> None:
        response = api.get(path_of(webhook), headers={"accept": "application/xml"})

        check(
            response,
            406,
            {"success": False, "message": "The answers are JSON: send `Accept: application/json`."},
        )

    def test_takes_an_empty_accept_header_for_none(self, api: Client, webhook: Webhook) -> None:
        assert api.get(path_of(webhook), headers={"accept": ""}).status_code == 200

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
    def test_answers_415_to_a_body_that_is_not_json(
        self, api: Client, webhook: Webhook, content_type: str
    ) -> None:
        path = f"/api/v1/agents/{webhook.agent_id}/webhooks"

        response = api.generic("POST", path, '{"name": "x"}', content_type=content_type)

        if content_type:
            message = f'Unsupported media type "{content_type}" in request.'
        else:
            message = "The body has no type: send `Content-Type: application/json`."
        check(response, 415, {"success": False, "message": message})

    @pytest.mark.parametrize("body", ["{", '{"a": 1, "a": 2}', '{"a": NaN}', '{"name": "\\u0000"}'])
    def test_answers_400_to_malformed_json(self, api: Client, webhook: Webhook, body: str) -> None:
        path = f"/api/v1/agents/{webhook.agent_id}/webhooks"

        response = api.post(path, body, content_type="application/json")

        assert response.status_code == 400
        assert list(response.json()) == ["success", "message"]
        assert response.json()["success"] is False

    def test_answers_413_to_a_body_that_is_too_large(self, api: Client, webhook: Webhook) -> None:
        path = f"/api/v1/agents/{webhook.agent_id}/webhooks"

        response = api.post(path, "x" * 300_000, content_type="application/json")

        check(response, 413, {"success": False, "message": "The body takes more than 278,528 bytes."})


class TestTooManyRequests:
    def test_says_so_and_when_to_come_back(self, api: Client, settings: Any) -> None:
        settings.WEBHOOKS_LIMIT_READ = limits.parse("1/minute")

        api.get(f"/api/v1/agents/{UNKNOWN}/webhooks")
        response = api.get(f"/api/v1/agents/{UNKNOWN}/webhooks")

        check(response, 429, {"success": False, "message": "Too many requests."})
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert response.headers["X-RateLimit-Limit"] == "1"
        assert response.headers["X-RateLimit-Remaining"] == "0"


class TestOurFault:
    @pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
    def test_answers_503_while_the_database_is_away(
        self, api: Client, webhook: Webhook, database_fails: DatabaseFails, error: Exception
    ) -> None:
        with database_fails(error):
            response = api.get(path_of(webhook))

        assert response.status_code == 503
        assert response.headers["Retry-After"] == "5"
        assert list(response.json()) == ["success", "message"]

    def test_answers_500_to_a_bug_and_logs_it(
        self,
        api: Client,
        webhook: Webhook,
        database_fails: DatabaseFails,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        api.raise_request_exception = False

        with database_fails(ZeroDivisionError("a bug")):
            response = api.get(path_of(webhook))

        check(response, 500, {"success": False, "message": "Something went wrong on our side."})
        assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]
