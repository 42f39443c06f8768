"""Reading golden files, playing them, and comparing what comes back."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import limits
import pytest
from django.db import OperationalError, connection
from django.http import HttpResponseBase
from django.test import Client, override_settings

from deliveries.models import Account, ApiKey, Scope
from deliveries.reasons import Reason
from deliveries.services import egress
from deliveries.transport import Exchange, TransportError
from tests import builders
from tests.api.golden import scenarios
from tests.services.fakes import FakeTransport, Outcome, a_reply

FOLDER = Path(__file__).parent
NOW = "2026-03-15T10:45:00Z"
# What every answer carries, whatever it says.
COMMON_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Request-Id": "...",
}
# What stands in a golden file for a text nobody can know beforehand, and the texts it may stand for.
GAPS = {
    "...": re.compile(r".+", re.DOTALL),
    "<uuid>": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "<secret>": re.compile(r"whsec_[A-Za-z0-9+/]{32,}={0,2}"),
    "<number>": re.compile(r"[0-9]+"),
}
_TIMES = re.compile(r"<(.) times ([0-9]+)>")


@contextmanager
def _database_raising(error: Exception) -> Iterator[None]:
    """Have every statement fail."""

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        raise error

    with connection.execute_wrapper(fail):
        yield


@contextmanager
def _receiver(outcome: Outcome, *, after: timedelta) -> Iterator[None]:
    """Have a test call be answered without a network."""

    class Receiver(FakeTransport):
        def __init__(self, **kwargs: object) -> None:
            super().__init__(lambda request: outcome)

        def collect(self, timeout: timedelta) -> list[Exchange]:
            return [replace(exchange, duration=after) for exchange in super().collect(timeout)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(egress, "transport", Receiver)
        yield


def _one_request_a_minute() -> AbstractContextManager[object]:
    """Have every limit, but that of test calls, let one request through."""
    one = limits.parse("1/minute")
    return override_settings(WEBHOOKS_LIMIT_READ=one, WEBHOOKS_LIMIT_PUBLISH=one, WEBHOOKS_LIMIT_MANAGE=one)


_SOON = timedelta(milliseconds=150)
# What may be going on meanwhile.
CIRCUMSTANCES: Mapping[str, Callable[[], AbstractContextManager[object]]] = {
    "all is well": nullcontext,
    "the database is away": lambda: _database_raising(OperationalError("gone")),
    "there is a bug": lambda: _database_raising(ZeroDivisionError("a bug")),
    "one request a minute is allowed": _one_request_a_minute,
    "the receiver answers 200 after 150 ms": lambda: _receiver(a_reply(200), after=_SOON),
    "the receiver answers 503 after 150 ms": lambda: _receiver(a_reply(503), after=_SOON),
    "the receiver is silent for 5003 ms": lambda: _receiver(
        TransportError(Reason.RESPONSE_TOO_SLOW), after=timedelta(milliseconds=5003)
    ),
}


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A golden file, read."""

    scenario: str
    circumstance: str
    now: datetime
    request: Mapping[str, Any]
    status: int
    headers: Mapping[str, str | None]
    body: Any

    def replay(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the rows, send the request, and check the answer."""
        monkeypatch.setattr("deliveries.clock.now", lambda: self.now)
        getattr(scenarios, self.scenario)(account)
        client = Client(
            raise_request_exception=False, headers=_authorization(account, self.request, self.now)
        )
        with CIRCUMSTANCES[self.circumstance]():
            for _ in range(self.request.get("times", 1)):
                response = _send(client, self.request)
        self._check(response)

    def _check(self, response: HttpResponseBase) -> None:
        text = response.getvalue().decode()
        assert response.status_code == self.status, text
        assert self._expected(text) == text
        expected = {**COMMON_HEADERS, **self.headers}
        headers = {name: response.headers.get(name) for name in expected}
        assert fill(expected, headers) == headers

    def _expected(self, text: str) -> str:
        """Return the body as text, its gaps filled from what came."""
        return compact(fill(self.body, json.loads(text)))


def names(contract: str) -> list[str]:
    """Return the names of a contract's golden files."""
    return sorted(path.stem for path in (FOLDER / contract).glob("*.json"))


def read(contract: str, name: str) -> Golden:
    """Return a golden file."""
    content = json.loads((FOLDER / contract / f"{name}.json").read_text(encoding="utf-8"))
    return Golden(
        scenario=content.get("scenario", "nothing"),
        circumstance=content.get("while", "all is well"),
        now=datetime.fromisoformat(content.get("now", NOW)),
        request=content["request"],
        status=content["answer"]["status"],
        headers=content["answer"].get("headers", {}),
        body=content["answer"]["body"],
    )


def fill(expected: Any, actual: Any) -> Any:
    """Return what is expected, with each gap replaced by the text at its place where that fits it."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {name: fill(value, actual.get(name)) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [fill(*pair) for pair in zip(expected, actual, strict=True)]
    gap = GAPS.get(expected) if isinstance(expected, str) else None
    return actual if gap and isinstance(actual, str) and gap.fullmatch(actual) else expected


def compact(value: Any) -> str:
    """Return a JSON value as the APIs write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _authorization(account: Account, request: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """Return the header for the kind of key the request names, or for a list of scopes."""
    kind, yesterday = request.get("key", list(Scope)), now - timedelta(days=1)
    if kind == "none":
        return {}
    scopes = list(Scope) if isinstance(kind, str) else kind
    key, text = ApiKey.objects.issue(account=account, name="golden", scopes=scopes, now=builders.NOW)
    match kind:
        case "unknown":
            text = "whk_0123456789ab_unknown"
        case "revoked":
            ApiKey.objects.filter(pk=key.pk).update(revoked_at=yesterday)
        case "expired":
            ApiKey.objects.filter(pk=key.pk).update(expires_at=yesterday)
    return {"authorization": f"Bearer {text}"}


def _send(client: Client, request: Mapping[str, Any]) -> HttpResponseBase:
    body = request.get("text", json.dumps(request["body"]) if "body" in request else "")
    headers = {name.lower(): value for name, value in request.get("headers", {}).items()}
    content_type = headers.pop("content-type", "application/json" if body else "")
    path = _expanded(request["path"])
    return client.generic(
        request["method"], path, _expanded(body), content_type=content_type, headers=headers
    )


def _expanded(text: str) -> str:
    return _TIMES.sub(lambda match: match[1] * int(match[2]), text)
