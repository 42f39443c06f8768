"""Ids of our rows: time-ordered UUIDs, and the 24 hex characters of a failure."""

import secrets
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from uuid_utils import compat

# The canonical form of a UUID, as a regular expression.
UUID_FORM = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# The characters of a failure's id.
FAILURE_ID_LENGTH = 24

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Of the 74 bits a UUIDv7 has beside its moment, those that count, and those that tell processes apart.
_COUNTED, _RANDOM = 26, 48
_count = count(secrets.randbits(_COUNTED - 1))


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562), larger than every one this process made before, also within a millisecond.

    Sorting by id is therefore sorting by insertion, which keeps pages stable.
    """
    return compat.uuid7()


def new_id_at(moment: datetime) -> UUID:
    """Return a UUIDv7 that was made at this moment, whatever the clock of the host says.

    It is larger than every one this process made before for the same millisecond.
    """
    rest = (next(_count) % 2**_COUNTED) << _RANDOM | secrets.randbits(_RANDOM)
    version_and_high = 7 << 12 | rest >> 62
    variant_and_low = 2 << 62 | rest & (2**62 - 1)
    return UUID(int=_milliseconds(moment) << 80 | version_and_high << 64 | variant_and_low)


def first_id_at(moment: datetime) -> UUID:
    """Return what is larger than every id from before this moment, and than no other; to the millisecond."""
    return UUID(int=max(0, _milliseconds(moment)) << 80)


def moment_of(made: UUID) -> datetime:
    """Return the moment an id was made at, to the millisecond."""
    return _EPOCH + (made.int >> 80) * _MILLISECOND


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def new_failure_id() -> str:
    """Return 24 lower-case hex characters: the form of a failure's id in the failures API."""
    return secrets.token_hex(FAILURE_ID_LENGTH // 2)
