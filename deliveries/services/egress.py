"""Where we may send to, and what sends: the address policy of this installation, and its engine."""

import resource
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings

from deliveries.addresses import AddressPolicy, Network, Origin
from deliveries.transport import RequestsTransport, Transport, versions

if TYPE_CHECKING:
    from deliveries.transport.curl_engine import CurlTransport

# With more than anybody needs, whatever goes through all files there may be would take long.
MOST_FILES = 65536


def policy() -> AddressPolicy:
    """Return the policy the settings ask for; the same one at save and at every connect."""
    return _policy(
        settings.WEBHOOKS_ALLOWED_NETWORKS, settings.WEBHOOKS_REQUIRE_HTTPS, settings.WEBHOOKS_DEMO_RECEIVER
    )


def transport(*, slots: int) -> Transport:
    """Return an engine for the caller's thread, with room for so many exchanges at once."""
    engine: type[RequestsTransport] | type[CurlTransport]
    engine = RequestsTransport if settings.WEBHOOKS_TRANSPORT == "requests" else _curl()
    return engine(policy=policy(), slots=slots, ca_file=settings.WEBHOOKS_CA_BUNDLE or None)


def version() -> str:
    """Return the name of the engine, and the versions of what it rests on."""
    name = settings.WEBHOOKS_TRANSPORT
    try:
        return f"{name}: {versions.of_requests() if name == 'requests' else versions.of_curl()}"
    except ImportError:
        return f"{name}, which is not installed"


def _curl() -> "type[CurlTransport]":
    # Only where it is wanted: pycurl is not to be had everywhere. Without it nothing starts: see `checks`.
    from deliveries.transport.curl_engine import CurlTransport

    return CurlTransport


def allow_many_files() -> None:
    """Let this process open as many files as it may be: each connection is one, and many are kept.

    Some systems let a process have a thousand unless it asks for more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@lru_cache(maxsize=8)
def _policy(allowed: tuple[Network, ...], require_https: bool, demo_receiver: str) -> AddressPolicy:
    return AddressPolicy(
        allowed_networks=allowed, require_https=require_https, own_receiver=_origin(demo_receiver)
    )


def _origin(url: str) -> Origin | None:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        return None
    return Origin(host=parts.hostname, port=parts.port, path_prefix=parts.path)
