"""Seed the catalogue with the event types both published contracts name."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

LABELS = {
    "event_phone_call_started": "Phone call has started",
    "event_phone_call_ended": "Phone call has ended",
    "event_phone_call_did_not_connect": "Phone call failed to connect",
    "event_phone_call_connected": "Phone call connection established",
    "event_phone_call_disconnected": "Phone call connection closed",
    "event_phone_call_error": "Phone call connection error occurred",
    "event_participant_joined": "Participant joined the call",
    "event_participant_left": "Participant left the call",
    "event_voicemail_detected": "Voicemail system detected",
    "event_voicemail_message_left": "Message left on voicemail",
    "event_conversation_started": "Human conversation started",
    "event_conversation_ended": "Human conversation ended",
    "event_action": "Agent executed an action",
    "event_action_failed": "Agent action failed",
    "event_recording": "Call recording event",
    "event_connection_established": "Call connection established",
    "event_connection_closed": "Call connection closed",
    "event_connection_error": "Call connection error occurred",
    "event_user_connected": "User connected",
    "call.ended": "Call ended",
    "inbound.call.answered": "Inbound call answered",
    "inbound.call.hangup": "Inbound call hung up",
    "inbound.call.ended": "Inbound call ended",
    "outbound.call.answered": "Outbound call answered",
    "outbound.call.hangup": "Outbound call hung up",
    "outbound.call.ended": "Outbound call ended",
    "dialer.call.answered": "Dialer call answered",
    "dialer.call.hangup": "Dialer call hung up",
    "dialer.call.ended": "Dialer call ended",
    "message.received": "Message received",
    "message.sent": "Message sent",
    "conversation.ended": "Conversation ended",
}


def seed(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    event_type = apps.get_model("deliveries", "EventType")
    event_type.objects.bulk_create(
        [event_type(code=code, label=label) for code, label in LABELS.items()], ignore_conflicts=True
    )


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0001_initial")]

    # Going back keeps the rows: an operator may have come to rely on them.
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
