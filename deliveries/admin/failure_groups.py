"""The inbox: failures by webhook and reason, for whoever deals with them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from deliveries import clock
from deliveries.admin import columns, recovery_builder, redelivering, signs, why_form
from deliveries.admin.tables import NUL, ChosenFilter, ReadOnly, Table, few
from deliveries.models import Failure, FailureGroup
from deliveries.printing import utc
from deliveries.services import grouping

PERMISSION = "deliveries.manage_failuregroup"
# Waiting failures of a group are counted so far.
MOST = 10_000
# So many of them stand on its page.
LISTED = 50
# More would keep the page waiting for too long.
MOST_AT_ONCE = 100
SNOOZES = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}
SIGNS = {
    FailureGroup.State.OPEN: signs.Sign.WRONG,
    FailureGroup.State.SNOOZED: signs.Sign.HELD,
    FailureGroup.State.RESOLVED: signs.Sign.WELL,
}


class SettledFilter(ChosenFilter):
    """Those that want somebody, unless others are asked for."""

    title = "state"
    parameter_name = "state"
    usual = FailureGroup.State.OPEN

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [*FailureGroup.State.choices, (self.ALL, "All")]

    def keep(self, queryset: Any, chosen: str) -> Any:
        """Keep those in a state."""
        now = clock.now()
        if chosen == FailureGroup.State.OPEN:
            return queryset.open(now)
        return queryset.snoozed(now) if chosen == FailureGroup.State.SNOOZED else queryset.resolved()


@admin.register(FailureGroup)
class FailureGroupAdmin(ReadOnly, Table[FailureGroup]):
    """What failed for one reason at one webhook, how often and since when. Nobody adds or deletes any."""

    list_title = "Inbox"
    list_display = (
        columns.cut("webhook.name", "webhook"),
        "state_badge",
        columns.cut("reason", "reason"),
        "waiting",
        "seen_so_far",
        "last_seen",
        "first_seen",
    )
    list_filter = (SettledFilter,)
    list_select_related = ("webhook",)
    search_fields = ("id", "webhook")
    linked_by = ("webhook__id",)
    ordering = ("-last_seen_at", "-pk")
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ("snooze", "resolve", "reopen")
    action_form = why_form.WhyActionForm
    folded = True
    empty = "Nothing waits for you. What is given up comes here, by webhook and reason."
    fields = (
        "id",
        "account",
        "webhook",
        "reason",
        "reason_code",
        "state",
        "snoozed_until",
        "settled_by",
        "settled_at",
        "seen",
        "first_seen_at",
        "last_seen_at",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Count with each what waits."""
        return FailureGroup.objects.with_waiting(most=MOST + 1).order_by(*self.ordering)

    @admin.display(description="state")
    def state_badge(self, group: FailureGroup) -> SafeString:
        """Who wants it."""
        return badge(group)

    @admin.display(description="waiting")
    def waiting(self, group: Any) -> str:
        """How many can be sent again."""
        return waiting(group)

    @admin.display(description="seen")
    def seen_so_far(self, group: FailureGroup) -> SafeString:
        """How many there were, which an act on the list tells again: none settles what nobody saw."""
        return format_html(
            '{}<input type="hidden" name="{}" value="{}">', group.seen, _field(group), group.seen
        )

    @admin.display(description="last seen")
    def last_seen(self, group: FailureGroup) -> SafeString:
        """When the last one was given up."""
        return signs.moment(group.last_seen_at)

    @admin.display(description="first seen")
    def first_seen(self, group: FailureGroup) -> SafeString:
        """When the first one was."""
        return signs.moment(group.first_seen_at)

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Settling is a permission of its own: it needs no right to change anything."""
        return request.user.has_perm(PERMISSION)

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons of a group's page."""
        wrap = self.admin_site.admin_view
        settle, again = wrap(require_POST(self.settle_one)), wrap(require_POST(self.send_chosen_again))
        return [
            path("<uuid:pk>/settle/", settle, name="deliveries_failuregroup_settle"),
            path("<uuid:pk>/send-again/", again, name="deliveries_failuregroup_send_again"),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, row: FailureGroup) -> dict[str, Any]:
        """Tell the page what waits, and what may be done."""
        its = _waiting_in(row)
        return {
            **super().page_context(request, row),
            "may_manage": self.has_manage_permission(request),
            "may_send_again": request.user.has_perm(redelivering.PERMISSION),
            "why": why_form.field(),
            "badge": badge(row),
            "state": row.state_at(clock.now()),
            "waiting": waiting(row),
            "failures": its.order_by("-delivery")[:LISTED],
            "gone": row.webhook.deleted_at is not None,
            "send_all": recovery_builder.link(webhook_id=row.webhook_id, reason=row.reason),
        }

    def send_chosen_again(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Queue one attempt for each of the chosen that waits in a group, and go back to the group's page."""
        if not request.user.has_perm(redelivering.PERMISSION):
            raise PermissionDenied
        group = get_object_or_404(FailureGroup, pk=pk)
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if len(chosen) > LISTED or any(NUL in text for text in chosen):
            raise BadRequest("Something was chosen that the page does not show.")
        failures = list(_waiting_in(group).filter(pk__in=chosen))
        if failures:
            ids = [failure.delivery_id for failure in failures]
            selected = f"{len(failures)} chosen of a group of failures"
            redelivering.send(request, failures, delivery_ids=ids, selected=selected)
        elif chosen:
            gone = "what was chosen does not wait in this group any more."
            messages.warning(request, f"Nothing was sent again: {gone}")
        else:
            todo = "tick what is to be, or send all of the group again."
            messages.warning(request, f"Nothing was sent again: {todo}")
        return redirect("admin:deliveries_failuregroup_change", pk)

    def settle_one(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Snooze, resolve or reopen one, and go back to its page."""
        if not self.has_manage_permission(request):
            raise PermissionDenied
        group = get_object_or_404(FailureGroup, pk=pk)
        try:
            how = _settle(group, request.POST.get("to", ""), request, seen=_seen(request, "seen"))
        except grouping.SeenMore as error:
            messages.warning(request, str(error))
        else:
            messages.success(request, f"It is {how} now.")
        return redirect("admin:deliveries_failuregroup_change", pk)

    @admin.action(description="Snooze for a day", permissions=["manage"])
    def snooze(self, request: HttpRequest, queryset: QuerySet[FailureGroup]) -> None:
        """Have nobody look at the chosen for a day."""
        _settle_some(request, queryset, "1d", "Snoozed")

    @admin.action(description="Resolve", permissions=["manage"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[FailureGroup]) -> None:
        """Be done with the chosen, until such a failure comes again."""
        _settle_some(request, queryset, "resolved", "Resolved")

    @admin.action(description="Reopen", permissions=["manage"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[FailureGroup]) -> None:
        """Have somebody look at the chosen again."""
        _settle_some(request, queryset, "open", "Reopened")


def badge(group: FailureGroup) -> SafeString:
    """Return the state of a group as it is now, and until when it stays so."""
    state = group.state_at(clock.now())
    shown = signs.badge(SIGNS[state], state.label)
    if state == FailureGroup.State.SNOOZED and group.snoozed_until:
        return format_html("{} until {}", shown, utc(group.snoozed_until))
    return shown


def waiting(group: Any) -> str:
    """Return how many failures of a group wait; counted only so far."""
    return f"{MOST:,}+" if group.waiting > MOST else f"{group.waiting:,}"


def _field(group: FailureGroup) -> str:
    """Return the name of the list's field that tells how many of a group were seen."""
    return f"seen-{group.pk}"


def _seen(request: HttpRequest, field: str) -> int | None:
    """Return what a field tells; None where it was not there, or is no number."""
    shown = request.POST.get(field, "")
    return int(shown) if shown.isascii() and shown.isdigit() and len(shown) < 19 else None


def _waiting_in(group: FailureGroup) -> QuerySet[Failure]:
    """Return those failures of a group that can be sent again."""
    return Failure.objects.inactive().filter(webhook_id=group.webhook_id, reason=group.reason)


def _settle(group: FailureGroup, to: str, request: HttpRequest, *, seen: int | None = None) -> str:
    """Have the service do it, and return the state in words.

    :param seen: how many failures whoever does it saw.
    :raises BadRequest: for a state there is not.
    :raises grouping.SeenMore: when there are more by now.
    """
    by, now, reason = str(request.user), clock.now(), why_form.given(request)
    if to in SNOOZES:
        grouping.snooze(group, until=now + SNOOZES[to], by=by, now=now, why=reason, seen=seen)
        return f"snoozed for {signs.lasting(SNOOZES[to])}"
    if to == "resolved":
        return str(grouping.resolve(group, by=by, now=now, why=reason, seen=seen).state)
    if to == "open":
        return str(grouping.reopen(group, by=by, now=now, why=reason).state)
    raise BadRequest("A group is snoozed, resolved or opened again.")


def _settle_some(request: HttpRequest, groups: QuerySet[FailureGroup], to: str, done: str) -> None:
    settled = left = 0
    for group in few(request, groups, most=MOST_AT_ONCE):
        try:
            _settle(group, to, request, seen=_seen(request, _field(group)))
        except grouping.SeenMore:
            left += 1
        else:
            settled += 1
    if settled:
        messages.success(request, f"{done} {_groups(settled)}.")
    if left:
        messages.warning(request, f"Left {_groups(left)}, where more failed meanwhile. Look again.")


def _groups(number: int) -> str:
    return f"{number} {'group' if number == 1 else 'groups'}"
