"""Where a webhook may point: the grammar of its URL, and the addresses we are willing to connect to.

Two questions, asked at different times. `normalise_url` answers for the text of a URL, when it is saved and
again when it is sent. `check_address` answers for an address, when a connection is about to be opened. The
first is a courtesy to the person typing; only the second is protection, because names move.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self
from urllib.parse import quote, urlsplit

import idna

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Characters of a URL, before and after normalising, unless the caller says otherwise.
MAX_URL_LENGTH = 2048


def _networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# The tables are spelled out because `ipaddress.is_global` is no policy: it calls multicast, NAT64 and
# IPv4-compatible addresses global, and its answers change between Python releases.
# Source: IANA special-purpose address registries (RFC 6890) and what the large clouds put beside them.
_DENIED_IPV4 = _networks(
    (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of Alibaba Cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent, globally routable by its number
        "169.254.0.0/16",  # link-local, and with it the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relay
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# IPv6 is the other way round: nothing but global unicast, and not all of that. What lies outside (IPv4 in any
# disguise, NAT64, unique local, link-local, multicast) needs no entry.
_GLOBAL_UNICAST_IPV6 = IPv6Network("2000::/3")
_DENIED_IPV6 = _networks(
    (
        "2001::/23",  # Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_LOOPBACK = _networks(("127.0.0.0/8", "::1/128"))


def holds_denied(network: Network) -> bool:
    """Tell whether a network holds an address that is refused unless somebody allows it."""
    if isinstance(network, IPv4Network):
        return any(network.overlaps(denied) for denied in _DENIED_IPV4)
    inside = network.subnet_of(_GLOBAL_UNICAST_IPV6)
    return not inside or any(network.overlaps(denied) for denied in _DENIED_IPV6)


_FIRST_UNPRIVILEGED_PORT = 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Unprivileged ports of services that must not be made to read a stranger's bytes.
_DENIED_PORTS = frozenset(
    (
        *(1433, 1434, 1521, 3050, 3306, 5432, 5433, 26257, 50000),  # SQL databases
        *(5984, 7000, 7001, 7199, 7474, 7687, 8086, 9042, 9160),  # other databases
        *(9200, 9300, 27017, 27018, 27019, 28017),  # document stores and search
        *(6379, 6380, 11211, 16379, 26379),  # Redis, memcached
        *(2181, 4222, 4369, 5671, 5672, 9092, 15672, 25672, 61613, 61616),  # brokers and coordination
        *(2375, 2376, 2377, 2379, 2380, 4243, 6443, 10250, 10255, 10256),  # Docker, etcd, Kubernetes
        *(4646, 8300, 8301, 8302, 8500, 8600),  # Nomad, Consul
        *(1719, 1720, 1723, 5060, 5061),  # telephony, tunnels
        *(2049, 3260, 3659, 4045, 4190),  # file and mail servers
        *(3389, 5900, 5901, 5902, 5985, 5986, 6000),  # remote desktops
        *range(6660, 6670),  # IRC
        *(6566, 6679, 6697, 10080),  # scanners, IRC over TLS, Amanda
    )
)

# Suffixes that mean "inside": reserved by RFC 6761, RFC 6762, RFC 8375 and ICANN, or never delegated and
# widely used at home, at the office and in clusters.
_LOCAL_SUFFIXES = (
    "corp",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "svc",
)

_SPACE_CONTROL_OR_BACKSLASH = re.compile(r"[\x00-\x20\x7f\\]")
_END_OF_AUTHORITY = re.compile(r"[/?]")
# A host in brackets or one without any character that ends or splits an authority; then perhaps a port.
_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:%@]+))(?::(?P<port>[0-9]+))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# RFC 1123 section 2.1, and the underscore that container names have.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# A last label like this makes resolvers read the whole name as a number (URL standard, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_MAX_NAME_LENGTH = 253
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PERCENT_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# What RFC 3986 section 3.3 and 3.4 let stand for itself, and the percent sign of an escape.
_PATH_SAFE = "-._~!$&'()*+,;=:@/%"
_QUERY_SAFE = _PATH_SAFE + "?"
_DOT_SEGMENTS = frozenset((".", ".."))
# No escapes, no dots: nothing a server could read as a path outside the prefix.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_/-]+")


class UrlRefused(ValueError):
    """The URL cannot be a webhook's target. `str(error)` is one sentence for its owner, without the URL."""


class UrlBlocked(UrlRefused):
    """The URL is well-formed, but points at an address or a name that is off limits."""


