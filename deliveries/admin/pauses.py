"""Pauses: what is kept back for a while."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from deliveries import clock
from deliveries.admin import columns
from deliveries.admin.history import History
from deliveries.admin.once import OnceField
from deliveries.admin.pages.showing import page_of
from deliveries.admin.tables import Row, Table, YesNoFilter, few
from deliveries.models import Pause, Webhook
from deliveries.printing import printable, utc
from deliveries.services import pausing

PERMISSION = "deliveries.manage_pause"
# More would keep the page waiting for too long.
MOST_AT_ONCE = 100
LASTING = {"1": timedelta(hours=1), "4": timedelta(hours=4), "24": timedelta(days=1)}
CHOICES = [("1", "1 hour"), ("4", "4 hours"), ("24", "1 day"), ("", "until this moment:")]


class Pausable(Table[Row]):
    """Rows that a pause can be of: their pages lead to its form."""

    def page_context(self, request: HttpRequest, row: Row) -> dict[str, Any]:
        """Tell the page whether to show what pauses and resumes."""
        return {**super().page_context(request, row), "may_pause": request.user.has_perm(PERMISSION)}


class PauseForm(forms.ModelForm[Pause]):
    """What is to be kept back, for how long, and why."""

    lasts = forms.ChoiceField(
        label="For",
        choices=CHOICES,
        widget=forms.RadioSelect,
        required=False,
        initial="1",
    )
    until = forms.SplitDateTimeField(label="Until (UTC)", widget=AdminSplitDateTime, required=False)
    once = OnceField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].required = False
        self.fields["account"].help_text = "All of it, unless a webhook or an event type is named."
        date, time = self.fields["until"].widget.widgets
        date.attrs["aria-label"], time.attrs["aria-label"] = "Until, the date", "Until, the time (UTC)"

    def clean(self) -> None:
        """Have the service look at the parts, and put what it finds where it was typed."""
        super().clean()
        given, now = self.cleaned_data, clock.now()
        webhook: Webhook | None = given.get("webhook")
        given["account"] = given.get("account") or (webhook and webhook.account)
        given["until"] = self._until(now=now)
        if given["account"] is None:
            self.add_error("account", "Choose an account or a webhook.")
        if given["until"] is None and "until" not in self.errors:
            self.add_error("until", "Choose for how long.")
        if self.errors:
            return
        try:
            pausing.check(**self.wanted(), now=now)
        except pausing.InvalidPause as error:
            for name, problems in error.problems.items():
                self.add_error({"webhook_id": "webhook"}.get(name, name), problems)

    def _until(self, *, now: datetime) -> datetime | None:
        """Return when it is to end. A moment that was typed counts, also beside the first choice."""
        lasts: str = self.cleaned_data.get("lasts", "")
        until: datetime | None = self.cleaned_data.get("until")
        if until and lasts not in ("", self.fields["lasts"].initial):
            self.add_error("until", f"Choose {dict(CHOICES)[lasts]}, or type a moment; not both.")
        return until or (now + LASTING[lasts] if lasts else None)

    def wanted(self) -> dict[str, Any]:
        """Return the parts in the words of the service."""
        given = self.cleaned_data
        webhook: Webhook | None = given.get("webhook")
        return {
            "account": given["account"],
            "webhook_id": webhook and webhook.pk,
            "event_type": given.get("event_type", ""),
            "until": given["until"],
            "why": given.get("why", ""),
        }


class InForceFilter(YesNoFilter[Pause]):
    """Pauses that hold something back now, or that do not."""

    title = "in force now"
    parameter_name = "in_force"

    def keep(self, queryset: QuerySet[Pause]) -> QuerySet[Pause]:
        """Keep those that do."""
        return queryset.filter(pk__in=Pause.objects.in_force(clock.now()).values("pk"))


@admin.register(Pause)
class PauseAdmin(Pausable[Pause], History[Pause]):
    """What is kept back, until when, by whom and why. Making and ending one is a permission of its own."""

    actions = ("resume",)
    list_display = (
        columns.identifier,
        columns.cut("webhook.name", "webhook"),
        columns.cut("event_type", "event type"),
        columns.cut("account.name", "account"),
        "until",
        "ended_at",
        columns.cut("by", "by", write=printable),
        columns.cut("why", "why", write=printable),
    )
    list_filter = (InForceFilter,)
    list_select_related = ("account", "webhook")
    empty = "Pause a webhook or an account on its page, or an event type here."
    autocomplete_fields = ("account", "webhook")
    fields = (
        "id",
        "account",
        "webhook",
        "event_type",
        "why",
        "by",
        "created_at",
        "until",
        "ended_at",
        "ended_by",
    )

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Pausing needs no right to change anything."""
        return request.user.has_perm(PERMISSION)

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Whoever may pause makes one."""
        return self.has_manage_permission(request)

    def get_fields(self, request: HttpRequest, obj: Pause | None = None) -> Any:
        """Ask for what a pause is made of, or show it."""
        return self.fields if obj else ("account", "webhook", "event_type", "lasts", "until", "why", "once")

    def get_form(
        self, request: HttpRequest, obj: Pause | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form of a new one; an old one has none."""
        if obj is None:
            kwargs["form"] = PauseForm
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Pause, form: PauseForm, change: bool) -> None:
        """Have the service make it."""
        pk = form.cleaned_data["once"]
        obj.pk = pausing.pause(**form.wanted(), by=str(request.user), now=clock.now(), pk=pk).pk
        obj.refresh_from_db()

    def page_context(self, request: HttpRequest, row: Pause) -> dict[str, Any]:
        """Tell the page whether there is something to end."""
        return {**super().page_context(request, row), "in_force": row.in_force(clock.now())}

    def get_urls(self) -> list[URLPattern]:
        """Add the button of the pages of a pause and of a webhook."""
        view = self.admin_site.admin_view(require_POST(self.resume_one))
        return [path("<uuid:pk>/resume/", view, name="deliveries_pause_resume"), *super().get_urls()]

    def resume_one(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """End one, say what came of it, and show it."""
        if not self.has_manage_permission(request):
            raise PermissionDenied
        pause, now = get_object_or_404(Pause, pk=pk), clock.now()
        try:
            pausing.resume(pause, by=str(request.user), now=now)
        except pausing.AlreadyEnded as error:
            messages.warning(request, str(error))
        else:
            _report(request, pausing.still_kept_back(pause, now=now))
        return redirect(_home(pause))

    def response_add(
        self, request: HttpRequest, obj: Pause, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Say until when, and go to what is paused."""
        messages.success(request, f"Paused until {utc(obj.until)}.")
        return redirect(_home(obj))

    @admin.action(description="Resume", permissions=["manage"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Pause]) -> None:
        """End the chosen that are in force, and say how many those were."""
        rows = few(request, queryset, most=MOST_AT_ONCE)
        if not rows:
            return
        ended = sum(_ended(pause, request) for pause in rows)
        sentence = f"Ended {ended} {'pause' if ended == 1 else 'pauses'}."
        if ended < len(rows):
            sentence += f" Skipped {len(rows) - ended}: only a pause in force can be ended."
        messages.add_message(request, messages.SUCCESS if ended else messages.WARNING, sentence)


def _home(pause: Pause) -> str:
    """Return the page of what a pause is of, where that is one webhook; else the pause's own."""
    return page_of(pause.webhook or pause)


def _report(request: HttpRequest, kept_back: Sequence[str]) -> None:
    """Say that it goes on; or what keeps it, or a part of it, back."""
    if kept_back:
        messages.warning(request, " ".join(["Ended, but not all of it goes on:", *kept_back]))
    else:
        messages.success(request, "Resumed.")


def _ended(pause: Pause, request: HttpRequest) -> bool:
    try:
        pausing.resume(pause, by=str(request.user), now=clock.now())
    except pausing.AlreadyEnded:
        return False
    return True
