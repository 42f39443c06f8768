"""Events as they are sent and answered."""

from typing import Any

from rest_framework import serializers

from deliveries import payloads
from deliveries.api import timestamps
from deliveries.api.native.serializers.deliveries import WebhookNameSerializer
from deliveries.api.native.serializers.fields import (
    AgentIdField,
    MomentField,
    ObjectField,
    StrictSerializer,
    StringField,
)
from deliveries.models import Event


class EventDraftSerializer(StrictSerializer):
    """An event to be published, by the names `services.publishing.publish` has for its parts."""

    event = StringField(source="event_type", max_length=100)
    payload = ObjectField()
    agent_id = AgentIdField(source="agent", required=False, allow_null=True)
    occurred_at = MomentField(required=False, allow_null=True)


class PublicationSerializer(serializers.Serializer[Any]):
    """What became of an event that was published."""

    id = serializers.UUIDField(source="event.pk")
    event = serializers.CharField(source="event.type")
    matched = serializers.IntegerField()
    created_at = serializers.DateTimeField(source="event.created_at", format=timestamps.MICROSECONDS)


class EventSerializer(serializers.Serializer[Event]):
    """An event, without what became of it."""

    id = serializers.UUIDField()
    event = serializers.CharField(source="type")
    agent_id = serializers.UUIDField()
    payload = serializers.SerializerMethodField()
    occurred_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)

    def get_payload(self, event: Event) -> Any:
        """Return the JSON object every attempt sends."""
        return payloads.read_back(bytes(event.body))


class SkippedSerializer(serializers.Serializer[Any]):
    """A webhook that did not get an event, and why."""

    webhook = WebhookNameSerializer()
    reason = serializers.CharField()
