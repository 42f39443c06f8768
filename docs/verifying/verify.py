"""Verify the signature of a webhook's request; needs nothing but Python's standard library."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping

TOLERANCE = 5 * 60  # seconds


def verify(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Tell whether a request was signed with this secret within the last five minutes.

    :param headers: finds names in any case, as those of Django, Flask and FastAPI do.
    :param body: the bytes that came, before anything parsed them.
    """
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not re.fullmatch("[0-9]{1,12}", timestamp):
        return False
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    content = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(_key(secret), content, hashlib.sha256))
    # While a secret is replaced there are several, separated by spaces.
    for signature in headers.get("webhook-signature", "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(expected, value.encode()):
            return True
    return False


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    else:
        key = secret.encode()
    if not key:
        raise ValueError("The webhook's secret is empty.")  # anybody could sign with it
    return key
