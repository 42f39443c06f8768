"""Matching: which webhooks an event goes to, by the copy of an account's rules that each process keeps.

The copy is as good as the rows: after every change of them the account's `rules_version` is counted up, and
whoever publishes knows that number and throws away a copy of another. A change by hand in the database, which
counts nothing, is seen when the copy is a second old.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.db import Error, connection, transaction
from django.db.models import F

from deliveries.models import (
    Account,
    Agent,
    Delivery,
    EventType,
    Pause,
    Webhook,
    WebhookHealth,
    databases,
)

logger = logging.getLogger(__name__)

Key = TypeVar("Key")
Value = TypeVar("Value")

# For how many seconds a copy is good at most.
FRESH = 1.0
# How many of a kind are kept. As they last for a second, more are seldom of use.
MOST = 1000
# What is read of a webhook, beside its circuit.
_OF_WEBHOOK = ("id", "agent_id", "events", "max_retries")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What decides where an account's events go."""

    webhooks: Sequence[Webhook]
    pauses: Sequence[Pause]
    _found: dict[tuple[str, UUID | None], Sequence[Webhook]] = field(default_factory=dict, init=False)

    def matching(self, event_type: str, *, agent_id: UUID | None) -> Sequence[Webhook]:
        """Return the webhooks that get an event of this type: its agent's, and those without an agent."""
        asked = event_type, agent_id
        found = self._found.get(asked)
        if found is None:
            agents = (None, agent_id)
            found = [each for each in self.webhooks if each.agent_id in agents and each.wants(event_type)]
            self._found[asked] = found
        return found

    def first_status(self, webhook: Webhook, event_type: str, *, now: datetime) -> Delivery.Status:
        """Return whether a new delivery may go or is kept back. What changes meanwhile, the claim sees."""
        is_open = webhook.health.circuit == WebhookHealth.Circuit.OPEN
        if is_open or any(each.in_force(now) and each.covers(webhook, event_type) for each in self.pauses):
            return Delivery.Status.HELD
        return Delivery.Status.PENDING


class Copies(Generic[Key, Value]):
    """What was read in the last second.

    In a transaction there are none: it may have changed the rows itself, and may take that back.
    """

    def __init__(self) -> None:
        self._read: dict[Key, tuple[Value, float]] = {}

    def get(self, key: Key) -> Value | None:
        """Return the copy of something; None where there is none that is fresh."""
        value, read_at = self._read.get(key, (None, 0.0))
        return value if time.monotonic() - read_at <= FRESH and not connection.in_atomic_block else None

    def put(self, copies: Mapping[Key, Value], *, read_at: float) -> None:
        """Keep what was read at this moment or after it."""
        if connection.in_atomic_block:
            return
        if len(self._read) + len(copies) > MOST:
            self._read.clear()
        self._read.update({key: (value, read_at) for key, value in copies.items()})

    def find(
        self, keys: Collection[Key], read: Callable[[Set[Key]], Mapping[Key, Value]]
    ) -> Mapping[Key, Value]:
        """Return what there is of these, and read what no copy is there of."""
        found = {key: copy for key in keys if (copy := self.get(key)) is not None}
        missing = set(keys) - found.keys()
        if missing:
            read_at = time.monotonic()
            there = read(missing)
            self.put(there, read_at=read_at)
            found.update(there)
        return found

    def drop(self, key: Key) -> None:
        """Throw a copy away."""
        self._read.pop(key, None)

    def clear(self) -> None:
        """Throw all of them away."""
        self._read.clear()


class _Versioned(NamedTuple):
    rules: Rules
    version: int | None


rules_kept = Copies[UUID, _Versioned]()
types_kept = Copies[str, EventType]()
agents_kept = Copies[UUID, Agent]()


def rules(account_id: UUID, *, version: int | None = None, now: datetime) -> Rules:
    """Return the rules of an account.

    :param version: the account's `rules_version`, where the caller has just read it.
    """
    if version is None and not connection.in_atomic_block:
        version = Account.objects.values_list("rules_version", flat=True).get(pk=account_id)
    copy = rules_kept.get(account_id)
    if copy is None or copy.version != version:
        read_at = time.monotonic()
        # Read after the version, the rules may be newer than it says, never older.
        copy = _Versioned(_read_rules(account_id, now=now), version)
        rules_kept.put({account_id: copy}, read_at=read_at)
    return copy.rules


def known_types(codes: Collection[str]) -> Set[str]:
    """Keep the event types that are in the catalogue; one that is deleted stays for a second."""
    return types_kept.find(codes, EventType.objects.in_bulk).keys()


def agents(account_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, Agent]:
    """Return those of an account's agents that have one of these ids."""
    found = agents_kept.find(ids, Agent.objects.in_bulk)
    return {pk: agent for pk, agent in found.items() if agent.account_id == account_id}


def changed(account_id: UUID) -> None:
    """Say that an account's rules have changed, in the transaction that changes them.

    They are counted up after it has committed: the account's row is locked together with no other.
    """
    transaction.on_commit(partial(_count_up, account_id))


def types_changed() -> None:
    """Say that event types have been deleted, in the transaction that deletes them."""
    transaction.on_commit(types_kept.clear)


def _count_up(account_id: UUID) -> None:
    rules_kept.drop(account_id)
    try:
        Account.objects.filter(pk=account_id).update(rules_version=F("rules_version") + 1)
    except Error:
        # What was changed is committed all the same.
        logger.warning(
            "Other processes hear of changed webhooks or pauses a second late",
            extra={"event": "rules.not_counted", "account_id": account_id},
            exc_info=True,
        )


def _read_rules(account_id: UUID, *, now: datetime) -> Rules:
    webhooks = Webhook.objects.enabled().filter(account=account_id)
    rows = list(webhooks.values_list(*_OF_WEBHOOK, "health__circuit"))
    pauses = Pause.objects.in_force(now).filter(account=account_id)
    return Rules(webhooks=_webhooks(rows, using=webhooks.db), pauses=list(pauses))


def _webhooks(rows: Sequence[tuple[Any, ...]], *, using: str | None) -> Sequence[Webhook]:
    """Return the objects, which the ORM takes almost three times as long to make: each second again."""
    webhooks = databases.instances(Webhook, _OF_WEBHOOK, (row[:-1] for row in rows), using=using)
    columns, states = ("webhook_id", "circuit"), ((row[0], row[-1]) for row in rows)
    for webhook, health in zip(
        webhooks, databases.instances(WebhookHealth, columns, states, using=using), strict=True
    ):
        Webhook.health.related.set_cached_value(webhook, health)
    return webhooks
