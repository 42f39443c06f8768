"""The console: what operators see and do. Every act is a call of a service."""

from deliveries.admin import (
    accounts,
    agents,
    api_keys,
    attempts,
    audit,
    chores,
    deliveries,
    events,
    failure_groups,
    failures,
    logins,
    pauses,
    people,
    recoveries,
    titles,
    traffic,
    webhooks,
    workers,
)

__all__ = [
    "accounts",
    "agents",
    "api_keys",
    "attempts",
    "audit",
    "chores",
    "deliveries",
    "events",
    "failure_groups",
    "failures",
    "logins",
    "pauses",
    "people",
    "recoveries",
    "traffic",
    "webhooks",
    "workers",
]

titles.give()
