"""Bodies in the chunked transfer coding (RFC 9112 section 7.1), as far as they have come."""

import re

# Nobody needs a larger chunk than its sixteen digits can say.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
_HEX_DIGITS = b"0123456789ABCDEFabcdef"


def decode(raw: bytes | bytearray, *, keep: int) -> bytes:
    """Return the first `keep` bytes of the content, or what there is of it where the rest has not come.

    :raises ValueError: that is no chunked body.
    """
    content = bytearray()
    at = 0
    while len(content) < keep:
        line = _SIZE_LINE.match(raw, at)
        if line is None:
            if at < len(raw) and raw[at] not in _HEX_DIGITS:
                raise ValueError("no chunk begins like this")
            break
        size = int(line[1], 16)
        if size == 0:
            break
        content += raw[line.end() : line.end() + min(size, keep - len(content))]
        at = line.end() + size
        if raw[at : at + 2] == b"\r\n":
            at += 2
        elif raw[at : at + 1] == b"\n":
            at += 1
        elif at + 2 <= len(raw):
            raise ValueError("a chunk does not end where it should")
        else:
            break
    return bytes(content)
