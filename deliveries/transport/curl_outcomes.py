"""What a try with libcurl came to, in the words every engine uses."""

import pycurl

from deliveries.reasons import Reason
from deliveries.transport import chunks, incoming
from deliveries.transport.base import KEEP_LIMIT, Reply, TransportError
from deliveries.transport.curl_answers import Answer
from deliveries.transport.curl_handles import Handle

# The connection broke: it was reset, or what came on it was no TLS, or no body.
_BROKEN = frozenset((pycurl.E_RECV_ERROR, pycurl.E_SEND_ERROR))
# No answer, or not all of it: the receiver hung up, unless it is garbage.
_CLOSED = _BROKEN | {pycurl.E_GOT_NOTHING, pycurl.E_PARTIAL_FILE}
# The connection stood, and libcurl could not take it, or not open its file of authorities, with which nothing
# else can be wrong. That memory is out is none of these: libcurl says so, too, of a certificate with an empty
# name, which is the receiver's doing.
_SHORT = frozenset((pycurl.E_COULDNT_CONNECT, pycurl.E_SSL_CACERT_BADFILE))


def outcome(handle: Handle, code: int) -> Reply | TransportError:
    """Return what came of a try that ended with this code of libcurl, 0 where it saw nothing wrong."""
    if handle.connection is None:
        return TransportError(_never_sent(handle, code))
    answer = handle.answer
    if answer.invalid:
        return TransportError(Reason.INVALID_RESPONSE)
    if answer.enough or (code == 0 and answer.complete):
        return _reply(answer)
    if handle.is_encrypted and code in _BROKEN and _is_alert(handle):
        return TransportError(Reason.TLS_FAILED)
    if code == 0 or (code in _CLOSED and not _is_garbage(answer)):
        return TransportError(Reason.CONNECTION_CLOSED)
    return TransportError(Reason.INVALID_RESPONSE)


def late(handle: Handle) -> TransportError:
    """Return what it is called that the deadline came first."""
    sent = handle.connection is not None
    return TransportError(Reason.RESPONSE_TOO_SLOW if sent else Reason.CONNECTION_TIMEOUT)


def _never_sent(handle: Handle, code: int) -> Reason:
    if code in _SHORT:
        return Reason.NO_RESOURCES
    if code == pycurl.E_URL_MALFORMAT:
        return Reason.INVALID_REQUEST
    return Reason.TLS_FAILED if handle.is_encrypted else Reason.CONNECTION_CLOSED


def _is_alert(handle: Handle) -> bool:
    """Whether the receiver said by TLS that it will not go on.

    In TLS 1.3 that may come after the handshake: of a certificate it would have had from us.
    """
    return " alert " in handle.easy.errstr()


def _is_garbage(answer: Answer) -> bool:
    return answer.chunked and _content(answer) is None


def _content(answer: Answer) -> bytes | None:
    try:
        return chunks.decode(answer.body, keep=KEEP_LIMIT)
    except ValueError:
        return None


def _reply(answer: Answer) -> Reply | TransportError:
    content = _content(answer) if answer.chunked else bytes(answer.body)
    if content is None:
        return TransportError(Reason.INVALID_RESPONSE)
    return Reply(
        http_status=answer.status,
        headers=incoming.kept_headers(_split(line) for line in answer.lines),
        body=content,
    )


def _split(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name, value
