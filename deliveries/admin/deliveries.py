"""Deliveries: the queue, and what became of it."""

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from deliveries import clock
from deliveries.admin import columns, redelivering
from deliveries.admin.attempts import AttemptsOfDelivery
from deliveries.admin.redelivering import Redelivering
from deliveries.admin.walking import Window
from deliveries.models import Delivery
from deliveries.services import redelivery


@admin.register(Delivery)
class DeliveryAdmin(Redelivering[Delivery]):
    """One event to one webhook."""

    list_display = (
        columns.identifier,
        "status",
        "attempts_made",
        "due_at",
        columns.cut("event.type", "event type"),
        columns.cut("webhook.name", "webhook"),
        "created_at",
    )
    list_filter = (Window, "status")
    list_select_related = ("event", "webhook")
    search_fields = ("id", "event")
    linked_by = ("event__id", "webhook__id")
    leading_to_few = ("event__id",)
    sendable = Delivery.Status.FAILED
    carried: ClassVar = {"webhook__id__exact": "webhook_id"}
    bounds = ("made_from", "made_before")
    inlines = (AttemptsOfDelivery,)
    fields = readonly_fields = (
        "id",
        "account",
        "event",
        "webhook",
        "status",
        "created_at",
        "due_at",
        "lease_token",
        "claims",
        "round",
        "attempts_made",
        "retries_left",
        "next_attempt_id",
        "scheduled_at",
        "finished_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """Leave the events' bodies in the database."""
        return super().get_queryset(request).defer("event__body")

    def delivery_ids(self, rows: Sequence[Delivery]) -> list[UUID]:
        """Return the ids of the rows."""
        return [delivery.pk for delivery in rows]

    def get_urls(self) -> list[URLPattern]:
        """Add the button of the delivery's own page."""
        view = self.admin_site.admin_view(require_POST(self.send_one_again))
        return [
            path("<uuid:pk>/send-again/", view, name="deliveries_delivery_send_again"),
            *super().get_urls(),
        ]

    def send_one_again(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Queue one attempt, say what came of it, and go back to the delivery's page."""
        if not self.has_redeliver_permission(request):
            raise PermissionDenied
        delivery = get_object_or_404(Delivery, pk=pk)
        try:
            redelivery.redeliver(delivery, by=str(request.user), now=clock.now())
        except redelivery.NotRedeliverable as error:
            messages.warning(request, str(error))
        else:
            redelivering.note(request, [delivery])
            _report(request, delivery)
        return redirect("admin:deliveries_delivery_change", pk)


def _report(request: HttpRequest, delivery: Delivery) -> None:
    """Say that it is queued; or who keeps it back, until when and why."""
    last = delivery.pauses(clock.now()).order_by("-until").first()
    if delivery.status != Delivery.Status.HELD or last is None:
        messages.success(request, "Queued.")
        return
    what = "the webhook" if last.webhook_id else last.event_type or "the account"
    until = f"{last.until:%Y-%m-%d %H:%M:%S} UTC"
    messages.warning(request, f"Held: {last.by} paused {what} until {until}. {last.why}")
