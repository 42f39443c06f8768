"""Types for argparse: what a person writes on the command line, and what to say when it is wrong."""

import re
from argparse import ArgumentTypeError
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from deliveries.models import Scope

# `isdigit` and `int` know digits of every script, and a number of any length is an error only further on.
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,4}")
MOST = 99_999
# A name or an IPv4 address; whether it means anything the network says.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def name(text: str) -> str:
    """Read a name for people."""
    if not 0 < len(text) <= 255:
        raise ArgumentTypeError("write a name of 1 to 255 characters")
    return text


def days(text: str) -> timedelta:
    """Read a number of days."""
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ArgumentTypeError("write a whole number of days, from 1 to 99999")
    return timedelta(days=int(text))


def whole_number(text: str) -> int:
    """Read how many."""
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ArgumentTypeError("write a whole number, from 1 to 99999")
    return int(text)


def whole_number_or_none(text: str) -> int:
    """Read how many, where none is a number as well."""
    if text != "0" and not _WHOLE_NUMBER.fullmatch(text):
        raise ArgumentTypeError("write a whole number, from 0 to 99999")
    return int(text)


def address(text: str) -> tuple[str, int]:
    """Read where to listen: a host and a port, 0 for any that is free."""
    host, _, port = text.rpartition(":")
    if not host or ":" in host or not (port == "0" or _WHOLE_NUMBER.fullmatch(port)) or int(port) > 65535:
        raise ArgumentTypeError("write a host and a port, such as 127.0.0.1:9000; port 0 is any that is free")
    return host, int(port)


def host(text: str) -> str:
    """Read the name or the address of a machine."""
    if not _HOST.fullmatch(text):
        raise ArgumentTypeError("write a host without a port, such as 10.1.2.3 or verify.example.com")
    return text


def seconds(text: str) -> timedelta:
    """Read a number of seconds."""
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ArgumentTypeError("write a whole number of seconds, from 1 to 99999")
    return timedelta(seconds=int(text))


def duration(text: str) -> timedelta:
    """Read how long something is to last: 90s, 30m, 2h or 1d."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not _WHOLE_NUMBER.fullmatch(number):
        raise ArgumentTypeError("write how long, such as 90s, 30m, 2h or 1d")
    return int(number) * _UNITS[unit]


def moment(text: str) -> datetime:
    """Read a moment in ISO 8601, which must say its zone: the server's own is nobody's business."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise ArgumentTypeError("write a moment with its zone, such as 2026-03-15T10:00:00Z")
    return read


def since(text: str) -> timedelta | datetime:
    """Read from when on: how long ago, or a moment."""
    for read in (duration, moment):
        with suppress(ArgumentTypeError):
            return read(text)
    raise ArgumentTypeError(
        "write how long ago, such as 15m or 2h, or a moment with its zone, such as 2026-03-15T10:00:00Z"
    )


def uuid(text: str) -> UUID:
    """Read an id."""
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError("write an id such as 0b97ce11-b6e0-49b4-8f92-68040aa324bf") from None


def scope(text: str) -> Scope:
    """Read a scope."""
    try:
        return Scope(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not a scope; there are {', '.join(Scope)}") from None
