"""Which headers a webhook's owner may add to its requests, which stay ours, and which nobody is shown."""

import re
from collections.abc import Iterator, Mapping

MAX_HEADERS = 20
MAX_VALUE = 1024
# What is shown instead of a value that may be a credential.
MASK = "***"

# RFC 9110, 5.6.2: a field name is a token.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_VALUE = re.compile(r"[\x20-\x7e]*")
# They would change where the request goes, how it is framed, what is signed, or what a cloud's metadata
# service takes for a legitimate caller.
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "metadata",
        "metadata-flavor",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-aws-ec2-metadata-token",
        "x-aws-ec2-metadata-token-ttl-seconds",
    }
)
_OUR_PREFIXES = ("proxy-", "webhook-", "x-webhook-")
# Part of the names people give to headers that hold credentials. One masked too many does no harm.
_SECRET_PARTS = (
    "auth",  # authorization, authentication, X-Auth-User
    "cookie",
    "credential",
    "jwt",
    "key",
    "pass",  # password, passwd, passphrase
    "pwd",
    "secret",
    "session",
    "signature",
    "token",
)

# Headers that say in general terms what is wanted; masking such a value wherever it stands hides nothing.
_NEVER_SECRET = frozenset({"accept", "accept-charset", "accept-language", "cache-control", "pragma"})


def is_value(text: str) -> bool:
    """Tell whether a text can be sent as the value of a header, unchanged."""
    return len(text) <= MAX_VALUE and bool(_VALUE.fullmatch(text)) and text == text.strip()


def problems(headers: Mapping[str, str]) -> list[str]:
    """Return what is wrong with custom headers, a sentence each; nothing where they may be sent."""
    found: list[str] = []
    if len(headers) > MAX_HEADERS:
        found.append(f"At most {MAX_HEADERS} headers are allowed.")
    if len({name.lower() for name in headers}) < len(headers):
        found.append("A header is given twice.")
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            found.append("A header name is 1 to 64 letters, digits and hyphens.")
        elif name.lower() in _OURS or name.lower().startswith(_OUR_PREFIXES):
            found.append(f"The header {name} cannot be set.")
        elif not is_value(value):
            found.append(f"The value of {name} must be at most {MAX_VALUE} visible ASCII characters.")
    return found


def looks_secret(name: str) -> bool:
    """Tell whether a header of this name looks as if its value were a credential."""
    return any(part in name.lower() for part in _SECRET_PARTS)


def confidential(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of headers that are nobody's to read, wherever they stand."""
    for name, value in headers.items():
        if name.lower() not in _NEVER_SECRET:
            yield value
        if looks_secret(name):
            # The token behind the scheme: the Bearer's, say.
            yield value.rpartition(" ")[2]


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers as they may be shown: the values of those masked whose names look like credentials."""
    return {name: MASK if looks_secret(name) else value for name, value in headers.items()}
