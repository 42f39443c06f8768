"""What can be in the way of a start."""


class Obstacle(Exception):
    """Something only the person at the keyboard can change; the message ends with the command that helps."""
