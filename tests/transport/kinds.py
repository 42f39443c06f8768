"""Every kind of slow and of endless answer, by name: for tests of engines, and of whole workers."""

from collections.abc import Callable, Iterable

from tests.transport import hostile
from tests.transport.hostile import CHUNKED, HUGE, OK_HEAD, REDIRECT, Behaviour

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"

# Seconds between two headers, and between two digits of a chunk's size: a hundred of the ones and sixteen of
# the others would be too many, and no longer slow.
_HEADER, _DIGIT = 0.1, 0.4

# What ends at the deadline, and with nothing else.
SLOW: dict[str, Behaviour] = {
    "never answers": hostile.silent,
    "status line": hostile.trickling(b"HTTP/1.1 200 ", b"O"),
    "one long header": hostile.trickling(OK_HEAD + b"x: ", b"a"),
    "many headers": hostile.trickling(OK_HEAD, b"x: y\r\n", every=_HEADER),
    "interim answers": hostile.trickling(b"", INTERIM),
    "status line after interim answer": hostile.trickling(INTERIM + b"HTTP/1.1 200 ", b"O"),
    "headers of an interim answer": hostile.trickling(
        b"HTTP/1.1 103 Early Hints\r\n", b"x: y\r\n", every=_HEADER
    ),
    "body": hostile.trickling(HUGE, b"a"),
    "body until close": hostile.trickling(OK_HEAD + b"\r\n", b"a"),
    "one long chunk": hostile.trickling(CHUNKED + b"ffff\r\n", b"a"),
    "chunks": hostile.trickling(CHUNKED, b"1\r\na\r\n"),
    "chunk size": hostile.trickling(CHUNKED, b"0", every=_DIGIT),
    "chunk extension": hostile.trickling(CHUNKED + b"1;", b"a"),
    "trailers": hostile.trickling(CHUNKED + b"2\r\nok\r\n0\r\n", b"x: y\r\n"),
    "redirect body": hostile.trickling(REDIRECT % b"/" + b"Content-Length: 1000000\r\n\r\n", b"a"),
}

Flood = tuple[bytes, Callable[[], Iterable[bytes]]]
"""How an answer begins, and what follows without end."""

_GZIP = b"Content-Encoding: gzip\r\nContent-Length: 10000000\r\n\r\n"

# Bodies without end: cut off at the limit, and the status counts. By name, with the status.
ENDLESS_BODIES: dict[str, tuple[int, Flood]] = {
    "declared": (200, (HUGE, hostile.endless)),
    "until close": (200, (OK_HEAD + b"\r\n", hostile.endless)),
    "chunked": (200, (CHUNKED, hostile.endless_chunks)),
    "tiny chunks": (200, (CHUNKED, lambda: hostile.endless(b"1\r\na\r\n" * 1000))),
    "chunk extensions": (200, (CHUNKED, lambda: hostile.endless(b"1;%b\r\na\r\n" % (b"e" * 60000)))),
    "trailers": (200, (CHUNKED + b"2\r\nok\r\n0\r\n", lambda: hostile.endless(b"x: y\r\n" * 1000))),
    "gzip": (200, (OK_HEAD + _GZIP, hostile.gzip_bomb)),
    "error": (500, (b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", hostile.endless_chunks)),
    "redirect": (302, (REDIRECT % b"/" + HUGE.partition(b"\r\n")[2], hostile.endless)),
    "redirect, chunked": (
        302,
        (REDIRECT % b"/" + b"Transfer-Encoding: chunked\r\n\r\n", hostile.endless_chunks),
    ),
    "redirect, gzip": (302, (REDIRECT % b"/" + _GZIP, hostile.gzip_bomb)),
    "redirect to nowhere": (302, (REDIRECT % b"http://[::1" + b"\r\n", hostile.endless)),
}

# Headers beyond all measure: no answer at all.
ENDLESS_HEADERS: dict[str, Flood] = {
    "98 of 65 KB": (OK_HEAD, lambda: (b"X-%d: %b\r\n" % (number, b"v" * 65000) for number in range(98))),
    "one of 10 MB": (OK_HEAD + b"X: ", lambda: [b"v" * 65536] * 160),
    "thousands": (OK_HEAD, lambda: [b"X: y\r\n" * 1000] * 100),
    "endless": (OK_HEAD, lambda: hostile.endless(b"X: y\r\n" * 1000)),
    "interim answers": (b"", lambda: hostile.endless(INTERIM * 100)),
}


def flooding(flood: Flood) -> Behaviour:
    """Send a flood as fast as the client reads, to each of its connections anew."""
    start, blocks = flood
    return lambda conversation: hostile.flooding(start, blocks())(conversation)


def pouring(flood: Flood) -> Behaviour:
    """Send a flood step by step: see `hostile.pouring`."""
    start, blocks = flood
    return lambda conversation: hostile.pouring(start, blocks())(conversation)


FLOODS: dict[str, Flood] = {
    **{f"body: {kind}": flood for kind, (_, flood) in ENDLESS_BODIES.items()},
    **{f"headers: {kind}": flood for kind, flood in ENDLESS_HEADERS.items()},
}

# Receivers that never come to the end of a TLS handshake; they speak none themselves.
SLOW_HANDSHAKES: dict[str, Behaviour] = {
    "handshake": hostile.trickling_handshake,
    "no handshake": hostile.not_reading,
}

# Five that do what they should.
WELL: dict[str, Behaviour] = {str(number): hostile.answering(hostile.OK) for number in range(5)}

FAMILIES: dict[str, dict[str, Behaviour]] = {
    "well": WELL,
    "slow": SLOW,
    "slow handshakes": SLOW_HANDSHAKES,
    "floods": {kind: flooding(flood) for kind, flood in FLOODS.items()},
    "paced floods": {kind: pouring(flood) for kind, flood in FLOODS.items()},
}
