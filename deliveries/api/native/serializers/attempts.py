"""Attempts as they are answered."""

from datetime import timedelta

from rest_framework import serializers

from deliveries import payloads
from deliveries.api import timestamps
from deliveries.models import Attempt


class AttemptSummarySerializer(serializers.Serializer[Attempt]):
    """An attempt in a list, without headers and body."""

    id = serializers.UUIDField()
    delivery_id = serializers.UUIDField()
    number = serializers.IntegerField()
    status = serializers.SerializerMethodField()
    http_status = serializers.IntegerField()
    reason_code = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    http_method = serializers.CharField()
    url = serializers.CharField()
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    started_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    duration_ms = serializers.SerializerMethodField()

    def get_status(self, attempt: Attempt) -> str:
        """Return this contract's word for what came of it."""
        return "succeeded" if attempt.succeeded else "failed"

    def get_reason_code(self, attempt: Attempt) -> str | None:
        """Return why it failed, for programs; null when it did not."""
        return attempt.reason_code or None

    def get_reason(self, attempt: Attempt) -> str | None:
        """Return why it failed, for people; null when it did not."""
        return attempt.error or None

    def get_duration_ms(self, attempt: Attempt) -> int:
        """Return how long the exchange took."""
        return attempt.duration // timedelta(milliseconds=1)


class AttemptSerializer(AttemptSummarySerializer):
    """An attempt, with what was sent (credentials masked) and what came back."""

    request_headers = serializers.JSONField()
    response_headers = serializers.JSONField()
    response_body = serializers.SerializerMethodField()

    def get_response_body(self, attempt: Attempt) -> str | None:
        """Return the answer's body as text; null when there was none."""
        body = attempt.response_body
        return None if body is None else payloads.readable(body)
