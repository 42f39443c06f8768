"""What log lines leave out, in every form they are written."""

import json
import logging
import sys
import time
import timeit
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from webhooks_project import redaction
from webhooks_project.logs import JsonFormatter, PlainFormatter
from webhooks_project.reports import ReporterFilter

CANARY = "Canary7f3a9c"
BASE64 = "Q2FuYXJ5N2YzYTljQ2FuYXJ5N2YzYTlj"
SECRETS = [
    f"Authorization: Bearer {CANARY}",
    f"'Authorization': 'Basic {BASE64}'",
    f'{{"authorization": "Token {CANARY}"}}',
    f"{{'HTTP_AUTHORIZATION': 'ApiKey {CANARY}'}}",
    f"Cookie: sessionid={CANARY}; csrftoken={CANARY}",
    f"Set-Cookie: sessionid={CANARY}; Path=/",
    f"sent with bearer {CANARY}",
    f"webhook-signature: v1,{BASE64}=",
    f"v1a,{BASE64}= v1,{BASE64}=",
    f"key whsec_{BASE64}",
    "key whk_0123456789ab_00ca4a79ca4a79ca4a79ca4a79ca4a79",
    f"postgres://webhooks:{CANARY}@db.example.com/webhooks",
    f"redis://:{CANARY}@redis.example.com:6379/0",
    f"amqp://{CANARY}@mq.example.com//",
    f"https://example.com/hook?token={CANARY}&x={CANARY}",
    f"<WSGIRequest: GET '/admin/x/?token={CANARY}&key={CANARY}'>",
    f"<WSGIRequest: GET '/admin/x?{CANARY}'>",
    f'192.0.2.1 "GET /hook?sig={CANARY} HTTP/1.1" 200',
    f"Max retries exceeded with url: /hook/?session={CANARY} (Caused by",
    f"https://[2606:4700::1111]?{CANARY}",
    *(f"a=b&{name}={CANARY}" for name in ("token", "key", "sig", "signature", "session", "sessionid")),
    f"Authorization: Digest username=x, response={CANARY}",
    f"Authorization: X a,{CANARY}",
    f"[('Accept', '*/*'), ('X-Api-Key', '{CANARY}')]",
    f"(b'authorization', b'Token {CANARY}')",
    f'("Cookie", "sessionid={CANARY}")',
    f"('webhook_secret', 'two words {CANARY}')",
    f"password={CANARY}",
    f"connection to host failed: user=webhooks password='{CANARY}' host=db",
    f'{{"webhook_secret": "{CANARY}"}}',
    f'"{{\\"api_key\\": \\"{CANARY}\\"}}"',
    f"{{'authorization_credential': '{CANARY}'}}",
    f"csrfmiddlewaretoken={CANARY}",
    f"X-Api-Key: {CANARY}",
    f"v1a,{BASE64}=",
    f"credential: {CANARY}",
    f"private_key={CANARY}",
    f"{{'access_token': '{CANARY}'}}",
    f"auth-token: {CANARY}",
    f'{{"authorization_credential": ["{CANARY}"]}}',
    f'{{"authorization_credential": ["x", "{CANARY}"]}}',
    f"{{'authorization': ['{CANARY}']}}",
    f"webhook_secret='two words {CANARY}'",
    f'{{"webhook_secret": "two words \\"and {CANARY}"}}',
    f'"{{\\"webhook_secret\\": \\"two words {CANARY}\\"}}"',
]
HARMLESS = [
    "Attempt made",
    "Not Found: /api/v1/events",
    "Worker 4711 took 25 deliveries in 0.3 s",
    "https://example.com/hook answered HTTP 500",
    "The token of the lease was replaced",
    "Basic authentication failed; the API answered",
    "<WSGIRequest: GET '/api/v1/events'>",
    "Is it down? Ask; what? (No.)",
    "INSERT INTO x VALUES (?, ?,?)",
    "('url', 'https://example.com/'), ('fields', ['secret', 'name'])",
]


def record(message: str, raised: Exception | None = None, **extra: Any) -> logging.LogRecord:
    info: Any = None
    if raised is not None:
        try:
            raise raised
        except Exception:
            info = sys.exc_info()
    made = logging.LogRecord("test", logging.ERROR, __file__, 1, message, None, info)
    made.__dict__.update(extra)
    return made


formatters = pytest.mark.parametrize("formatter", [JsonFormatter(), PlainFormatter()], ids=["json", "plain"])


