"""What may have become of a body between who signed it and who pasted it."""

import base64
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from deliveries import payloads

BOM = b"\xef\xbb\xbf"
# No longer one is ever signed.
LONGEST = payloads.MAX_BYTES

# As many characters at least, and what stands in the text for numbers, which stay as they were written.
_LONGEST_TEXT = LONGEST * 4
_NUMBER = re.compile(r'"\\u0000([^"]*)"')


class Change(NamedTuple):
    """Another form of a body, in words that complete "The signature fits it"."""

    body: bytes
    words: str


def likely(body: bytes) -> Iterator[Change]:
    """Yield other forms of a body, the likeliest first, and each once."""
    seen = {body}
    for change in _all(body):
        if len(change.body) <= LONGEST and change.body not in seen:
            seen.add(change.body)
            yield change


def _all(body: bytes) -> Iterator[Change]:
    yield from _edges(body)
    yield from _written_again(body)
    for unwrapped, words in _unwrapped(body):
        yield Change(unwrapped, words)
        for written, how in _written_again(unwrapped):
            yield Change(written, f"{words}, and {how}")
    yield from _wrapped(body)
    yield Change(b"", "when it is empty, as where something else has read it before")


def _edges(body: bytes) -> Iterator[Change]:
    for end in (b"\r\n", b"\n"):
        if body.endswith(end):
            yield Change(body.removesuffix(end), "without the newline at its end")
    yield Change(body + b"\n", "with a newline at its end")
    with_lf = body.replace(b"\r\n", b"\n")
    yield Change(with_lf, "with LF at the ends of its lines instead of CRLF")
    yield Change(with_lf.replace(b"\n", b"\r\n"), "with CRLF at the ends of its lines instead of LF")
    yield Change(body.strip(), "without the white space around it")
    yield Change(body.removeprefix(BOM), "without the byte order mark before it")
    yield Change(BOM + body, "with a byte order mark before it")


def _unwrapped(body: bytes) -> Iterator[Change]:
    """Yield what may be inside of it."""
    with suppress(ValueError):
        yield Change(base64.b64decode(b"".join(body.split()), validate=True), "decoded from base64")
    with suppress(ValueError, RecursionError):
        inside = json.loads(body)
        if isinstance(inside, str):
            yield Change(inside.encode(), "taken out of the JSON string it is written as")
    with suppress(ValueError):
        words = "decoded from UTF-8 once, not twice: each non-ASCII letter has become two"
        yield Change(body.decode().encode("latin-1"), words)


def _wrapped(body: bytes) -> Iterator[Change]:
    """Yield what it may have been the inside of."""
    yield Change(base64.b64encode(body), "encoded in base64")
    with suppress(ValueError):
        text = body.decode()
        for ascii_only in (False, True):
            yield Change(json.dumps(text, ensure_ascii=ascii_only).encode(), "written as a JSON string")


# --- JSON, read and written again -------------------------------------------------------------------------

# The first is our own way.
_SPACES: tuple[tuple[str, int | None, tuple[str, str]], ...] = (
    ("compactly", None, (",", ":")),
    ("with spaces", None, (", ", ": ")),
    ("indented by 2", 2, (",", ": ")),
    ("indented by 4", 4, (",", ": ")),
)
_ORDERS = (("", False), (", with its keys sorted", True))


def _in_utf8(text: str) -> str:
    return text


def _in_ascii(text: str) -> str:
    """Return it with escapes for whatever is not ASCII, none of which is outside of a string."""
    return re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)


def _with_slashes(text: str) -> str:
    return text.replace("/", "\\/")


_ESCAPES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("", _in_utf8),
    (", with non-ASCII letters escaped", _in_ascii),
    (", with slashes escaped", _with_slashes),
    (", with slashes and non-ASCII letters escaped", lambda text: _with_slashes(_in_ascii(text))),
)


def _written_again(body: bytes) -> Iterator[Change]:
    """Yield the JSON in it as other programs write it."""
    # Where it is JSON at all, and neither deeper than it can be read nor than it can be written.
    with suppress(ValueError, RecursionError):
        value = _READER.decode(body.removeprefix(BOM).decode())
        for (spaces, indent, separators), (order, is_sorted) in itertools.product(_SPACES, _ORDERS):
            encoder = json.JSONEncoder(
                ensure_ascii=False, indent=indent, separators=separators, sort_keys=is_sorted
            )
            if text := _text(encoder, value):
                yield from _escaped(text, f"as JSON written {spaces}{order}")


def _text(encoder: json.JSONEncoder, value: object) -> str:
    """Return the text of a value; nothing where that becomes long, as a few deep brackets make megabytes."""
    text = io.StringIO()
    # At once it takes a tenth of the time.
    for chunk in encoder.iterencode(value) if encoder.indent else [encoder.encode(value)]:
        text.write(chunk)
        if text.tell() > _LONGEST_TEXT:
            return ""
    return _NUMBER.sub(r"\1", text.getvalue())


def _escaped(text: str, words: str) -> Iterator[Change]:
    for escapes, escape in _ESCAPES:
        # It may spell out half of a surrogate pair, which has no bytes.
        with suppress(UnicodeEncodeError):
            yield Change(escape(text).encode(), words + escapes)


def _kept(literal: str) -> str:
    return f"\0{literal}"


_READER = json.JSONDecoder(parse_float=_kept, parse_int=_kept)
