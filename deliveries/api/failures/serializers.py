"""The failures API's shapes."""

from rest_framework import serializers

from deliveries import headers
from deliveries.api import timestamps
from deliveries.models import Failure, Webhook
from deliveries.secrets import Undecryptable

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


class WebhookSerializer(serializers.Serializer[Webhook]):
    """A webhook, without anything secret."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    http_method = serializers.SerializerMethodField()
    url = serializers.CharField()
    authentication_method = serializers.CharField(source="authorization_scheme")
    headers = serializers.SerializerMethodField()
    events = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    updated_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)

    def get_http_method(self, webhook: Webhook) -> str:
        """Return the method as this contract writes it."""
        return webhook.http_method.lower()

    def get_headers(self, webhook: Webhook) -> dict[str, str]:
        """Return the custom headers, credentials masked; none where no key opens them, names included."""
        try:
            return headers.masked(webhook.reveal_headers())
        except Undecryptable:
            return {}
