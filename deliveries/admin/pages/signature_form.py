"""The form of the signature workbench: what somebody has of a request, and what to check it against."""

import base64
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from deliveries.models import Webhook

_AS_TYPED = {"spellcheck": "false", "autocomplete": "off"}


class Pasted(forms.Field):
    """Any text, exactly as it came."""

    def to_python(self, value: str | None) -> str:
        """Return it as it was before the browser ended each of its lines in CRLF."""
        return (value or "").replace("\r\n", "\n")


class Secret(forms.Field):
    """A secret, with all that came along when it was copied. It goes in and never comes out."""

    def to_python(self, value: str | None) -> str:
        """Return it."""
        return value or ""


class SignatureForm(forms.Form):
    """Takes anything that is pasted; only what to check against must be one thing that is there."""

    headers = Pasted(
        required=False,
        help_text="One per line, a whole request, or what curl shows. Of these webhook-id, webhook-timestamp"
        " and webhook-signature count.",
        widget=forms.Textarea(attrs={"rows": 6, **_AS_TYPED}),
    )
    body = Pasted(
        required=False,
        help_text="Exactly as it came. This field cannot tell LF from CRLF; both are tried.",
        widget=forms.Textarea(attrs={"rows": 8, **_AS_TYPED}),
    )
    in_base64 = forms.BooleanField(
        label="The body is given in base64, for its exact bytes", label_suffix="", required=False
    )
    secret = Secret(
        required=False,
        help_text="Never shown again, kept or logged. Type it anew for each check.",
        widget=forms.PasswordInput(attrs={"class": "vTextField", "autocomplete": "new-password"}),
    )
    webhook = forms.UUIDField(
        label="Or the id of a webhook",
        required=False,
        help_text="Its secrets are tried and not shown.",
        widget=forms.TextInput(attrs={"class": "vTextField", **_AS_TYPED}),
        error_messages={"invalid": "That is no id of a webhook."},
    )

    def __init__(self, *args: Any, may_choose: bool, made_up: str = "", **kwargs: Any) -> None:
        """Make the form.

        :param may_choose: whether somebody may check against the secrets of a webhook.
        :param made_up: the secret of an example, which may be shown as nobody typed it.
        """
        super().__init__(*args, **kwargs)
        if not may_choose:
            del self.fields["webhook"]
        if made_up:
            self.fields["secret"].widget.attrs["value"] = made_up

    def clean_webhook(self) -> Webhook | None:
        """Return the webhook.

        :raises ValidationError: when there is none.
        """
        pk = self.cleaned_data["webhook"]
        webhook = Webhook.objects.filter(pk=pk).first() if pk else None
        if pk and webhook is None:
            raise ValidationError("There is no webhook with this id.")
        return webhook

    def clean(self) -> None:
        """Make bytes of the body, and have no more than one thing to check against."""
        super().clean()
        given = self.cleaned_data
        given["body"] = self._decoded() if given["in_base64"] else given["body"].encode(errors="replace")
        if given.get("webhook") and given["secret"]:
            self.add_error("webhook", "Type a secret or choose a webhook, not both.")

    def _decoded(self) -> bytes:
        try:
            return base64.b64decode("".join(self.cleaned_data["body"].split()), validate=True)
        except ValueError:
            self.add_error("body", "That is not base64.")
            return b""
