"""The console: what operators see and do. Every act is a call of a service."""

from deliveries.admin import (
    accounts,
    agents,
    api_keys,
    attempts,
    deliveries,
    events,
    failures,
    titles,
    webhooks,
)

__all__ = ["accounts", "agents", "api_keys", "attempts", "deliveries", "events", "failures", "webhooks"]

titles.give()
