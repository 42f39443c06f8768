"""A consumer of the three APIs, with clients made from their documents. Prints what it got."""

import datetime
import json
import os
from uuid import UUID

from failures_client import AuthenticatedClient as FailuresClient
from failures_client.api.webhook_failures import list_webhook_failures
from failures_client.models import WebhookFailureList
from logs_client import AuthenticatedClient as LogsClient
from logs_client.api.webhooks import create_agent_webhook
from logs_client.models import NewWebhook, WebhookChanged
from native_client import AuthenticatedClient as NativeClient
from native_client.api.events import get_event, publish_event
from native_client.models import EventDraft, Problem, Publication
from native_client.models.event_draft_payload import EventDraftPayload

URL, KEY, AGENT_ID = (os.environ[name] for name in ("SERVICE_URL", "API_KEY", "AGENT_ID"))

listed = list_webhook_failures.sync(
    client=FailuresClient(base_url=URL, token=KEY, raise_on_unexpected_status=True),
    created_atgte=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    limit=1,
)
assert isinstance(listed, WebhookFailureList), listed

draft = NewWebhook(name="Python", webhook_url=f"{URL}/demo/python", events=["call.ended"])
created = create_agent_webhook.sync(
    client=LogsClient(base_url=URL, token=KEY, raise_on_unexpected_status=True), agent_id=AGENT_ID, body=draft
)
assert isinstance(created, WebhookChanged), created

native = NativeClient(base_url=URL, token=KEY, raise_on_unexpected_status=True)
event = EventDraft(
    event="call.ended", agent_id=UUID(AGENT_ID), payload=EventDraftPayload.from_dict({"call_id": "c-1"})
)
published = publish_event.sync(client=native, body=event, idempotency_key="python-1")
assert isinstance(published, Publication), published

refused = get_event.sync(client=native, event_id="none")
assert isinstance(refused, Problem), refused

print(
    json.dumps(
        {
            "total": listed.metadata.total,
            "reason": listed.webhook_failures[0].reason,
            "webhook": created.data.name,
            "matched": published.matched,
            "problem": refused.code,
        }
    )
)
