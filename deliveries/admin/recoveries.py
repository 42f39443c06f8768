"""Recoveries: many failures sent again as one job."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.views.decorators.http import require_http_methods, require_POST

from deliveries import clock
from deliveries.admin import columns, recovery_builder, signs
from deliveries.admin.history import History
from deliveries.admin.recovery_builder import PERMISSION
from deliveries.admin.tables import few
from deliveries.models import Failure, Recovery
from deliveries.printing import printable
from deliveries.services import recovering
from deliveries.services.recovering import Progress, Selection

ACTS: dict[str, Callable[..., Recovery]] = {
    "pause": recovering.pause,
    "resume": recovering.resume,
    "cancel": recovering.cancel,
}
# More would keep the page waiting for too long.
MOST_AT_ONCE = 100


@admin.register(Recovery)
class RecoveryAdmin(History[Recovery]):
    """What is sent again, how fast, by whom and why, and how far it has come. It can be paused and ended."""

    actions = ("pause", "resume", "cancel")
    folded = True
    list_display = (
        columns.identifier,
        columns.status,
        columns.when("created_at", "made"),
        "total",
        "queued",
        "skipped",
        columns.cut("by", "by", write=printable),
        columns.cut("why", "why", write=printable),
    )
    list_filter = ("status",)
    empty = (
        "What has failed is sent again from a list of failures or of deliveries: filter it, and choose all."
    )
    fields = (
        "id",
        "account",
        "status",
        "by",
        "why",
        "webhook_id",
        "event_type",
        "reason_code",
        "reason",
        "failed_from",
        "failed_before",
        "made_from",
        "made_before",
        "rate",
        "covers_until",
        "total",
        "queued",
        "skipped",
        "sample",
        "left_out",
        "passed_created_at",
        "passed_failure_id",
        "next_slot_at",
        "created_at",
        "finished_at",
    )

    def get_urls(self) -> list[URLPattern]:
        """Add what builds one, and the buttons of its page."""
        build = self.admin_site.admin_view(require_http_methods(["GET", "POST"])(recovery_builder.build))
        act = self.admin_site.admin_view(require_POST(self.act_on_one))
        return [
            path("new/", build, name="deliveries_recovery_new"),
            path("<uuid:pk>/<slug:act>/now/", act, name="deliveries_recovery_act"),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, row: Recovery) -> dict[str, Any]:
        """Tell the page how far it has come, and what may be done with it."""
        progress = recovering.progress([row])[row.pk]
        return {
            **super().page_context(request, row),
            "may_manage": self.has_manage_permission(request),
            "words": list(recovery_builder.words(Selection.of(row))),
            "progress": progress,
            "state": outcome(row, progress),
            "taken": max(
                row.queued - progress.delivered - progress.failed - progress.outstanding,
                0,
            ),
            "left": max(row.total - row.queued - row.skipped, 0),
            "unfinished": row.status in Recovery.UNFINISHED or progress.outstanding > 0,
            "sample_rows": Failure.objects.filter(recovery=row).order_by("-delivery")[:20],
        }

    def act_on_one(self, request: HttpRequest, pk: UUID, act: str) -> HttpResponse:
        """Pause, resume or cancel one, say what came of it, and go back to its page."""
        if not self.has_manage_permission(request):
            raise PermissionDenied
        if act not in ACTS:
            raise Http404
        recovery = get_object_or_404(Recovery, pk=pk)
        try:
            ACTS[act](recovery, by=str(request.user), now=clock.now())
        except recovering.StateConflict as error:
            messages.warning(request, str(error))
        else:
            messages.success(request, f"It is {recovery.status} now.")
        return redirect("admin:deliveries_recovery_change", pk)

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Steering is a permission of its own: it needs no right to change anything."""
        return request.user.has_perm(PERMISSION)

    @admin.action(description="Pause", permissions=["manage"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Recovery]) -> None:
        """Have the chosen that run wait."""
        _act(request, queryset, recovering.pause, "Paused", needed="a running recovery can be paused")

    @admin.action(description="Resume", permissions=["manage"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Recovery]) -> None:
        """Have the chosen that are paused go on."""
        _act(request, queryset, recovering.resume, "Resumed", needed="a paused recovery can be resumed")

    @admin.action(description="Cancel", permissions=["manage"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Recovery]) -> None:
        """End the chosen that are not finished."""
        _act(
            request,
            queryset,
            recovering.cancel,
            "Cancelled",
            needed="an unfinished recovery can be cancelled",
        )


def outcome(recovery: Recovery, progress: Progress) -> SafeString:
    """Return the state of a recovery with what has become of what it queued."""
    if recovery.status != Recovery.Status.COMPLETED:
        return signs.state(recovery.status)
    word = signs.word(recovery.status)
    if progress.failed:
        return signs.badge(signs.Sign.WARNING, f"{word}, {progress.failed:,} failed again")
    return signs.badge(signs.Sign.WAITING if progress.outstanding else signs.Sign.WELL, word)


def _act(
    request: HttpRequest,
    queryset: QuerySet[Recovery],
    act: Callable[..., Recovery],
    done: str,
    *,
    needed: str,
) -> None:
    """Do the same to each of the chosen, and say how many it changed."""
    rows = few(request, queryset, most=MOST_AT_ONCE)
    if not rows:
        return
    changed = sum(_changed(act, recovery, request) for recovery in rows)
    sentence = f"{done} {changed} {'recovery' if changed == 1 else 'recoveries'}."
    if changed < len(rows):
        sentence += f" Skipped {len(rows) - changed}: only {needed}."
    messages.add_message(request, messages.SUCCESS if changed else messages.WARNING, sentence)


def _changed(act: Callable[..., Recovery], recovery: Recovery, request: HttpRequest) -> bool:
    try:
        act(recovery, by=str(request.user), now=clock.now())
    except recovering.StateConflict:
        return False
    return True
