"""Typed readers of environment variables. A value that makes no sense stops the start, with a sentence.

A variable may also come from a file: where `SECRET_KEY_FILE` names one, its content is `SECRET_KEY`.
"""

import ipaddress
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

from deliveries.addresses import Network

_T = TypeVar("_T")

_environ = environ.FileAwareEnv()


def text(name: str, default: str = "") -> str:
    """Return a text, without the line end a file gives it."""
    value: str = _environ.str(name, default=default)
    return value.strip()


def texts(name: str, default: Sequence[str] = ()) -> list[str]:
    """Return texts that stand separated by commas."""
    return [part.strip() for part in text(name, ",".join(default)).split(",") if part.strip()]


def choice(name: str, choices: Sequence[str], default: str) -> str:
    """Return one of the choices."""
    return _read(name, default, lambda raw: choices[choices.index(raw)], f"one of {', '.join(choices)}")


def boolean(name: str, default: bool) -> bool:
    """Return true or false; nothing else is taken for either."""
    values = {"true": True, "false": False}
    return _read(name, str(default), lambda raw: values[raw.lower()], "true or false")


def count(name: str, default: int) -> int:
    """Return a whole number of at least 1."""
    return _read(name, str(default), lambda raw: _positive(int(raw)), "a whole number, at least 1")


def seconds(name: str, default: float) -> timedelta:
    """Return a length of time."""
    return _read(name, str(default), _seconds, "a number of seconds above 0")


def delays(name: str, default: Sequence[float]) -> tuple[timedelta, ...]:
    """Return lengths of time that stand separated by commas, at least one."""
    raw_default = ",".join(str(delay) for delay in default)
    form = "numbers of seconds above 0, separated by commas"
    return _read(name, raw_default, lambda raw: tuple(_seconds(part) for part in raw.split(",")), form)


def networks(name: str) -> tuple[Network, ...]:
    """Return networks."""
    form = "networks such as 10.1.0.0/16, separated by commas"
    return tuple(_read_one(name, part, ipaddress.ip_network, form) for part in texts(name))


def database(name: str, default: str) -> dict[str, Any]:
    """Return Django's settings for the database a URL names."""
    settings: dict[str, Any] = _environ.db_url(name, default=default)
    return settings


def _read(name: str, default: str, convert: Callable[[str], _T], form: str) -> _T:
    return _read_one(name, text(name, default), convert, form)


def _read_one(name: str, raw: str, convert: Callable[[str], _T], form: str) -> _T:
    try:
        return convert(raw)
    except (KeyError, OverflowError, ValueError) as error:
        raise ImproperlyConfigured(f"{name}={raw}: write {form}.") from error


def _positive(number: int) -> int:
    if number < 1:
        raise ValueError(number)
    return number


def _seconds(raw: str) -> timedelta:
    length = timedelta(seconds=float(raw))
    if length <= timedelta(0):
        raise ValueError(raw)
    return length
