"""The reason that whoever acts may give, and need not."""

from django import forms
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import BadRequest
from django.http import HttpRequest

from deliveries.services import auditing


class WhyForm(forms.Form):
    """One line, for whoever reads the audit."""

    why = forms.CharField(
        label="Why",
        max_length=auditing.MAX_WHY,
        required=False,
        widget=forms.TextInput({"placeholder": "optional"}),
    )


class WhyActionForm(WhyForm, ActionForm):
    """The same, beside the actions of a list."""


def field() -> forms.BoundField:
    """Return the field to show beside a button. A page may have several: none has an id."""
    return WhyForm(auto_id=False)["why"]


def given(request: HttpRequest) -> str:
    """Return the reason that came with an act; empty where there is none.

    :raises BadRequest: when it is longer than a page lets anybody write.
    """
    form = WhyForm(request.POST)
    if not form.is_valid():
        raise BadRequest(f"Say why in up to {auditing.MAX_WHY} characters, or not at all.")
    why: str = form.cleaned_data["why"]
    return why
