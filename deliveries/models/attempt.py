"""Attempts: the log of every HTTP request and what came back."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import DateTimeField, ExpressionWrapper, F, Q

from deliveries.identifiers import first_id_at
from deliveries.models.delivery import Delivery
from deliveries.models.webhook import Webhook
from deliveries.reasons import Reason

# By how much an id may disagree with the moment its attempt was queued at, and be found at once: earlier
# versions made ids by the clock of the host, and the database's may be set back.
LEEWAY = timedelta(days=1)
# None lasts longer: the longest timeout, and a little around it.
LONGEST = timedelta(seconds=125)


class _LastError(models.Subquery):
    """The error of the one that began last of some attempts that failed."""

    template = (
        "(SELECT error FROM (%(subquery)s) AS latest"
        " WHERE reason_code <> '' ORDER BY started_at DESC LIMIT 1)"
    )
    output_field = models.CharField()


class AttemptQuerySet(models.QuerySet["Attempt"]):
    """Attempts."""

    def of(self, delivery: Delivery) -> Self:
        """Keep those of a delivery; those of the days it was under way where that is all of them."""
        its = self.filter(delivery=delivery)
        lately = its.filter(pk__gte=first_id_at(delivery.created_at - LEEWAY))
        if delivery.finished_at:
            lately = lately.filter(pk__lt=first_id_at(delivery.finished_at + LEEWAY))
        return lately if lately.count() == delivery.attempts_made else its

    def last_error(self, *, among: int) -> models.Subquery:
        """Return the error of the last that failed, as an expression for a query of something else.

        :param among: so many are looked at, the first in the order of these, however long ago one failed.
        """
        return _LastError(self.values("started_at", "reason_code", "error")[:among])

    def ended_since(self, moment: datetime) -> Self:
        """Keep those that ended after a moment, which are looked for among those that began about then."""
        ended_at = ExpressionWrapper(F("started_at") + F("duration"), output_field=DateTimeField())
        return self.alias(ended_at=ended_at).filter(started_at__gt=moment - LONGEST, ended_at__gt=moment)


class Attempt(models.Model):
    """One request. Written once, with the id its delivery had reserved for it, and never changed.

    Where its time went is in microseconds, and None for what it did without: on a kept connection all but
    `first_byte_us`.

    PostgreSQL keeps it by days: see `databases.partitions`. It goes by its own age, and before its delivery.
    There are no foreign keys, which would be looked up in every day for each delivery that goes, and would
    lock deliveries and webhooks for each day that comes. Whoever records holds the delivery's row.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    delivery = models.ForeignKey(
        Delivery, on_delete=models.DO_NOTHING, db_constraint=False, related_name="attempts", db_index=False
    )
    webhook = models.ForeignKey(
        Webhook, on_delete=models.PROTECT, db_constraint=False, related_name="attempts", db_index=False
    )
    number = models.PositiveIntegerField()
    round = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(help_text="When it was put in the queue.")
    started_at = models.DateTimeField()
    duration = models.DurationField()
    succeeded = models.BooleanField()
    http_status = models.PositiveSmallIntegerField(null=True)
    reason_code = models.CharField(
        max_length=32, blank=True, choices=[(reason.value, reason.value) for reason in Reason]
    )
    error = models.CharField(max_length=255, blank=True)
    url = models.CharField(max_length=2048)
    http_method = models.CharField(max_length=5)
    request_headers = models.JSONField(help_text="What was sent, credentials masked.")
    response_headers = models.JSONField(null=True)
    response_body = models.BinaryField(null=True)
    remote_address = models.GenericIPAddressField(null=True, help_text="What it went to, or tried last.")
    dns_us = models.IntegerField(null=True, help_text="Until the name had its addresses.")
    connect_us = models.IntegerField(null=True, help_text="Until there was a connection.")
    tls_us = models.IntegerField(null=True, help_text="The handshake.")
    first_byte_us = models.IntegerField(
        null=True, help_text="From the request to the first byte of the answer."
    )

    objects = AttemptQuerySet.as_manager()

    class Meta:
        constraints = [
            # PostgreSQL asks it of each day. Over all of them the id is unique, and each number has one.
            models.UniqueConstraint(fields=["delivery", "number"], name="attempts_are_numbered"),
            models.CheckConstraint(
                condition=Q(succeeded=True, reason_code="") | (Q(succeeded=False) & ~Q(reason_code="")),
                name="attempts_failed_have_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["webhook", "created_at", "id"], name="attempts_of_webhook"),
            # Serves retention, which goes from the oldest on.
            models.Index(fields=["created_at"], name="attempts_by_age"),
            # Serves `ended_since`. On PostgreSQL it is a BRIN index, which costs next to nothing to write.
            models.Index(fields=["started_at"], name="attempts_by_start"),
            # Serve the console's lists of those that failed, all or for one reason.
            models.Index(fields=["id"], condition=Q(succeeded=False), name="attempts_that_failed"),
            models.Index(
                fields=["reason_code", "id"], condition=~Q(reason_code=""), name="attempts_by_reason"
            ),
        ]

    def __str__(self) -> str:
        outcome = self.http_status or self.reason_code
        return f"{self.delivery_id} attempt {self.number}: {outcome}"

    @property
    def retrying(self) -> bool:
        """Whether a further automatic attempt of this round is outstanding."""
        delivery = self.delivery
        return (
            not self.succeeded
            and delivery.status in Delivery.UNFINISHED
            and self.round == delivery.round
            and self.number == delivery.attempts_made
        )
