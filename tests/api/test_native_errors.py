import logging
from io import BytesIO
from typing import Any

import limits
import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from deliveries.models import Account, Scope
from tests import builders
from tests.api.conftest import ClientWith, DatabaseFails

UNKNOWN = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"
EVENTS, AGENTS, DELIVERIES = "/api/v1/events", "/api/v1/agents", "/api/v1/deliveries"


def check(response: Any, status: int, code: str) -> None:
    """Check that an answer is a problem by RFC 9457, with this status and code."""
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert list(problem) == ["type", "title", "status", "detail", "instance", "code", "errors"]
    assert problem["status"] == status
    assert isinstance(problem["detail"], str)
    assert problem["detail"]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"


class TestUnauthorized:
    @pytest.mark.parametrize("path", [EVENTS, AGENTS, f"{AGENTS}/{UNKNOWN}", "/api/v1/nothing"])
    def test_tells_a_missing_key_from_an_invalid_one(self, db: None, client: Client, path: str) -> None:
        missing = client.get(path)
        invalid = client.get(path, headers={"authorization": "Bearer whk_abc_def"})

        check(missing, 401, "not_authenticated")
        check(invalid, 401, "authentication_failed")
        assert missing.headers["WWW-Authenticate"] == "Bearer"
        assert invalid.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert missing.json()["detail"] == "Send the key as `Authorization: Bearer <key>`."
        assert invalid.json()["detail"] == "The key is unknown, revoked or expired."

    def test_fills_no_log(self, db: None, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        assert client.get(AGENTS).status_code == 401

        assert not [record for record in caplog.records if record.levelno >= logging.INFO]


class TestForbidden:
    @pytest.mark.parametrize(
        ("method", "path", "needed"),
        [
            ("POST", EVENTS, Scope.EVENTS_PUBLISH),
            ("POST", f"{EVENTS}/batch", Scope.EVENTS_PUBLISH),
            ("GET", EVENTS, Scope.EVENTS_READ),
            ("GET", f"{EVENTS}/{UNKNOWN}", Scope.EVENTS_READ),
            ("GET", DELIVERIES, Scope.EVENTS_READ),
            ("GET", f"{DELIVERIES}/{UNKNOWN}", Scope.EVENTS_READ),
            ("GET", f"{DELIVERIES}/{UNKNOWN}/attempts", Scope.EVENTS_READ),
            ("GET", f"{DELIVERIES}/{UNKNOWN}/attempts/{UNKNOWN}", Scope.EVENTS_READ),
            ("POST", f"{DELIVERIES}/{UNKNOWN}/retry", Scope.RECOVERIES_MANAGE),
            ("GET", "/api/v1/event_types", Scope.EVENTS_READ),
            ("GET", "/api/v1/stats", Scope.EVENTS_READ),
            ("POST", AGENTS, Scope.AGENTS_MANAGE),
            ("GET", AGENTS, Scope.AGENTS_READ),
            ("GET", f"{AGENTS}/{UNKNOWN}", Scope.AGENTS_READ),
        ],
    )
    def test_answers_403_to_every_scope_but_one(
        self, client_with: ClientWith, method: str, path: str, needed: Scope
    ) -> None:
        others = [scope for scope in Scope if scope is not needed]

        check(client_with(*others).generic(method, path), 403, "permission_denied")
        assert client_with(needed).generic(method, path).status_code != 403


class TestNotFound:
    @pytest.mark.parametrize("path", ["/api/v1", "/api/v1/", "/api/v1/event", f"{EVENTS}//", "/api/v1/%00"])
    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
    def test_answers_404_to_a_path_there_is_not(self, api: Client, method: str, path: str) -> None:
        check(api.generic(method, path), 404, "not_found")

    @pytest.mark.parametrize("path", ["/api/v1", "/api/v1/nothing"])
    def test_says_nothing_of_methods_where_there_is_nothing(self, api: Client, path: str) -> None:
        assert "Allow" not in api.get(path).headers

    @pytest.mark.parametrize(
        "row_id", [UNKNOWN, "1", "9" * 5000, f"{UNKNOWN}%0A", f"{UNKNOWN[:-1]}%00", "%ED%A0%80"]
    )
    def test_answers_404_to_an_unknown_or_malformed_id(self, api: Client, row_id: str) -> None:
        check(api.get(f"{EVENTS}/{row_id}"), 404, "not_found")
        check(api.get(f"{AGENTS}/{row_id}"), 404, "not_found")
        check(api.get(f"{DELIVERIES}/{row_id}"), 404, "not_found")
        check(api.get(f"{DELIVERIES}/{row_id}/attempts"), 404, "not_found")
        check(api.get(f"{DELIVERIES}/{row_id}/attempts/{row_id}"), 404, "not_found")
        check(api.post(f"{DELIVERIES}/{row_id}/retry"), 404, "not_found")

    def test_answers_404_to_another_account(self, stranger: Client, account: Account) -> None:
        delivery = builders.a_failed_delivery(builders.a_webhook(account))
        path = f"{DELIVERIES}/{delivery.pk}"
        check(stranger.get(path), 404, "not_found")
        check(stranger.get(f"{path}/attempts"), 404, "not_found")
        check(stranger.get(f"{path}/attempts/{delivery.attempts.get().pk}"), 404, "not_found")
        check(stranger.post(f"{path}/retry"), 404, "not_found")
        check(stranger.get(f"{EVENTS}/{builders.an_event(account).pk}"), 404, "not_found")
        check(stranger.get(f"{AGENTS}/{builders.an_agent(account).pk}"), 404, "not_found")


class TestOtherRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("DELETE", EVENTS, "GET, HEAD, POST"),
            ("GET", f"{EVENTS}/batch", "POST"),
            ("GET", f"{DELIVERIES}/{UNKNOWN}/retry", "POST"),
            ("PUT", f"{EVENTS}/{UNKNOWN}?colour=red", "GET, HEAD"),
            ("OPTIONS", AGENTS, "GET, HEAD, POST"),
            ("DELETE", f"{AGENTS}/{UNKNOWN}", "GET, HEAD"),
        ],
    )
    def test_answers_405_to_a_method_a_path_does_not_have(
        self, api: Client, method: str, path: str, allow: str
    ) -> None:
        response = api.generic(method, path)

        check(response, 405, "method_not_allowed")
        assert response.headers["Allow"] == allow

    def test_answers_406_when_json_is_not_wanted(self, api: Client) -> None:
        response = api.get(AGENTS, headers={"accept": "text/csv"})

        check(response, 406, "not_acceptable")
        assert response.json()["detail"] == "The answers are JSON: send `Accept: application/json`."

    def test_takes_an_empty_accept_header_for_none(self, api: Client) -> None:
        assert api.get(AGENTS, headers={"accept": ""}).status_code == 200

    @pytest.mark.parametrize(
        "accept",
        ["application/problem+json", "application/problem+json;q=0.5", "text/csv, application/problem+json"],
    )
    def test_takes_its_own_media_type(self, api: Client, accept: str) -> None:
        success = api.get(AGENTS, headers={"accept": accept})

        assert success.status_code == 200
        assert success.headers["Content-Type"] == "application/json"
        check(api.get(f"{AGENTS}/{UNKNOWN}", headers={"accept": accept}), 404, "not_found")

    def test_answers_415_to_a_body_that_is_not_json(self, api: Client) -> None:
        check(api.post(EVENTS, "event=x", content_type="text/plain"), 415, "unsupported_media_type")

    def test_says_how_to_declare_a_body(self, api: Client) -> None:
        response = api.generic("POST", EVENTS, "{}", content_type="")

        check(response, 415, "unsupported_media_type")
        assert response.json()["detail"] == "The body has no type: send `Content-Type: application/json`."

    def test_answers_400_to_a_body_that_does_not_arrive_in_time(self, api: Client) -> None:
        class Late(BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise ConnectionResetError

        request: dict[str, Any] = {
            "wsgi.input": Late(),
            "CONTENT_LENGTH": 10,
            "CONTENT_TYPE": "application/json",
        }
        response = api.generic("POST", EVENTS, **request)

        check(response, 400, "parse_error")
        assert response.json()["detail"] == "The body did not arrive in time."

    @pytest.mark.parametrize(
        "body", ["{", '{"event": NaN}', '{"payload": {"a": 1, "a": 2}}', '{"event": "\\ud800"}', "[" * 100]
    )
    def test_answers_400_to_malformed_json(self, api: Client, body: str) -> None:
        check(api.post(EVENTS, body, content_type="application/json"), 400, "parse_error")

    def test_answers_413_to_a_body_that_is_too_large(self, api: Client) -> None:
        response = api.post(EVENTS, "x" * 300_000, content_type="application/json")

        check(response, 413, "body_too_large")

    def test_answers_422_to_a_bad_field(self, api: Client) -> None:
        check(api.post(EVENTS, {}, content_type="application/json"), 422, "invalid")


class TestTooManyRequests:
    def test_says_so_and_when_to_come_back(self, api: Client, settings: Any) -> None:
        settings.WEBHOOKS_LIMIT_READ = limits.parse("1/minute")

        api.get(AGENTS)
        response = api.get(AGENTS)

        check(response, 429, "too_many_requests")
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert response.headers["X-RateLimit-Limit"] == "1"
        assert response.headers["X-RateLimit-Remaining"] == "0"


class TestOurFault:
    @pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
    def test_answers_503_while_the_database_is_away(
        self, api: Client, database_fails: DatabaseFails, error: Exception
    ) -> None:
        with database_fails(error):
            response = api.get(AGENTS)

        check(response, 503, "service_unavailable")
        assert response.headers["Retry-After"] == "5"

    def test_answers_500_to_a_bug_and_logs_it(
        self, api: Client, database_fails: DatabaseFails, caplog: pytest.LogCaptureFixture
    ) -> None:
        api.raise_request_exception = False

        with database_fails(ZeroDivisionError("a bug")):
            response = api.get(AGENTS)

        check(response, 500, "internal_error")
        assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]
