"""The outgoing request: what a webhook's next attempt sends, complete and signed."""

import base64
import html
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus
from uuid import UUID

from django.conf import settings

from deliveries import headers, signing
from deliveries.models import Delivery, Sealed, Webhook
from deliveries.models.fields import SealedField
from deliveries.transport import Reply, Request

USER_AGENT = "webhooks/0.1"
# Characters of the shortest secret that is masked in an answer: shorter ones are parts of ordinary words.
SHORTEST_MASKED = 8
_MASK = headers.MASK.encode()
# What a webhook keeps sealed; and the headers that have nothing of it.
_SEALED = [column.name for column in Webhook._meta.concrete_fields if isinstance(column, SealedField)]
_sealed = attrgetter(*_SEALED)
_SHOWN = frozenset({"content-type", "user-agent", "x-webhook-event", "x-webhook-attempt"}) | {
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
}


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
    opened = _opened(webhook)
    return Request(
        url=webhook.url,
        method=webhook.http_method,
        headers={
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "X-Webhook-Event": event_type,
            "X-Webhook-Attempt": str(attempt),
            **opened.headers,
            **_signature(webhook, message_id=str(message_id), body=body, at=at),
        },
        body=body,
        timeout=timeout,
    )


def masked_headers(request: Request, webhook: Webhook) -> Mapping[str, str]:
    """Return the request's headers as they may be stored and shown: custom and credential values masked."""
    shown = _opened(webhook).shown
    return {name: value if name.lower() in shown else headers.MASK for name, value in request.headers.items()}


def masked_reply(reply: Reply, webhook: Webhook) -> Reply:
    """Return an answer as it may be stored and shown: what the receiver sends back of our secrets is masked.

    Those are the secrets that sign, the credential, and what `masked_headers` masks; each as it is, and as it
    stands in JSON, in HTML and in a URL; at the end of a body its beginning as well, as any may have been cut
    off there. A receiver that disguises them in other ways means to.

    :raises deliveries.secrets.Undecryptable: when none of ENCRYPTION_KEYS opens what the webhook keeps.
    """
    spellings = _opened(webhook).spellings
    if not spellings:
        return reply
    fields, body = reply.headers, reply.body
    # Looked through as a whole, because nearly always nothing is found.
    names, values = "\n".join(fields), "\n".join(fields.values())
    for text, raw in spellings:
        body = body.replace(raw, _MASK)
        if text in values:
            fields = {name: value.replace(text, headers.MASK) for name, value in fields.items()}
        # Names have come in lower case.
        if text.lower() in names:
            fields = {name.replace(text.lower(), headers.MASK): value for name, value in fields.items()}
    body = _without_beginning(body, spellings)
    if fields is reply.headers and body == reply.body:
        return reply
    return replace(reply, headers=fields, body=body)


class _Opened(NamedTuple):
    """What follows from what a webhook keeps sealed, for all its requests and answers.

    :ivar headers: of every request, beside the signature: its own, and what authorizes it.
    :ivar shown: the names of the headers that are kept as they were sent, in lower case.
    :ivar spellings: every way to write down what must not be kept, as text and in UTF-8.
    """

    headers: Mapping[str, str]
    shown: Set[str]
    spellings: Sequence[tuple[str, bytes]]


def _opened(webhook: Webhook) -> _Opened:
    tokens = [each and each.token for each in _sealed(webhook)]
    return _open(webhook.authorization_scheme, *tokens, keys=tuple(settings.ENCRYPTION_KEYS))


# To open and to spell takes longer than all else that makes a request, and a webhook's follow one another.
@lru_cache(maxsize=4096)
def _open(scheme: str, *tokens: str | None, keys: Sequence[str]) -> _Opened:
    """Open the sealed columns, in their order; the keys are named for the cache's sake."""
    sealed: dict[str, Any] = {
        name: token and Sealed(token) for name, token in zip(_SEALED, tokens, strict=True)
    }
    webhook = Webhook(authorization_scheme=scheme, **sealed)
    own = webhook.reveal_headers()
    return _Opened(
        headers={**own, **_authorization(webhook)},
        shown=_SHOWN - {name.lower() for name in own},
        spellings=_spellings(set(_confidential(webhook))),
    )


def _confidential(webhook: Webhook) -> Iterator[str]:
    """Yield what must not stand in an answer that is kept."""
    if webhook.secret is not None:
        yield webhook.secret.reveal()
    for secret, _ in webhook.reveal_previous_secrets():
        yield secret
    if webhook.authorization_credential is not None:
        credential = webhook.authorization_credential.reveal()
        yield credential
        if webhook.authorization_scheme == Webhook.Authorization.BASIC:
            yield _in_base64(credential)
            yield credential.partition(":")[2]
    yield from headers.confidential(webhook.reveal_headers())


def _spellings(secrets: Set[str]) -> Sequence[tuple[str, bytes]]:
    """Return every way to write these down, as text and in UTF-8; the longest first, as some hold others."""
    found: set[str] = set()
    for secret in secrets:
        if len(secret) >= SHORTEST_MASKED:
            in_json = json.dumps(secret)[1:-1]
            in_utf8 = json.dumps(secret, ensure_ascii=False)[1:-1]
            found |= {secret, in_json, in_json.replace("/", "\\/"), in_utf8}
            found |= {html.escape(secret), html.escape(secret, quote=False)}
            found |= {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    return [(text, text.encode()) for text in sorted(found, key=len, reverse=True)]


def _without_beginning(body: bytes, spellings: Sequence[tuple[str, bytes]]) -> bytes:
    """Return a body without the beginning of a secret at its end."""
    for _, whole in spellings:
        at = body.find(whole[:SHORTEST_MASKED], max(len(body) - len(whole), 0))
        while at >= 0:
            if whole.startswith(body[at:]):
                return body[:at] + _MASK
            at = body.find(whole[:SHORTEST_MASKED], at + 1)
    return body


def _authorization(webhook: Webhook) -> Mapping[str, str]:
    if webhook.authorization_credential is None:
        return {}
    credential = webhook.authorization_credential.reveal()
    match webhook.authorization_scheme:
        case Webhook.Authorization.BEARER:
            return {"Authorization": f"Bearer {credential}"}
        case Webhook.Authorization.BASIC:
            return {"Authorization": f"Basic {_in_base64(credential)}"}
        case Webhook.Authorization.API_KEY:
            return {"X-API-Key": credential}
        case _:
            return {}


def _in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _signature(webhook: Webhook, *, message_id: str, body: bytes, at: datetime) -> Mapping[str, str]:
    timestamp = int(at.timestamp())
    signature = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if keys := webhook.secrets_at(at):
        signature["webhook-signature"] = signing.sign(
            message_id=message_id, timestamp=timestamp, body=body, keys=keys
        )
    return signature
