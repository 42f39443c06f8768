"""A request to inspect, made up on the spot and signed with a secret that is as well."""

import json
from dataclasses import dataclass
from datetime import datetime

from deliveries import payloads, signing
from deliveries.identifiers import new_id

_PAYLOAD: dict[str, object] = {
    "event": "call.ended",
    "call_id": "c-1",
    "caller": "Zoë",
    "duration": 45,
    "recording": None,
}


@dataclass(frozen=True, kw_only=True)
class Example:
    """What somebody would paste."""

    headers: str
    body: str
    secret: str


def example(*, changed: bool, now: datetime) -> Example:
    """Return a request as it is sent now.

    :param changed: with its body as a program shows it that has read the JSON and written it again.
    """
    message_id, timestamp, secret = str(new_id()), int(now.timestamp()), signing.new_secret()
    body = payloads.serialise(_PAYLOAD)
    signature = signing.sign(message_id=message_id, timestamp=timestamp, body=body, keys=[secret])
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    return Example(
        headers="\n".join(f"{name}: {value}" for name, value in headers.items()),
        body=json.dumps(_PAYLOAD, indent=2) if changed else body.decode(),
        secret=secret,
    )
