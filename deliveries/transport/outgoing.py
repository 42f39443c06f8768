"""What may be sent: the checks every engine makes before it touches the network."""

import re
from collections.abc import Mapping
from functools import lru_cache

from deliveries.addresses import AddressPolicy, UrlBlocked, UrlRefused, normalise_url
from deliveries.reasons import Reason
from deliveries.transport.base import Request, TransportError

# RFC 9110 section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 section 5.5, without the bytes beyond ASCII, and without white space at the ends.
_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|")
# An engine writes these itself. A second one from outside would let a message be read in two ways.
_ENGINES_OWN = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


def check(request: Request, policy: AddressPolicy) -> AddressPolicy:
    """Return the policy that holds for the request's URL, if the request can be sent exactly as it stands.

    :raises TransportError: BLOCKED_ADDRESS or INVALID_REQUEST.
    """
    policy_for_url = _check_url(request.url, policy)
    if not _TOKEN.fullmatch(request.method) or not _are_sendable(request.headers):
        raise TransportError(Reason.INVALID_REQUEST)
    return policy_for_url


@lru_cache(maxsize=4096)  # the same URLs again and again, and parsing is a tenth of what a send costs
def _check_url(url: str, policy: AddressPolicy) -> AddressPolicy:
    try:
        normalised = normalise_url(url, policy)
    except UrlBlocked as error:
        raise TransportError(Reason.BLOCKED_ADDRESS) from error
    except UrlRefused as error:
        raise TransportError(Reason.INVALID_REQUEST) from error
    # What is sent is what was stored and shown to people.
    if normalised != url:
        raise TransportError(Reason.INVALID_REQUEST)
    return policy.for_url(url)


def _are_sendable(headers: Mapping[str, str]) -> bool:
    return _are_names(*headers) and all(map(_FIELD_VALUE.fullmatch, headers.values()))


@lru_cache(maxsize=4096)  # a webhook's are always the same
def _are_names(*names: str) -> bool:
    lowered = [name.lower() for name in names]
    return (
        len(set(lowered)) == len(lowered)
        and _ENGINES_OWN.isdisjoint(lowered)
        and all(map(_TOKEN.fullmatch, names))
    )
