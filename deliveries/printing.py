"""What may be written to an operator's terminal, or stand beside other words on a page."""

from datetime import datetime


def utc(moment: datetime) -> str:
    """Return a moment of UTC, to the second."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def printable(text: object) -> str:
    r"""Return a text on one line, with what cannot be printed spelt out: a newline as \n.

    Tenants choose the names of webhooks and write why they paused one, and a terminal does what it is told.
    So does a browser, which writes backwards after U+202E.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(text)
    )