class TestLines:
    def test_leave_out_no_word_that_was_an_earlier_test_s_password(self, settings: Any) -> None:
        settings.REDIS_URL = "redis://:harmless@127.0.0.1/0"
        assert "harmless" not in redaction.redact("harmless")
        settings.REDIS_URL = ""

        assert redaction.redact("harmless") == "harmless"

    @formatters
    @pytest.mark.parametrize("text", SECRETS)
    def test_hide_what_is_secret(self, formatter: logging.Formatter, text: str) -> None:
        line = formatter.format(record(text, RuntimeError(text)))

        assert CANARY not in line
        assert BASE64 not in line
        assert "ca4a79" not in line
        assert "RuntimeError" in line

    @pytest.mark.parametrize("text", SECRETS)
    def test_hide_it_in_what_comes_beside_the_sentence(self, text: str) -> None:
        extra: dict[str, Any] = {
            "error": RuntimeError(text),
            "detail": {"found": [text]},
            "headers": [("Accept", "*/*"), ("X-Api-Key", CANARY)],
            "password": CANARY,
            "count": 3,
        }

        line = JsonFormatter().format(record("Failed", **extra))

        assert CANARY not in line
        assert BASE64 not in line
        assert json.loads(line)["count"] == 3
        assert json.loads(line)["password"] == redaction.HIDDEN

    @formatters
    @pytest.mark.parametrize("text", HARMLESS)
    def test_say_all_the_rest(self, formatter: logging.Formatter, text: str) -> None:
        assert text in formatter.format(record(text))

    @formatters
    def test_hide_this_installation_s_own_wherever_they_stand(
        self, formatter: logging.Formatter, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = {
            name: f"own{number}-x/y"
            for number, name in enumerate(("key", "encryption", "db", "redis", "metrics"))
        }
        settings.SECRET_KEY, settings.ENCRYPTION_KEYS = own["key"], [own["encryption"]]
        settings.WEBHOOKS_METRICS_TOKEN = own["metrics"]
        settings.REDIS_URL = "redis://:own3-x%2Fy@127.0.0.1/0"
        monkeypatch.setitem(settings.DATABASES["default"], "PASSWORD", own["db"])
        redaction._own.cache_clear()
        try:
            line = formatter.format(record("no sign of it: " + " ".join([*own.values(), "own3-x%2Fy"])))
        finally:
            redaction._own.cache_clear()

        assert "own" not in line
        assert "no sign of it" in line

    def test_cost_little_where_nothing_is_hidden(self) -> None:
        text = "Worker 4711 took 25 deliveries for 12 webhooks and recorded them within 0.3 s" * 2

        assert cost(lambda: redaction.redact(text)) < 30 * cost(text.lower)

    @pytest.mark.parametrize(
        "piece",
        [
            "a",
            "://",
            "://a@",
            "cookie",
            "csrf",
            "csrf_",
            "authorization: ",
            "?=",
            "a?",
            "('",
            "&key",
            "('api_key",
        ],
    )
    def test_cost_no_more_than_their_length(self, piece: str) -> None:
        short, long = ("token " + piece * (length // len(piece)) for length in (25_000, 200_000))

        # Eight times as long: eight times the work. Who tries every end of every beginning has 64 times.
        once = cost(lambda: redaction.redact(short), times=1)
        assert cost(lambda: redaction.redact(long), times=1) < 32 * once

    def test_are_cut_before_they_cost_much(self) -> None:
        longest, longer = ("://" * (times * redaction.LONGEST // 3) for times in (1, 20))

        assert cost(lambda: redaction.redact(longer), times=1) < 4 * cost(
            lambda: redaction.redact(longest), times=1
        )
        assert redaction.redact(longer).endswith(f"... ({len(longer)} characters)")

    def test_lose_no_secret_s_beginning_to_the_cut(self, settings: Any) -> None:
        redaction._own.cache_clear()

        line = redaction.redact(" " * (redaction.LONGEST - 8) + settings.SECRET_KEY)

        assert settings.SECRET_KEY[:8] not in line


def cost(act: Callable[[], object], *, times: int = 1000) -> float:
    """Return the seconds of this process's work that something takes, whatever else the machine does."""
    return min(timeit.repeat(act, timer=time.process_time, number=times, repeat=5))


class TestRefusals:
    @pytest.mark.parametrize("headers", [{"HTTP_HOST": "elsewhere.example.com"}, {"HTTP_HOST": "a b"}])
    def test_are_not_logged(
        self, headers: dict[str, Any], client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = client.get("/api/v1/whoami", secure=True, **headers)

        assert answer.status_code == 400
        assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


class TestDebugPage:
    @pytest.mark.parametrize(
        "name", ["SECRET_KEY", "ENCRYPTION_KEYS", "REDIS_URL", "CELERY_BROKER_URL", "DATABASE_URL"]
    )
    def test_hides_settings_with_a_password_in_them(self, name: str) -> None:
        shown = ReporterFilter().cleanse_setting(name, f"x://:{CANARY}@host")

        assert CANARY not in str(shown)
