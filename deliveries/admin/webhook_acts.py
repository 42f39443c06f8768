"""What an operator does with a webhook beside changing it: try it, turn it off and on, renew its secret."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from deliveries import clock
from deliveries.admin import meanwhile
from deliveries.admin.once import OnceField
from deliveries.admin.pages.showing import page_of, show
from deliveries.models import Pause, Webhook, WebhookHealth
from deliveries.printing import utc
from deliveries.services import rehearsing, webhooks

MADE_ALREADY = (
    "Nothing was changed: this form has made a secret already, and a secret is shown only once. "
    "If nobody has it, rotate again on this page."
)


class DisableForm(forms.Form):
    """Why it is turned off."""

    why = forms.CharField(label="Why", max_length=255)


class RotateForm(forms.Form):
    """For how long the present secret goes on signing beside the new one."""

    overlap = forms.TypedChoiceField(
        label="The present one signs beside it for",
        coerce=int,
        choices=[(24, "1 day"), (72, "3 days"), (168, "7 days"), (1, "1 hour"), (0, "not at all")],
    )
    once = OnceField()


def paths() -> list[URLPattern]:
    """Return the paths of the acts."""
    acts = {"test": test, "enable": enable, "disable": disable, "rotate": rotate}
    return [
        path(
            f"<uuid:pk>/{name}/",
            admin.site.admin_view(require_POST(_of_an_existing_one(act))),
            name=f"deliveries_webhook_{name}",
        )
        for name, act in acts.items()
    ]


def test(request: HttpRequest, webhook: Webhook) -> HttpResponse:
    """Send a test event, and say what came of it."""
    try:
        outcome = rehearsing.rehearse(webhook, by=str(request.user), now=clock.now())
    except rehearsing.Busy as error:
        messages.warning(request, f"{error} Try again in a moment.")
    else:
        took = f"{outcome.duration / timedelta(milliseconds=1):.0f} ms"
        answer = f"HTTP {outcome.http_status}" if outcome.http_status else "No answer"
        if outcome.succeeded:
            messages.success(request, f"The receiver took the test event: {answer} in {took}.")
        else:
            problem = "" if outcome.reason == answer else f" {outcome.reason}."
            messages.error(request, f"The receiver did not take it: {answer} in {took}.{problem}")
    return redirect(page_of(webhook))


def enable(request: HttpRequest, webhook: Webhook) -> HttpResponse:
    """Turn it on; what is held for it begins to go."""
    webhooks.change(webhook, by=str(request.user), now=clock.now(), enabled=True)
    _say_what_goes(request, webhook)
    return redirect(page_of(webhook))


def _say_what_goes(request: HttpRequest, webhook: Webhook) -> None:
    """Say what of what was held goes now that it is on, and what keeps back the rest."""
    webhook.refresh_from_db()
    touching = Pause.objects.in_force(clock.now()).touching(webhook).order_by("-until", "-pk")
    pauses = [each for each in touching if not each.event_type or webhook.wants(each.event_type)]
    # One of all that is for it says more than one of a type.
    pause = min(pauses, key=lambda each: bool(each.event_type), default=None)
    if pause:
        goes = "not all of it goes" if pause.event_type else "nothing goes yet"
        what = "the webhook" if pause.webhook_id else pause.event_type or "the account"
        until = utc(pause.until)
        messages.warning(request, f"Enabled, but {goes}: {pause.by} paused {what} until {until}. {pause.why}")
    elif not webhook.deliveries.unfinished().exists():
        messages.success(request, "Enabled: nothing waits for it, and the next event goes to it.")
    elif webhook.health.circuit in (WebhookHealth.Circuit.OPEN, WebhookHealth.Circuit.PROBING):
        messages.success(
            request, "Enabled: one delivery is tried first, and the rest goes once the receiver answers."
        )
    else:
        messages.success(request, "Enabled: what was held for it begins to go.")


def disable(request: HttpRequest, webhook: Webhook) -> HttpResponse:
    """Turn it off, and say why; what is queued for it is held."""
    form = DisableForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was changed: say why, in up to 255 characters.")
        return redirect(page_of(webhook))
    reason = form.cleaned_data["why"]
    if webhooks.disable(webhook.pk, reason=reason, by=str(request.user), now=clock.now()):
        messages.success(request, "Disabled: what is queued for it is held, and nothing is lost.")
    else:
        messages.warning(request, "It is disabled already.")
    return redirect(page_of(webhook))


@never_cache
def rotate(request: HttpRequest, webhook: Webhook) -> HttpResponse:
    """Replace its secret, once for each form, and show the new one at once.

    A message for the next page would be in a cookie.
    """
    form = RotateForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Nothing was changed: choose for how long the present secret goes on.")
        return redirect(page_of(webhook))
    overlap = timedelta(hours=form.cleaned_data["overlap"])
    try:
        rotated = webhooks.rotate_secret(
            webhook,
            overlap=overlap,
            by=str(request.user),
            now=clock.now(),
            rotation=form.cleaned_data["once"],
        )
    except webhooks.AlreadyRotated:
        messages.warning(request, MADE_ALREADY)
        return redirect(page_of(webhook))
    except webhooks.NotRotatable as error:
        messages.error(request, f"Nothing was changed. {error}")
        return redirect(page_of(webhook))
    return show(request, "rotated.html", title="New secret", webhook=webhook, rotated=rotated)


def forms_of(webhook: Webhook) -> dict[str, Any]:
    """Return the forms that the page of a webhook shows."""
    return {"disable_form": DisableForm(auto_id="disable-%s"), "rotate_form": RotateForm(auto_id="rotate-%s")}


def _of_an_existing_one(act: Callable[[HttpRequest, Webhook], HttpResponse]) -> Callable[..., HttpResponse]:
    """Return the view of an act: for those who may change webhooks. Of a deleted one it says so."""

    @wraps(act)
    def view(request: HttpRequest, pk: UUID) -> HttpResponse:
        if not request.user.has_perm("deliveries.change_webhook"):
            raise PermissionDenied
        webhook = get_object_or_404(Webhook, pk=pk)
        if webhook.deleted_at is None:
            with suppress(webhooks.WebhookChanged):  # deleted a moment ago
                return act(request, webhook)
        messages.error(request, meanwhile.deleted(webhook))
        return redirect(page_of(webhook))

    return view
