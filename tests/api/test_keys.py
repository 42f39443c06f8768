import logging
import sqlite3
import time
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from django.db import connection
from django.test import Client
from django.utils import timezone

from deliveries.models import Account, ApiKey, Scope
from tests import builders
from tests.api.conftest import DatabaseFails
from tests.up.service import running
from webhooks_project.logs import JsonFormatter, PlainFormatter

FAILURES, EVENTS, AGENTS = "/api/v4/tasks/webhook_failures", "/api/v1/events", "/api/v1/agents"
UNKNOWN = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"
WEBHOOKS = f"{AGENTS}/{UNKNOWN}/webhooks"


@pytest.fixture
def text(account: Account) -> str:
    """A key with every scope."""
    return builders.a_key(account)


def get(path: str, authorization: str) -> Any:
    """Return the answer to a GET with this header."""
    return Client(headers={"authorization": authorization}).get(path)


class TestKey:
    def test_is_of_no_use_from_the_second_it_expires(self, text: str, account: Account) -> None:
        now = timezone.now()
        ApiKey.objects.update(expires_at=now + timedelta(hours=1))
        assert get(FAILURES, f"Bearer {text}").status_code == 200

        ApiKey.objects.update(expires_at=now)
        assert get(FAILURES, f"Bearer {text}").status_code == 401

    def test_is_of_no_use_once_it_is_revoked(self, text: str) -> None:
        assert get(FAILURES, f"Bearer {text}").status_code == 200

        ApiKey.objects.update(revoked_at=timezone.now())
        assert get(FAILURES, f"Bearer {text}").status_code == 401

    def test_is_of_no_use_without_its_account(self, text: str, account: Account) -> None:
        account.delete()

        assert get(FAILURES, f"Bearer {text}").status_code == 401

    def test_notes_its_use_once_a_minute(self, text: str, django_assert_num_queries: Any) -> None:
        get("/api/v4/nothing", f"Bearer {text}")
        used = ApiKey.objects.get().last_used_at

        with django_assert_num_queries(1):  # nothing but the look for the key
            get("/api/v4/nothing", f"Bearer {text}")

        assert used is not None
        assert abs(timezone.now() - used) < timedelta(minutes=1)
        assert ApiKey.objects.get().last_used_at == used


class TestAuthorization:
    @pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "Bearer {} "])
    def test_is_a_scheme_in_any_case_and_a_key(self, text: str, form: str) -> None:
        assert get(FAILURES, form.format(text)).status_code == 200

    @pytest.mark.parametrize(
        ("form", "given"),
        [
            ("", False),
            (" ", False),
            ("Bearer", False),
            ("{}", False),
            ("Basic {}", False),
            ("Token {}", False),
            ("Bearer:{}", False),
            ("Bearer\t{}", False),
            ("Béarer {}", False),
            ("Bearer {0},Bearer {0}", True),  # two headers, as servers join them
            ("Bearer {0}, Basic x", True),
            ("Bearer {}é", True),
            ("Bearer {}\x00", True),
            ("Bearer \ud800{}", True),
            ("Bearer {}\u200b", True),
            ("Bearer '{}'", True),
            ("Bearer " + "a" * 100_000, True),
            ("Bearer {}" + "0" * 100_000, True),
            ("Bearer whk_" + "_" * 100_000, True),
        ],
        ids=range(19),
    )
    def test_is_refused_in_any_other_form(self, text: str, form: str, given: bool) -> None:
        authorization = form.format(text)

        failures, logs, native = (get(path, authorization) for path in (FAILURES, WEBHOOKS, AGENTS))

        assert [answer.status_code for answer in (failures, logs, native)] == [401] * 3
        assert failures.json() == {"error": "Unauthorized"}
        assert logs.json() == {"message": "Invalid token" if given else "Missing Bearer Token"}
        assert native.json()["code"] == ("authentication_failed" if given else "not_authenticated")
        challenge = 'Bearer error="invalid_token"' if given else "Bearer"
        assert {answer.headers["WWW-Authenticate"] for answer in (failures, logs, native)} == {challenge}


@pytest.fixture
def logged(db: None) -> Iterator[list[StringIO]]:
    """Everything that is logged, down to the statements of the database, in both formats."""
    formatters = [JsonFormatter(), PlainFormatter("{asctime} {levelname} {name}: {message}", style="{")]
    streams = [StringIO() for _ in formatters]
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in (None, "django")}
    handlers = [logging.StreamHandler(stream) for stream in streams]
    for handler, formatter in zip(handlers, formatters, strict=True):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    connection.force_debug_cursor = True
    yield streams
    connection.force_debug_cursor = False
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)


