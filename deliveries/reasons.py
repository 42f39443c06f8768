"""Why an attempt failed: the closed list of codes, and the words people read."""

from enum import StrEnum


class Reason(StrEnum):
    """A reason code. Stored, filtered and counted by; the text for people is `describe()`."""

    BLOCKED_ADDRESS = "blocked_address"
    CANCELLED = "cancelled"
    CONNECTION_CLOSED = "connection_closed"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TIMEOUT = "connection_timeout"
    DNS_FAILED = "dns_failed"
    HTTP_STATUS = "http_status"
    INVALID_REQUEST = "invalid_request"
    INVALID_RESPONSE = "invalid_response"
    NO_RESOURCES = "no_resources"
    RESPONSE_TOO_SLOW = "response_too_slow"
    TLS_FAILED = "tls_failed"
    WORKER_KILLED = "worker_killed"


_TEXTS = {
    Reason.BLOCKED_ADDRESS: "Blocked address",
    Reason.CANCELLED: "Cancelled",
    Reason.CONNECTION_CLOSED: "Connection closed",
    Reason.CONNECTION_REFUSED: "Connection refused",
    Reason.CONNECTION_TIMEOUT: "Connection timeout",
    Reason.DNS_FAILED: "DNS lookup failed",
    Reason.INVALID_REQUEST: "Request could not be built",
    Reason.INVALID_RESPONSE: "Invalid response",
    Reason.NO_RESOURCES: "This machine is out of resources",
    Reason.RESPONSE_TOO_SLOW: "Response too slow",
    Reason.TLS_FAILED: "TLS handshake failed",
    Reason.WORKER_KILLED: "Worker stopped during the attempt",
}


def describe(reason: Reason, http_status: int | None = None) -> str:
    """Return the short text for people, as the failures API prints it: "Connection timeout", "HTTP 503"."""
    if reason is Reason.HTTP_STATUS:
        return f"HTTP {http_status}"
    return _TEXTS[reason]
