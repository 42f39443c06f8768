"""What a page of the console says."""

from typing import Any


def said(page: Any) -> list[str]:
    """Return the messages at its top."""
    return [str(message) for message in page.context["messages"]]
