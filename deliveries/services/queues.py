"""Queues: for which webhooks anything waits, since when, and what keeps it back; one walk along them all."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Subquery, Value, When

from deliveries.models import Delivery, Pause, Webhook, WebhookHealth
from deliveries.models.webhook import number_of
from deliveries.services import tending


class Kept(StrEnum):
    """Why what is held for a webhook is held."""

    DISABLED = "disabled"
    CIRCUIT = "circuit"
    PAUSED = "paused"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """What waits for one webhook.

    :param reachable: whether anything is sent to it now: not while it is disabled, paused or behind an open
        circuit.
    :param pending_since: when the first of what is pending is due, or was, with a worker or not; None where
        nothing is.
    :param held_since: the same of what is held.
    :param kept: why that is held. It is told of each webhook and not of each delivery: where types of an
        account's events are paused, all that is held of that account counts as paused.
    :param under_way: how many a worker has.
    :param allowed: how many may be under way at once.
    """

    webhook_id: UUID
    reachable: bool
    pending_since: datetime | None
    held_since: datetime | None
    kept: str
    under_way: int
    allowed: int

    def is_due(self, moment: datetime) -> bool:
        """Tell whether a worker should have something of it since a moment."""
        return self.reachable and self.pending_since is not None and self.pending_since <= moment


def queues(*, now: datetime) -> list[Queue]:
    """Return the queues of all webhooks that have one: a few looks into indexes for each webhook."""
    under_way = Delivery.objects.under_way(now).filter(webhook=OuterRef("pk"))
    rows = (
        Webhook.objects.annotate(
            pending_since=first_due_at(Delivery.objects.filter(status=Delivery.Status.PENDING)),
            held_since=first_due_at(Delivery.objects.filter(status=Delivery.Status.HELD)),
        )
        .filter(Q(pending_since__isnull=False) | Q(held_since__isnull=False))
        .order_by()
        .values_list(
            "pk",
            ~Exists(tending.unreachable(now).filter(pk=OuterRef("pk"))),
            "pending_since",
            "held_since",
            _kept(now),
            # Never more than its `max_in_flight`.
            number_of(under_way),
            "max_in_flight",
            "health__circuit",
        )
    )
    return [
        Queue(
            webhook_id=pk,
            reachable=reachable,
            pending_since=pending_since,
            held_since=held_since,
            kept=kept,
            under_way=under_way,
            allowed=1 if circuit == WebhookHealth.Circuit.PROBING else most,
        )
        for pk, reachable, pending_since, held_since, kept, under_way, most, circuit in rows
    ]


def first_due_at(deliveries: "QuerySet[Delivery]") -> Subquery:
    """Return when the first of these that go to a webhook is or was due, for a query of webhooks: one look
    into an index for each."""
    # In the order of an index: for the least of all, a planner may read all there is.
    of_webhook = deliveries.filter(webhook=OuterRef("pk"))
    return Subquery(of_webhook.order_by("due_at").values("due_at")[:1])


def _kept(now: datetime) -> Case:
    in_force = Pause.objects.in_force(now)
    of_webhook = in_force.of_webhook(OuterRef("pk"), account=OuterRef("account"))
    of_types = in_force.exclude(event_type="").filter(account=OuterRef("account"))
    out_of_order = WebhookHealth.objects.out_of_order().filter(webhook=OuterRef("pk"))
    return Case(
        When(enabled=False, then=Value(Kept.DISABLED)),
        When(Exists(out_of_order), then=Value(Kept.CIRCUIT)),
        When(Exists(of_webhook) | Exists(of_types), then=Value(Kept.PAUSED)),
        default=Value(Kept.NONE),
    )
