"""Signatures of outgoing requests, by the Standard Webhooks specification, symmetric scheme `v1`."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from functools import lru_cache

_PREFIX = "whsec_"


def new_secret() -> str:
    """Return a fresh secret: `whsec_` and 32 random bytes in base64."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(*, message_id: str, timestamp: int, body: bytes, keys: Sequence[str]) -> str:
    """Return the value of the `webhook-signature` header: one `v1,<base64>` per key, separated by spaces.

    What is signed is `<message_id>.<timestamp>.<body>`, `timestamp` in Unix seconds.

    :raises ValueError: when a key starts with `whsec_` and the rest is not base64.
    """
    content = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return " ".join(f"v1,{_digest(content, key)}" for key in keys)


def verify(*, message_id: str, timestamp: int, body: bytes, key: str, signature: str) -> bool:
    """Tell whether one of the signatures in a `webhook-signature` header was made with this key."""
    expected = sign(message_id=message_id, timestamp=timestamp, body=body, keys=[key])
    return any(hmac.compare_digest(expected.encode(), part.encode()) for part in signature.split())


def digest(content: bytes, key: bytes) -> bytes:
    """Return the signature of a content before it is written in base64."""
    return hmac.digest(key, content, hashlib.sha256)


def key_bytes(key: str) -> bytes:
    """Return what a secret stands for: base64 behind `whsec_`, the UTF-8 bytes of anything else.

    :raises ValueError: when the key starts with `whsec_` and the rest is not base64, or is nothing.
    """
    if not key.startswith(_PREFIX):
        return key.encode()
    try:
        decoded = base64.b64decode(key.removeprefix(_PREFIX), validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise ValueError("A secret that starts with whsec_ must go on in base64.")
    return decoded


# As many as `models.fields` keeps opened.
_kept_key_bytes = lru_cache(maxsize=4096)(key_bytes)


def _digest(content: bytes, key: str) -> str:
    return base64.b64encode(digest(content, _kept_key_bytes(key))).decode()
