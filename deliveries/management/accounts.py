"""Accounts as they are named on the command line: by id, or by name."""

from uuid import UUID

from django.core.management.base import CommandError

from deliveries.models import Account
from deliveries.printing import printable


def find(text: str) -> Account | None:
    """Return the account with this id or this name.

    :raises CommandError: when several have the name.
    """
    pk = as_id(text)
    if pk:
        return Account.objects.filter(pk=pk).first()
    found = list(Account.objects.filter(name=text).order_by("pk"))
    if len(found) > 1:
        ids = ", ".join(str(account.pk) for account in found)
        raise CommandError(f"Several accounts are called {printable(text)}; give an id instead: {ids}.")
    return found[0] if found else None


def as_id(text: str) -> UUID | None:
    """Return the id a text spells, or None."""
    try:
        return UUID(text)
    except ValueError:
        return None
