"""Grouping: failures of one webhook for one reason are dealt with at once: snoozed, resolved, reopened."""

from datetime import datetime

from django.db import transaction

from deliveries.models import AuditEntry, FailureGroup
from deliveries.services import auditing


class SeenMore(Exception):
    """More has failed since whoever settles the group looked at it; the message says how much."""


def snooze(
    group: FailureGroup,
    *,
    until: datetime,
    by: str,
    now: datetime,
    why: str = "",
    seen: int | None = None,
) -> FailureGroup:
    """Have nobody look at a group until a moment, whatever comes meanwhile; return it as it is now.

    :param seen: how many its owner saw, to settle no others.
    :raises ValueError: when the moment is past.
    :raises SeenMore: when there are more by now.
    """
    if until <= now:
        raise ValueError("Choose a moment in the future.")
    return _settle(
        group,
        FailureGroup.State.SNOOZED,
        AuditEntry.Action.FAILURES_SNOOZED,
        by=by,
        now=now,
        why=why,
        until=until,
        seen=seen,
    )


def resolve(
    group: FailureGroup, *, by: str, now: datetime, why: str = "", seen: int | None = None
) -> FailureGroup:
    """Be done with a group, until the next such failure opens it again; return it as it is now.

    Its failures stay as they are: what waits to be sent again still can be.

    :param seen: how many its owner saw, to settle no others.
    :raises SeenMore: when there are more by now.
    """
    action = AuditEntry.Action.FAILURES_RESOLVED
    return _settle(group, FailureGroup.State.RESOLVED, action, by=by, now=now, why=why, seen=seen)


def reopen(group: FailureGroup, *, by: str, now: datetime, why: str = "") -> FailureGroup:
    """Have somebody look at a group again; return it as it is now."""
    action = AuditEntry.Action.FAILURES_REOPENED
    return _settle(group, FailureGroup.State.OPEN, action, by=by, now=now, why=why)


def _settle(
    group: FailureGroup,
    state: FailureGroup.State,
    action: AuditEntry.Action,
    *,
    by: str,
    now: datetime,
    why: str,
    until: datetime | None = None,
    seen: int | None = None,
) -> FailureGroup:
    rows = FailureGroup.objects.filter(pk=group.pk)
    if seen is not None:
        rows = rows.filter(seen=seen)
    with transaction.atomic():
        settled = rows.update(
            state=state, snoozed_until=until, settled_by=by[: auditing.MAX_BY], settled_at=now
        )
        group.refresh_from_db()
        if not settled:
            raise SeenMore(f"Meanwhile {group.seen - (seen or 0):,} more failed like this. Look again.")
        details = {"until": until.isoformat()} if until else {}
        auditing.note(
            action,
            by=by,
            now=now,
            account=group.account_id,
            subject=group.pk,
            why=why,
            webhook=str(group.webhook_id),
            reason=group.reason,
            **details,
        )
    return group
