"""Reading what a request brings: its JSON body, and the numbers and ids in its path and query."""

import re
from collections.abc import Mapping
from typing import IO, Any
from uuid import UUID

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from deliveries import payloads

# What a body may hold beside the payload of an event, and how much deeper it may go for being around it.
ENVELOPE_BYTES = 16 * 1024
ENVELOPE_LEVELS = 1
MAX_BODY_BYTES = payloads.MAX_BYTES + ENVELOPE_BYTES

# Python reads no more than 4,300 digits; a number of more than these counts as the smallest such number.
_MAX_DIGITS = 100
_NUMBER = re.compile(r"[0-9]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class BodyTooLarge(APIException):
    """The body was not read to its end."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"
    default_detail = f"The body takes more than {MAX_BODY_BYTES:,} bytes."


class StrictJSONParser(BaseParser):
    """JSON by the rules of `deliveries.payloads`, and nothing else."""

    media_type = "application/json"

    def parse(  # type: ignore[override]  # JSON is not always an object
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> object:
        """Return the value of the body.

        :raises BodyTooLarge: before anything is parsed.
        :raises ParseError: with the reason, for whoever wrote the body.
        """
        raw = stream.read(MAX_BODY_BYTES + 1)
        if len(raw) > MAX_BODY_BYTES:
            raise BodyTooLarge
        try:
            return payloads.parse(raw, levels=payloads.MAX_DEPTH + ENVELOPE_LEVELS)
        except payloads.InvalidJSON as error:
            raise ParseError(str(error)) from error


def whole_number(text: str, *, least: int, most: int | None = None) -> int:
    """Return the number that ASCII digits spell, however many they are.

    :raises ValueError: for anything else, a sign and the empty text included, and outside of the range.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError("Not a whole number.")
    digits = text.lstrip("0") or "0"
    number = int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
    if number < least or (most is not None and number > most):
        raise ValueError("Out of range.")
    return number


def uuid(text: str) -> UUID | None:
    """Return the id that a text in the canonical form of a UUID spells; None for any other text."""
    return UUID(text) if _UUID.fullmatch(text) else None
