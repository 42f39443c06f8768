"""JSON as we accept it: strict enough that what is stored, signed and sent means one thing to everybody."""

import json
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import NoReturn

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 300

# A bracket as the byte that, with a sign, is what it adds to the depth; and what is neither that nor a quote.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_STEPS = bytes(set(range(256)) - set(b'[{]}"'))
# A first half without a second, and a second without a first. It begins with letters, quickly found.
_HALF = re.compile(r"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|[c-fC-F](?<!\\u[dD][89abAB]..\\u[dD][c-fC-F]))")
_NOT_ZERO = re.compile(r"[-.0]*[1-9]")
# What stands in the serialised text where a number goes as it was written. No other text is a NUL alone.
_PLACE = "\x00"

# A text may have another level around the payload; what its author can do without is in the payload.
_TOO_DEEP = f"The payload is nested deeper than {MAX_DEPTH} levels."
_HALF_A_PAIR = "A text holds half of a surrogate pair."
_NUL = "A text holds a NUL character."


class InvalidJSON(ValueError):
    """The text breaks a rule of ours or of JSON's; `str(error)` says which, in words for its author."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that Python's floats cannot keep, as it was written."""

    literal: str


def parse(raw: bytes, *, levels: int = MAX_DEPTH) -> object:
    """Return the value of a JSON text. A number that would lose something as a float is a `Number`.

    :raises InvalidJSON: for anything RFC 8259 forbids, and for nesting deeper than `levels`, a name given
        twice in one object, NaN, Infinity, a number of more than 300 digits or beyond 1.8e308, NUL and lone
        surrogates.
    """
    return _parse(raw, levels, _DECODER)


def _parse(raw: bytes, levels: int, decoder: json.JSONDecoder) -> object:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJSON("The body is not valid UTF-8.") from error
    if text.startswith("\ufeff"):
        raise InvalidJSON("The body starts with a byte order mark; leave it out.")
    _check_depth(raw, levels)
    try:
        value: object = decoder.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidJSON(f"The body is not valid JSON: {error.msg} at {place}.") from error
    _check_escapes(text)
    return value


@dataclass(frozen=True, slots=True)
class Parsed:
    """A payload out of a text that `parse` has read: of the rules only the one about its size is left."""

    value: dict[str, object]


def serialise(payload: object) -> bytes:
    """Return the bytes to store, sign and send for a payload.

    :raises InvalidJSON: when the payload is not a JSON object, breaks a rule of `parse`, or takes more than
        256 KiB.
    """
    if isinstance(payload, Parsed):
        return _within_limit(_text(payload.value).encode())
    if not isinstance(payload, dict):
        raise InvalidJSON("The payload must be a JSON object.")
    try:
        body = _text(payload).encode()
    except UnicodeEncodeError as error:
        raise InvalidJSON(_HALF_A_PAIR) from error
    except RecursionError as error:
        raise InvalidJSON(_TOO_DEEP) from error
    except (TypeError, ValueError) as error:
        raise InvalidJSON(f"The payload has no JSON form: {error}.") from error
    parse(_within_limit(body))
    return body


def read_back(body: bytes) -> object:
    """Return what a stored body holds: its text where it breaks a rule of `parse`, and so spoils no page.

    It is to be shown: a number that no float keeps is the float nearest to it. Receivers get all its digits.
    """
    try:
        return _parse(body, MAX_DEPTH, _READER)
    except InvalidJSON:
        return readable(body)


def readable(body: bytes | memoryview) -> str:
    """Return a body as text any reader can take: what is not UTF-8, and NUL, replaced."""
    return bytes(body).decode("utf-8", "replace").replace("\x00", "\ufffd")


def _within_limit(body: bytes) -> bytes:
    if len(body) > MAX_BYTES:
        raise InvalidJSON(f"The payload takes {len(body):,} bytes; {MAX_BYTES:,} are allowed.")
    return body


def _text(payload: dict[str, object]) -> str:
    """Return the compact form.

    :raises TypeError: for what has no form in JSON.
    :raises ValueError: for NaN and infinity, and for what contains itself.
    """
    literals: list[str] = []

    def keep(value: object) -> str:
        if not isinstance(value, Number):
            raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
        literals.append(value.literal)
        return _PLACE

    text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=keep)
    if not literals:
        return text
    around = text.split(json.dumps(_PLACE))
    if len(around) != len(literals) + 1:
        return text  # with a NUL of the caller's in it, for which it will be refused
    return "".join(piece for pair in zip(around, [*literals, ""], strict=True) for piece in pair)


# These two look at the text and not at the value: to go through a value takes several times as long as to
# read it, and a batch may be large.


def _check_depth(raw: bytes, levels: int) -> None:
    """Refuse deep nesting before the recursive parser meets it."""
    if raw.count(b"{") + raw.count(b"[") <= levels:
        return
    # Every second piece between quotes is a string, and brackets in it are no nesting. Escaped quotes go, and
    # before them escaped backslashes, behind which a quote does end its string. Outside of a string
    # either is an error, and the parser gets no further.
    quoted = raw.replace(rb"\\", b"").replace(rb"\"", b"").translate(_STEPS, _NO_STEPS)
    steps = array("b", b"".join(quoted.split(b'"')[::2]))
    if max(accumulate(steps), default=0) > levels:
        raise InvalidJSON(_TOO_DEEP)


def _check_escapes(text: str) -> None:
    """Refuse text that no database and no receiver would take back unchanged; in JSON, it needs an escape."""
    if "\\u" not in text:
        return
    # An escaped backslash begins no other escape.
    text = text.replace(r"\\", "__")
    if r"\u0000" in text:
        raise InvalidJSON(_NUL)
    if _HALF.search(text):
        raise InvalidJSON(_HALF_A_PAIR)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name in counted if counted[name] > 1)
        raise InvalidJSON(f"The name {json.dumps(twice[:100])} is given twice in one object.")
    return members


def _integer(literal: str) -> int:
    if len(literal) > MAX_DIGITS:
        _check_digits(literal)
    return int(literal)


def _float(literal: str) -> float:
    if len(literal) > MAX_DIGITS:
        _check_digits(literal)
    number = float(literal)
    if math.isinf(number):
        raise InvalidJSON("A number is too large.")
    return number


def _exact(literal: str) -> float | Number:
    number = _float(literal)
    if repr(number) == literal:
        return number
    if number == 0:
        return Number(literal) if _NOT_ZERO.match(literal) else number
    # With these digits, and neither too large nor too small, it has an exponent that is no burden.
    return number if Decimal(literal) == Decimal(repr(number)) else Number(literal)


def _check_digits(literal: str) -> None:
    if sum(map(str.isdigit, literal)) > MAX_DIGITS:
        raise InvalidJSON(f"A number has more than {MAX_DIGITS} digits.")


def _constant(literal: str) -> NoReturn:
    raise InvalidJSON(f"{literal} is not a JSON number.")


def _decoder(parse_float: Callable[[str], object]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_float=parse_float, parse_int=_integer, parse_constant=_constant
    )


_DECODER = _decoder(_exact)
_READER = _decoder(_float)
