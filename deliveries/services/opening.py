"""Opening accounts: by a command, with a note of each."""

from datetime import datetime

from django.db import transaction

from deliveries.models import Account, AuditEntry
from deliveries.services import auditing


def open_account(*, name: str, by: str, now: datetime) -> Account:
    """Make an account."""
    with transaction.atomic():
        account = Account.objects.create(name=name, created_at=now)
        auditing.note(
            AuditEntry.Action.ACCOUNT_CREATED, by=by, now=now, account=account, subject=account.pk, name=name
        )
    return account
