"""Recoveries as they are asked for and answered."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from deliveries.api import timestamps
from deliveries.api.errors import messages
from deliveries.api.native.serializers.fields import (
    FlagField,
    IdField,
    MomentField,
    StrictSerializer,
    StringField,
    WholeNumberField,
)
from deliveries.models import Failure, Recovery
from deliveries.reasons import Reason
from deliveries.services import recovering

STATUS_WORDS = {
    Recovery.Status.RUNNING: "running",
    Recovery.Status.PAUSED: "paused",
    Recovery.Status.COMPLETED: "completed",
    Recovery.Status.CANCELLED: "cancelled",
}
# What the parts of a selection are called here.
_PARTS = {"webhook_id": "webhook_id", "event": "event_type", "reason_code": "reason_code"}
_BOUNDS = {"gte": "failed_from", "lt": "failed_before"}
# Only the console selects by these: they are told, and not taken.
_DELIVERY_BOUNDS = {"gte": "made_from", "lt": "made_before"}


class ReasonCodeField(StringField):
    """One of the codes of `deliveries.reasons`."""

    default_error_messages = {"unknown": "Must be one of {known}."}

    def to_internal_value(self, data: Any) -> str:
        """Return the code.

        :raises ValidationError: for anything else.
        """
        code = super().to_internal_value(data)
        if code not in list(Reason):
            self.fail("unknown", known=", ".join(Reason))
        return code


class PeriodSerializer(StrictSerializer):
    """From one moment on, and before another. One that ends before it begins holds nothing."""

    gte = MomentField(required=False, allow_null=True)
    lt = MomentField(required=False, allow_null=True)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return what `to_internal_value` returns; None for null.

        :raises ValidationError: with a list, as of every other field.
        """
        absent, value = self.validate_empty_values(data)
        if absent:
            return value
        if not isinstance(data, dict):
            raise ValidationError(["Must be a JSON object with gte, lt or both."])
        try:
            return super().run_validation(data)
        except ValidationError as error:
            texts = [f"{name}: {text}" for name, found in messages(error).items() for text in found]
            raise ValidationError(texts) from error


class RecoveryDraftSerializer(StrictSerializer):
    """A recovery to be made. Its filter is not to be empty: whoever forgets it must not send everything."""

    webhook_id = IdField(required=False, allow_null=True)
    event = StringField(required=False, allow_null=True, max_length=100)
    reason_code = ReasonCodeField(required=False, allow_null=True)
    created_at = PeriodSerializer(required=False, allow_null=True)
    dry_run = FlagField(required=False, default=False)
    rate = WholeNumberField(
        required=False, default=recovering.DEFAULT_RATE, least=1, most=recovering.MAX_RATE
    )
    why = StringField(required=False, allow_null=True, allow_blank=True, max_length=500)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the fields, with the filter as what it selects.

        :raises ValidationError: when the filter is empty.
        """
        period = attrs.get("created_at") or {}
        parts = {part: attrs.get(name) for name, part in _PARTS.items()}
        parts |= {part: period.get(name) for name, part in _BOUNDS.items()}
        selection = recovering.Selection(**{name: value for name, value in parts.items() if value})
        if selection.empty:
            raise ValidationError(
                {
                    "body": [
                        "Give at least one of webhook_id, event, reason_code and created_at: "
                        "without a filter nothing is selected."
                    ]
                }
            )
        return {
            "selection": selection,
            "dry_run": attrs["dry_run"],
            "rate": attrs["rate"],
            "why": attrs.get("why") or "",
        }


class FailureSampleSerializer(serializers.Serializer[Failure]):
    """A failure that would be sent again."""

    id = serializers.CharField()
    event = serializers.CharField(source="event_type")
    webhook = serializers.SerializerMethodField()
    reason = serializers.CharField()
    reason_code = serializers.CharField()
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)

    def get_webhook(self, failure: Failure) -> Mapping[str, Any]:
        """Return the webhook as it was when its delivery first failed."""
        return {"id": str(failure.webhook_id), "name": failure.webhook_name}


class PreviewSerializer(serializers.Serializer[recovering.Preview]):
    """What a recovery would send."""

    dry_run = serializers.SerializerMethodField()
    count = serializers.IntegerField()
    sample = FailureSampleSerializer(many=True)
    excluded = serializers.IntegerField()

    def get_dry_run(self, preview: recovering.Preview) -> bool:
        """Return true, which tells this answer from a recovery."""
        return True


class FilterSerializer(serializers.Serializer[Recovery]):
    """What a recovery selects, as it was asked for, here or in the console; null where nothing was."""

    webhook_id = serializers.UUIDField()
    event = serializers.SerializerMethodField()
    reason_code = serializers.SerializerMethodField()
    created_at = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()
    delivery_created_at = serializers.SerializerMethodField()

    def get_event(self, recovery: Recovery) -> str | None:
        """Return the event type."""
        return recovery.event_type or None

    def get_reason_code(self, recovery: Recovery) -> str | None:
        """Return the reason code."""
        return recovery.reason_code or None

    def get_created_at(self, recovery: Recovery) -> Mapping[str, str | None] | None:
        """Return between which moments they first failed."""
        return _period(recovery, _BOUNDS)

    def get_reason(self, recovery: Recovery) -> str | None:
        """Return the text of the reason, which says the status code, too."""
        return recovery.reason or None

    def get_delivery_created_at(self, recovery: Recovery) -> Mapping[str, str | None] | None:
        """Return between which moments their deliveries were made."""
        return _period(recovery, _DELIVERY_BOUNDS)


def _period(recovery: Recovery, parts: Mapping[str, str]) -> Mapping[str, str | None] | None:
    """Return the two bounds of a stretch of time; None where there is neither."""
    bounds = {name: getattr(recovery, part) for name, part in parts.items()}
    if not any(bounds.values()):
        return None
    return {
        name: moment.strftime(timestamps.MICROSECONDS) if moment else None for name, moment in bounds.items()
    }


class RecoverySerializer(serializers.Serializer[Recovery]):
    """A recovery. What became of its deliveries is in the context, by the recovery's id."""

    id = serializers.UUIDField()
    status = serializers.SerializerMethodField()
    filter = FilterSerializer(source="*")
    rate = serializers.IntegerField()
    why = serializers.CharField()
    by = serializers.CharField()
    total = serializers.IntegerField()
    progress = serializers.SerializerMethodField()
    sample = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)
    finished_at = serializers.DateTimeField(format=timestamps.MICROSECONDS)

    def get_status(self, recovery: Recovery) -> str:
        """Return this contract's word for our state."""
        return STATUS_WORDS[Recovery.Status(recovery.status)]

    def get_progress(self, recovery: Recovery) -> Mapping[str, int]:
        """Return how far it has come."""
        progress: recovering.Progress = self.context["progress"][recovery.pk]
        return {
            "queued": recovery.queued,
            "skipped": recovery.skipped,
            "delivered": progress.delivered,
            "failed": progress.failed,
            "outstanding": progress.outstanding,
        }