class AddressBlocked(Exception):
    """The policy does not let us connect to this address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """One place on this machine, plain HTTP: the demo receiver that ships with the service."""

    host: str
    """As it stands in the URL, in lower case and without brackets."""
    port: int
    path_prefix: str

    def __post_init__(self) -> None:
        if not _PLAIN_PATH.fullmatch(self.path_prefix) or not self.path_prefix.endswith("/"):
            raise ValueError("path_prefix: write a plain path that ends with a slash.")


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressPolicy:
    """What may be reached. The default reaches the public internet over HTTPS and nothing else."""

    allowed_networks: tuple[Network, ...] = ()
    """Networks that are open although the table denies them. They widen the table, and nothing else."""
    require_https: bool = True
    own_receiver: Origin | None = None
    """The one hole: this origin, below this path, on the loopback interface."""

    def for_url(self, url: str) -> Self:
        """Return the policy for connections to this very URL: wider by loopback for our own receiver.

        :raises UrlRefused: the URL is malformed.
        """
        if self.own_receiver is None or not _is_below(_parse(url), self.own_receiver):
            return self
        return replace(self, allowed_networks=self.allowed_networks + _LOOPBACK)

    def allows_expressly(self, address: Address) -> bool:
        """Whether the address is open because somebody said so, not because the table lets it pass."""
        return any(address in network for network in self.allowed_networks)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Url:
    scheme: str
    host: str
    port: int
    path: str
    query: str

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.host_in_brackets}{port}{self.path}{query}"

    @property
    def host_in_brackets(self) -> str:
        """The host as a URL spells it: an IPv6 address in brackets, all else as it is."""
        return f"[{self.host}]" if ":" in self.host else self.host


def normalise_url(raw: str, policy: AddressPolicy, *, max_length: int = MAX_URL_LENGTH) -> str:
    """Return the URL as it will be stored and sent, byte for byte.

    The result is plain ASCII of so narrow a grammar that no two parsers can read it differently, and it
    normalises to itself.

    :raises UrlBlocked: it points at an address, a name or a network that is off limits.
    :raises UrlRefused: it is malformed, or its scheme or port is not allowed.
    """
    if len(raw) > max_length:
        raise UrlRefused(f"The URL is longer than {max_length} characters.")
    url = _parse(raw)
    if policy.own_receiver is None or not _is_below(url, policy.own_receiver):
        _check_scheme(url.scheme, policy)
        _check_port(url)
        _check_host(url.host, policy)
    normalised = str(url)
    if len(normalised) > max_length:
        raise UrlRefused(f"The URL is longer than {max_length} characters once its characters are escaped.")
    return normalised


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, and nothing else of it; no text where it is malformed."""
    try:
        found = _parse(url)
    except UrlRefused:
        return ""
    return f"{found.scheme}://{found.host_in_brackets}:{found.port}"


