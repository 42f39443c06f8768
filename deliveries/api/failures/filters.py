"""The failures API's filters: `created_at[gte]` and `created_at[lt]`.

Section "GET /api/v4/tasks/webhook_failures" of the contract. Other parameters are ignored.
"""

from collections import OrderedDict
from typing import Any

import django_filters  # type: ignore[import-untyped]  # there are no stubs
from django import forms

from deliveries.api import timestamps
from deliveries.models import Failure


class _MomentField(forms.Field):
    """A moment, read by our own rules. Absent is fine; empty is not a moment."""

    def to_python(self, value: str | None) -> Any:
        try:
            return None if value is None else timestamps.parse(value)
        except timestamps.NotATimestamp as error:
            raise forms.ValidationError(
                'Must be an ISO 8601 date and time with a time zone, such as "2026-03-01T00:00:00Z". '
                "Write + as %(plus)s: as it is, it means a space.",
                params={"plus": "%2B"},
            ) from error


class _MomentFilter(django_filters.Filter):  # type: ignore[misc]
    field_class = _MomentField


class _RefusedField(forms.Field):
    """A parameter nobody may use."""

    def clean(self, value: Any) -> Any:
        raise forms.ValidationError("Only created_at[gte] and created_at[lt] can be used.")


class _RefusedFilter(django_filters.Filter):  # type: ignore[misc]
    field_class = _RefusedField


class FailureFilter(django_filters.FilterSet):  # type: ignore[misc]
    """By the moment of the first failure: from one moment on, and before another."""

    class Meta:
        model = Failure
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.data:
            # Ignored, a misspelt operator would return everything.
            if (name == "created_at" or name.startswith("created_at[")) and name not in self.filters:
                self.filters[name] = _RefusedFilter()

    @classmethod
    def get_filters(cls) -> "OrderedDict[str, django_filters.Filter]":
        """Return the filters by the names of their parameters, which Python could not spell as attributes."""
        return OrderedDict(
            {
                "created_at[gte]": _MomentFilter(field_name="created_at", lookup_expr="gte"),
                "created_at[lt]": _MomentFilter(field_name="created_at", lookup_expr="lt"),
            }
        )
