"""Auditing: a note of every act a person answers for, written together with the act."""

from datetime import datetime
from typing import Any
from uuid import UUID

from deliveries.models import Account, AuditEntry

MAX_BY, MAX_WHY = 300, 500


def note(
    action: AuditEntry.Action,
    *,
    by: str,
    now: datetime,
    account: Account | UUID | None = None,
    subject: object = "",
    why: str = "",
    **details: Any,
) -> AuditEntry:
    """Write down an act, in the caller's transaction, so that the note is there if and only if the act is.

    Returns the row, to which an act of several transactions adds with each.

    :param by: who did it, as people know them: the name of an API key, a user of the console, a command.
    :param account: whose it was; None for an act on several accounts at once.
    :param subject: the id of what it was done to.
    :param why: the reason somebody gave; empty where nobody did.
    :param details: what else to remember; JSON, and nothing secret.
    """
    return AuditEntry.objects.create(
        account_id=account.pk if isinstance(account, Account) else account,
        created_at=now,
        by=by[:MAX_BY],
        action=action,
        subject_id=str(subject),
        why=why,
        details=details,
    )
