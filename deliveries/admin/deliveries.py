"""Deliveries: the queue, and what became of it."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from deliveries import clock
from deliveries.admin import bodies, columns, exchanges, redelivering, why_form
from deliveries.admin.owners import AccountFilter, WebhookFilter
from deliveries.admin.pages.showing import show
from deliveries.admin.redelivering import Redelivering
from deliveries.admin.walking import Window
from deliveries.models import Attempt, Delivery
from deliveries.printing import utc
from deliveries.services import cancelling, explaining, redelivery

# So many attempts stand on the page of a delivery.
LISTED = 50


class PairForm(forms.Form):
    """The numbers of two attempts."""

    first = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)
    second = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)


@admin.register(Delivery)
class DeliveryAdmin(Redelivering[Delivery]):
    """One event to one webhook."""

    list_display = (
        columns.identifier,
        columns.status,
        "problem",
        "attempts",
        columns.when("next_attempt_at", "next attempt"),
        columns.cut("event.type", "event type"),
        columns.cut("webhook.name", "webhook"),
        columns.when("created_at", "created"),
    )
    list_filter = (Window, WebhookFilter, AccountFilter, "status")
    list_select_related = ("event", "webhook", "failure")
    search_fields = ("id", "event")
    linked_by = ("event__id",)
    leading_to_few = ("event__id",)
    along: ClassVar = {"webhook__id__exact": "created_at", "account__id__exact": "created_at"}
    empty = "Publish an event that a webhook wants. There is one for each of those webhooks."
    sendable = Delivery.Status.FAILED
    carried: ClassVar = {"account__id__exact": "account", "webhook__id__exact": "webhook_id"}
    bounds = ("made_from", "made_before")
    folded = True
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

    @admin.display(description="last error")
    def problem(self, delivery: Delivery) -> str:
        """Why the last attempt failed, unless it has arrived."""
        failure = getattr(delivery, "failure", None)
        return columns.short(failure.reason if failure and delivery.status != "succeeded" else "")

    @admin.display(description="attempts")
    def attempts(self, delivery: Delivery) -> str:
        """How many were made, of how many there will be at most."""
        return f"{delivery.attempts_made} of {_most(delivery)}"

    def page_context(self, request: HttpRequest, row: Delivery) -> dict[str, Any]:
        """Tell the page what became of it, and each attempt with what was sent and what came back."""
        seen = request.user.has_perm(bodies.PERMISSION)
        body = bytes(row.event.body) if seen else None
        attempts = Attempt.objects.of(row).order_by("-number")[:LISTED]
        return {
            **super().page_context(request, row),
            "answer": explaining.answer(row, now=clock.now()),
            "exchanges": [exchanges.exchange(attempt, body=body) for attempt in attempts],
            "more": max(row.attempts_made - LISTED, 0),
            "body": bodies.render(body) if seen else None,
            "most": _most(row),
            "may_cancel": self.has_redeliver_permission(request) and row.status in Delivery.UNFINISHED,
        }

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons of the delivery's own page, and the comparison of two of its attempts."""
        wrap = self.admin_site.admin_view
        again = wrap(require_POST(self.send_one_again))
        cancel = wrap(require_http_methods(["GET", "HEAD", "POST"])(self.cancel_one))
        compare = wrap(require_safe(self.compare))
        return [
            path("<uuid:pk>/send-again/", again, name="deliveries_delivery_send_again"),
            path("<uuid:pk>/cancel/", cancel, name="deliveries_delivery_cancel"),
            path("<uuid:pk>/compare/", compare, name="deliveries_delivery_compare"),
            *super().get_urls(),
        ]

    def cancel_one(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask whether one is to be given up; once that is confirmed, do it and go back to its page."""
        if not self.has_redeliver_permission(request):
            raise PermissionDenied
        rows = self.get_queryset(request).select_related("event", "webhook")
        delivery = get_object_or_404(rows, pk=pk)
        if request.method == "POST":
            _cancel(request, delivery)
        elif delivery.status in Delivery.UNFINISHED:
            title, why = "Give up this delivery?", why_form.field()
            return show(request, "give_up.html", title=title, delivery=delivery, why=why)
        else:
            state = delivery.get_status_display().lower()
            messages.warning(request, f"There is nothing to give up: it is {state}.")
        return redirect("admin:deliveries_delivery_change", pk)

    def compare(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show where two of its attempts differ: those whose numbers are given, or else the last two."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        delivery = get_object_or_404(Delivery, pk=pk)
        form = PairForm(request.GET)
        last = delivery.attempts_made
        if not form.is_valid():
            raise BadRequest("Two attempts are compared by their numbers.")
        numbers = form.cleaned_data["first"] or last - 1, form.cleaned_data["second"] or last
        found = {each.number: each for each in Attempt.objects.of(delivery).filter(number__in=numbers)}
        pair = [found.get(number) for number in numbers]
        if pair[0] is None or pair[1] is None:
            raise Http404
        seen = request.user.has_perm(bodies.PERMISSION)
        return show(
            request,
            "compare.html",
            title=f"Attempts {numbers[0]} and {numbers[1]}",
            delivery=delivery,
            pair=pair,
            parts=exchanges.differences(pair[0], pair[1], with_answers=seen),
        )

    def send_one_again(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Queue one attempt, say what came of it, and go back to the delivery's page."""
        if not self.has_redeliver_permission(request):
            raise PermissionDenied
        delivery = get_object_or_404(Delivery, pk=pk)
        try:
            redelivery.redeliver(delivery, by=str(request.user), now=clock.now(), why=why_form.given(request))
        except redelivery.NotRedeliverable as error:
            delivery.refresh_from_db()
            queued = delivery.status == Delivery.Status.PENDING
            messages.warning(request, "It is queued already." if queued else str(error))
        else:
            redelivering.note(request, [delivery])
            _report(request, delivery)
        return redirect("admin:deliveries_delivery_change", pk)


def _most(delivery: Delivery) -> int:
    """Return how many attempts there will be at most, unless somebody sends it again."""
    ahead = delivery.retries_left + 1 if delivery.status in Delivery.UNFINISHED else 0
    return delivery.attempts_made + ahead


def _cancel(request: HttpRequest, delivery: Delivery) -> None:
    """Give one up, and say what came of it."""
    try:
        cancelling.cancel(delivery, by=str(request.user), now=clock.now(), why=why_form.given(request))
    except cancelling.NotCancellable as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, "Given up: nothing more is sent.")


def _report(request: HttpRequest, delivery: Delivery) -> None:
    """Say that it is queued; or who keeps it back, until when and why."""
    last = delivery.pauses(clock.now()).order_by("-until").first()
    if delivery.status != Delivery.Status.HELD or last is None:
        messages.success(request, "Queued.")
        return
    what = "the webhook" if last.webhook_id else last.event_type or "the account"
    until = utc(last.until)
    messages.warning(request, f"Held: {last.by} paused {what} until {until}. {last.why}")
