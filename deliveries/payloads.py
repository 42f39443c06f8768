"""JSON as we accept it: strict enough that what is stored, signed and sent means one thing to everybody."""

import json
import re
from decimal import Decimal
from typing import NoReturn

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 300

# A string counts as one token, so that the brackets inside it do not count as nesting. The closing quote is
# optional: an unfinished string runs to the end in one step instead of being tried from each of its quotes.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]+|\\.)*"?|[\[\]{}]', re.DOTALL)


# A text may have another level around the payload; what its author can do without is in the payload.
_TOO_DEEP = f"The payload is nested deeper than {MAX_DEPTH} levels."
_NOT_ZERO = re.compile(r"[-.0]*[1-9]")


class InvalidJSON(ValueError):
    """The text breaks a rule of ours or of JSON's; `str(error)` says which, in words for its author."""


def parse(raw: bytes, *, levels: int = MAX_DEPTH) -> object:
    """Return the value of a JSON text.

    :raises InvalidJSON: for anything RFC 8259 forbids, and for nesting deeper than `levels`, a name given
        twice in one object, NaN, Infinity, a number of more than 300 digits or one that no double keeps, NUL
        and lone surrogates.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJSON("The body is not valid UTF-8.") from error
    if text.startswith("\ufeff"):
        raise InvalidJSON("The body starts with a byte order mark; leave it out.")
    _check_depth(text, levels)
    try:
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidJSON(f"The body is not valid JSON: {error.msg} at {place}.") from error
    _check_text(value)
    return value


def serialise(payload: object) -> bytes:
    """Return the bytes to store, sign and send for a payload.

    :raises InvalidJSON: when the payload is not a JSON object, breaks a rule of `parse`, or takes more than
        256 KiB.
    """
    if not isinstance(payload, dict):
        raise InvalidJSON("The payload must be a JSON object.")
    _check_nesting(payload, MAX_DEPTH)
    try:
        body = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InvalidJSON("A text holds half of a surrogate pair.") from error
    except (TypeError, ValueError) as error:
        raise InvalidJSON(f"The payload has no JSON form: {error}.") from error
    if len(body) > MAX_BYTES:
        raise InvalidJSON(f"The payload takes {len(body):,} bytes; {MAX_BYTES:,} are allowed.")
    # What came through the API was parsed by these rules already; a caller from Python was not.
    parse(body)
    return body


def read_back(body: bytes) -> object:
    """Return what a stored body holds: its text where it breaks a rule of `parse`, and so spoils no page."""
    try:
        return parse(body)
    except InvalidJSON:
        return body.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _check_depth(text: str, levels: int) -> None:
    """Refuse deep nesting before the recursive parser meets it."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        piece = match[0]
        if piece in "[{":
            depth += 1
            if depth > levels:
                raise InvalidJSON(_TOO_DEEP)
        elif piece in "]}":
            depth -= 1


def _check_nesting(value: object, levels: int) -> None:
    """Refuse a deep value of Python's, a circular one included, before the recursive serialiser meets it."""
    if not isinstance(value, dict | list | tuple):
        return
    if levels == 0:
        raise InvalidJSON(_TOO_DEEP)
    for child in value.values() if isinstance(value, dict) else value:
        _check_nesting(child, levels - 1)


def _check_text(value: object) -> None:
    """Refuse text that no database and no receiver would take back unchanged."""
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidJSON("A text holds a NUL character.")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidJSON("A text holds half of a surrogate pair.") from error
    elif isinstance(value, dict):
        for name, child in value.items():
            _check_text(name)
            _check_text(child)
    elif isinstance(value, list):
        for child in value:
            _check_text(child)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        if name in members:
            raise InvalidJSON(f"The name {json.dumps(name[:100])} is given twice in one object.")
        members[name] = value
    return members


def _integer(literal: str) -> int:
    _check_digits(literal)
    return int(literal)


def _float(literal: str) -> float:
    _check_digits(literal)
    number = float(literal)
    if number in (float("inf"), float("-inf")):
        raise InvalidJSON("A number is too large.")
    if number == 0:
        if _NOT_ZERO.match(literal):
            raise InvalidJSON("A number is too small.")
    # With these digits, and neither too large nor too small, it has an exponent that is no burden.
    elif Decimal(literal) != Decimal(repr(number)):
        raise InvalidJSON("A number has more digits than a double keeps; send it as a string.")
    return number


def _check_digits(literal: str) -> None:
    if len(literal) > MAX_DIGITS and sum(map(str.isdigit, literal)) > MAX_DIGITS:
        raise InvalidJSON(f"A number has more than {MAX_DIGITS} digits.")


def _constant(literal: str) -> NoReturn:
    raise InvalidJSON(f"{literal} is not a JSON number.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_constant
)
