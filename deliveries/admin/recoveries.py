"""Recoveries: many failures sent again as one job."""

from collections.abc import Callable

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from deliveries import clock
from deliveries.admin import columns
from deliveries.admin.history import History
from deliveries.models import Recovery
from deliveries.services import recovering

PERMISSION = "deliveries.manage_recovery"
# More would keep the page waiting for too long.
MOST_AT_ONCE = 100


@admin.register(Recovery)
class RecoveryAdmin(History[Recovery]):
    """What is sent again, how fast, by whom and why, and how far it has come. It can be paused and ended."""

    actions = ("pause", "resume", "cancel")
    list_display = (
        columns.identifier,
        "status",
        "created_at",
        "total",
        "queued",
        "skipped",
        columns.cut("by", "by"),
        columns.cut("why", "why"),
    )
    list_filter = ("status",)
    fields = (
        "id",
        "account",
        "status",
        "by",
        "why",
        "webhook_id",
        "event_type",
        "reason_code",
        "failed_from",
        "failed_before",
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


def _act(
    request: HttpRequest,
    queryset: QuerySet[Recovery],
    act: Callable[..., Recovery],
    done: str,
    *,
    needed: str,
) -> None:
    """Do the same to each of the chosen, and say how many it changed."""
    rows = list(queryset[: MOST_AT_ONCE + 1])
    if len(rows) > MOST_AT_ONCE:
        messages.error(request, f"Nothing was changed: choose at most {MOST_AT_ONCE}.")
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
