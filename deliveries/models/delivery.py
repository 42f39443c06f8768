"""One event to one webhook: the state machine, and the queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When

from deliveries.identifiers import new_id, new_id_at
from deliveries.models import databases
from deliveries.models.account import Account
from deliveries.models.event import Event
from deliveries.models.pause import Pause, PauseQuerySet
from deliveries.models.webhook import Webhook


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """What a claim took.

    :param deliveries: to be sent now, with their events and webhooks.
    :param last: the webhook to start the next claim behind.
    :param again: whether another may find something at once that this one did not.
    """

    deliveries: list["Delivery"]
    last: UUID
    again: bool


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Deliveries. Every change of state goes through `move`."""

    def unfinished(self) -> Self:
        """Keep what still has an attempt outstanding."""
        return self.filter(status__in=Delivery.UNFINISHED)

    def claim_due(
        self,
        *,
        now: datetime,
        limit: int,
        grace: timedelta,
        after: UUID,
        share: int,
        taken: Mapping[UUID, int],
        token: UUID,
    ) -> Claimed:
        """Take up to `limit` due deliveries, each for its webhook's timeout plus `grace`.

        Goes round the webhooks, starting behind `after`. Of one webhook it takes no more than its
        `max_in_flight` leaves room for, whoever holds the rest; one at a time while it is probed; none while
        it is paused or its circuit is open. No row is handed out twice while its lease lasts. One that went
        wrong may have taken something all the same: `hand_back` gives it back.

        :param share: of the caller's slots, how many one webhook may have.
        :param taken: how many each webhook has already; none where it is missing.
        :param token: a new one, which marks what this claim takes.
        """
        try:
            claimed = databases.claim_due(
                now=now, limit=limit, grace=grace, after=after, share=share, taken=taken, token=token
            )
        except databases.ClockWasWrong:
            return Claimed(deliveries=[], last=after, again=True)
        if not claimed:
            return Claimed(deliveries=[], last=after, again=False)
        deliveries = databases.instances(Delivery, databases.CLAIMED, claimed, using=self.db)
        webhooks = [delivery.webhook_id for delivery in deliveries]
        last = max([pk for pk in webhooks if pk <= after] or webhooks)
        deliveries = _with_what_is_sent(deliveries)
        sendable = _sendable(deliveries, now=now)
        lasting = [delivery for delivery in sendable if delivery.lasts(now=now, grace=grace)]
        ours = self.filter(lease_token=token)
        if len(sendable) < len(deliveries):
            kept = {delivery.pk for delivery in deliveries} - {delivery.pk for delivery in sendable}
            ours.filter(pk__among=kept).keep_back(now=now)
        if len(lasting) < len(sendable):
            short = {delivery.pk for delivery in sendable} - {delivery.pk for delivery in lasting}
            ours.filter(pk__among=short).hand_back(token=token, now=now)
        return Claimed(deliveries=lasting, last=last, again=len(lasting) < len(deliveries))

    def move(
        self, status: "Delivery.Status", *, allowed_from: Sequence["Delivery.Status"], **changes: Any
    ) -> int:
        """Change state where that is allowed, and return how many rows moved.

        A finished delivery has no schedule and an unfinished one no end: the columns that follow from the
        state are set here.
        """
        if status not in Delivery.UNFINISHED:
            changes |= {"due_at": None, "next_attempt_id": None, "scheduled_at": None}
        else:
            changes["finished_at"] = None
        changes["lease_token"] = None
        return self.filter(status__in=allowed_from).update(status=status, **changes)

    def finish(self, status: "Delivery.Status", *, now: datetime) -> int:
        """Move pending deliveries whose last attempt has been made to an end state."""
        return self.move(
            status,
            allowed_from=Delivery.UNFINISHED,
            attempts_made=F("attempts_made") + 1,
            claims=0,
            finished_at=now,
        )

    def schedule_retries(self, delays: Mapping[UUID, timedelta], *, now: datetime) -> int:
        """Note a failed attempt of pending deliveries and put the next in the queue, each after its delay."""
        return self.filter(pk__in=list(delays)).move(
            Delivery.Status.PENDING,
            allowed_from=[Delivery.Status.PENDING],
            attempts_made=F("attempts_made") + 1,
            retries_left=F("retries_left") - 1,
            claims=0,
            due_at=_per_row({pk: now + delay for pk, delay in delays.items()}, models.DateTimeField()),
            next_attempt_id=_per_row({pk: new_id_at(now) for pk in delays}, models.UUIDField()),
            scheduled_at=now,
        )

    def requeue(self, due_at: Mapping[UUID, datetime], *, now: datetime) -> int:
        """Start a new round, of one attempt, for failed deliveries whose webhooks are enabled.

        :param due_at: the deliveries, with the moment each is to be sent at.
        """
        ids = {pk: new_id_at(now) for pk in due_at}
        return self.filter(pk__in=list(ids), webhook__in=Webhook.objects.enabled()).move(
            Delivery.Status.PENDING,
            allowed_from=[Delivery.Status.FAILED],
            round=F("round") + 1,
            retries_left=0,
            claims=0,
            due_at=_per_row(due_at, models.DateTimeField()),
            next_attempt_id=_per_row(ids, models.UUIDField()),
            scheduled_at=now,
        )

    def abandon(self, leases: Mapping[UUID, UUID | None], *, now: datetime) -> int:
        """Make deliveries due at once whose requests, by delivery and token, nobody waits for any more.

        That a worker gave up in good order says nothing against a delivery: the claim does not count.
        """
        ours = self.filter(pk__in=list(leases), lease_token__in=set(leases.values()))
        return ours._unclaim(Delivery.Status.PENDING, now=now)

    def hand_back(self, *, token: UUID | None, now: datetime) -> int:
        """Return claimed deliveries that were never sent; as if they had not been claimed."""
        return self.filter(lease_token=token)._unclaim(Delivery.Status.PENDING, now=now)

    def keep_back(self, *, now: datetime) -> int:
        """Hold claimed deliveries that were never sent; as if they had not been claimed."""
        return self._unclaim(Delivery.Status.HELD, now=now)

    def _unclaim(self, status: "Delivery.Status", *, now: datetime) -> int:
        return self.move(status, allowed_from=[Delivery.Status.PENDING], due_at=now, claims=F("claims") - 1)

    def under_way(self, now: datetime) -> Self:
        """Keep what a worker holds: with a lease that has not run out."""
        return self.filter(lease_token__isnull=False, due_at__gt=now)

    def unleased(self, now: datetime) -> Self:
        """Keep what no worker holds: without a lease, or with one that has run out."""
        return self.filter(Q(lease_token=None) | Q(due_at__lte=now))

    def paused(self, now: datetime) -> Self:
        """Keep what a pause keeps back."""
        return self.filter(_is_paused(now))

    def hold(self, *, now: datetime) -> int:
        """Keep back what is pending and under no lease; its schedule stays as it is."""
        return self.unleased(now).move(Delivery.Status.HELD, allowed_from=[Delivery.Status.PENDING])

    def release(self) -> int:
        """Let held deliveries go on."""
        return self.move(Delivery.Status.PENDING, allowed_from=[Delivery.Status.HELD])

    def cancel(self, *, now: datetime) -> int:
        """Give up what is unfinished, for good. A request under way may arrive; its result is dropped."""
        return self.move(
            Delivery.Status.CANCELLED, allowed_from=Delivery.UNFINISHED, claims=0, finished_at=now
        )


