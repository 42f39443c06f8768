"""What a secret may stand for that somebody typed: the key it is, and keys it was meant to be."""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from deliveries import signing

PREFIX = "whsec_"
_INSIDE = re.compile(r"whsec_[0-9A-Za-z+/=_-]+")
_QUOTES = "\"'`“”‘’"


class Reading(NamedTuple):
    """A key, in words that complete "It fits when it is read"; none for what the secret stands for itself."""

    key: bytes
    words: str = ""


def readings(secret: str) -> Iterator[Reading]:
    """Yield the key a secret stands for, and then those it is likely to be mistaken for, each once."""
    seen: set[bytes] = set()
    for reading in _all(secret):
        if reading.key and reading.key not in seen:
            seen.add(reading.key)
            yield reading


def key_of(secret: str) -> bytes | None:
    """Return what a secret stands for; None where it breaks the rules, and where it is nothing."""
    try:
        return signing.key_bytes(secret) or None
    except ValueError:
        return None


def decoded(text: str) -> bytes:
    """Return what a text stands for in base64 of any alphabet, padded or not; nothing if in none."""
    plain = text.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        return b""


def _all(secret: str) -> Iterator[Reading]:
    for text, words in _cleaned(secret):
        yield Reading(key_of(text) or b"", words)
    for text, words in _cleaned(secret):
        yield from (Reading(key, f"{words} {how}".strip()) for key, how in _other_keys(text))


def _cleaned(secret: str) -> Iterator[tuple[str, str]]:
    """Yield a secret as it is, and without what may have come along when it was copied."""
    yield secret, ""
    yield secret.strip(), "without the white space around it"
    yield secret.strip().strip(_QUOTES), "without the quotation marks around it"
    yield "".join(secret.split()), "without the white space in it"
    yield unquote(secret), "with its percent signs decoded"
    yield re.sub("^(whsec_)+", PREFIX, secret, flags=re.IGNORECASE), "with one whsec_, in small letters"
    if found := _INSIDE.search(secret):
        yield found[0], "from whsec_ on as far as base64 goes"


def _other_keys(text: str) -> Iterator[tuple[bytes, str]]:
    rest = text.removeprefix(PREFIX)
    if rest == text:
        yield decoded(text), "with whsec_ before it, that is as base64"
    else:
        yield decoded(rest), "as base64 of the other alphabet, or with the padding it lacks"
    with suppress(UnicodeEncodeError):
        yield text.encode(), "as text, whsec_ included, although it is base64"
        yield rest.encode(), "as text behind whsec_, although it is base64"
    with suppress(ValueError):
        yield bytes.fromhex(rest), "as hexadecimal"
