"""Identifying: what an id is of, where nothing arrives by it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Model

from deliveries.models import Account, Agent, ApiKey, AuditEntry, FailureGroup, Pause, Recovery, Worker
from deliveries.printing import utc
from deliveries.services import pausing

# What the console shows an id of, and what is read beside it.
_KINDS: dict[type[Any], tuple[str, ...]] = {
    FailureGroup: ("webhook",),
    Pause: ("webhook",),
    Recovery: ("account",),
    AuditEntry: (),
    Account: (),
    Agent: ("account",),
    ApiKey: ("account",),
    Worker: (),
}


def find(pk: UUID, *, may_see: Callable[[type[Model]], bool]) -> Model | None:
    """Return the row of this id, if there is one of a kind that may be seen. Each is asked by its key."""
    for kind, beside in _KINDS.items():
        if may_see(kind) and (row := kind.objects.select_related(*beside).filter(pk=pk).first()):
            found: Model = row
            return found
    return None


def describe(row: Model, *, now: datetime) -> str:
    """Say what a row is that `find` found."""
    return f"That is {_told(row, now)}"


def _told(row: Any, now: datetime) -> str:
    match row:
        case Pause():
            over = "" if row.in_force(now) else f" {pausing.how_it_ended(row)}"
            return f"a pause: {pausing.in_words(row)}{over}"
        case FailureGroup():
            times = "once" if row.seen == 1 else f"{row.seen:,} times"
            state = row.state_at(now)
            return (
                f"a group of failures: {row.reason} at {row.webhook.name}, given up {times}. It is {state}."
            )
        case Recovery():
            queued = f"{row.queued:,} of {row.total:,} queued"
            return f"a recovery of {row.account.name}: {row.status}, {queued}."
        case AuditEntry():
            return f"an audit entry: {row.action} by {row.by}, at {utc(row.created_at)}."
        case Agent():
            return f"an agent: {row.name} of {row.account.name}."
        case ApiKey():
            return f"an API key of {row.account.name}: {row}."
        case Worker():
            return f"a worker: {row}, last seen at {utc(row.seen_at)}."
    return f"an account: {row.name}."
