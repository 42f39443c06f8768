"""The console: what operators see and do. Every act is a call of a service."""

from deliveries.admin import (
    accounts,
    agents,
    api_keys,
    attempts,
    audit,
    deliveries,
    events,
    failures,
    recoveries,
    titles,
    traffic,
    webhooks,
)

__all__ = [
    "accounts",
    "agents",
    "api_keys",
    "attempts",
    "audit",
    "deliveries",
    "events",
    "failures",
    "recoveries",
    "traffic",
    "webhooks",
]

titles.give()
