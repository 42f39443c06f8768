"""The failures API's shapes."""

from rest_framework import serializers

from deliveries.api import timestamps
from deliveries.models import Failure

STATUS_WORDS = {
    Failure.Status.PENDING: "pending",
    Failure.Status.INACTIVE: "inactive",
    Failure.Status.DELIVERED: "delivered",
}


class WebhookSnapshotSerializer(serializers.Serializer[Failure]):
    """The webhook as it was when it first failed; it may be gone by now."""

    id = serializers.UUIDField(source="webhook_id")
    name = serializers.CharField(source="webhook_name")


class FailureSerializer(serializers.Serializer[Failure]):
    """A failure."""

    id = serializers.CharField()
    event = serializers.CharField(source="event_type")
    status = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    webhook = WebhookSnapshotSerializer(source="*")
    last_attempt_at = serializers.DateTimeField(format=timestamps.SECONDS)
    created_at = serializers.DateTimeField(format=timestamps.SECONDS)
    updated_at = serializers.DateTimeField(format=timestamps.SECONDS)

    def get_status(self, failure: Failure) -> str:
        """Return this contract's word for our state."""
        return STATUS_WORDS[Failure.Status(failure.status)]

    def get_reason(self, failure: Failure) -> str | None:
        """Return the reason; null while nothing is known about the attempt that is outstanding."""
        return failure.reason or None
