"""System checks: what would only be noticed at night, said at start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from deliveries import secrets


@register()
def encryption_keys(**kwargs: Any) -> list[CheckMessage]:
    """There must be a usable encryption key."""
    try:
        secrets.encrypt("", keys=settings.ENCRYPTION_KEYS)
    except secrets.InvalidKey as error:
        hint = (
            "Make one with: python -c 'from cryptography.fernet import Fernet; "
            "print(Fernet.generate_key().decode())'"
        )
        return [Error(str(error), hint=hint, id="deliveries.E001")]
    return []


@register()
def lease_covers_recording(**kwargs: Any) -> list[CheckMessage]:
    """A result must be written before its lease ends, or every delivery is sent twice."""
    if settings.WEBHOOKS_LEASE_GRACE <= settings.WEBHOOKS_POLL_INTERVAL:
        return [
            Error(
                "WEBHOOKS_LEASE_GRACE must be longer than WEBHOOKS_POLL_INTERVAL.",
                hint="30 seconds of grace suit the usual installation.",
                id="deliveries.E002",
            )
        ]
    return []
