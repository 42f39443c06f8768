"""Grouping: failures of one webhook for one reason are dealt with at once: snoozed, resolved, reopened."""

from datetime import datetime

from django.db import transaction

from deliveries.models import AuditEntry, FailureGroup
from deliveries.services import auditing


def snooze(group: FailureGroup, *, until: datetime, by: str, now: datetime) -> FailureGroup:
    """Have nobody look at a group until a moment, whatever comes meanwhile; return it as it is now.

    :raises ValueError: when the moment is past.
    """
    if until <= now:
        raise ValueError("Choose a moment in the future.")
    return _settle(
        group,
        FailureGroup.State.SNOOZED,
        AuditEntry.Action.FAILURES_SNOOZED,
        by=by,
        now=now,
        until=until,
    )


def resolve(group: FailureGroup, *, by: str, now: datetime) -> FailureGroup:
    """Be done with a group, until the next such failure opens it again; return it as it is now.

    Its failures stay as they are: what waits to be sent again still can be.
    """
    return _settle(group, FailureGroup.State.RESOLVED, AuditEntry.Action.FAILURES_RESOLVED, by=by, now=now)


def reopen(group: FailureGroup, *, by: str, now: datetime) -> FailureGroup:
    """Have somebody look at a group again; return it as it is now."""
    return _settle(group, FailureGroup.State.OPEN, AuditEntry.Action.FAILURES_REOPENED, by=by, now=now)


def _settle(
    group: FailureGroup,
    state: FailureGroup.State,
    action: AuditEntry.Action,
    *,
    by: str,
    now: datetime,
    until: datetime | None = None,
) -> FailureGroup:
    with transaction.atomic():
        FailureGroup.objects.filter(pk=group.pk).update(
            state=state, snoozed_until=until, settled_by=by[: auditing.MAX_BY], settled_at=now
        )
        group.refresh_from_db()
        details = {"until": until.isoformat()} if until else {}
        auditing.note(
            action,
            by=by,
            now=now,
            account=group.account_id,
            subject=group.pk,
            webhook=str(group.webhook_id),
            reason=group.reason,
            **details,
        )
    return group
