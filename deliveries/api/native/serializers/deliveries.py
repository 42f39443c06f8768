"""Deliveries as they are answered."""

from typing import Any

from rest_framework import serializers

from deliveries.api import timestamps
from deliveries.models import Delivery, Webhook

STATUS_WORDS = {
    Delivery.Status.PENDING: "pending",
    Delivery.Status.HELD: "held",
    Delivery.Status.SUCCEEDED: "succeeded",
    Delivery.Status.FAILED: "failed",
    Delivery.Status.CANCELLED: "cancelled",
}


class WebhookNameSerializer(serializers.Serializer[Webhook]):
    """Enough of a webhook to know which."""

    id = serializers.UUIDField()
    name = serializers.CharField()


class DeliverySerializer(serializers.Serializer[Any]):
    """A delivery."""

    id = serializers.UUIDField()
    event_id = serializers.UUIDField()
    event = serializers.CharField(source="event.type")
    webhook = WebhookNameSerializer()
    status = serializers.SerializerMethodField()
    attempts_made = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    finished_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)

    def get_status(self, delivery: Delivery) -> str:
        """Return this contract's word for our state."""
        return STATUS_WORDS[Delivery.Status(delivery.status)]


class EventDeliverySerializer(DeliverySerializer):
    """A delivery below its event."""

    # How DRF has a field of the parent left out.
    event_id = None  # type: ignore[assignment]
    event = None  # type: ignore[assignment]
