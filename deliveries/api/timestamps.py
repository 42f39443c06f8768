"""Moments as text: read strictly, and written in the forms the contracts print."""

import re
from datetime import UTC, datetime

# Formats for DRF's DateTimeField. What a form has no room for is cut off, never rounded up. `%Y` alone would
# leave out the zeros of the year 519.
SECONDS = "%4Y-%m-%dT%H:%M:%SZ"
MICROSECONDS = "%4Y-%m-%dT%H:%M:%S.%fZ"

# Python reads more than this: weeks, ordinal days, hours alone.
_ISO_8601 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
)


class NotATimestamp(ValueError):
    """The text is no ISO 8601 moment with a zone, or one outside of the years 1 to 9999."""


def parse(text: str) -> datetime:
    """Return the moment an ISO 8601 text with a zone stands for, in UTC.

    :raises NotATimestamp: for any other text, an unreal date, and a moment outside of the years 1 to 9999.
    """
    if not _ISO_8601.fullmatch(text):
        raise NotATimestamp("Not an ISO 8601 time with a zone.")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise NotATimestamp("Not a real date or time.") from error
