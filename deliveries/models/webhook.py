"""Where events go: the webhook, and its matching rule."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Count, Max, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from deliveries.identifiers import new_id
from deliveries.models.account import Account
from deliveries.models.agent import Agent
from deliveries.models.fields import Sealed, SealedField
from deliveries.printing import printable


class WebhookQuerySet(models.QuerySet["Webhook"]):
    """Webhooks."""

    def existing(self) -> Self:
        """Leave out the deleted ones, whose rows stay for the sake of their history."""
        return self.filter(deleted_at=None)

    def enabled(self) -> Self:
        """Keep those that get events."""
        return self.existing().filter(enabled=True)

    def disabled_themselves(self, *, since: datetime) -> Self:
        """Keep those that the service turned off after a moment, and nobody has enabled or deleted."""
        return self.existing().filter(enabled=False, disabled_itself_at__gt=since)

    def existing_at(self, moment: datetime) -> Self:
        """Keep those that had been made by a moment and were deleted, if at all, only after it."""
        return self.filter(Q(deleted_at=None) | Q(deleted_at__gt=moment), created_at__lte=moment)


class Webhook(models.Model):
    """A receiver's URL with what it wants to hear and how it is to be spoken to."""

    class Method(models.TextChoices):
        """How the body is sent."""

        POST = "POST"
        PUT = "PUT"
        PATCH = "PATCH"

    class Authorization(models.TextChoices):
        """What a request proves itself with, beside its signature."""

        NONE = "none"
        BEARER = "bearer"
        BASIC = "basic"
        API_KEY = "api_key"
        CUSTOM = "custom"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="webhooks", db_index=False)
    agent = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.PROTECT, related_name="webhooks")
    name = models.CharField(max_length=255)
    url = models.CharField(max_length=2048)
    http_method = models.CharField(max_length=5, choices=Method.choices, default=Method.POST)
    events = models.JSONField(help_text='Event types or patterns: ["call.ended", "message.*"], or ["*"].')
    timeout = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(120)],
        help_text="Seconds for a whole exchange.",
    )
    max_retries = models.PositiveSmallIntegerField(
        default=3, validators=[MaxValueValidator(10)], help_text="Automatic tries after the first."
    )
    max_in_flight = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="Requests under way at once, over all workers.",
    )
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=255, blank=True)
    # It says nothing while the webhook is enabled: the version before enables and knows no such column.
    disabled_itself_at = models.DateTimeField(
        null=True, editable=False, help_text="When the service turned it off; empty where a person did."
    )
    secret = SealedField(null=True, blank=True, editable=False)
    # Those that still sign beside it, with the moments until which they do.
    previous_secrets = SealedField(null=True, blank=True, editable=False)
    authorization_scheme = models.CharField(
        max_length=7, choices=Authorization.choices, default=Authorization.NONE
    )
    authorization_credential = SealedField(null=True, blank=True, editable=False)
    custom_headers = SealedField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(editable=False)
    updated_at = models.DateTimeField(editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(timeout__range=(1, 120), max_retries__lte=10, max_in_flight__gte=1),
                name="webhooks_limits_in_range",
            ),
            models.CheckConstraint(
                condition=Q(deleted_at=None) | Q(enabled=False), name="webhooks_deleted_are_disabled"
            ),
            models.CheckConstraint(
                condition=Q(enabled=False) | Q(disabled_reason=""), name="webhooks_reason_only_when_disabled"
            ),
        ]
        indexes = [models.Index(fields=["account", "created_at", "id"], name="webhooks_of_account")]

    def __str__(self) -> str:
        return f"{printable(self.name)} ({self.pk})"

    def wants(self, event_type: str) -> bool:
        """Tell whether an event of this type matches: exactly, by `*`, or by a pattern such as `call.*`."""
        return _is_wanted(event_type, self.events)

    def secrets_at(self, moment: datetime) -> list[str]:
        """Return what signs a request made at this moment, readable: the secret, then those before it.

        :raises deliveries.secrets.Undecryptable: when none of ENCRYPTION_KEYS fits.
        """
        current = [self.secret.reveal()] if self.secret else []
        return current + [secret for secret, until in self.reveal_previous_secrets() if moment < until]

    def reveal_previous_secrets(self) -> list[tuple[str, datetime]]:
        """Return the secrets before the current one, newest first, and until when each signs.

        :raises deliveries.secrets.Undecryptable: when none of ENCRYPTION_KEYS fits.
        """
        stored = json.loads(self.previous_secrets.reveal()) if self.previous_secrets else []
        return [(secret, datetime.fromisoformat(until)) for secret, until in stored]

    @staticmethod
    def seal_previous_secrets(secrets: Sequence[tuple[str, datetime]]) -> Sealed | None:
        """Return secrets with the ends of their time in the form the column takes."""
        stored = [(secret, until.isoformat()) for secret, until in secrets]
        return Sealed.of(json.dumps(stored)) if stored else None

    def reveal_headers(self) -> Mapping[str, str]:
        """Return the custom headers, readable.

        :raises deliveries.secrets.Undecryptable: when none of ENCRYPTION_KEYS fits.
        """
        headers: dict[str, str] = json.loads(self.custom_headers.reveal()) if self.custom_headers else {}
        return headers

    @staticmethod
    def seal_headers(headers: Mapping[str, str]) -> Sealed | None:
        """Return headers in the form the column takes."""
        return Sealed.of(json.dumps(dict(headers))) if headers else None


