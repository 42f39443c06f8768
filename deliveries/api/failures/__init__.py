"""The failures API: what needs attention, and sending it again."""
