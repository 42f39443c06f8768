"""What may have been signed: the content that is to be, and others that somebody may have put together."""

from collections.abc import Iterator
from typing import NamedTuple

from deliveries.services.inspecting import changes

# Bytes shown of the beginning of what is signed, and of its end.
_HEAD = 400
_TAIL = 100
# What cannot be seen, as something that can.
_SPELT = {
    **{code: f"<U+{code:04X}>" for code in (*range(0x20), *range(0x7F, 0xA1), 0xAD, 0xFEFF)},
    **{ord("\n"): "<LF>", ord("\r"): "<CR>", ord("\t"): "<TAB>"},
}


class Content(NamedTuple):
    """Bytes that may have been signed.

    :ivar change: how the body in them differs from the one that was pasted: see `changes`.
    :ivar way: how they are put together, in words that complete "It was signed"; none if as they are to be.
    """

    signed: bytes
    change: str = ""
    way: str = ""


def right(message_id: str, timestamp: str, body: bytes) -> bytes:
    """Return what is to be signed."""
    return b".".join((_bytes(message_id), _bytes(timestamp), body))


def spelt(signed: bytes) -> str:
    """Return the beginning and the end of what is signed, as text in which everything can be seen."""
    left_out = len(signed) - _HEAD - _TAIL
    if left_out <= 0:
        return _visible(signed)
    return f"{_visible(signed[:_HEAD])} [... {left_out:,} bytes ...] {_visible(signed[-_TAIL:])}"


def likely(message_id: str, timestamp: str, body: bytes) -> Iterator[Content]:
    """Yield the right content, those of other bodies, and those put together in another way.

    An id or a timestamp that is missing is an empty text.
    """
    if message_id and timestamp:
        yield Content(right(message_id, timestamp, body))
        for changed, words in changes.likely(body):
            yield Content(right(message_id, timestamp, changed), change=words)
        yield from _with_other_parts(message_id, timestamp, body)
        swapped = right(timestamp, message_id, body)
        yield Content(swapped, way="with the timestamp before the id")
    if timestamp:
        yield Content(b".".join((_bytes(timestamp), body)), way="without the id")
    if message_id:
        yield Content(b".".join((_bytes(message_id), body)), way="without the timestamp")
    yield Content(body, way="without the id and the timestamp")


def _with_other_parts(message_id: str, timestamp: str, body: bytes) -> Iterator[Content]:
    for other, words in ((message_id.lower(), "small"), (message_id.upper(), "capital")):
        yield Content(right(other, timestamp, body), way=f"with the id in {words} letters")
    if timestamp.isascii() and timestamp.isdigit():
        yield Content(right(message_id, f"{timestamp}000", body), way="with the timestamp in milliseconds")
        yield Content(right(message_id, timestamp[:-3], body), way="with the timestamp in seconds")


def _bytes(text: str) -> bytes:
    return text.encode(errors="replace")


def _visible(part: bytes) -> str:
    return part.decode(errors="backslashreplace").translate(_SPELT)
