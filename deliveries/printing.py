"""What may be written to an operator's terminal, or stand beside other words on a page."""

import unicodedata
from datetime import datetime

# Letters and a symbol to Unicode, and nothing to the eye: fillers of Korean, and a pattern of braille.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# Controls and what steers the writing, halves of pairs, spaces, and marks, which need a character below them.
_UNSEEN = ("Cc", "Cf", "Cs", "Z", "M")
UNSEEN_NAME = "The name needs a character that can be seen."


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


def can_be_seen(text: str) -> bool:
    """Tell whether a text has a character that a person sees."""
    return any(
        character not in _BLANK and not unicodedata.category(character).startswith(_UNSEEN)
        for character in text
    )
