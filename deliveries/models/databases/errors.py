"""What an error of the database means: that it is away, busy, or refuses what it was given."""

from django.db import DataError, Error, IntegrityError, InterfaceError, OperationalError

# The beginnings of PostgreSQL's codes: for what another moment mends, and for more than it can take at all.
_CANCELED = "57014"
_BUSY = ("40", "55", _CANCELED)
_TOO_MUCH = "54"


def is_away(error: Exception) -> bool:
    """Tell whether it is the connection that failed, and not one statement on it."""
    if not isinstance(error, OperationalError):
        return isinstance(error, InterfaceError)
    return not is_busy(error) and not _code(error).startswith(_TOO_MUCH)


def is_refusal(error: Exception) -> bool:
    """Tell whether it is what was to be written that is wrong, beside which anything else can be written.

    An error that is not the database's is one of those. That a column is missing, or a right, is none: there
    is nothing that could be written.
    """
    if not isinstance(error, Error):
        return True
    return isinstance(error, DataError | IntegrityError) or _code(error).startswith(_TOO_MUCH)


def is_busy(error: Exception) -> bool:
    """Tell whether the moment was wrong: a deadlock, a lock not to be had, a statement that took too long."""
    return isinstance(error, OperationalError) and _code(error).startswith(_BUSY)


def took_too_long(error: Exception) -> bool:
    """Tell whether a statement did not end within its time, and the server ended it."""
    return isinstance(error, OperationalError) and _code(error) == _CANCELED


def _code(error: Exception) -> str:
    """Return PostgreSQL's code of an error; nothing where it gave none."""
    return getattr(error.__cause__, "sqlstate", None) or ""
