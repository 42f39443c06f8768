"""Attempts: the log."""

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from deliveries.admin import bodies, columns, curl, exchanges
from deliveries.admin.history import History
from deliveries.admin.http_statuses import AttemptedStatusFilter
from deliveries.admin.owners import AttemptedAccountFilter, WebhookFilter
from deliveries.admin.pages.showing import show
from deliveries.admin.walking import Window
from deliveries.models import Attempt

# Read when a page shows them, one row at a time.
LARGE = ("response_body", "response_headers", "request_headers")


@admin.register(Attempt)
class AttemptAdmin(bodies.WithBodies, History[Attempt]):
    """Every request, and what came back."""

    list_display = (
        columns.identifier,
        "outcome",
        "duration_ms",
        columns.when("started_at", "started"),
        "number",
        columns.cut("delivery.event.type", "event type"),
        columns.cut("webhook.name", "webhook"),
    )
    list_filter = (
        Window,
        WebhookFilter,
        AttemptedAccountFilter,
        "succeeded",
        "reason_code",
        AttemptedStatusFilter,
    )
    list_select_related = ("webhook", "delivery__event")
    search_fields = ("id", "delivery")
    linked_by = ("delivery__id",)
    leading_to_few = ("delivery__id",)
    along: ClassVar = {"webhook__id__exact": "created_at"}
    empty = "A worker makes one as soon as a delivery is due. System shows whether one is alive."
    folded = True
    # A receiver may send back in its headers what it got in a body.
    bodies = ("response_headers_text", "response_body_text")
    fields = readonly_fields = (
        "id",
        "delivery",
        "webhook",
        "number",
        "round",
        "created_at",
        "started_at",
        "duration_ms",
        "spent",
        "remote_address",
        "succeeded",
        "http_status",
        "reason_code",
        "error",
        "url",
        "http_method",
        "request_headers_text",
        "response_headers_text",
        "response_body_text",
    )

    def page_context(self, request: HttpRequest, row: Attempt) -> dict[str, Any]:
        """Tell the page what was sent and what came back."""
        seen = request.user.has_perm(bodies.PERMISSION)
        body = bytes(row.delivery.event.body) if seen else None
        return {
            **super().page_context(request, row),
            "exchange": exchanges.exchange(row, body=body),
            "body": bodies.render(body) if seen else None,
        }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        """Leave what is large in the database until a page shows it."""
        return super().get_queryset(request).defer(*LARGE, "delivery__event__body")

    def get_urls(self) -> list[URLPattern]:
        """Add the page of an attempt's command."""
        view = self.admin_site.admin_view(require_safe(self.curl))
        return [path("<uuid:pk>/curl/", view, name="deliveries_attempt_curl"), *super().get_urls()]

    def curl(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Show an attempt as a command; all of the body that was sent is in it."""
        if not (self.has_view_permission(request) and request.user.has_perm(bodies.PERMISSION)):
            raise PermissionDenied
        attempt = get_object_or_404(Attempt.objects.select_related("delivery__event"), pk=pk)
        return show(
            request,
            "curl.html",
            title=f"Attempt {attempt.number} as a curl command",
            attempt=attempt,
            command=curl.command(attempt, bytes(attempt.delivery.event.body)),
        )

    @admin.display(description="outcome")
    def outcome(self, attempt: Attempt) -> SafeString:
        """What the receiver answered, or why there is no answer."""
        return exchanges.outcome(attempt)

    @admin.display(description="duration")
    def duration_ms(self, attempt: Attempt) -> str:
        """How long it took."""
        return f"{attempt.duration / timedelta(milliseconds=1):.0f} ms"

    @admin.display(description="of which")
    def spent(self, attempt: Attempt) -> str:
        """Where its time went."""
        parts = {
            "DNS": attempt.dns_us,
            "connect": attempt.connect_us,
            "TLS": attempt.tls_us,
            "first byte": attempt.first_byte_us,
        }
        return ", ".join(f"{name} {us / 1000:.1f} ms" for name, us in parts.items() if us is not None)

    @admin.display(description="request headers")
    def request_headers_text(self, attempt: Attempt) -> SafeString:
        """What was sent, credentials masked."""
        return bodies.render_json(attempt.request_headers)

    @admin.display(description="response headers")
    def response_headers_text(self, attempt: Attempt) -> SafeString:
        """What came back."""
        return bodies.render_json(attempt.response_headers)

    @admin.display(description="response body")
    def response_body_text(self, attempt: Attempt) -> SafeString:
        """What came back."""
        return bodies.render_answer(attempt.response_body)
