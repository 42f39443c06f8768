"""Exchanges on a page: an attempt with its request, its answer and where its time went; and two compared."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils.safestring import SafeString

from deliveries.admin import bodies, curl, signs
from deliveries.models import Attempt

# The bar of where the time went, in its own units.
WIDTH = 600
# Lines of each side that are compared: what that takes grows with the square of them.
MOST_LINES = 500
# Of a larger body each command is on a page of its own: that of a delivery would have the body fifty times.
LARGEST_INLINE = 8 * 1024


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of an attempt's time."""

    kind: str
    name: str
    milliseconds: float
    x: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """An attempt as a page shows it. What only some may see is None for the others."""

    attempt: Attempt
    badge: SafeString
    milliseconds: float
    stretches: Sequence[Stretch]
    request_headers: Sequence[tuple[str, str]]
    response_headers: Sequence[tuple[str, str]] | None
    response_body: SafeString | None
    command: str | None
    command_elsewhere: bool


def exchange(attempt: Attempt, *, body: bytes | None) -> Exchange:
    """Return an attempt as a page shows it.

    :param body: what was sent; None where whoever looks may see no bodies.
    """
    seen = body is not None
    large = body is not None and len(body) > LARGEST_INLINE
    return Exchange(
        attempt=attempt,
        badge=outcome(attempt),
        milliseconds=attempt.duration / timedelta(milliseconds=1),
        stretches=list(_stretches(attempt)),
        request_headers=sorted(attempt.request_headers.items()),
        response_headers=sorted((attempt.response_headers or {}).items()) if seen else None,
        response_body=bodies.render_answer(attempt.response_body) if seen else None,
        command=None if body is None or large else curl.command(attempt, body),
        command_elsewhere=large,
    )


def outcome(attempt: Attempt) -> SafeString:
    """Return what came of an attempt as a badge."""
    sign = signs.Sign.WELL if attempt.succeeded else signs.Sign.WRONG
    return signs.badge(sign, f"HTTP {attempt.http_status}" if attempt.http_status else attempt.error)


def _stretches(attempt: Attempt) -> Iterator[Stretch]:
    """Yield where the time went: what is ours and the network's, and how long the receiver thought."""
    total = attempt.duration / timedelta(milliseconds=1)
    known = (
        ("dns", "Name", attempt.dns_us),
        ("connect", "Connection", attempt.connect_us),
        ("tls", "TLS", attempt.tls_us),
        ("first", "Waiting for the receiver", attempt.first_byte_us),
    )
    passed = 0.0
    for kind, name, microseconds in known:
        if microseconds is None:
            continue
        took = min(microseconds / 1000, total - passed)
        yield _stretch(kind, name, took, passed, total)
        passed += took
    if total - passed > 0:
        yield _stretch("rest", "The rest: sending, and reading the answer", total - passed, passed, total)


def _stretch(kind: str, name: str, took: float, passed: float, total: float) -> Stretch:
    return Stretch(
        kind=kind,
        name=name,
        milliseconds=round(took, 1),
        x=round(WIDTH * passed / total, 1),
        width=round(WIDTH * took / total, 1),
    )


@dataclass(frozen=True)
class Change:
    """A line of a comparison: of the first, of the second, or of both."""

    kind: str
    sign: str
    text: str


def differences(first: Attempt, second: Attempt, *, with_answers: bool) -> list[tuple[str, list[Change]]]:
    """Return what two attempts of a delivery have in common and where they differ, part by part.

    :param with_answers: whether whoever looks may see what came back.
    """
    parts = [
        ("What it came to", _summary(first), _summary(second)),
        ("Request headers", _headers(first.request_headers), _headers(second.request_headers)),
    ]
    if with_answers:
        parts += [
            ("Response headers", _headers(first.response_headers), _headers(second.response_headers)),
            ("Response body", _body(first), _body(second)),
        ]
    return [(name, list(_compared(a, b))) for name, a, b in parts]


def _compared(first: Sequence[str], second: Sequence[str]) -> Iterator[Change]:
    """Yield whole lines. To look for what is alike within them takes `ndiff` half a minute for some 200."""
    a, b = first[:MOST_LINES], second[:MOST_LINES]
    for kind, begin, end, its_begin, its_end in difflib.SequenceMatcher(None, a, b).get_opcodes():
        if kind == "equal":
            yield from (Change("same", " ", line) for line in a[begin:end])
        else:
            yield from (Change("gone", "−", line) for line in a[begin:end])
            yield from (Change("new", "+", line) for line in b[its_begin:its_end])
    if len(a) < len(first) or len(b) < len(second):
        yield Change("same", "…", f"Only the first {MOST_LINES} lines of each are compared.")


def _summary(attempt: Attempt) -> list[str]:
    return [
        f"URL: {attempt.http_method} {attempt.url}",
        f"Address: {attempt.remote_address or '-'}",
        f"Outcome: {attempt.http_status or attempt.error}",
        f"Duration: {attempt.duration / timedelta(milliseconds=1):.0f} ms",
    ]


def _headers(headers: Any) -> list[str]:
    return [f"{name}: {value}" for name, value in sorted((headers or {}).items())]


def _body(attempt: Attempt) -> list[str]:
    text = bodies.readable(bytes(attempt.response_body or b""))[: bodies.SHOWN]
    return text.splitlines()
