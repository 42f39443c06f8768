"""What a page of the console says."""

import re
from html import unescape
from typing import Any


def said(page: Any) -> list[str]:
    """Return the messages at its top."""
    return [str(message) for message in page.context["messages"]]


def read(page: Any) -> str:
    """Return what a page says, as it is read: without its markup, and with one space between words."""
    assert page.status_code == 200
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page.content.decode())))
