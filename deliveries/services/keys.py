"""API keys: made, changed and revoked by people, with a note of each act."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from deliveries.models import Account, ApiKey, AuditEntry, Scope
from deliveries.services import auditing


def issue(
    *,
    account: Account,
    name: str,
    scopes: Sequence[Scope],
    by: str,
    now: datetime,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its text, which is stored nowhere and cannot be shown again."""
    with transaction.atomic():
        key, text = ApiKey.objects.issue(
            account=account, name=name, scopes=list(scopes), now=now, expires_at=expires_at
        )
        auditing.note(
            AuditEntry.Action.API_KEY_CREATED,
            by=by,
            now=now,
            account=account,
            subject=key.pk,
            name=name,
            scopes=key.scopes,
        )
    return key, text


def change(key: ApiKey, *, fields: Sequence[str], by: str, now: datetime) -> None:
    """Save these fields of a key; with none there is nothing to do."""
    if not fields:
        return
    with transaction.atomic():
        key.save(update_fields=fields)
        auditing.note(
            AuditEntry.Action.API_KEY_CHANGED,
            by=by,
            now=now,
            account=key.account_id,
            subject=key.pk,
            fields=sorted(fields),
        )


def revoke(key: ApiKey, *, by: str, now: datetime) -> bool:
    """Make a key useless at once, and tell whether it was not before. A revoked one keeps its moment."""
    with transaction.atomic():
        revoked = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
        if revoked:
            auditing.note(
                AuditEntry.Action.API_KEY_REVOKED, by=by, now=now, account=key.account_id, subject=key.pk
            )
    return bool(revoked)
