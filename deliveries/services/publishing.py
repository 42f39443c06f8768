"""Publishing: an event is stored together with a delivery for every webhook that matches, or not at all."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Count

from deliveries import doorbell, payloads
from deliveries.models import (
    Account,
    Agent,
    Delivery,
    Event,
    EventType,
    IdempotencyKey,
    Pause,
    Webhook,
    WebhookHealth,
)
from deliveries.models.event import TYPE_FORM

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
    payload: Mapping[str, object]
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
    payload: Mapping[str, object],
    now: datetime,
    agent: Agent | None = None,
    occurred_at: datetime | None = None,
    idempotency_key: str | None = None,
) -> Publication:
    """Store one event and its deliveries, in the caller's transaction where there is one.

    Workers hear of it once that transaction has committed; a rollback leaves nothing.

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
    (publication,) = publish_many(account=account, drafts=[draft], now=now)
    return publication


def publish_many(*, account: Account, drafts: Sequence[Draft], now: datetime) -> list[Publication]:
    """Store events and their deliveries, all or none, and return what became of each, in order.

    :raises InvalidEvents: when any draft is wrong; it says what about which.
    :raises IdempotencyConflict: when the key of any draft stands for another publication.
    """
    bodies = check(account=account, drafts=drafts)
    for _ in range(_TRIES - 1):
        try:
            return _store(account, drafts, bodies, now=now)
        except IntegrityError:
            # Another publication under one of the keys committed a moment ago. It is there to be found now.
            if not any(draft.idempotency_key for draft in drafts):
                raise
    return _store(account, drafts, bodies, now=now)


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


def _known_types(account: Account, types: set[str]) -> set[str]:
    if account.open_event_types:
        return {code for code in types if TYPE_FORM.fullmatch(code)}
    return set(EventType.objects.filter(code__in=types).values_list("code", flat=True))


def _store(
    account: Account, drafts: Sequence[Draft], bodies: Sequence[bytes], *, now: datetime
) -> list[Publication]:
    with transaction.atomic():
        fingerprints = [_fingerprint(draft, body) for draft, body in zip(drafts, bodies, strict=True)]
        before = _published_before(account, drafts, fingerprints, now=now)
        webhooks = list(Webhook.objects.enabled().filter(account=account).select_related("health"))
        pauses = list(Pause.objects.in_force(now).filter(account=account))
        publications: list[Publication] = []
        fresh: list[_Fresh] = []
        for draft, body, fingerprint in zip(drafts, bodies, fingerprints, strict=True):
            key = draft.idempotency_key or ""
            if key in before:
                publications.append(before[key])
                continue
            made = _new(account, draft, body, webhooks, pauses, fingerprint, now=now)
            fresh.append(made)
            publications.append(Publication(event=made.event, matched=len(made.deliveries)))
            if key:
                before[key] = replace(publications[-1], replayed=True)
        Event.objects.bulk_create(publication.event for publication in fresh)
        Delivery.objects.bulk_create(
            (delivery for publication in fresh for delivery in publication.deliveries), batch_size=500
        )
        IdempotencyKey.objects.bulk_create(
            IdempotencyKey(
                account=account,
                key=made.key,
                fingerprint=made.fingerprint,
                event=made.event,
                created_at=now,
            )
            # In one order for everybody: two batches that each wait for the other's key would stop for good.
            for made in sorted(fresh, key=lambda made: made.key)
            if made.key
        )
        if any(delivery.status == Delivery.Status.PENDING for made in fresh for delivery in made.deliveries):
            doorbell.ring_on_commit()
    return publications


@dataclass(frozen=True)
class _Fresh:
    key: str
    fingerprint: str
    event: Event
    deliveries: list[Delivery]


def _new(
    account: Account,
    draft: Draft,
    body: bytes,
    webhooks: Iterable[Webhook],
    pauses: Collection[Pause],
    fingerprint: str,
    *,
    now: datetime,
) -> _Fresh:
    event = Event(
        account=account,
        agent=draft.agent,
        type=draft.event_type,
        body=body,
        occurred_at=draft.occurred_at or now,
        created_at=now,
    )
    agents = (None, draft.agent and draft.agent.pk)
    deliveries = [
        Delivery(
            account=account,
            event=event,
            webhook=webhook,
            status=_first_status(webhook, draft.event_type, pauses),
            retries_left=webhook.max_retries,
            created_at=now,
            due_at=now,
            scheduled_at=now,
        )
        for webhook in webhooks
        if webhook.agent_id in agents and webhook.wants(draft.event_type)
    ]
    return _Fresh(draft.idempotency_key or "", fingerprint, event, deliveries)


def _first_status(webhook: Webhook, event_type: str, pauses: Iterable[Pause]) -> Delivery.Status:
    """Return whether a new delivery may go or is kept back. What changes meanwhile, the claim sees."""
    is_open = webhook.health.circuit == WebhookHealth.Circuit.OPEN
    if is_open or any(pause.covers(webhook, event_type) for pause in pauses):
        return Delivery.Status.HELD
    return Delivery.Status.PENDING


def _published_before(
    account: Account, drafts: Sequence[Draft], fingerprints: Sequence[str], *, now: datetime
) -> dict[str, Publication]:
    """Return, by key, what was published under the drafts' keys in the last 72 hours.

    :raises IdempotencyConflict: when one of them was for something else, or stands for two things now.
    """
    places = _places(drafts, fingerprints)
    if not places:
        return {}
    keys = IdempotencyKey.objects.filter(account=account, key__in=places)
    expired = keys.filter(created_at__lte=now - IdempotencyKey.KEPT).order_by("key").select_for_update()
    # In one order for everybody, as they are made.
    if ids := list(expired.values_list("pk", flat=True)):
        IdempotencyKey.objects.filter(pk__in=ids).delete()
    found = list(keys.select_related("event"))
    others = [key for key in found if key.fingerprint != fingerprints[places[key.key]]]
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


def _places(drafts: Sequence[Draft], fingerprints: Sequence[str]) -> dict[str, int]:
    """Return where each idempotency key stands first.

    :raises IdempotencyConflict: when one stands for two publications.
    """
    places: dict[str, int] = {}
    again = []
    for place, draft in enumerate(drafts):
        key = draft.idempotency_key
        if key and fingerprints[places.setdefault(key, place)] != fingerprints[place]:
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
