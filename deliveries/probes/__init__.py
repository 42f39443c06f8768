"""What machines ask about the service: whether it lives, whether it is ready, and how it is doing."""
