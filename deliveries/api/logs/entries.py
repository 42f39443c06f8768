"""The logs of a webhook: its attempts, made and still to come, as one list.

Section "Logs" of the logs API contract: one log per attempt, listed from the moment it is queued, under the
id and at the place it keeps.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet

from deliveries import payloads
from deliveries.identifiers import first_id_at
from deliveries.models import Attempt, Delivery, Webhook, WebhookHealth
from deliveries.models.attempt import LEEWAY
from deliveries.models.webhook import number_of
from deliveries.reasons import Reason

PENDING, SUCCESS, RETRYING, FAILED = "pending", "success", "retrying", "failed"

# The first pages of a webhook with something to do are from so long ago at most.
LATELY = timedelta(days=2)

_PHRASES: dict[int | None, str] = {status.value: status.phrase for status in HTTPStatus}


class Place(NamedTuple):
    """Where a log stands in the list, and whose it is. Made or not, an attempt keeps its place."""

    id: UUID
    created_at: datetime
    delivery_id: UUID


@dataclass(frozen=True, kw_only=True)
class Log:
    """One attempt in the words of this contract. What only an answer tells is None until there is one."""

    id: UUID
    delivery: Delivery
    number: int
    status: str
    created_at: datetime
    http_status: int | None = None
    error: str | None = None
    response_body: str | None = None
    response_headers: dict[str, str] | None = None
    duration_ms: int | None = None
    delivered_at: datetime | None = None

    @classmethod
    def queued(cls, delivery: Delivery, place: Place) -> Self:
        """Return the log of the attempt a delivery is waiting for."""
        return cls(
            id=place.id,
            delivery=delivery,
            number=delivery.attempts_made + 1,
            status=PENDING,
            created_at=place.created_at,
        )

    @classmethod
    def made(cls, attempt: Attempt) -> Self:
        """Return the log of an attempt that has been made."""
        body = attempt.response_body
        return cls(
            id=attempt.pk,
            delivery=attempt.delivery,
            number=attempt.number,
            status=_status(attempt),
            created_at=attempt.created_at,
            http_status=attempt.http_status,
            error=_error(attempt),
            response_body=None if body is None else payloads.readable(body),
            response_headers=attempt.response_headers,
            duration_ms=attempt.duration // timedelta(milliseconds=1),
            delivered_at=attempt.started_at + attempt.duration if attempt.succeeded else None,
        )

    @property
    def request_payload(self) -> Any:
        """The JSON object that was sent, or will be."""
        return payloads.read_back(bytes(self.delivery.event.body))


class Places:
    """The places of a webhook's logs, newest first: to be counted, and read a page at a time."""

    def __init__(self, webhook: Webhook, *, now: datetime) -> None:
        self._now, self._webhook = now, webhook
        self._made = Attempt.objects.filter(webhook=webhook)
        # One part for each state, because each has an index of its own.
        self._queued = [
            Delivery.objects.filter(webhook=webhook, status=status) for status in Delivery.UNFINISHED
        ]

    def count(self) -> int:
        """Return how many logs there are. Those of attempts made are counted already, and may be millions.

        One statement, so that an attempt recorded at this moment counts once.
        """
        queued = [number_of(deliveries) for deliveries in self._queued]
        health = WebhookHealth.objects.filter(pk=self._webhook.pk)
        return int(health.values_list(sum(queued, F("attempts_kept")), flat=True).get())

    def find(self, log_id: UUID) -> list[Place]:
        """Return the place of one log, or none.

        One statement, so that an attempt recorded at this moment is found: as queued, or as made.
        """
        queued = [deliveries.filter(next_attempt_id=log_id) for deliveries in self._queued]
        return _listed(_union(self._made.filter(pk=log_id), queued))

    def __getitem__(self, window: slice) -> list[Place]:
        """Return the places of a page.

        Each part gives only as many as could be on the pages up to this one, by its index where it has one,
        instead of all it has.
        """
        made = self._newest(window.stop).order_by("-created_at", "-id")[: window.stop]
        queued = [
            deliveries.order_by("-scheduled_at", "-next_attempt_id")[: window.stop]
            for deliveries in self._queued
        ]
        if not connection.features.supports_slicing_ordering_in_compound:
            made = Attempt.objects.filter(pk__in=made.values("pk"))
            queued = [Delivery.objects.filter(pk__in=deliveries.values("pk")) for deliveries in queued]
        union = _union(made, queued)
        return _listed(union.order_by("-created_at", "-id")[window])

    def _newest(self, most: int) -> "QuerySet[Attempt]":
        """Return what holds the newest so many: the last days, mostly, so that no other is looked into."""
        since, until = first_id_at(self._now - LATELY), first_id_at(self._now + LEEWAY)
        lately = self._made.filter(pk__gte=since, pk__lt=until)
        return lately if lately[:most].count() == most else self._made


def load(places: Sequence[Place]) -> list[Log]:
    """Return the logs at these places, in two queries however many they are.

    What an attempt looks like depends on its delivery, and all of a delivery's are told from one reading of
    it. It is read before the attempts: when it no longer waits for one, that one is there to be found, unless
    the delivery was cancelled or its log deleted in between.
    """
    deliveries = Delivery.objects.select_related("event").in_bulk({place.delivery_id for place in places})
    attempts = Attempt.objects.in_bulk([place.id for place in places])
    logs = []
    for place in places:
        delivery, attempt = deliveries.get(place.delivery_id), attempts.get(place.id)
        if delivery and delivery.next_attempt_id == place.id:
            logs.append(Log.queued(delivery, place))
        elif delivery and attempt:
            attempt.delivery = delivery
            logs.append(Log.made(attempt))
    return logs


def _union(made: "QuerySet[Attempt]", queued: "Iterable[QuerySet[Delivery]]") -> "QuerySet[Any, Any]":
    return made.values_list("id", "created_at", "delivery_id").union(
        *(deliveries.values_list("next_attempt_id", "scheduled_at", "id") for deliveries in queued), all=True
    )


def _listed(union: "QuerySet[Any, Any]") -> list[Place]:
    return [Place(*row) for row in union]


def _status(attempt: Attempt) -> str:
    """Return this contract's word for an attempt that has been made."""
    if attempt.succeeded:
        return SUCCESS
    return RETRYING if attempt.retrying else FAILED


def _error(attempt: Attempt) -> str | None:
    """Return why an attempt failed, an answer by its standard name as the vendor prints it."""
    if attempt.reason_code == Reason.HTTP_STATUS and attempt.http_status in _PHRASES:
        return _PHRASES[attempt.http_status]
    return attempt.error or None