class Delivery(models.Model):
    """One event to one webhook. `due_at` is schedule and lease in one: a lease that ran out is a due row."""

    class Status(models.TextChoices):
        """pending -> succeeded | failed | cancelled; pending <-> held; failed -> pending by a person."""

        PENDING = "pending", "Pending"
        HELD = "held", "Held"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    UNFINISHED: ClassVar = (Status.PENDING, Status.HELD)
    # A delivery claimed this often without any result kills its workers, and is set aside.
    MAX_CLAIMS: ClassVar = 3

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    claims = models.PositiveSmallIntegerField(default=0, help_text="Claims since the last result.")
    round = models.PositiveSmallIntegerField(default=1, help_text="1, and one more for each redelivery.")
    attempts_made = models.PositiveIntegerField(default=0, help_text="Over all rounds; numbers the attempts.")
    retries_left = models.PositiveSmallIntegerField(help_text="Automatic ones, in this round.")
    # Made at the moment it was put in the queue: days of attempts are told by it.
    next_attempt_id = models.UUIDField(null=True)
    scheduled_at = models.DateTimeField(null=True, help_text="When the next attempt was put in the queue.")
    finished_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        permissions = [("redeliver_delivery", "Can send a failed delivery again")]
        constraints = [
            models.UniqueConstraint(fields=["event", "webhook"], name="deliveries_one_per_event_and_webhook"),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "held", "succeeded", "failed", "cancelled"]),
                name="deliveries_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=["pending", "held"],
                    due_at__isnull=False,
                    next_attempt_id__isnull=False,
                    scheduled_at__isnull=False,
                    finished_at=None,
                )
                | (
                    ~Q(status__in=["pending", "held"])
                    & Q(due_at=None, next_attempt_id=None, scheduled_at=None, finished_at__isnull=False)
                ),
                name="deliveries_scheduled_or_finished",
            ),
            models.CheckConstraint(
                condition=Q(lease_token=None) | Q(status="pending"), name="deliveries_only_pending_are_leased"
            ),
        ]
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="deliveries_of_account"),
            # Serves the claim, which walks from webhook to webhook and takes the oldest due rows of each.
            models.Index(
                fields=["webhook", "due_at"], condition=Q(status="pending"), name="deliveries_queue"
            ),
            # Serves the claim's count of what is under way for a webhook.
            models.Index(
                fields=["webhook", "due_at"],
                condition=Q(lease_token__isnull=False),
                name="deliveries_leased",
            ),
            # Serves letting go of what is held, oldest first.
            models.Index(
                fields=["webhook", "due_at"], condition=Q(status="held"), name="deliveries_held_in_order"
            ),
            # Serves the console's lists of what is there few of.
            models.Index(
                fields=["status", "id"],
                condition=Q(status__in=["held", "failed", "cancelled"]),
                name="deliveries_by_status",
            ),
            # Serves the console's list of those to a webhook.
            models.Index(fields=["webhook", "created_at", "id"], name="deliveries_of_webhook"),
            # Serves the look for what no paused event type keeps back, so many at a time.
            models.Index(fields=["webhook", "id"], condition=Q(status="held"), name="deliveries_held_by_id"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.status}"

    @property
    def next_attempt_at(self) -> datetime | None:
        """When the next attempt is due; None while one is under way, and where none is made by itself."""
        waiting = self.status == self.Status.PENDING and self.lease_token is None
        return self.due_at if waiting else None

    def lasts(self, *, now: datetime, grace: timedelta) -> bool:
        """Whether its lease, just taken, is as long as its webhook's timeout, which may have grown since."""
        needed = now + timedelta(seconds=self.webhook.timeout) + grace
        # SQLite writes milliseconds.
        return self.due_at is not None and needed - self.due_at < timedelta(milliseconds=2)

    def pauses(self, now: datetime) -> PauseQuerySet:
        """Return the pauses that keep it back."""
        in_force = Pause.objects.in_force(now)
        of_type = in_force.of_type(self.event.type, account=self.account)
        return of_type | in_force.of_webhook(self.webhook, account=self.account)


