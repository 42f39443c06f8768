"""The caller as it is answered."""

from typing import Any

from rest_framework import serializers

from deliveries.api import throttling, timestamps
from deliveries.models import Account, ApiKey


class AccountSerializer(serializers.Serializer[Account]):
    """The tenant a key belongs to."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    open_event_types = serializers.BooleanField()


class KeySerializer(serializers.Serializer[ApiKey]):
    """A key, without anything secret."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    expires_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    last_used_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)


class WhoamiSerializer(serializers.Serializer[Any]):
    """Who asks, given the key."""

    account = AccountSerializer()
    key = KeySerializer(source="*")
    limits = serializers.SerializerMethodField()

    def get_limits(self, key: ApiKey) -> dict[str, dict[str, int]]:
        """Return where the key stands with each limit."""
        return throttling.overview(key)
