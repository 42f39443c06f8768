"""Webhooks that point at the service itself."""

import json
from datetime import timedelta

import pytest
from django.test import Client

from deliveries import headers as custom_headers
from deliveries.models import Account, AuditEntry, Event
from deliveries.services import composing
from tests import builders


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/events"),
        ("POST", "/api/v1/events/batch"),
        ("GET", "/api/v1/whoami"),
        ("GET", "/api/v4/tasks/webhook_failures"),
        ("POST", "/api/v1/agents/{agent}/webhooks/{webhook}/test"),
    ],
)
def test_a_delivery_cannot_call_the_api(account: Account, api: Client, method: str, path: str) -> None:
    agent = builders.an_agent(account)
    webhook = builders.a_webhook(agent=agent, custom_headers={"X-Anything": "1"})
    delivery = composing.request_to(
        webhook,
        message_id=agent.pk,
        event_type="call.ended",
        attempt=1,
        body=json.dumps({"event": "call.ended", "payload": {}}).encode(),
        timeout=timedelta(seconds=5),
        at=builders.NOW,
    )
    noted = AuditEntry.objects.count()

    answer = api.generic(
        method,
        path.format(agent=agent.pk, webhook=webhook.pk),
        delivery.body if method == "POST" else b"",
        content_type="application/json",
        headers=delivery.headers,
    )

    assert answer.status_code == 403
    assert (Event.objects.count(), AuditEntry.objects.count()) == (0, noted)


def test_a_delivery_cannot_hide_that_it_is_one() -> None:
    for name in ("X-Webhook-Attempt", "x-webhook-attempt"):
        assert custom_headers.problems({name: ""}) == [f"The header {name} cannot be set."]
