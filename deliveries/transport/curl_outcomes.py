"""What a try with libcurl came to, in the words every engine uses."""

import pycurl

from deliveries.reasons import Reason
from deliveries.transport import chunks, incoming
from deliveries.transport.base import KEEP_LIMIT, Reply, TransportError
from deliveries.transport.curl_handles import Handle

# No answer, or not all of it: the receiver hung up. libcurl says so of a reset, too, that is why `_broken`
# looks for garbage first.
_CLOSED = frozenset((pycurl.E_GOT_NOTHING, pycurl.E_PARTIAL_FILE, pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR))
# The connection stood, and libcurl could not take it, or not open the file of authorities.
_SHORT = frozenset((pycurl.E_COULDNT_CONNECT, pycurl.E_OUT_OF_MEMORY, pycurl.E_SSL_CACERT_BADFILE))


def outcome(handle: Handle, code: int, *, encrypted: bool) -> Reply | TransportError:
    """Return what came of a try that ended with this code of libcurl, 0 where it saw nothing wrong."""
    if handle.connection is None:
        return TransportError(_never_sent(handle, code, encrypted=encrypted))
    if handle.invalid:
        return TransportError(Reason.INVALID_RESPONSE)
    if handle.enough or (code == 0 and handle.complete):
        return _reply(handle)
    if code == 0 or (code in _CLOSED and not _is_garbage(handle)):
        return TransportError(Reason.CONNECTION_CLOSED)
    return TransportError(Reason.INVALID_RESPONSE)


def late(handle: Handle | None) -> TransportError:
    """Return what it is called that the deadline came first."""
    sent = handle is not None and handle.connection is not None
    return TransportError(Reason.RESPONSE_TOO_SLOW if sent else Reason.CONNECTION_TIMEOUT)


def _never_sent(handle: Handle, code: int, *, encrypted: bool) -> Reason:
    if code in _SHORT:
        return Reason.NO_RESOURCES
    if code == pycurl.E_URL_MALFORMAT:
        return Reason.INVALID_REQUEST
    return Reason.TLS_FAILED if encrypted else Reason.CONNECTION_CLOSED


def _is_garbage(handle: Handle) -> bool:
    return handle.chunked and _content(handle) is None


def _content(handle: Handle) -> bytes | None:
    try:
        return chunks.decode(handle.body, keep=KEEP_LIMIT)
    except ValueError:
        return None


def _reply(handle: Handle) -> Reply | TransportError:
    content = _content(handle) if handle.chunked else bytes(handle.body)
    if content is None:
        return TransportError(Reason.INVALID_RESPONSE)
    return Reply(
        http_status=handle.status,
        headers=incoming.kept_headers(_split(line) for line in handle.lines),
        body=content,
    )


def _split(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name, value