class WebhookRevisionQuerySet(models.QuerySet["WebhookRevision"]):
    """Revisions of webhooks."""

    def note(self, webhook: Webhook, *, at: datetime) -> None:
        """Write down what a webhook is from a moment on, in the transaction that makes it so.

        The caller holds the webhook's row. Acts that waited for it may bring the moment at which they began:
        none is written before the one it follows.
        """
        before = self.filter(webhook=webhook).aggregate(latest=Max("valid_from"))["latest"]
        self.create(
            webhook=webhook,
            valid_from=max(before, at) if before else at,
            enabled=webhook.enabled,
            events=webhook.events,
        )

    def of(self, webhooks: WebhookQuerySet, *, at: datetime) -> Self:
        """Keep, for each of the webhooks, the one that was valid at a moment."""
        begun = self.filter(webhook=OuterRef("pk"), valid_from__lte=at)
        latest = begun.order_by("-valid_from", "-pk").values("pk")[:1]
        return self.filter(pk__in=webhooks.order_by().values_list(Subquery(latest)))


class WebhookRevision(models.Model):
    """What a webhook was from a moment on, until its next revision: whether it was on, and what it wanted.

    Its agent is not among it, because that never changes. Written by whatever makes the webhook, turns it on
    or off, or changes its events; never changed.
    """

    id = models.BigAutoField(primary_key=True)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="revisions", db_index=False)
    valid_from = models.DateTimeField()
    enabled = models.BooleanField()
    events = models.JSONField()

    objects = WebhookRevisionQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["webhook", "valid_from"], name="revisions_of_webhook")]

    def __str__(self) -> str:
        return f"{self.webhook_id} from {self.valid_from}"

    def wants(self, event_type: str) -> bool:
        """Tell whether the webhook matched an event of this type then, were it on or off."""
        return _is_wanted(event_type, self.events)


def _is_wanted(event_type: str, patterns: Sequence[str]) -> bool:
    return any(
        pattern in ("*", event_type)
        or (pattern.endswith(".*") and event_type.startswith(pattern.removesuffix("*")))
        for pattern in patterns
    )


def number_of(rows: "models.QuerySet[Any]") -> Coalesce:
    """Return how many rows there are, as an expression for a query of something else.

    :param rows: of one webhook, which the query around them may name by `OuterRef`.
    """
    number = rows.order_by().values("webhook").annotate(number=Count("*")).values("number")
    # Where there are none, there is no group of them either.
    return Coalesce(Subquery(number), Value(0))


class _NumberOf(Subquery):
    """How many rows a query has that ends somewhere."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = models.IntegerField()


def number_up_to(rows: "models.QuerySet[Any]", most: int) -> Subquery:
    """Return how many rows there are, as an expression for a query of something else; it ends at `most`.

    :param rows: in the order of an index, which the query around them may restrict by `OuterRef`.
    """
    return _NumberOf(rows.values("pk")[:most])
