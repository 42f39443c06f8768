"""The native API's filters: strict about values, and every one of them may be left out."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from uuid import UUID

import django_filters  # type: ignore[import-untyped]  # there are no stubs
from django import forms

from deliveries import clock
from deliveries.api import parsing, timestamps
from deliveries.api.native.serializers.deliveries import STATUS_WORDS
from deliveries.models import Delivery, Event, Pause
from deliveries.models.event import TYPE_FORM
from deliveries.models.pause import PauseQuerySet

STATUSES = {word: status for status, word in STATUS_WORDS.items()}


def read_id(text: str) -> UUID:
    """Return the id a text spells.

    :raises ValueError: for any other text.
    """
    row_id = parsing.uuid(text)
    if row_id is None:
        raise ValueError("Not a UUID.")
    return row_id


def read_event_type(text: str) -> str:
    """Return the text, which could be an event type.

    :raises ValueError: for any other text.
    """
    if not TYPE_FORM.fullmatch(text):
        raise ValueError("Not an event type.")
    return text


def _read_status(text: str) -> Delivery.Status:
    if text not in STATUSES:
        raise ValueError("Not a state.")
    return STATUSES[text]


def _read_flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("Not a flag.")
    return text == "true"


class _ReadField(forms.Field):
    """A value that one function reads. Absent is fine; empty is a value."""

    def __init__(self, *, read: Callable[[str], Any], message: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.read, self.message = read, message

    def to_python(self, value: str | None) -> Any:
        try:
            return None if value is None else self.read(value)
        except ValueError as error:
            raise forms.ValidationError(self.message) from error


class MomentFilter(django_filters.Filter):  # type: ignore[misc]
    """By a moment with its zone."""

    field_class = _ReadField

    def __init__(self, lookup_expr: str, **kwargs: Any) -> None:
        message = (
            'Must be an ISO 8601 date and time with a time zone, such as "2026-03-15T10:00:00Z". '
            "A + means a space in a query: send it percent-encoded."
        )
        super().__init__(lookup_expr=lookup_expr, read=timestamps.parse, message=message, **kwargs)


class IdFilter(django_filters.Filter):  # type: ignore[misc]
    """By the id of another row. One there is not, or another account's, leaves nothing."""

    field_class = _ReadField

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read=read_id, message="Must be a UUID.", **kwargs)


class EventTypeFilter(django_filters.Filter):  # type: ignore[misc]
    """By an event type. One nobody ever used leaves nothing."""

    field_class = _ReadField

    def __init__(self, **kwargs: Any) -> None:
        message = f"Must be an event type, of the form {TYPE_FORM.pattern}."
        super().__init__(read=read_event_type, message=message, **kwargs)


class StatusFilter(django_filters.Filter):  # type: ignore[misc]
    """By this contract's word for a state."""

    field_class = _ReadField

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read=_read_status, message=f"Must be one of {', '.join(STATUSES)}.", **kwargs)


class InForceFilter(django_filters.Filter):  # type: ignore[misc]
    """By whether a pause holds something back now."""

    field_class = _ReadField

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read=_read_flag, message="Must be true or false.", **kwargs)

    def filter(self, qs: PauseQuerySet, value: bool | None) -> PauseQuerySet:
        """Keep those that are in force, or those that are not."""
        if value is None:
            return qs
        in_force = qs.in_force(clock.now())
        return in_force if value else qs.exclude(pk__in=in_force.values("pk"))


def _created_at() -> dict[str, MomentFilter]:
    return {
        f"created_at[{lookup}]": MomentFilter(lookup, field_name="created_at") for lookup in ("gte", "lt")
    }


class EventFilter(django_filters.FilterSet):  # type: ignore[misc]
    """By type, agent and time."""

    class Meta:
        model = Event
        fields: list[str] = []

    @classmethod
    def get_filters(cls) -> "OrderedDict[str, django_filters.Filter]":
        """Return the filters by the names of their parameters."""
        return OrderedDict(
            {
                "event": EventTypeFilter(field_name="type"),
                "agent_id": IdFilter(field_name="agent_id"),
                **_created_at(),
            }
        )


class DeliveryFilter(django_filters.FilterSet):  # type: ignore[misc]
    """By state, webhook, event, type and time."""

    class Meta:
        model = Delivery
        fields: list[str] = []

    @classmethod
    def get_filters(cls) -> "OrderedDict[str, django_filters.Filter]":
        """Return the filters by the names of their parameters."""
        return OrderedDict(
            {
                "status": StatusFilter(field_name="status"),
                "webhook_id": IdFilter(field_name="webhook_id"),
                "event_id": IdFilter(field_name="event_id"),
                "event": EventTypeFilter(field_name="event__type"),
                **_created_at(),
            }
        )


class PauseFilter(django_filters.FilterSet):  # type: ignore[misc]
    """By whether it is in force."""

    class Meta:
        model = Pause
        fields: list[str] = []

    @classmethod
    def get_filters(cls) -> "OrderedDict[str, django_filters.Filter]":
        """Return the filters by the names of their parameters."""
        return OrderedDict({"in_force": InForceFilter()})
