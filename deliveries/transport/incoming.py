"""What is kept of an answer: headers cut to size and safe to store in any database."""

import re
from collections.abc import Iterable, Mapping

# Header fields kept at most; and characters of their names and values together.
MAX_HEADERS = 50
MAX_HEADER_CHARACTERS = 4096

_NOT_IN_NAMES = re.compile(r"[^!#$%&'*+.^_`|~0-9a-z-]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def kept_headers(fields: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return the fields, names in lower case and values of one name joined by commas, up to our limits.

    :param fields: names and values in their order, every byte as the character of that number (Latin-1), as
        `http.client` reads them.
    """
    kept: dict[str, str] = {}
    room = MAX_HEADER_CHARACTERS
    for raw_name, raw_value in fields:
        name, value = _NOT_IN_NAMES.sub(_REPLACEMENT, raw_name.lower()), _printable(raw_value)
        cost = len(value) + (len(", ") if name in kept else len(name))
        if cost > room or (name not in kept and len(kept) == MAX_HEADERS):
            continue
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
        room -= cost
    return kept


def _printable(raw: str) -> str:
    # Of these alone: by its own lights `strip` takes bytes of UTF-8 characters for white space.
    text = raw.strip(" \t\r\n")
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("latin-1", "replace").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)
