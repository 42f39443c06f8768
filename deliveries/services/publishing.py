"""Publishing: an event is stored together with a delivery for every webhook that matches, or not at all."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Count

from deliveries import doorbell, payloads
from deliveries.identifiers import new_id_at
from deliveries.models import Account, Agent, Delivery, Event, IdempotencyKey, databases
from deliveries.models.event import TYPE_FORM
from deliveries.services import matching
from deliveries.services.matching import Rules

# What a header can carry: native API contract, "Events".
_KEY = re.compile(r"[\x21-\x7e]{1,128}")
# Each try but the first finds the keys that others have committed since the one before.
_TRIES = 5


class InvalidEvents(ValueError):
    """Something about the events is wrong; nothing was stored.

    `problems` holds, by the event's place in the call, the messages for each field.
    """

    def __init__(self, problems: Mapping[int, Mapping[str, list[str]]]) -> None:
        super().__init__(f"{len(problems)} of the events cannot be published: {problems}")
        self.problems = problems


class IdempotencyConflict(Exception):
    """The idempotency key was used before, for another publication; nothing was stored.

    `places` are those of the events concerned in the call.
    """

    def __init__(self, message: str, *, places: Sequence[int]) -> None:
        super().__init__(message)
        self.places = places


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An event to be published.

    :param payload: a JSON object; its compact form is the body every attempt sends.
    :param occurred_at: when it happened; the moment of publishing where it is not said.
    :param idempotency_key: publishing again under the same key within 72 hours gives the same event.
    """

    event_type: str
    payload: Mapping[str, object] | payloads.Parsed
    agent: Agent | None = None
    occurred_at: datetime | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What became of a draft: its event, how many webhooks matched, and whether it was there before."""

    event: Event
    matched: int
    replayed: bool = False


def publish(
    *,
    account: Account,
    event_type: str,
    payload: Mapping[str, object] | payloads.Parsed,
    now: datetime,
    agent: Agent | None = None,
    occurred_at: datetime | None = None,
    idempotency_key: str | None = None,
    rules_version: int | None = None,
) -> Publication:
    """Store one event and its deliveries, in the caller's transaction where there is one.

    Workers hear of it once that transaction has committed; a rollback leaves nothing.

    :param rules_version: the account's, where the caller has just read it.
    :raises InvalidEvents: when the type is unknown to the account, or the payload breaks a rule.
    :raises IdempotencyConflict: when the key stands for another publication.
    """
    draft = Draft(
        event_type=event_type,
        payload=payload,
        agent=agent,
        occurred_at=occurred_at,
        idempotency_key=idempotency_key,
    )
    (publication,) = publish_many(account=account, drafts=[draft], now=now, rules_version=rules_version)
    return publication


def publish_many(
    *, account: Account, drafts: Sequence[Draft], now: datetime, rules_version: int | None = None
) -> list[Publication]:
    """Store events and their deliveries, all or none, and return what became of each, in order.

    :param rules_version: the account's, where the caller has just read it.
    :raises InvalidEvents: when any draft is wrong; it says what about which.
    :raises IdempotencyConflict: when the key of any draft stands for another publication.
    """
    bodies = check(account=account, drafts=drafts)
    called = [_Called.of(draft, body) for draft, body in zip(drafts, bodies, strict=True)]
    places = _places(called)
    rules = matching.rules(account.pk, version=rules_version, now=now)
    before: dict[str, Publication] = {}
    for _ in range(_TRIES - 1):
        try:
            return _store(account, called, rules, before, now=now)
        except IntegrityError:
            # Another publication under one of the keys has been committed. It is there to be found now.
            if not places:
                raise
        before = _published_before(account, called, places, now=now)
    return _store(account, called, rules, before, now=now)


def check(*, account: Account, drafts: Sequence[Draft]) -> list[bytes]:
    """Return the body of each draft, the bytes every attempt would send.

    :raises InvalidEvents: when any draft is wrong; it says what about which.
    """
    known = _known_types(account, {draft.event_type for draft in drafts})
    bodies: list[bytes] = []
    problems: dict[int, dict[str, list[str]]] = {}
    for place, draft in enumerate(drafts):
        found: dict[str, list[str]] = {}
        if draft.event_type not in known:
            found["event"] = ["This is not a known event type; GET /api/v1/event_types lists those that are."]
        if draft.agent is not None and draft.agent.account_id != account.pk:
            found["agent_id"] = ["This is not an agent of the account."]
        if draft.idempotency_key is not None and not _KEY.fullmatch(draft.idempotency_key):
            found["idempotency_key"] = ["An idempotency key is 1 to 128 visible ASCII characters."]
        try:
            bodies.append(payloads.serialise(draft.payload))
        except payloads.InvalidJSON as error:
            found["payload"] = [str(error)]
        if found:
            problems[place] = found
    if problems:
        raise InvalidEvents(problems)
    return bodies


def _known_types(account: Account, types: Collection[str]) -> Set[str]:
    if account.open_event_types:
        return {code for code in types if TYPE_FORM.fullmatch(code)}
    return matching.known_types(types)


class _Called(NamedTuple):
    """A draft with the body it makes; of one with a key, what tells it from others under that key."""

    draft: Draft
    body: bytes
    fingerprint: str

    @classmethod
    def of(cls, draft: Draft, body: bytes) -> "_Called":
        return cls(draft, body, _fingerprint(draft, body) if draft.idempotency_key else "")


def _store(
    account: Account,
    called: Iterable[_Called],
    rules: Rules,
    before: Mapping[str, Publication],
    *,
    now: datetime,
) -> list[Publication]:
    """Write what was not published before.

    :raises IntegrityError: one of its keys is there already.
    """
    publications: list[Publication] = []
    made = _Made()
    known = dict(before)
    for each in called:
        key = each.draft.idempotency_key
        if key in known:
            publications.append(known[key])
            continue
        publications.append(made.add(account, each, rules, now=now))
        if key:
            known[key] = replace(publications[-1], replayed=True)
    if made.events:
        databases.store(made.events, made.deliveries, made.keys)
    if any(delivery.status == Delivery.Status.PENDING for delivery in made.deliveries):
        doorbell.ring_on_commit()
    return publications


@dataclass(frozen=True)
class _Made:
    events: list[Event] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    keys: list[IdempotencyKey] = field(default_factory=list)

    def add(self, account: Account, called: _Called, rules: Rules, *, now: datetime) -> Publication:
        draft = called.draft
        event = Event(
            account=account,
            agent=draft.agent,
            type=draft.event_type,
            body=called.body,
            occurred_at=draft.occurred_at or now,
            created_at=now,
        )
        webhooks = rules.matching(draft.event_type, agent_id=event.agent_id)
        self.events.append(event)
        self.deliveries.extend(
            Delivery(
                account_id=account.pk,
                event_id=event.pk,
                webhook_id=webhook.pk,
                status=rules.first_status(webhook, draft.event_type, now=now),
                retries_left=webhook.max_retries,
                created_at=now,
                due_at=now,
                next_attempt_id=new_id_at(now),
                scheduled_at=now,
            )
            for webhook in webhooks
        )
        if draft.idempotency_key:
            self.keys.append(
                IdempotencyKey(
                    account_id=account.pk,
                    key=draft.idempotency_key,
                    fingerprint=called.fingerprint,
                    event_id=event.pk,
                    created_at=now,
                )
            )
        return Publication(event=event, matched=len(webhooks))


def _published_before(
    account: Account, called: Sequence[_Called], places: Mapping[str, int], *, now: datetime
) -> dict[str, Publication]:
    """Return, by key, what was published under the drafts' keys in the last 72 hours.

    :raises IdempotencyConflict: when one of them was for something else.
    """
    keys = IdempotencyKey.objects.filter(account=account, key__in=places)
    expired = keys.filter(created_at__lte=now - IdempotencyKey.KEPT).order_by("key").select_for_update()
    with transaction.atomic():
        # In one order for everybody, as they are made.
        if ids := list(expired.values_list("pk", flat=True)):
            IdempotencyKey.objects.filter(pk__in=ids).delete()
    found = list(keys.select_related("event"))
    others = [key for key in found if key.fingerprint != called[places[key.key]].fingerprint]
    if others:
        raise IdempotencyConflict(
            "The idempotency key was used before, for another event.",
            places=sorted(places[key.key] for key in others),
        )
    deliveries = Delivery.objects.filter(event__in=[key.event_id for key in found])
    matched = dict(deliveries.values_list("event").annotate(Count("pk")))
    return {
        key.key: Publication(event=key.event, matched=matched.get(key.event_id, 0), replayed=True)
        for key in found
    }


def _places(called: Iterable[_Called]) -> dict[str, int]:
    """Return where each idempotency key stands first.

    :raises IdempotencyConflict: when one stands for two publications.
    """
    fingerprints: dict[str, str] = {}
    places: dict[str, int] = {}
    again = []
    for place, each in enumerate(called):
        key = each.draft.idempotency_key
        if not key:
            continue
        places.setdefault(key, place)
        if fingerprints.setdefault(key, each.fingerprint) != each.fingerprint:
            again.append(place)
    if again:
        raise IdempotencyConflict(
            "Two different events of one call have the same idempotency key.", places=again
        )
    return places


def _fingerprint(draft: Draft, body: bytes) -> str:
    occurred_at = draft.occurred_at.isoformat() if draft.occurred_at else ""
    agent = str(draft.agent.pk) if draft.agent else ""
    head = "\n".join((draft.event_type, agent, occurred_at, ""))
    return hashlib.sha256(head.encode() + body).hexdigest()
