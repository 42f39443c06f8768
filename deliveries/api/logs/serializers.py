"""The logs API's shapes."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty

from deliveries.api import parsing, timestamps
from deliveries.api.errors import messages
from deliveries.api.logs import fields
from deliveries.models import Webhook
from deliveries.services import webhooks
from deliveries.services.rehearsing import Rehearsal

# More than any catalogue holds, and few enough for one query.
MAX_EVENTS = 1000
# For how long a secret signs beside the one that replaces it.
DEFAULT_OVERLAP_HOURS = 24
MOST_OVERLAP_HOURS = 7 * 24


class WebhookSerializer(serializers.Serializer[Webhook]):
    """A webhook, without anything secret."""

    id = serializers.UUIDField()
    agent_id = serializers.UUIDField()
    name = serializers.CharField()
    webhook_url = serializers.CharField(source="url")
    events = serializers.ListField(child=serializers.CharField())
    timeout = serializers.IntegerField()
    max_retries = serializers.IntegerField()
    enabled = serializers.BooleanField()
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    updated_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    events_count = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    http_method = serializers.CharField()
    authorization_scheme = serializers.CharField()

    def get_events_count(self, webhook: Webhook) -> int:
        """Return how many event types and patterns the webhook names."""
        return len(webhook.events)

    def get_status(self, webhook: Webhook) -> str:
        """Return this contract's word for being enabled or not."""
        return "active" if webhook.enabled else "disabled"


class BodySerializer(serializers.Serializer[Any]):
    """The body of a request: a JSON object with known fields only."""

    def run_validation(self, data: Any = empty) -> Any:
        """Return what `to_internal_value` returns.

        :raises ValidationError: also for a body that is no JSON object.
        """
        if not isinstance(data, dict):
            raise ValidationError({"body": ["The body must be a JSON object."]})
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> Any:
        """Return the fields by our own names.

        :raises ValidationError: listing every field that is wrong or missing, and the first few unknown ones.
        """
        unknown, more = parsing.unknown_names(data, self.fields)
        problems = {name: [f"The {name} field is unknown."] for name in unknown}
        if more:
            problems.setdefault("body", []).append(f"{more:,} more fields are unknown.")
        try:
            values = super().to_internal_value(data)
        except ValidationError as error:
            raise ValidationError({**messages(error), **problems}) from error
        if problems:
            raise ValidationError(problems)
        return values


class WebhookFieldsSerializer(BodySerializer):
    """What a consumer decides about a webhook. `source` is our own name of a field."""

    name = fields.Text(max_length=255)
    webhook_url = fields.Text(max_length=500, source="url")
    webhook_secret = fields.Text(max_length=255, source="secret", required=False, allow_null=True)
    events = fields.Texts(max_items=MAX_EVENTS)
    timeout = fields.WholeNumber(least=5, most=120, required=False)
    max_retries = fields.WholeNumber(least=0, most=10, required=False)
    enabled = fields.Flag(required=False)
    http_method = fields.Choice(choices=Webhook.Method.values, required=False)
    authorization_scheme = fields.Choice(choices=Webhook.Authorization.values, required=False)
    authorization_credential = fields.Credential(max_length=1024, required=False, allow_null=True)
    custom_headers = fields.Headers(required=False)

    def validate(self, attrs: Any) -> Any:
        """Return the fields, which must fit together, and to what the webhook keeps of those left out.

        :raises ValidationError: for a scheme without the credential it sends.
        """
        if not attrs.keys() & {"authorization_scheme", "authorization_credential"}:
            return attrs
        webhook = self.instance or Webhook()
        scheme = attrs.get("authorization_scheme", webhook.authorization_scheme)
        credential = attrs.get("authorization_credential", webhook.authorization_credential)
        if scheme in webhooks.NEED_A_CREDENTIAL and not credential:
            raise ValidationError(
                {
                    "authorization_credential": [
                        "The authorization credential field is required when the authorization scheme is "
                        f"{scheme}."
                    ]
                }
            )
        return attrs

    def by_their_names(self, problems: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Return problems by the names of this contract, given those by our own."""
        names = {field.source: name for name, field in self.fields.items()}
        return {names[source]: messages for source, messages in problems.items()}


class RotationSerializer(BodySerializer):
    """How a secret is replaced."""

    overlap_hours = fields.WholeNumber(least=0, most=MOST_OVERLAP_HOURS, default=DEFAULT_OVERLAP_HOURS)


class RotatedSerializer(serializers.Serializer[webhooks.Rotated]):
    """A new secret, shown this once."""

    webhook_secret = serializers.CharField(source="secret")
    previous_secret_expires_at = serializers.DateTimeField(
        source="previous_expires_at", format=timestamps.MICROSECONDS, allow_null=True
    )


class RehearsalSerializer(serializers.Serializer[Rehearsal]):
    """What came of a test event."""

    status_code = serializers.IntegerField(source="http_status", allow_null=True)
    response_time = serializers.SerializerMethodField(help_text="Milliseconds.")

    def get_response_time(self, rehearsal: Rehearsal) -> int:
        """Return how long it took in milliseconds."""
        return rehearsal.duration // timedelta(milliseconds=1)


class LogSerializer(serializers.Serializer[Any]):
    """An `entries.Log`. Every key is always there."""

    id = serializers.UUIDField()
    webhook_id = serializers.UUIDField(source="delivery.webhook_id")
    event = serializers.CharField(source="delivery.event.type")
    attempt = serializers.IntegerField(source="number")
    status = serializers.CharField()
    http_status = serializers.IntegerField()
    error = serializers.CharField()
    request_payload = serializers.JSONField()
    response_body = serializers.CharField()
    response_headers = serializers.JSONField()
    duration_ms = serializers.IntegerField()
    delivered_at = serializers.DateTimeField(format=timestamps.SECONDS)
    created_at = serializers.DateTimeField(format=timestamps.SECONDS)
