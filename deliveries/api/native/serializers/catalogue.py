"""Event types as they are answered."""

from rest_framework import serializers

from deliveries.models import EventType


class EventTypeSerializer(serializers.Serializer[EventType]):
    """An entry of the catalogue."""

    code = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field's own label is another matter
