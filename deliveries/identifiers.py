"""Ids of our rows: time-ordered UUIDs, and the 24 hex characters of a failure."""

import secrets
from uuid import UUID

from uuid_utils import compat


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562), larger than every one this process made before, also within a millisecond.

    Sorting by id is therefore sorting by insertion, which keeps pages stable.
    """
    return compat.uuid7()


def new_failure_id() -> str:
    """Return 24 lower-case hex characters: the form of a failure's id in the failures API."""
    return secrets.token_hex(12)
