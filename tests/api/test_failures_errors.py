import logging
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

import limits
import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from deliveries.models import Account, ApiKey, Scope
from tests import builders
from tests.api.conftest import ClientWith, DatabaseFails

PATH = "/api/v4/tasks/webhook_failures"
UNKNOWN = "aabbccddeeff001122334455"
# Its checksum is right, so it gets as far as a key can get without being one.
WITH_NUL = f"whk_\x00_0{crc32(bytes([0]) + b'0'):08x}"


def check(response: Any, status: int, body: dict[str, Any]) -> None:
    """Check an answer to the letter."""
    assert (response.status_code, response.json()) == (status, body)
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"


class TestUnauthorized:
    @pytest.mark.parametrize(
        "authorization",
        [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer whk_abc_def", "Bearer a b"],
    )
    @pytest.mark.parametrize("path", [PATH, f"{PATH}/{UNKNOWN}", "/api/v4/nothing"])
    def test_answers_401_without_a_good_key(
        self, db: None, client: Client, path: str, authorization: str | None
    ) -> None:
        headers = {} if authorization is None else {"authorization": authorization}

        response = client.get(path, headers=headers)

        check(response, 401, {"error": "Unauthorized"})
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("key", [WITH_NUL, "whk_\xe9", "whk_" + "a" * 10_000])
    def test_answers_401_to_a_text_no_key_has(self, db: None, client: Client, key: str) -> None:
        response = client.get(PATH, headers={"authorization": f"Bearer {key}"})

        check(response, 401, {"error": "Unauthorized"})

    @pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
    def test_answers_401_to_a_key_that_has_ended(self, api: Client, now: datetime, column: str) -> None:
        ApiKey.objects.update(**{column: now - timedelta(days=1)})

        check(api.get(PATH), 401, {"error": "Unauthorized"})

    def test_takes_the_scheme_in_any_case(self, account: Account, client: Client) -> None:
        response = client.get(PATH, headers={"authorization": f"bEARER {builders.a_key(account)}"})

        assert response.status_code == 200

    def test_notes_the_use_of_a_good_key(self, api: Client) -> None:
        api.get(PATH)

        assert ApiKey.objects.get().last_used_at is not None


class TestForbidden:
    @pytest.mark.parametrize(
        ("method", "path", "needed"),
        [
            ("GET", PATH, Scope.FAILURES_READ),
            ("HEAD", PATH, Scope.FAILURES_READ),
            ("GET", f"{PATH}/{UNKNOWN}", Scope.FAILURES_READ),
            ("POST", f"{PATH}/{UNKNOWN}/retrigger", Scope.FAILURES_MANAGE),
        ],
    )
    def test_answers_403_to_every_scope_but_one(
        self, client_with: ClientWith, method: str, path: str, needed: Scope
    ) -> None:
        others = [scope for scope in Scope if scope is not needed]

        assert client_with(*others).generic(method, path).status_code == 403
        assert client_with(needed).generic(method, path).status_code != 403

    def test_says_so(self, client_with: ClientWith) -> None:
        check(client_with().get(PATH), 403, {"error": "Forbidden"})


class TestNotFound:
    @pytest.mark.parametrize(
        "path",
        [
            "/api/v4",
            "/api/v4/",
            "/api/v4/tasks",
            "/api/v4/tasks/webhook_failure",
            f"{PATH}//",
            f"{PATH}/{UNKNOWN}//",
            f"{PATH}/{UNKNOWN}/again",
            "/api/v4/%00",
            "/api/v4/a%0Ab",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
    def test_answers_404_to_a_path_there_is_not(self, api: Client, method: str, path: str) -> None:
        check(api.generic(method, path), 404, {"error": "Not found"})

    @pytest.mark.parametrize("path", ["/api/v4", "/api/v4/nothing"])
    def test_says_nothing_of_methods_where_there_is_nothing(self, api: Client, path: str) -> None:
        assert "Allow" not in api.get(path).headers

    @pytest.mark.parametrize(
        "failure_id",
        [
            UNKNOWN,
            UNKNOWN.upper(),
            "1",
            "9" * 5000,
            f"{UNKNOWN}0",
            f"{UNKNOWN}%0A",
            f"{UNKNOWN[:-1]}%00",
            "%ED%A0%80",
            "0b97ce11-b6e0-49b4-8f92-68040aa324bf",
        ],
    )
    def test_answers_404_to_an_unknown_or_malformed_id(self, api: Client, failure_id: str) -> None:
        check(api.get(f"{PATH}/{failure_id}"), 404, {"error": "Not found"})
        check(api.post(f"{PATH}/{failure_id}/retrigger"), 404, {"error": "Not found"})

    def test_answers_404_to_another_account(self, stranger: Client, account: Account) -> None:
        failure = builders.a_failed_delivery(builders.a_webhook(account)).failure

        check(stranger.get(f"{PATH}/{failure.pk}"), 404, {"error": "Not found"})
        check(stranger.post(f"{PATH}/{failure.pk}/retrigger"), 404, {"error": "Not found"})
        failure.refresh_from_db()
        assert failure.status == "inactive"


class TestOtherRefusals:
    @pytest.mark.parametrize(
        ("method", "path", "allow"),
        [
            ("POST", PATH, "GET, HEAD"),
            ("OPTIONS", PATH, "GET, HEAD"),
            ("DELETE", f"{PATH}/{UNKNOWN}", "GET, HEAD"),
            ("GET", f"{PATH}/{UNKNOWN}/retrigger", "POST"),
            ("BREW", PATH, "GET, HEAD"),
        ],
    )
    def test_answers_405_to_a_method_a_path_does_not_have(
        self, api: Client, method: str, path: str, allow: str
    ) -> None:
        response = api.generic(method, path)

        check(response, 405, {"error": "Method Not Allowed"})
        assert response.headers["Allow"] == allow

    def test_answers_406_when_json_is_not_wanted(self, api: Client) -> None:
        response = api.get(PATH, headers={"accept": "text/html"})

        check(response, 406, {"error": "Not Acceptable"})

    def test_takes_an_empty_accept_header_for_none(self, api: Client) -> None:
        assert api.get(PATH, headers={"accept": ""}).status_code == 200

    def test_asks_for_the_key_before_all_else(self, db: None, client: Client) -> None:
        response = client.delete(PATH, headers={"accept": "text/html"})

        check(response, 401, {"error": "Unauthorized"})

    def test_answers_400_to_a_query_that_cannot_be_read(self, api: Client) -> None:
        query = "&".join(f"p{number}=" for number in range(2000))

        check(api.get(f"{PATH}?{query}"), 400, {"error": "Bad Request"})

    def test_answers_head_without_a_body(self, api: Client) -> None:
        response = api.head(PATH)

        assert (response.status_code, response.content) == (200, b"")


class TestTooManyRequests:
    def test_says_so_and_when_to_come_back(self, api: Client, settings: Any) -> None:
        settings.WEBHOOKS_LIMIT_READ = limits.parse("1/minute")

        api.get(PATH)
        response = api.get(PATH)

        check(response, 429, {"error": "Too many requests"})
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert response.headers["X-RateLimit-Limit"] == "1"
        assert response.headers["X-RateLimit-Remaining"] == "0"


class TestOurFault:
    @pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
    @pytest.mark.parametrize("beginning", ["", "UPDATE"])
    def test_answers_503_while_the_database_is_away(
        self,
        api: Client,
        account: Account,
        database_fails: DatabaseFails,
        error: Exception,
        beginning: str,
    ) -> None:
        failure = builders.a_failed_delivery(builders.a_webhook(account)).failure
        api.get(PATH)  # notes the use of the key

        with database_fails(error, beginning=beginning):
            response = api.post(f"{PATH}/{failure.pk}/retrigger")

        check(response, 503, {"error": "Internal Server Error"})
        assert response.headers["Retry-After"] == "5"
        failure.refresh_from_db()
        assert failure.status == "inactive"

    @pytest.mark.parametrize("debug", [True, False])
    def test_answers_500_to_a_bug_and_logs_it(
        self,
        api: Client,
        database_fails: DatabaseFails,
        settings: Any,
        caplog: pytest.LogCaptureFixture,
        debug: bool,
    ) -> None:
        settings.DEBUG = debug
        api.raise_request_exception = False

        with database_fails(ZeroDivisionError("a bug")):
            response = api.get(PATH)

        check(response, 500, {"error": "Internal Server Error"})
        (record,) = (record for record in caplog.records if record.name == "deliveries.api.errors")
        assert record.levelno == logging.ERROR
        assert "a bug" in caplog.text
        assert "Traceback" in caplog.text

    def test_lets_the_test_client_see_a_bug(self, api: Client, database_fails: DatabaseFails) -> None:
        with database_fails(ZeroDivisionError("a bug")), pytest.raises(ZeroDivisionError):
            api.get(PATH)
