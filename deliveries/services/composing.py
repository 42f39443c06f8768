"""The outgoing request: what a webhook's next attempt sends, complete and signed."""

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from deliveries import headers, signing
from deliveries.models import Delivery, Webhook
from deliveries.transport import Request

USER_AGENT = "webhooks/0.1"


def compose(delivery: Delivery, *, at: datetime) -> Request:
    """Return the request of the delivery's next attempt, made at `at`.

    :raises deliveries.secrets.Undecryptable: when none of ENCRYPTION_KEYS opens what the webhook keeps.
    :raises ValueError: when the webhook's secret has no key in it.
    """
    event, webhook = delivery.event, delivery.webhook
    return request_to(
        webhook,
        message_id=event.pk,
        event_type=event.type,
        attempt=delivery.attempts_made + 1,
        body=bytes(event.body),
        timeout=timedelta(seconds=webhook.timeout),
        at=at,
    )


def request_to(
    webhook: Webhook,
    *,
    message_id: UUID,
    event_type: str,
    attempt: int,
    body: bytes,
    timeout: timedelta,
    at: datetime,
) -> Request:
    """Return a request to the webhook, made at `at`, authorized and signed as the webhook wants it.

    :param timeout: the deadline of the whole exchange.
    :raises deliveries.secrets.Undecryptable: when none of ENCRYPTION_KEYS opens what the webhook keeps.
    :raises ValueError: when the webhook's secret has no key in it.
    """
    return Request(
        url=webhook.url,
        method=webhook.http_method,
        headers={
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "X-Webhook-Event": event_type,
            "X-Webhook-Attempt": str(attempt),
            **webhook.reveal_headers(),
            **_authorization(webhook),
            **_signature(webhook, message_id=str(message_id), body=body, at=at),
        },
        body=body,
        timeout=timeout,
    )


def masked_headers(request: Request, webhook: Webhook) -> Mapping[str, str]:
    """Return the request's headers as they may be stored and shown: custom and credential values masked."""
    ours = {"content-type", "user-agent", "x-webhook-event", "x-webhook-attempt"}
    signature = {"webhook-id", "webhook-timestamp", "webhook-signature"}
    shown = (ours | signature) - {name.lower() for name in webhook.reveal_headers()}
    return {name: value if name.lower() in shown else headers.MASK for name, value in request.headers.items()}


def _authorization(webhook: Webhook) -> Mapping[str, str]:
    if webhook.authorization_credential is None:
        return {}
    credential = webhook.authorization_credential.reveal()
    match webhook.authorization_scheme:
        case Webhook.Authorization.BEARER:
            return {"Authorization": f"Bearer {credential}"}
        case Webhook.Authorization.BASIC:
            return {"Authorization": f"Basic {base64.b64encode(credential.encode()).decode()}"}
        case Webhook.Authorization.API_KEY:
            return {"X-API-Key": credential}
        case _:
            return {}


def _signature(webhook: Webhook, *, message_id: str, body: bytes, at: datetime) -> Mapping[str, str]:
    timestamp = int(at.timestamp())
    signature = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if keys := webhook.secrets_at(at):
        signature["webhook-signature"] = signing.sign(
            message_id=message_id, timestamp=timestamp, body=body, keys=keys
        )
    return signature
