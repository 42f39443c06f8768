"""Building a recovery: what a filter selects is shown first, and only what was shown is sent again."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from deliveries import clock
from deliveries.admin import once
from deliveries.admin.moments import MomentField
from deliveries.admin.pages.showing import show
from deliveries.models import Account, Recovery, Webhook
from deliveries.printing import utc
from deliveries.reasons import Reason
from deliveries.services import recovering
from deliveries.services.recovering import Selection

PERMISSION = "deliveries.manage_recovery"
# Above so many, the number is typed by whoever confirms it.
TYPED_ABOVE = 1000
# Accounts that are offered where the filter is of several.
OFFERED = 100


class SelectionForm(forms.Form):
    """A filter as a list's link or this page itself carries it: hidden, and none of it is guessed."""

    account = forms.UUIDField(required=False)
    webhook_id = forms.UUIDField(required=False)
    event_type = forms.CharField(required=False, max_length=100)
    reason_code = forms.ChoiceField(required=False, choices=[("", "")] + [(code, code) for code in Reason])
    reason = forms.CharField(required=False, max_length=255)
    failed_from = MomentField(required=False)
    failed_before = MomentField(required=False)
    made_from = MomentField(required=False)
    made_before = MomentField(required=False)

    def selection(self, *, now: datetime) -> Selection:
        """Return what is selected: what had failed by now, so that what is sent is what is shown."""
        parts = {name: value for name, value in self.cleaned_data.items() if value and name != "account"}
        return Selection(**{"failed_before": now, **parts})


class OrderForm(forms.Form):
    """How fast and why; and the number, typed, where it is large."""

    rate = forms.IntegerField(
        label="Deliveries a second, at most",
        min_value=1,
        max_value=recovering.MAX_RATE,
        initial=recovering.DEFAULT_RATE,
    )
    why = forms.CharField(label="Why", max_length=500, help_text="For whoever reads the audit.")
    count = forms.IntegerField(widget=forms.HiddenInput)
    once = once.OnceField()
    typed = forms.CharField(label="Type the number to confirm it", required=False)

    def __init__(self, *args: Any, count: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.there_are = count
        self.fields["count"].initial = count
        if count <= TYPED_ABOVE:
            del self.fields["typed"]

    def clean(self) -> None:
        """Compare what was shown with what there is, and with the number that was typed."""
        super().clean()
        shown, typed = self.cleaned_data.get("count"), self.cleaned_data.get("typed", "")
        if shown is None:
            return
        if self.there_are > shown:
            # Failures of before that were being tried when the page was made.
            raise ValidationError(f"Meanwhile there are {self.there_are:,}. Look again, and confirm that.")
        if "typed" in self.fields and typed.replace(",", "").strip() != str(shown):
            self.add_error("typed", "This is not the number.")


def link(**parts: Any) -> str:
    """Return the way to this page with a filter."""
    return f"{reverse('admin:deliveries_recovery_new')}?{urlencode(_carried(parts))}"


def link_again(request: HttpRequest) -> str:
    """Return the way to this page with the filter that its form was sent with."""
    form = SelectionForm(request.POST)
    return link(**form.cleaned_data) if form.is_valid() else reverse("admin:deliveries_recovery_changelist")


def build(request: HttpRequest) -> HttpResponse:
    """Show what would be sent again; on POST, have it sent."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    now, given = clock.now(), request.POST if request.method == "POST" else request.GET
    asked = _asked(given)
    selection = asked.selection(now=now)
    account = _account(asked.cleaned_data["account"], selection)
    if account is None:
        return _show(request, selection, accounts=_accounts(selection), asked=given)
    pk = once.read(request.POST.get("once", ""))
    if made := recovering.already_made(pk, account=account, selection=selection):
        return _made(request, made)  # the button was pressed twice
    preview = recovering.preview(account=account, selection=selection)
    order = OrderForm(request.POST if request.method == "POST" else None, count=preview.count)
    if request.method == "POST" and order.is_valid() and preview.count:
        try:
            recovery = recovering.create(
                account=account,
                selection=selection,
                by=str(request.user),
                now=now,
                rate=order.cleaned_data["rate"],
                why=order.cleaned_data["why"],
                pk=pk,
            )
        except recovering.TooMany as error:
            order.add_error(None, str(error))
        else:
            return _made(request, recovery)
    return _show(request, selection, account=account, preview=preview, order=order)


def _made(request: HttpRequest, recovery: Recovery) -> HttpResponse:
    messages.success(request, f"Sending {recovery.total:,} again, at most {recovery.rate} a second.")
    return redirect("admin:deliveries_recovery_change", recovery.pk)


def _asked(given: Mapping[str, Any]) -> SelectionForm:
    """Return the filter.

    :raises BadRequest: when a part of it is none, or not known: to leave it out would select more.
    """
    ours = {*SelectionForm.base_fields, *OrderForm.base_fields, "csrfmiddlewaretoken"}
    unknown = sorted(set(given) - ours)
    form = SelectionForm(given)
    if unknown or not form.is_valid():
        raise BadRequest(f"Nothing is selected by {', '.join(unknown or form.errors)}.")
    return form


def _account(pk: UUID | None, selection: Selection) -> Account | None:
    """Return whose failures they are: of the account that is named, or the one they can only be of."""
    if pk:
        return Account.objects.filter(pk=pk).first()
    if selection.webhook_id:
        return Account.objects.filter(webhooks=selection.webhook_id).first()
    few = _accounts(selection)
    return few[0] if len(few) == 1 else None


def _accounts(selection: Selection) -> list[Account]:
    """Return accounts with failures like these."""
    its = selection.failures(OuterRef("pk"))
    return list(Account.objects.filter(Exists(its)).order_by("name", "pk")[:OFFERED])


def words(selection: Selection) -> Iterator[tuple[str, str]]:
    """Yield the parts of a filter as a person reads them."""
    if selection.webhook_id:
        webhook = Webhook.objects.filter(pk=selection.webhook_id).first()
        yield "Webhook", webhook.name if webhook else str(selection.webhook_id)
    texts = (
        ("Event type", selection.event_type),
        ("Reason", selection.reason or selection.reason_code),
    )
    yield from ((name, text) for name, text in texts if text)
    moments = (
        ("First failed from", selection.failed_from),
        ("First failed before", selection.failed_before),
        ("Sent from", selection.made_from),
        ("Sent before", selection.made_before),
    )
    yield from ((name, utc(moment)) for name, moment in moments if moment)


def _show(request: HttpRequest, selection: Selection, **context: Any) -> HttpResponse:
    count = context["preview"].count if context.get("preview") else 0
    return show(
        request,
        "recovery_new.html",
        title="Send again",
        words=list(words(selection)),
        carried=_carried(vars(selection)),
        seconds=-(-count // recovering.DEFAULT_RATE),
        **context,
    )


def _carried(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of a filter that are given, as an address or a form carries them."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else str(value)
        for name, value in parts.items()
        if value
    }
