"""The action that sends again what has failed."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest

from deliveries import clock
from deliveries.admin import recovery_builder, why_form
from deliveries.admin.history import History
from deliveries.admin.tables import Row
from deliveries.admin.typed import Typed
from deliveries.admin.walking import Walk, Window
from deliveries.models import Delivery
from deliveries.services import redelivery
from deliveries.services.redelivery import Redelivered

PERMISSION = "deliveries.redeliver_delivery"
# More would keep the page waiting for too long; the command takes any number.
MOST_AT_ONCE = 1000


class Redelivering(History[Row]):
    """Deliveries, or rows that each belong to one: "Send again" is an action, and a button of every page."""

    actions = ("send_again",)
    action_form = why_form.WhyActionForm
    # The status of rows that can be sent again.
    sendable: ClassVar[str]
    # What of the list's address a recovery can be built with, and what that is called there.
    carried: ClassVar[Mapping[str, str]]
    # What the stretch of time is called there.
    bounds: ClassVar[tuple[str, str]]

    def recovery_link(self, found: Walk) -> str:
        """Return the way to send again all that a list shows, here and on other pages; empty without one.

        None of the filter may be left out on the way, or more would be sent than is shown.
        """
        if any(len(values) > 1 for values in found.filter_params.values()):
            return ""
        given = {name: values[-1] for name, values in found.filter_params.items()}
        window = next(each for each in found.filter_specs if isinstance(each, Window))
        if given.pop("status__exact", self.sendable) != self.sendable:
            return ""
        for name in Window.parameters:
            given.pop(name, None)
        for box in found.filter_specs:
            if isinstance(box, Typed) and given.pop(box.parameter_name, ""):
                given[box.parameter_name] = box.meaning.exactly if box.meaning else ""
        if not given.keys() <= self.carried.keys() or not all(given.values()):
            return ""
        parts: dict[str, str] = {}
        for name, value in given.items():
            if parts.setdefault(self.carried[name], value) != value:
                return ""
        return recovery_builder.link(
            **dict(zip(self.bounds, (window.start, window.end), strict=True)), **parts
        )

    def delivery_ids(self, rows: Sequence[Any]) -> list[UUID]:
        """Return the ids of the deliveries that the chosen rows stand for."""
        raise NotImplementedError

    def has_redeliver_permission(self, request: HttpRequest) -> bool:
        """Sending again is a permission of its own: it needs no right to change anything."""
        return request.user.has_perm(PERMISSION)

    def page_context(self, request: HttpRequest, row: Row) -> dict[str, Any]:
        """Tell the page whether to show the button, and what to show beside it."""
        may = self.has_redeliver_permission(request)
        return {**super().page_context(request, row), "may_send_again": may, "why": why_form.field()}

    @admin.action(description="Send again", permissions=["redeliver"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Queue one attempt for each of the chosen that has failed, and say how many those were."""
        rows = list(queryset[: MOST_AT_ONCE + 1])
        if len(rows) > MOST_AT_ONCE:
            messages.error(
                request,
                f"Nothing was queued: choose at most {MOST_AT_ONCE:,}. "
                "For more there is the command: manage.py redeliver.",
            )
            return
        selected = f"{len(rows)} chosen of the {self.opts.verbose_name_plural}"
        send(request, rows, delivery_ids=self.delivery_ids(rows), selected=selected)


def send(request: HttpRequest, rows: Sequence[Any], *, delivery_ids: Sequence[UUID], selected: str) -> None:
    """Queue one attempt for each delivery that has failed, and say how many those were.

    :param rows: what was chosen, whose history says so.
    :param selected: how it was, for the audit.
    """
    came_to = redelivery.redeliver_all(
        Delivery.objects.filter(pk__in=delivery_ids),
        selected=selected,
        by=str(request.user),
        now=clock.now(),
        why=why_form.given(request),
    )
    note(request, rows)
    well = came_to.queued > came_to.held
    level = messages.SUCCESS if well else messages.WARNING
    messages.add_message(request, level, _report(came_to, skipped=len(rows) - came_to.queued))


def note(request: HttpRequest, rows: Sequence[Any]) -> None:
    """Write into the history of the rows who asked for another attempt."""
    LogEntry.objects.log_actions(
        user_id=cast(int, request.user.pk),  # the console lets nobody in who has none
        queryset=rows,
        action_flag=CHANGE,
        change_message="Asked for another attempt.",
    )


def _report(came_to: Redelivered, *, skipped: int) -> str:
    sentence = str(came_to)
    if skipped:
        sentence += f" Skipped {skipped}: only a failed delivery to an enabled webhook can be sent again."
    return sentence
