"""Agents as they are sent and answered."""

from rest_framework import serializers

from deliveries.api import timestamps
from deliveries.api.native.serializers.fields import StrictSerializer, StringField
from deliveries.models import Agent


class AgentDraftSerializer(StrictSerializer):
    """An agent to be made."""

    name = StringField(max_length=255)


class AgentSerializer(serializers.Serializer[Agent]):
    """An agent."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
