"""Where a request comes from: the one thing that tells a stranger from the person whose name they know."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest

# Whoever has one IPv6 address has the whole network it is in.
_IPV6_NETWORK = 64
# What a proxy says it has passed on; who asks through one is not this machine.
_PASSED_ON = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


def address(request: HttpRequest) -> str | None:
    """Return the client's address, an IPv6 one as its network's; None behind a socket that has no addresses.

    Each of the TRUSTED_PROXIES in front adds to X-Forwarded-For whom it heard the request from. So that many
    entries, counted from the end, are theirs to say; what stands before them anybody may have written.
    """
    peer = _normal(request.META.get("REMOTE_ADDR", ""))
    if not settings.TRUSTED_PROXIES:
        return peer
    entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if len(entries) < settings.TRUSTED_PROXIES:
        return peer
    return _normal(entries[-settings.TRUSTED_PROXIES]) or peer


def comes_from_here(request: HttpRequest) -> bool:
    """Tell whether a request was sent on this machine, and by no proxy that passed it on."""
    try:
        peer = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return peer.is_loopback and not any(name in request.headers for name in _PASSED_ON)


def _normal(text: str) -> str | None:
    try:
        found = ipaddress.ip_address(_without_port(text.strip()))
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), _IPV6_NETWORK), strict=False).network_address)


def _without_port(text: str) -> str:
    """Return the address of "192.0.2.1:443" or "[2001:db8::1]:443", which some proxies write."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
