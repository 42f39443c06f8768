"""The action that sends again what has failed."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from deliveries import clock
from deliveries.admin.tables import History, Row
from deliveries.models import Delivery
from deliveries.services import redelivery

PERMISSION = "deliveries.redeliver_delivery"
# More would keep the page waiting for too long; the command takes any number.
MOST_AT_ONCE = 1000


class Redelivering(History[Row]):
    """Deliveries, or rows that each belong to one: "Send again" is an action, and a button of every page."""

    actions = ("send_again",)

    def delivery_ids(self, rows: Sequence[Any]) -> list[UUID]:
        """Return the ids of the deliveries that the chosen rows stand for."""
        raise NotImplementedError

    def has_redeliver_permission(self, request: HttpRequest) -> bool:
        """Sending again is a permission of its own: it needs no right to change anything."""
        return request.user.has_perm(PERMISSION)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Tell the page whether to show the button."""
        context = {"may_send_again": self.has_redeliver_permission(request), **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

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
        deliveries = Delivery.objects.filter(pk__in=self.delivery_ids(rows))
        queued = redelivery.redeliver_all(
            deliveries,
            selected=f"{len(rows)} chosen of the {self.opts.verbose_name_plural}",
            by=str(request.user),
            now=clock.now(),
        )
        note(request, rows)
        level = messages.SUCCESS if queued else messages.WARNING
        messages.add_message(request, level, _report(queued, skipped=len(rows) - queued))


def note(request: HttpRequest, rows: Sequence[Any]) -> None:
    """Write into the history of the rows who asked for another attempt."""
    LogEntry.objects.log_actions(
        user_id=cast(int, request.user.pk),  # the console lets nobody in who has none
        queryset=rows,
        action_flag=CHANGE,
        change_message="Asked for another attempt.",
    )


def _report(queued: int, *, skipped: int) -> str:
    sentence = f"Queued {queued} {'delivery' if queued == 1 else 'deliveries'}."
    if skipped:
        sentence += f" Skipped {skipped}: only a failed delivery to an enabled webhook can be sent again."
    return sentence
