"""Every endpoint and every scope: what the contracts name lets a request through, and nothing else does."""

from datetime import datetime

import pytest
from django.test import Client

from deliveries.models import Account, Scope
from tests.api import routes, worlds

FAILURES, LOGS, NATIVE = "/api/v4", "/api/v1/agents/{agent_id}/webhooks", "/api/v1"
_WEBHOOK = f"{LOGS}/{{webhook_id}}"
# "Common rules" of the first two contracts, and the sections of the third.
NEEDED: dict[str, Scope | None] = {
    f"GET {FAILURES}/tasks/webhook_failures": Scope.FAILURES_READ,
    f"GET {FAILURES}/tasks/webhook_failures/{{failure_id}}": Scope.FAILURES_READ,
    f"POST {FAILURES}/tasks/webhook_failures/{{failure_id}}/retrigger": Scope.FAILURES_MANAGE,
    f"GET {FAILURES}/tasks/webhooks": Scope.FAILURES_READ,
    f"GET {FAILURES}/tasks/webhooks/{{webhook_id}}": Scope.FAILURES_READ,
    f"GET {LOGS}": Scope.LOGS_READ,
    f"POST {LOGS}": Scope.LOGS_MANAGE,
    f"GET {_WEBHOOK}": Scope.LOGS_READ,
    f"PUT {_WEBHOOK}": Scope.LOGS_MANAGE,
    f"DELETE {_WEBHOOK}": Scope.LOGS_MANAGE,
    f"PATCH {_WEBHOOK}/toggle": Scope.LOGS_MANAGE,
    f"POST {_WEBHOOK}/test": Scope.LOGS_MANAGE,
    f"POST {_WEBHOOK}/rotate_secret": Scope.LOGS_MANAGE,
    f"GET {_WEBHOOK}/logs": Scope.LOGS_READ,
    f"POST {_WEBHOOK}/logs/{{log_id}}/retry": Scope.LOGS_MANAGE,
    f"GET {NATIVE}/agents": Scope.AGENTS_READ,
    f"POST {NATIVE}/agents": Scope.AGENTS_MANAGE,
    f"GET {NATIVE}/agents/{{agent_id}}": Scope.AGENTS_READ,
    f"GET {NATIVE}/events": Scope.EVENTS_READ,
    f"POST {NATIVE}/events": Scope.EVENTS_PUBLISH,
    f"POST {NATIVE}/events/batch": Scope.EVENTS_PUBLISH,
    f"GET {NATIVE}/events/{{event_id}}": Scope.EVENTS_READ,
    f"GET {NATIVE}/event_types": Scope.EVENTS_READ,
    f"GET {NATIVE}/deliveries": Scope.EVENTS_READ,
    f"GET {NATIVE}/deliveries/{{delivery_id}}": Scope.EVENTS_READ,
    f"GET {NATIVE}/deliveries/{{delivery_id}}/attempts": Scope.EVENTS_READ,
    f"GET {NATIVE}/deliveries/{{delivery_id}}/attempts/{{attempt_id}}": Scope.EVENTS_READ,
    f"POST {NATIVE}/deliveries/{{delivery_id}}/retry": Scope.RECOVERIES_MANAGE,
    f"GET {NATIVE}/stats": Scope.EVENTS_READ,
    f"GET {NATIVE}/whoami": None,
    f"GET {NATIVE}/recoveries": Scope.RECOVERIES_READ,
    f"POST {NATIVE}/recoveries": Scope.RECOVERIES_MANAGE,
    f"GET {NATIVE}/recoveries/{{recovery_id}}": Scope.RECOVERIES_READ,
    f"POST {NATIVE}/recoveries/{{recovery_id}}/pause": Scope.RECOVERIES_MANAGE,
    f"POST {NATIVE}/recoveries/{{recovery_id}}/resume": Scope.RECOVERIES_MANAGE,
    f"POST {NATIVE}/recoveries/{{recovery_id}}/cancel": Scope.RECOVERIES_MANAGE,
    f"GET {NATIVE}/pauses": Scope.PAUSES_READ,
    f"POST {NATIVE}/pauses": Scope.PAUSES_MANAGE,
    f"GET {NATIVE}/pauses/{{pause_id}}": Scope.PAUSES_READ,
    f"POST {NATIVE}/pauses/{{pause_id}}/end": Scope.PAUSES_MANAGE,
}


def forbidden(endpoint: str) -> object:
    """Return the body of a 403, in the words of the endpoint's contract."""
    _, path = endpoint.split(" ")
    if path.startswith(FAILURES):
        return {"error": "Forbidden"}
    if path.startswith(LOGS):
        return {"success": False, "message": "This token may not do that."}
    return {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": f"The key lacks the scope `{NEEDED[endpoint]}`.",
        "instance": f"#{worlds.REQUEST_ID}",
        "code": "permission_denied",
        "errors": {},
    }


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Stop the clock at the time of the rows, so that none is too old to be sent again."""
    monkeypatch.setattr("deliveries.clock.now", lambda: now)


def test_names_every_endpoint() -> None:
    assert sorted(NEEDED) == routes.endpoints()


def guarded() -> list[str]:
    """Return the endpoints that ask for more than a key."""
    return [endpoint for endpoint, scope in NEEDED.items() if scope is not None]


@pytest.mark.parametrize("endpoint", guarded())
class TestGuarded:
    def test_let_nobody_through_without_the_scope(self, account: Account, endpoint: str) -> None:
        ids = worlds.a_world(account).ids
        others = [scope for scope in Scope if scope is not NEEDED[endpoint]]

        # None at all, all the others together, and each alone.
        for scopes in ([], others, *([scope] for scope in others)):
            response = worlds.ask(worlds.a_client(account, *scopes), endpoint, ids)

            assert (response.status_code, response.json()) == (403, forbidden(endpoint)), scopes

    def test_let_through_who_has_the_scope(self, account: Account, endpoint: str) -> None:
        ids, needed = worlds.a_world(account).ids, NEEDED[endpoint]
        assert needed is not None

        response = worlds.ask(worlds.a_client(account, needed), endpoint, ids)

        # A recovery that runs cannot be resumed, which is no question of scopes.
        assert response.status_code in (200, 201, 202, 409)


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in NEEDED if endpoint not in guarded()])
class TestOpen:
    def test_let_through_who_has_a_key(self, account: Account, endpoint: str) -> None:
        ids = worlds.a_world(account).ids

        for scopes in ([], *([scope] for scope in Scope)):
            assert worlds.ask(worlds.a_client(account, *scopes), endpoint, ids).status_code == 200, scopes


@pytest.mark.parametrize("endpoint", NEEDED)
def test_nobody_gets_through_without_a_key(account: Account, client: Client, endpoint: str) -> None:
    ids = worlds.a_world(account).ids

    assert worlds.ask(client, endpoint, ids).status_code == 401
