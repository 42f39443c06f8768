"""The failures API: what needs attention, sending it again, and the webhooks it was for."""
