"""The form of a webhook: what is secret goes in and never comes out."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, cast

from django import forms
from django.core.exceptions import ValidationError

from deliveries.admin.meanwhile import MeanwhileForm
from deliveries.models import Webhook
from deliveries.services import webhooks


class LinesField(forms.Field):
    """A list of texts, one per line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        """Return a list the way it is typed."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: str | None) -> list[str]:
        """Return the lines that have something in them."""
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: list[str] | None, data: str | None) -> bool:
        """Compare the lists: a browser ends lines in its own way."""
        return self.to_python(data) != (initial or [])


class UnseenTextarea(forms.Textarea):
    """Takes a text, and is always shown empty."""

    def format_value(self, value: Any) -> None:
        """Return nothing, also of what was typed a moment ago."""
        return


class HeadersField(LinesField):
    """Headers, one `Name: value` per line."""

    widget = UnseenTextarea

    def clean(self, value: str | None) -> Mapping[str, str]:
        """Return the values by name.

        :raises ValidationError: for a line of another form, and for a name that comes twice.
        """
        headers: dict[str, str] = {}
        for number, line in enumerate(self.to_python(value), start=1):
            name, colon, text = line.partition(":")
            if not colon:
                raise ValidationError(f"Line {number} is not of the form Name: value.")
            if name.strip() in headers:
                raise ValidationError("A header is given twice.")
            headers[name.strip()] = text.strip()
        return headers


class _Inputs(NamedTuple):
    """The two inputs of what is write-only, and what stands for nothing."""

    entered: str
    cleared: str
    nothing: Mapping[str, str] | None


def _password(label: str) -> forms.CharField:
    # A password input is not filled in again when the form comes back with errors.
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"})
    return forms.CharField(
        label=label,
        required=False,
        max_length=255,
        widget=widget,
        help_text="Leave empty to keep what is set.",
    )


class WebhookForm(MeanwhileForm[Webhook]):
    """What a webhook's owner decides, in the words of `services.webhooks.Fields`."""

    PLAIN: ClassVar = (
        "name",
        "url",
        "http_method",
        "events",
        "timeout",
        "max_retries",
        "max_in_flight",
        "enabled",
        "authorization_scheme",
    )
    WRITE_ONLY: ClassVar[Mapping[str, _Inputs]] = {
        "secret": _Inputs("new_secret", "clear_secret", None),
        "authorization_credential": _Inputs("new_credential", "clear_credential", None),
        "custom_headers": _Inputs("new_headers", "clear_headers", {}),
    }

    # Secrets and headers are not shown, and change with it.
    watched = ("updated_at",)

    events = LinesField(help_text="Event types or patterns, one per line: call.ended, call.*, or * for all.")
    enabled = forms.BooleanField(required=False, initial=True)
    why = forms.CharField(
        label="Why it is disabled",
        required=False,
        max_length=255,
        widget=forms.TextInput(attrs={"class": "vTextField", "placeholder": "optional"}),
    )
    new_secret = _password("Secret")
    clear_secret = forms.BooleanField(label="Remove the secret", required=False)
    new_credential = _password("Authorization credential")
    clear_credential = forms.BooleanField(label="Remove the credential", required=False)
    new_headers = HeadersField(
        label="Custom headers",
        required=False,
        help_text="One per line, Name: value. They replace all that are set; leave empty to keep those.",
    )
    clear_headers = forms.BooleanField(label="Remove the custom headers", required=False)

    def clean(self) -> None:
        """Have the service look at the fields, and put what it finds where it was typed."""
        super().clean()
        self._check_agent()
        disabling = "enabled" in self.changed_data and not self.cleaned_data.get("enabled")
        if self.cleaned_data.get("why") and not disabling and not self.errors:
            self.add_error("why", "This is kept only where the webhook is disabled.")
        for inputs in self.WRITE_ONLY.values():
            if self.cleaned_data.get(inputs.entered) and self.cleaned_data.get(inputs.cleared):
                self.add_error(inputs.cleared, "Enter something new or remove what is set, not both.")
        try:
            webhooks.check(self.instance, **self.wanted())
        except webhooks.InvalidWebhook as error:
            for name, problems in error.problems.items():
                typed = self.WRITE_ONLY[name].entered if name in self.WRITE_ONLY else name
                self.add_error(typed, ValidationError(problems))
        if self.errors:
            self._ask_again()

    def wanted(self) -> webhooks.Fields:
        """Return what the service is to set: everything of a new webhook, of an old one what has changed."""
        new = self.instance._state.adding
        wanted = {
            name: self.cleaned_data[name]
            for name in self.PLAIN
            if name in self.cleaned_data and (new or name in self.changed_data)
        }
        for name, inputs in self.WRITE_ONLY.items():
            if self.cleaned_data.get(inputs.entered):
                wanted[name] = self.cleaned_data[inputs.entered]
            elif self.cleaned_data.get(inputs.cleared):
                wanted[name] = inputs.nothing
        return cast(webhooks.Fields, wanted)

    def _check_agent(self) -> None:
        agent, account = self.cleaned_data.get("agent"), self.cleaned_data.get("account")
        if agent and account and agent.account_id != account.pk:
            self.add_error("agent", "This is not an agent of the account.")

    def _ask_again(self) -> None:
        """Say which inputs come back empty; they would otherwise be taken for saved."""
        for inputs in self.WRITE_ONLY.values():
            if self.cleaned_data.get(inputs.entered):
                self.add_error(inputs.entered, "Enter this again: it is never shown.")
