"""Moments that an address or a form carries as one text."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class MomentField(forms.DateTimeField):
    """A moment, in UTC."""

    def to_python(self, value: Any) -> datetime | None:
        """Return it; there are moments of other zones that UTC has none for."""
        moment = super().to_python(value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError as error:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from error
