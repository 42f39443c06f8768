"""Pauses as they are asked for and answered."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from deliveries import clock
from deliveries.api import timestamps
from deliveries.api.native.serializers.fields import (
    IdField,
    MomentField,
    StrictSerializer,
    StringField,
    WholeNumberField,
)
from deliveries.models import Pause
from deliveries.services import pausing

MOST_SECONDS = int(pausing.LONGEST.total_seconds())


class PauseDraftSerializer(StrictSerializer):
    """A pause to be made, of the whole account where it names neither a webhook nor an event type.

    Neither takes null: a program that has lost an id must not stop everything.
    """

    webhook_id = IdField(required=False)
    event = StringField(required=False, max_length=100)
    until = MomentField(required=False)
    seconds = WholeNumberField(required=False, least=1, most=MOST_SECONDS)
    why = StringField(max_length=pausing.MAX_WHY)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the service.

        :raises ValidationError: unless it says in one of the two ways how long.
        """
        if ("until" in attrs) == ("seconds" in attrs):
            raise ValidationError({"until": ["Give either until or seconds."]})
        until = attrs.get("until") or self.context["now"] + timedelta(seconds=attrs["seconds"])
        return {
            "webhook_id": attrs.get("webhook_id"),
            "event_type": attrs.get("event", ""),
            "until": until,
            "why": attrs["why"],
        }

    @staticmethod
    def by_its_fields(problems: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Return the service's problems by what the arguments are called here."""
        return {"event" if name == "event_type" else name: found for name, found in problems.items()}


class PauseSerializer(serializers.Serializer[Pause]):
    """A pause."""

    id = serializers.UUIDField()
    webhook_id = serializers.UUIDField()
    event = serializers.SerializerMethodField()
    in_force = serializers.SerializerMethodField()
    why = serializers.CharField()
    by = serializers.CharField()
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    until = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    ended_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    ended_by = serializers.SerializerMethodField()

    def get_event(self, pause: Pause) -> str | None:
        """Return the event type."""
        return pause.event_type or None

    def get_in_force(self, pause: Pause) -> bool:
        """Return whether it holds something back now."""
        return pause.in_force(clock.now())

    def get_ended_by(self, pause: Pause) -> str | None:
        """Return who ended it."""
        return pause.ended_by or None