def stored() -> str:
    """Return all that is in the database, as text."""
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            rows += cursor.fetchall()
    return repr(rows)


class TestSecret:
    """Whatever is done with a key, its secret part turns up nowhere."""

    @pytest.fixture
    def answers(self, text: str, account: Account, database_fails: DatabaseFails, settings: Any) -> list[Any]:
        """The answers to a key pushed through every path, where it belongs and where it does not."""
        poor = builders.a_key(account, Scope.RECOVERIES_READ)
        revoked = builders.a_key(account)
        ApiKey.objects.filter(prefix=revoked.split("_")[1]).update(revoked_at=timezone.now())
        self.secrets = [each.split("_")[2][:64] for each in (text, poor, revoked)]
        api = Client(headers={"authorization": f"Bearer {text}"}, raise_request_exception=False)
        given = []
        for path in (FAILURES, AGENTS, EVENTS, f"{AGENTS}/{text}/webhooks", f"/{text}"):
            for key in (text, poor, revoked, f"{text}0"):
                given.append(get(path, f"Bearer {key}"))
                given.append(get(path, f"bearer {key},Bearer {key}"))
                given.append(get(path, f"Basic {key}"))
            given += [
                api.get(path, {"limit": text, "access_token": text, "cursor": text}),
                api.get(path, headers={"x-request-id": text, "accept": text, "referer": text}),
                api.get(path, headers={"host": f"{text}.example"}),
                api.post(path, {"key": text}, content_type="application/json"),
                api.post(
                    path, {"event": text, "payload": {}, "name": [text]}, content_type="application/json"
                ),
                api.post(path, f'{{"name": "{text}', content_type="application/json"),
                api.post(path, text, content_type="text/plain"),
                api.put(path, text, content_type=text),
            ]
            with database_fails(ZeroDivisionError(text)):
                given.append(api.get(path))
        settings.WEBHOOKS_LIMIT_READ = None
        return given

    def test_is_in_no_log(self, logged: list[StringIO], answers: list[Any]) -> None:
        for stream in logged:
            lines = stream.getvalue()
            assert "ZeroDivisionError" in lines
            assert "SELECT" in lines
            assert "whk_" in lines
            assert not [secret for secret in self.secrets if secret in lines]

    def test_is_in_no_answer(self, answers: list[Any]) -> None:
        assert {answer.status_code for answer in answers} >= {200, 400, 401, 403, 404, 405, 415, 422, 500}
        for answer in answers:
            said = f"{answer.headers} {answer.content.decode()}"
            assert not [secret for secret in self.secrets if secret in said]

    def test_is_in_no_table(self, answers: list[Any]) -> None:
        everything = stored()

        assert "Harbour Calls" in everything
        assert not [secret for secret in self.secrets if secret in everything]

    @pytest.mark.postgresql
    def test_is_not_in_redis(self, answers: list[Any], settings: Any) -> None:
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            held: Any = [(key, client.type(key)) for key in client.scan_iter()]
            dumped = repr(held) + repr([client.get(key) for key, kind in held if kind == b"string"])

        assert "webhooks:limits:" in dumped
        assert not [secret for secret in self.secrets if secret in dumped]


@pytest.mark.slow
@pytest.mark.sqlite
class TestRunningService:
    def test_refuses_a_revoked_key_within_a_second(self, tmp_path: Path) -> None:
        with running(tmp_path / "var") as service:
            key, url = service.papers["api_key"], urlsplit(service.papers["url"]).netloc

            def status(*headers: str) -> int:
                ask = HTTPConnection(url, timeout=20)
                ask.putrequest("GET", FAILURES)
                for header in headers:
                    ask.putheader("Authorization", header)
                ask.endheaders()
                answer = ask.getresponse()
                answer.read()
                ask.close()
                return answer.status

            assert status(f"Bearer {key}") == 200
            assert status(f"Bearer {key}", f"Bearer {key}") == 401
            with sqlite3.connect(service.data_dir / "webhooks.sqlite3", timeout=20) as database:
                database.execute(
                    "UPDATE deliveries_apikey SET revoked_at = ? WHERE prefix = ?",
                    ["2026-03-15 10:00:00", key.split("_")[1]],
                )
            database.close()
            revoked = time.monotonic()
            refused = status(f"Bearer {key}")

            assert time.monotonic() - revoked < 10
            assert refused == 401
