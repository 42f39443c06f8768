"""Reading what a request brings: its JSON body, and the numbers and ids in its path and query."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import IO, Any
from uuid import UUID

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from deliveries import payloads
from deliveries.identifiers import UUID_FORM

# What a body may hold beside the payload of an event, and how much deeper it may go for being around it.
ENVELOPE_BYTES = 16 * 1024
ENVELOPE_LEVELS = 1
MAX_BODY_BYTES = payloads.MAX_BYTES + ENVELOPE_BYTES


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many bytes a body may take, and how many levels it may nest."""

    bytes: int
    levels: int


ONE_EVENT = Limits(bytes=MAX_BODY_BYTES, levels=payloads.MAX_DEPTH + ENVELOPE_LEVELS)
# The object, its list and the event in it lie around each payload. As much as is read in about a second.
MANY_EVENTS = Limits(bytes=4 * 1024 * 1024, levels=payloads.MAX_DEPTH + 3)

# Python reads no more than 4,300 digits; a number of more than these counts as the smallest such number.
_MAX_DIGITS = 100
_CHARSETS = {"utf-8", "utf8", "us-ascii"}
_NUMBER = re.compile(r"[0-9]+")
_UUID = re.compile(UUID_FORM)
# A body may hold hundreds of thousands of names; an answer shows as many as help, and as much of each.
_MOST_NAMES = 10
_NAME_LENGTH = 50


class BodyTooLarge(APIException):
    """The body was not read to its end."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"

    def __init__(self, limits: Limits) -> None:
        super().__init__(f"The body takes more than {limits.bytes:,} bytes.")


class LengthRequired(APIException):
    """The body comes in chunks, and the web server does not put them together."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "This server reads no chunks; send the body with a Content-Length."


class BodyRequest(Request):
    """A request that reads its body to the end, also one in chunks, which Django takes for empty.

    How long that may be, the parser's context says under `limits`.
    """

    @property
    def stream(self) -> IO[bytes] | None:
        """The body, or as much of it as shows that it is too large; None when there is none.

        :raises UnsupportedMediaType: when it is compressed, or not in UTF-8.
        :raises LengthRequired: when there are chunks, and nobody has put them together.
        :raises ParseError: when it cannot be read, or ends before it should.
        """
        raw = self._chunks() if is_chunked(self.META) else self._whole()
        if not raw:
            return None
        self._check_encoding()
        return BytesIO(raw)

    def _check_encoding(self) -> None:
        """Refuse what would be taken for something else: nothing here is unpacked or decoded twice."""
        coding = self.headers.get("Content-Encoding", "identity")
        if coding.strip().lower() != "identity":
            raise UnsupportedMediaType(coding, "Send the body without a Content-Encoding.")
        charset = (self._request.content_params or {}).get("charset", "utf-8")
        if charset.strip('" ').lower() not in _CHARSETS:
            raise UnsupportedMediaType(charset, "Send JSON in UTF-8.")

    def _chunks(self) -> bytes:
        if not ends_with_its_input(self.META):
            raise LengthRequired
        try:
            chunks: bytes = self.META["wsgi.input"].read(_limits(self.parser_context).bytes + 1)
        # Each server raises errors of its own for chunks that cannot be read.
        except Exception as error:
            raise ParseError("The chunks of the body cannot be read.") from error
        return chunks

    def _whole(self) -> bytes:
        stream = super().stream
        if stream is None:
            return b""
        most = _limits(self.parser_context).bytes + 1
        raw: bytes = stream.read(most)
        if len(raw) < min(int(self.META["CONTENT_LENGTH"]), most):
            raise ParseError("The body is shorter than its Content-Length.")
        return raw


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
        limits = _limits(parser_context)
        raw = stream.read(limits.bytes + 1)
        if len(raw) > limits.bytes:
            raise BodyTooLarge(limits)
        try:
            return payloads.parse(raw, levels=limits.levels)
        except payloads.InvalidJSON as error:
            raise ParseError(str(error)) from error


def _limits(parser_context: Mapping[str, Any] | None) -> Limits:
    limits: Limits = (parser_context or {}).get("limits", ONE_EVENT)
    return limits


def is_chunked(environ: Mapping[str, Any]) -> bool:
    """Tell whether the request says that its body comes in chunks."""
    return "HTTP_TRANSFER_ENCODING" in environ


def ends_with_its_input(environ: Mapping[str, Any]) -> bool:
    """Tell whether the web server ends the input where the body ends, however that was sent.

    Gunicorn does. Under Django's own server the input goes on with whatever comes next on the connection.
    """
    return bool(environ.get("wsgi.input_terminated"))


def unknown_names(data: Mapping[str, object], known: Collection[str]) -> tuple[list[str], int]:
    """Return the first few names of an object that are not known, cut short, and how many more there are."""
    names = [
        name[:_NAME_LENGTH] for name in islice((name for name in data if name not in known), _MOST_NAMES)
    ]
    return names, len(data) - sum(name in data for name in known) - len(names)


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
