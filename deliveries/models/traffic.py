"""Traffic: what was attempted, counted by the minute, so that statistics need not count attempts."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import ClassVar
from uuid import UUID

from django.db import models

from deliveries.models import databases
from deliveries.models.account import Account
from deliveries.models.webhook import Webhook

# What there is one row of.
_KEY = ("webhook_id", "event_type", "minute")


class TrafficQuerySet(models.QuerySet["TrafficMinute"]):
    """Minutes of traffic."""

    def add(self, traffic: Iterable["Traffic"]) -> None:
        """Add to the minutes that are there, in the caller's transaction, and make those that are not.

        :param traffic: none of the same webhook, type and minute as another.
        """
        rows = [(each.account_id, *each.key, *each.counts) for each in traffic]
        # In one order for everybody: two workers that each wait for the other's row would stop for good.
        rows.sort(key=itemgetter(slice(1, 4)))
        counts = TrafficMinute.counts()
        databases.add_up(TrafficMinute, ("account_id", *_KEY, *counts), rows, of_each=_KEY, counts=counts)


class TrafficMinute(models.Model):
    """The attempts of one webhook and event type that ended in one minute. The recorder adds to it."""

    # Upper bounds of the columns below, in milliseconds; what takes longer is in `over_30000`.
    BOUNDS: ClassVar = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000)

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="traffic", db_index=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="traffic", db_index=False)
    event_type = models.CharField(max_length=100)
    minute = models.PositiveIntegerField(help_text="Minutes since 1970-01-01T00:00:00Z.")
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    given_up = models.PositiveIntegerField(default=0, help_text="Deliveries whose last attempt failed.")
    unavailable = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Failed because the receiver could not take anything."
    )
    duration_ms = models.PositiveBigIntegerField(default=0, help_text="Of all attempts together.")
    upto_5 = models.PositiveIntegerField(default=0)
    upto_10 = models.PositiveIntegerField(default=0)
    upto_25 = models.PositiveIntegerField(default=0)
    upto_50 = models.PositiveIntegerField(default=0)
    upto_100 = models.PositiveIntegerField(default=0)
    upto_250 = models.PositiveIntegerField(default=0)
    upto_500 = models.PositiveIntegerField(default=0)
    upto_1000 = models.PositiveIntegerField(default=0)
    upto_2500 = models.PositiveIntegerField(default=0)
    upto_5000 = models.PositiveIntegerField(default=0)
    upto_10000 = models.PositiveIntegerField(default=0)
    upto_30000 = models.PositiveIntegerField(default=0)
    over_30000 = models.PositiveIntegerField(default=0)

    objects = TrafficQuerySet.as_manager()

    class Meta:
        verbose_name = "minute of traffic"
        verbose_name_plural = "minutes of traffic"
        constraints = [
            models.UniqueConstraint(
                fields=["webhook", "event_type", "minute"], name="traffic_one_per_webhook_type_and_minute"
            )
        ]
        indexes = [
            models.Index(fields=["account", "minute"], name="traffic_of_account"),
            # Serves what looks at the last minutes of some webhooks: their circuits, and the console.
            models.Index(fields=["webhook", "minute"], name="traffic_of_webhook"),
            # Serves retention.
            models.Index(fields=["minute"], name="traffic_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.webhook_id} {self.event_type} {self.minute}"

    @classmethod
    @cache
    def histogram(cls) -> tuple[str, ...]:
        """Return the names of the columns that count attempts by their duration, from quick to slow."""
        return *(f"upto_{bound}" for bound in cls.BOUNDS), f"over_{cls.BOUNDS[-1]}"

    @classmethod
    @cache
    def counts(cls) -> Sequence[str]:
        """Return the names of all columns that count something."""
        names = [field.name for field in cls._meta.concrete_fields]
        return names[names.index("succeeded") :]

    @classmethod
    def of(cls, moment: datetime) -> int:
        """Return the number of the minute a moment lies in."""
        return int(moment.timestamp()) // 60

    @classmethod
    def column(cls, milliseconds: int) -> str:
        """Return the name of the column that counts attempts of this duration."""
        return cls.histogram()[bisect_left(cls.BOUNDS, milliseconds)]


@dataclass(slots=True)
class Traffic:
    """What is to be added to a minute of traffic.

    :param counts: as many as `TrafficMinute.counts()` names.
    """

    account_id: UUID
    webhook_id: UUID
    event_type: str
    minute: int
    counts: list[int] = field(default_factory=lambda: [0] * len(TrafficMinute.counts()))

    @property
    def key(self) -> tuple[UUID, str, int]:
        """What there is one row of."""
        return self.webhook_id, self.event_type, self.minute

    def count(self, *, failed: bool, given_up: bool, unavailable: bool, milliseconds: int) -> None:
        """Count an attempt that ended in this minute."""
        added = not failed, failed, given_up, unavailable, milliseconds
        for place, number in enumerate(added):
            self.counts[place] += number
        self.counts[len(added) + bisect_left(TrafficMinute.BOUNDS, milliseconds)] += 1
