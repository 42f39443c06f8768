"""What a command says when the database lets it down."""

from django.db import Error, OperationalError

from deliveries.models.databases import is_away
from deliveries.printing import printable
from webhooks_project.redaction import redact

# PostgreSQL's codes for a table and a column that are not there, and how SQLite begins to say the same.
_MISSING = ("42P01", "42703")
_NO_SUCH = ("no such table", "no such column")


def in_words(error: Error) -> str | None:
    """Return a sentence for a person; None for what is a bug, and should be shown as one."""
    said = printable(redact(" ".join(str(error).split())))
    if getattr(error.__cause__, "sqlstate", None) in _MISSING or said.startswith(_NO_SUCH):
        return f"The database has not the tables of this version ({said}): run `manage.py migrate`."
    if is_away(error):
        return f"The database does not answer: {said}"
    if isinstance(error, OperationalError):
        return f"The database did not do it: {said}"
    return None