def endpoint(url: str) -> tuple[str, int]:
    """Return host and port of a URL that has been normalised."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]


def check_address(address: str, policy: AddressPolicy) -> None:
    """Return quietly if we may connect to this address, written as a resolver returns it.

    :raises AddressBlocked: we may not, or it is not an address; scope ids (`fe80::1%eth0`) are never one.
    """
    parsed = as_address(address)
    if parsed is None:
        raise AddressBlocked("not an address")
    if _is_denied(parsed) and not policy.allows_expressly(parsed):
        raise AddressBlocked("not a public address")


def as_address(host: str) -> Address | None:
    """Return the address that a host literal is, without brackets; None for a name or a scoped address."""
    if "%" in host:
        return None
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_denied(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return any(address in network for network in _DENIED_IPV4)
    return address not in _GLOBAL_UNICAST_IPV6 or any(address in network for network in _DENIED_IPV6)


def _is_below(url: _Url, origin: Origin) -> bool:
    return (
        (url.scheme, url.host, url.port) == ("http", origin.host, origin.port)
        and url.path.startswith(origin.path_prefix)
        and _PLAIN_PATH.fullmatch(url.path) is not None
    )


def _check_scheme(scheme: str, policy: AddressPolicy) -> None:
    if policy.require_https and scheme != "https":
        raise UrlRefused("The URL must start with https://.")


def _check_port(url: _Url) -> None:
    if url.port in _DEFAULT_PORTS.values():
        return
    if url.port < _FIRST_UNPRIVILEGED_PORT or url.port in _DENIED_PORTS:
        raise UrlRefused(f"Port {url.port} is not open to webhooks.")


def _check_host(host: str, policy: AddressPolicy) -> None:
    if as_address(host) is not None:
        try:
            check_address(host, policy)
        except AddressBlocked as error:
            raise UrlBlocked("The URL points at an address that is not public.") from error
    # Where private networks are open, their names are too; what they resolve to is checked on connecting.
    elif _is_local_name(host) and not policy.allowed_networks:
        raise UrlBlocked("The URL points at a name that is only known inside a private network.")


def _is_local_name(name: str) -> bool:
    return "." not in name or any(name.endswith(f".{suffix}") for suffix in _LOCAL_SUFFIXES)


def _parse(raw: str) -> _Url:
    """Read an absolute HTTP URL.

    :raises UrlRefused: anything about it is unclear, unusual or not allowed in any webhook's URL.
    """
    if _SPACE_CONTROL_OR_BACKSLASH.search(raw):
        raise UrlRefused("The URL contains a space, a control character or a backslash.")
    scheme, separator, rest = raw.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _DEFAULT_PORTS:
        raise UrlRefused("The URL must start with https:// or http://.")
    if "#" in rest:
        raise UrlRefused("The URL must not have a fragment (the part after #).")
    authority, target = _split(rest, _END_OF_AUTHORITY)
    path, _, query = target.partition("?")
    host, port = _parse_authority(authority)
    return _Url(
        scheme=scheme,
        host=host,
        port=_DEFAULT_PORTS[scheme] if port is None else port,
        path=_parse_path(path),
        query=_escape(query, _QUERY_SAFE),
    )


def _split(text: str, boundary: re.Pattern[str]) -> tuple[str, str]:
    """Split before the first match of `boundary`."""
    match = boundary.search(text)
    return (text, "") if match is None else (text[: match.start()], text[match.start() :])


def _parse_authority(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise UrlRefused("The URL must not contain a user name or a password.")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise UrlRefused("The URL has no valid host and port.")
    ipv6, name, port = match.group("ipv6", "name", "port")
    return _parse_name(name) if ipv6 is None else _parse_ipv6(ipv6), None if port is None else _parse_port(
        port
    )


def _parse_port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise UrlRefused("The URL's port must be a number from 1 to 65535.")
    return int(text)


def _parse_ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError as error:
        raise UrlRefused("The URL's host is not a valid IPv6 address.") from error


def _parse_name(text: str) -> str:
    """Return the host in lower case and ASCII, without a trailing dot; a name or a dotted quad."""
    labels = [_ascii_label(label) for label in text.removesuffix(".").lower().split(".")]
    name = ".".join(labels)
    if len(name) > _MAX_NAME_LENGTH:
        raise UrlRefused(f"The URL's host name is longer than {_MAX_NAME_LENGTH} characters.")
    if _NUMBER.fullmatch(labels[-1]):
        return _parse_ipv4(name)
    return name


def _parse_ipv4(text: str) -> str:
    # IPv4Address takes four decimal numbers without leading zeros. Resolvers also take 127.1, 0177.0.0.1 and
    # 2130706433, and read them as 127.0.0.1.
    try:
        return str(IPv4Address(text))
    except ValueError as error:
        raise UrlRefused("The URL's host ends in a number but is not a valid IPv4 address.") from error


def _ascii_label(label: str) -> str:
    """Return a host label in ASCII, by IDNA 2008 where it is not, and refuse what is no host label."""
    if not label.isascii() or label.startswith("xn--"):
        try:
            label = idna.alabel(label).decode("ascii")
        except UnicodeError as error:
            raise UrlRefused("The URL's host is not a valid international domain name.") from error
    if not _LABEL.fullmatch(label):
        raise UrlRefused("The URL's host is not a valid domain name.")
    return label


def _parse_path(path: str) -> str:
    escaped = _escape(path, _PATH_SAFE) or "/"
    # Clients and servers disagree on who resolves these, and what is sent must be what is stored.
    if any(segment.replace("%2E", ".") in _DOT_SEGMENTS for segment in escaped.split("/")):
        raise UrlRefused("The URL's path must not contain the segments . or .. between its slashes.")
    return escaped


def _escape(text: str, safe: str) -> str:
    """Escape what RFC 3986 does not let stand, and write every escape in upper case."""
    if not text.isascii():
        raise UrlRefused("The URL contains characters beyond ASCII; write them percent-encoded.")
    whole = _STRAY_PERCENT.sub("%25", text)
    return _PERCENT_ESCAPE.sub(lambda match: match.group().upper(), quote(whole, safe=safe))
