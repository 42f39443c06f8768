"""Events as they are sent and answered."""

import threading
from collections.abc import Mapping
from datetime import UTC
from typing import Any
from uuid import UUID

from rest_framework import serializers

from deliveries import payloads
from deliveries.api import timestamps
from deliveries.api.native.serializers.deliveries import WebhookNameSerializer
from deliveries.api.native.serializers.fields import (
    AgentIdField,
    MomentField,
    PayloadField,
    StrictSerializer,
    StringField,
)
from deliveries.models import Agent, Event
from deliveries.services.publishing import Publication

MOST_EVENTS = 500


class EventDraftSerializer(StrictSerializer):
    """An event to be published, by the names `services.publishing.publish` has for its parts."""

    event = StringField(source="event_type", max_length=100)
    payload = PayloadField()
    agent_id = AgentIdField(source="agent", required=False, allow_null=True)
    occurred_at = MomentField(required=False, allow_null=True)

    def read(self, data: Any, *, agents: Mapping[UUID, Agent]) -> dict[str, Any]:
        """Return the parts of an event.

        :param agents: those of the account's that it may name.
        :raises ValidationError: listing every field that is wrong.
        """
        self._context = {"agents": agents}
        parts: dict[str, Any] = self.run_validation(data)
        return parts


class EventsField(serializers.Field[Any, Any, Any, Any]):
    """The list of a batch. What is in it is looked at one by one."""

    default_error_messages = {"invalid": f"Must be a JSON array of 1 to {MOST_EVENTS} events."}

    def to_internal_value(self, data: Any) -> list[Any]:
        """Return the list.

        :raises ValidationError: for anything else, and for one too short or too long.
        """
        if not isinstance(data, list) or not 1 <= len(data) <= MOST_EVENTS:
            self.fail("invalid")
        return data


class EventBatchSerializer(StrictSerializer):
    """Events to be published together."""

    events = EventsField()


class BatchedEventDraftSerializer(EventDraftSerializer):
    """One event of a batch. An error names it by its place alone."""

    whole = ""

    idempotency_key = StringField(required=False, allow_null=True, max_length=128)


class _Kept(threading.local):
    """What each thread reads events with: to make it takes several times as long as to use it."""

    def __init__(self) -> None:
        self.draft = EventDraftSerializer()


kept = _Kept()


class PublicationSerializer(serializers.Serializer[Any]):
    """What became of an event that was published."""

    id = serializers.UUIDField(source="event.pk")
    event = serializers.CharField(source="event.type")
    matched = serializers.IntegerField()
    created_at = serializers.DateTimeField(source="event.created_at", format=timestamps.MICROSECONDS)

    def to_representation(self, instance: Publication) -> dict[str, Any]:
        """Return what the fields say. To ask each of them takes ten times as long."""
        event = instance.event
        return {
            "id": str(event.pk),
            "event": event.type,
            "matched": instance.matched,
            "created_at": event.created_at.astimezone(UTC).strftime(timestamps.MICROSECONDS),
        }


class BatchedPublicationSerializer(PublicationSerializer):
    """What became of an event of a batch, and whether it was there before."""

    replayed = serializers.BooleanField()

    def to_representation(self, instance: Publication) -> dict[str, Any]:
        """Return what the fields say."""
        return {**super().to_representation(instance), "replayed": instance.replayed}


class EventSummarySerializer(serializers.Serializer[Event]):
    """An event in a list. A page of payloads could take 25 MiB, so each is shown with its event alone."""

    id = serializers.UUIDField()
    event = serializers.CharField(source="type")
    agent_id = serializers.UUIDField()
    occurred_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)


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
