"""Events, the catalogue of their types, and idempotency keys."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from deliveries.admin import bodies, columns
from deliveries.admin.audited import Audited
from deliveries.admin.history import History
from deliveries.admin.meanwhile import Meanwhile
from deliveries.admin.pauses import Pausable
from deliveries.admin.typed import TypeFilter
from deliveries.admin.walking import Window
from deliveries.models import Delivery, Event, EventType, IdempotencyKey, WebhookHealth
from deliveries.services import matching, skipping

# So many webhooks that got an event stand on its page, and so many that did not.
LISTED = 200
SKIPPED = {
    skipping.OTHER_AGENT: "It belongs to another agent.",
    skipping.NOT_SUBSCRIBED: "It was not subscribed to events of this type.",
    skipping.DISABLED: "It was disabled.",
}


@admin.register(EventType)
class EventTypeAdmin(Audited[EventType], Meanwhile[EventType], Pausable[EventType]):
    """The catalogue."""

    noun, known_by = "event_type", "code"
    told = ("label",)
    list_display = (columns.cut("code", "code"), columns.cut("label", "label"))
    search_fields = ("code", "label")
    ordering = ("pk",)

    def get_readonly_fields(self, request: HttpRequest, obj: EventType | None = None) -> tuple[str, ...]:
        """Fix the code once it is there: webhooks and events mention it."""
        return () if obj is None else ("code",)

    def delete_model(self, request: HttpRequest, obj: EventType) -> None:
        """Delete one; nothing of it is published any more."""
        super().delete_model(request, obj)
        matching.types_changed()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[EventType]) -> None:
        """Delete some; nothing of them is published any more."""
        super().delete_queryset(request, queryset)
        matching.types_changed()


@admin.register(Event)
class EventAdmin(bodies.WithBodies, History[Event]):
    """What was published."""

    list_display = (
        columns.identifier,
        columns.cut("type", "type"),
        columns.when("created_at", "published"),
        columns.cut("account.name", "account"),
        columns.cut("agent.name", "agent"),
        columns.when("occurred_at", "occurred"),
    )
    list_filter = (Window, TypeFilter)
    linked_by = ("account__id",)
    list_select_related = ("account", "agent")
    bodies = ("body_text",)
    folded = True
    empty = "Publish one: POST /api/v1/events, or deliveries.services.publishing in Python."
    fields = readonly_fields = ("id", "account", "agent", "type", "occurred_at", "created_at", "body_text")

    def page_context(self, request: HttpRequest, row: Event) -> dict[str, Any]:
        """Tell the page which webhooks got it, which did not, and why; so many of each."""
        sent = row.deliveries.select_related("webhook__health", "failure").order_by("pk")
        return {
            **super().page_context(request, row),
            "sent": [(delivery, _became(delivery)) for delivery in sent[:LISTED]],
            "skipped": [(each.webhook, SKIPPED[each.reason]) for each in skipping.skipped(row)[:LISTED]],
            "listed": LISTED,
            "body": bodies.render(row.body) if request.user.has_perm(bodies.PERMISSION) else None,
        }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Leave the bodies in the database until a page shows one."""
        return super().get_queryset(request).defer("body")

    @admin.display(description="body")
    def body_text(self, event: Event) -> SafeString:
        """The body, readable."""
        return bodies.render(event.body)


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(bodies.WithBodies, History[IdempotencyKey]):
    """Publishers' names for their publications."""

    # Who knows it can try whether they guess the body.
    bodies = ("fingerprint",)

    list_display = (
        columns.cut("key", "key"),
        "created_at",
        columns.cut("event.type", "event type"),
        columns.cut("account.name", "account"),
    )
    list_select_related = ("account", "event")
    search_fields = ("key", "event")
    fields = readonly_fields = ("id", "account", "key", "fingerprint", "event", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdempotencyKey]:
        """Leave the events' bodies in the database."""
        return super().get_queryset(request).defer("event__body")


def _became(delivery: Delivery) -> str:
    """Return what has become of a delivery that has not arrived, as far as the page knows anyway."""
    webhook, failure = delivery.webhook, getattr(delivery, "failure", None)
    reason = f" {failure.reason}." if failure and failure.reason else ""
    if delivery.status == Delivery.Status.FAILED:
        return failure.reason if failure else "It was given up."
    if delivery.status == Delivery.Status.CANCELLED:
        return f"It was given up for good: by a person, or with its webhook.{reason}"
    if delivery.status == Delivery.Status.PENDING:
        return f"It waits for its next attempt.{reason}" if delivery.attempts_made else "It waits to be sent."
    if not webhook.enabled:
        return f"It is held until the webhook is enabled.{reason}"
    if webhook.health.circuit != WebhookHealth.Circuit.CLOSED:
        return f"It is held until the receiver is there again.{reason}"
    return f"It is held by a pause.{reason}"
