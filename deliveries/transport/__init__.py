"""The only package that speaks HTTP. Requests go in, outcomes come out, whatever the engine."""

from deliveries.transport.base import (
    KEEP_LIMIT,
    READ_LIMIT,
    Exchange,
    Reply,
    Request,
    Timings,
    Transport,
    TransportError,
)
from deliveries.transport.requests_engine import RequestsTransport

__all__ = [
    "KEEP_LIMIT",
    "READ_LIMIT",
    "Exchange",
    "Reply",
    "Request",
    "RequestsTransport",
    "Timings",
    "Transport",
    "TransportError",
]
