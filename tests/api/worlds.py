"""An account with one of everything the contracts have paths for, and a valid request to each endpoint."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.test import Client

from deliveries.identifiers import new_failure_id, new_id
from deliveries.models import Account, ApiKey, Scope
from tests import builders
from tests.api import routes

# Always the same, for some answers hold it.
REQUEST_ID = "matrix"
WEBHOOK = {"name": "My Webhook", "webhook_url": builders.URL, "events": ["*"]}
EVENT = {"event": "call.ended", "payload": {}}
RECOVERY = {"event": "call.ended", "dry_run": False}
PAUSE = {"event": "call.ended", "seconds": 60, "why": "The receiver is being moved."}
# The bodies of the endpoints that need one.
BODIES: Mapping[str, Mapping[str, Any]] = {
    "POST /api/v1/agents": {"name": "Reception"},
    "POST /api/v1/agents/{agent_id}/webhooks": WEBHOOK,
    "PUT /api/v1/agents/{agent_id}/webhooks/{webhook_id}": {"name": "Renamed"},
    "POST /api/v1/events": EVENT,
    "POST /api/v1/events/batch": {"events": [EVENT]},
    "POST /api/v1/recoveries": RECOVERY,
    "POST /api/v1/pauses": PAUSE,
}


@dataclass(frozen=True)
class World:
    """Somebody's rows, by the names the paths have for their ids."""

    account: Account
    ids: Mapping[str, str]


def a_world(account: Account) -> World:
    """Make one of everything: a webhook of an agent, whose one delivery has failed."""
    agent = builders.an_agent(account)
    webhook = builders.a_webhook(agent=agent)
    delivery = builders.a_failed_delivery(webhook, event=builders.an_event(account, agent=agent))
    builders.a_minute_of_traffic(webhook)
    ids = {
        "agent_id": agent.pk,
        "webhook_id": webhook.pk,
        "event_id": delivery.event_id,
        "delivery_id": delivery.pk,
        "attempt_id": delivery.attempts.get().pk,
        "log_id": delivery.attempts.get().pk,
        "failure_id": delivery.failure.pk,
        "recovery_id": builders.a_recovery(account).pk,
        "pause_id": builders.a_pause(account, event_type="message.sent").pk,
    }
    return World(account, {name: str(row_id) for name, row_id in ids.items()})


def unknown_ids() -> dict[str, str]:
    """Return ids of the right form that nobody has."""
    names = {name for endpoint in routes.endpoints() for name in routes.parameters(endpoint)}
    return {name: new_failure_id() if name == "failure_id" else str(new_id()) for name in names}


def ask(client: Client, endpoint: str, ids: Mapping[str, str], *, query: str = "", body: Any = None) -> Any:
    """Send the request an endpoint takes, with these ids in its path, and return the answer."""
    method, path = endpoint.format(**ids).split(" ")
    sent = BODIES.get(endpoint) if body is None else body
    text = "" if sent is None else json.dumps(sent)
    headers = {"x-request-id": REQUEST_ID}
    return client.generic(method, f"{path}{query}", text, content_type="application/json", headers=headers)


def a_client(account: Account, *scopes: Scope) -> Client:
    """Return a client whose key has these scopes, and no other."""
    _, text = ApiKey.objects.issue(account=account, name="test", scopes=list(scopes), now=builders.NOW)
    return Client(headers={"authorization": f"Bearer {text}"})