def _with_what_is_sent(deliveries: Sequence["Delivery"]) -> list["Delivery"]:
    """Return the deliveries with their events and webhooks, one object for all that share it.

    Without those whose account was removed meanwhile. The webhooks are read after the claim, as they are now.
    """
    events = Event.objects.filter(pk__among={delivery.event_id for delivery in deliveries})
    columns = ("id", "type", "body")
    rows = databases.instances(Event, columns, events.values_list(*columns), using=events.db)
    event_of = {event.pk: event for event in rows}
    webhooks = Webhook.objects.filter(pk__among={delivery.webhook_id for delivery in deliveries})
    webhook_of = {webhook.pk: webhook for webhook in webhooks}
    found = []
    for delivery in deliveries:
        event, webhook = event_of.get(delivery.event_id), webhook_of.get(delivery.webhook_id)
        if event and webhook:
            # As prefetching does; to assign them compares databases and ids, for each.
            Delivery.event.field.set_cached_value(delivery, event)
            Delivery.webhook.field.set_cached_value(delivery, webhook)
            found.append(delivery)
    return found


def _sendable(deliveries: Sequence["Delivery"], *, now: datetime) -> list["Delivery"]:
    """Leave out what is paused by its event type, which no index of the queue knows, and what was disabled:
    a slow database gives a webhook time for that since the claim looked at it."""
    accounts = {delivery.account_id for delivery in deliveries}
    pauses = Pause.objects.in_force(now).exclude(event_type="").filter(account__in=accounts)
    paused = set(pauses.values_list("account", "event_type"))
    return [
        delivery
        for delivery in deliveries
        if delivery.webhook.enabled and (delivery.account_id, delivery.event.type) not in paused
    ]


def _is_paused(now: datetime) -> Q:
    pauses, account = Pause.objects.in_force(now), OuterRef("account")
    of_type = pauses.of_type(OuterRef("event__type"), account=account)
    of_webhook = pauses.of_webhook(OuterRef("webhook"), account=account)
    return Q(Exists(of_type)) | Q(Exists(of_webhook))


def _per_row(values: Mapping[UUID, Any], field: "models.Field[Any, Any]") -> Case:
    """Return the expression that gives each row its own value."""
    return Case(
        *(When(pk=pk, then=Value(value, output_field=field)) for pk, value in values.items()),
        output_field=field,
    )
