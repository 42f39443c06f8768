"""Traffic: what was attempted, counted by the minute, so that statistics need not count attempts."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.db import connection, models

from deliveries.models.account import Account
from deliveries.models.webhook import Webhook

# Far below the number of parameters either database takes in one statement.
BATCH = 500


class TrafficQuerySet(models.QuerySet["TrafficMinute"]):
    """Minutes of traffic."""

    def add(self, counts: Iterable["TrafficMinute"]) -> None:
        """Add counts to those that are there, in the caller's transaction: one statement for 500 minutes."""
        sums: dict[Any, TrafficMinute] = {}
        for count in counts:
            if count.key in sums:
                sums[count.key].include(count)
            else:
                sums[count.key] = count
        # In one order for everybody: two workers that each wait for the other's row would stop for good.
        rows = [sums[key] for key in sorted(sums)]
        for start in range(0, len(rows), BATCH):
            self._add(rows[start : start + BATCH])

    def _add(self, rows: "Sequence[TrafficMinute]") -> None:
        fields = [field for field in TrafficMinute._meta.concrete_fields if not field.primary_key]
        quote = connection.ops.quote_name
        table, columns = quote(TrafficMinute._meta.db_table), [quote(field.attname) for field in fields]
        values = ", ".join(f"({', '.join(['%s'] * len(columns))})" for _ in rows)
        sums = ", ".join(
            f"{quote(name)} = {table}.{quote(name)} + excluded.{quote(name)}"
            for name in TrafficMinute.counts()
        )
        # Nothing but names of ours is put together here. Both databases understand it.
        statement = (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}"  # noqa: S608
            f" ON CONFLICT (webhook_id, event_type, minute) DO UPDATE SET {sums}"
        )
        with connection.cursor() as cursor:
            cursor.execute(
                statement,
                [
                    field.get_db_prep_save(getattr(row, field.attname), connection)
                    for row in rows
                    for field in fields
                ],
            )


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
            # Serves retention.
            models.Index(fields=["minute"], name="traffic_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.webhook_id} {self.event_type} {self.minute}"

    @property
    def key(self) -> tuple[Any, str, int]:
        """What there is one row of."""
        return self.webhook_id, self.event_type, self.minute

    @classmethod
    def histogram(cls) -> list[str]:
        """Return the names of the columns that count attempts by their duration, from quick to slow."""
        return [*(f"upto_{bound}" for bound in cls.BOUNDS), f"over_{cls.BOUNDS[-1]}"]

    @classmethod
    def counts(cls) -> list[str]:
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

    def include(self, other: "TrafficMinute") -> None:
        """Count what another has counted."""
        for name in self.counts():
            setattr(self, name, getattr(self, name) + getattr(other, name))
