"""An answer, as libcurl hands it over: line by line, and then part by part."""

import re
from dataclasses import dataclass, field

from deliveries.transport.base import KEEP_LIMIT, READ_LIMIT

# Without a body whatever their headers say, as `connections` has it.
_WITHOUT_BODY = frozenset((204, 304))
_SWITCHING_PROTOCOLS = 101
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] +([1-9][0-9]{2})(?!\S)")
_LENGTH = re.compile(rb"[0-9]{1,19}")


@dataclass(kw_only=True, slots=True, eq=False)
class Answer:
    """As much of one as has come, and is of use."""

    received: int = 0
    """Bytes so far, those included that are only part of a line."""
    status: int = 0
    lines: list[bytes] = field(default_factory=list)
    """Of the headers of the answer proper."""
    complete: bool = False
    """The headers have all come."""
    chunked: bool = False
    body: bytearray = field(default_factory=bytearray)
    """As far as it is of use; chunks as they came."""
    enough: bool = False
    """There is all of the answer we want, whatever may come."""
    invalid: bool = False
    """It is none."""
    _in_headers: bool = False
    _body_bytes: int = 0
    _body_limit: int = READ_LIMIT

    def goes_on_after_line(self, line: bytes) -> bool:
        """Take a line of the headers, and return whether anything more is wanted."""
        self.received += len(line)
        if self.received > READ_LIMIT:
            self.invalid = True
        elif not self._in_headers:
            self._in_headers = True
            status_line = _STATUS_LINE.match(line)
            self.status = int(status_line[1]) if status_line else 0
            self.invalid = self.status in (0, _SWITCHING_PROTOCOLS)
        elif line in (b"\r\n", b"\n"):
            self._end_headers()
        elif self.status >= 200:  # noqa: PLR2004
            self.lines.append(line)
        return not (self.invalid or self.enough)

    def goes_on_after_part(self, part: bytes) -> bool:
        """Take a part of the body, and return whether anything more is wanted."""
        self.received += len(part)
        self._body_bytes += len(part)
        self.body += part[: (READ_LIMIT if self.chunked else KEEP_LIMIT) - len(self.body)]
        if self._body_bytes >= self._body_limit:
            self.enough = True
            del self.body[self._body_limit :]
        return not self.enough

    def _end_headers(self) -> None:
        if self.status < 200:  # noqa: PLR2004 # an interim answer: another one follows (RFC 9110 section 15.2)
            self._in_headers = False
            return
        self.complete = True
        lengths, codings = self._values(b"content-length"), self._values(b"transfer-encoding")
        if self.status in _WITHOUT_BODY:
            # A body that comes all the same would be taken for the beginning of the next answer.
            self.enough = bool(codings) or not lengths <= {b"0"}
            return
        self.invalid = len(lengths) > 1
        self.chunked = b"chunked" in codings
        if codings and not self.chunked:
            self._limit_body(lengths)

    def _limit_body(self, lengths: set[bytes]) -> None:
        """End the body at its length, although a coding is named.

        libcurl waits for the end of the connection then, as it must (RFC 9112 section 6.3). But some
        receivers write `Transfer-Encoding: identity`, which is none any more, and keep their connection.
        """
        for length in lengths:
            if _LENGTH.fullmatch(length):
                self._body_limit = min(READ_LIMIT, int(length))
        self.enough = self._body_limit == 0

    def _values(self, name: bytes) -> set[bytes]:
        """Return the values of a header that is a list."""
        beginning = name + b":"
        return {
            value.strip().lower()
            for line in self.lines
            if line[: len(beginning)].lower() == beginning
            for value in line[len(beginning) :].split(b",")
        }
