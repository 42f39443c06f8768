"""Typed readers of environment variables. A value that makes no sense stops the start, with a sentence.

A variable may also come from a file: where `SECRET_KEY_FILE` names one, its content is `SECRET_KEY`.
"""

import ipaddress
import os
import re
import ssl
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
import limits
from django.core.exceptions import ImproperlyConfigured
from limits import RateLimitItem

from deliveries.addresses import Network
from webhooks_project import variables
from webhooks_project.variables import Environment, Show

_T = TypeVar("_T")

_MOST_DAYS = 36_500
# The library reads more forms, of some of them only a part.
_LIMIT = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
_REDIS_DATABASE = re.compile(r"/?[0-9]{0,5}")
_ENCODED = ", with / ? # @ in the password percent-encoded, / as %2F"


def text(name: str, default: str = "", *, secret: bool = False) -> str:
    """Return a text as it stands, without white space around it, such as the line end of a file."""
    return _read(name, default, str, "a text", show=_shown(secret))


def texts(name: str, default: Sequence[str] = (), *, secret: bool = False) -> list[str]:
    """Return texts that stand separated by commas."""
    return _read(name, ",".join(default), _parts, "texts, separated by commas", show=_shown(secret))


def choice(name: str, choices: Sequence[str], default: str) -> str:
    """Return one of the choices."""
    return _read(name, default, lambda raw: choices[choices.index(raw)], f"one of {', '.join(choices)}")


def has_pycurl() -> bool:
    """Tell whether pycurl is there, on a system where our engine runs. Whether it will do, a check tells."""
    return sys.platform == "linux" and find_spec("pycurl") is not None


def boolean(name: str, default: bool) -> bool:
    """Return true or false; nothing else is taken for either."""
    values = {"true": True, "false": False}
    return _read(name, str(default).lower(), lambda raw: values[raw.lower()], "true or false")


def count(name: str, default: int) -> int:
    """Return a whole number of at least 1."""
    return _read(name, str(default), lambda raw: _between(int(raw), 1, 1_000_000), "a number, at least 1")


def number(name: str, default: int) -> int:
    """Return a whole number, or 0 for none."""
    return _read(name, str(default), lambda raw: _between(int(raw), 0, 100), "a number from 0 to 100")


def days(name: str, default: int) -> timedelta:
    """Return a length of time given in days, at least one and at most a century."""
    form = f"a whole number of days from 1 to {_MOST_DAYS}"
    return _read(name, str(default), lambda raw: timedelta(days=_between(int(raw), 1, _MOST_DAYS)), form)


def seconds(name: str, default: float) -> timedelta:
    """Return a length of time."""
    return _read(name, str(default), _seconds, "a number of seconds above 0")


def delays(name: str, default: Sequence[float]) -> tuple[timedelta, ...]:
    """Return lengths of time that stand separated by commas, at least one."""
    raw_default = ",".join(str(delay) for delay in default)
    form = "numbers of seconds above 0, separated by commas"
    return _read(name, raw_default, lambda raw: tuple(_seconds(part) for part in raw.split(",")), form)


def limit(name: str, default: str) -> RateLimitItem | None:
    """Return how many requests may come in how much time; None, any number, where the value is empty."""
    return _read(name, default, _limit, "a limit such as 600/minute, or nothing for none")


def networks(name: str) -> tuple[Network, ...]:
    """Return networks."""
    form = "networks such as 10.1.0.0/16, separated by commas"

    def read(raw: str) -> tuple[Network, ...]:
        return tuple(_convert(name, part, ipaddress.ip_network, form) for part in _parts(raw))

    return _read(name, "", read, form)


def authorities(name: str) -> str:
    """Return the path of a file of certificates; nothing where none is named."""
    return _read(name, "", _authorities, "the path of a readable file of certificates in PEM")


def database(name: str, default: str) -> dict[str, Any]:
    """Return Django's settings for the database a URL names."""
    form = (
        f"a URL such as postgres://user:password@host/name or sqlite:////var/lib/webhooks.sqlite3{_ENCODED}"
    )
    return _read(name, default, _database, form, show=variables.without_user)


def redis(name: str) -> str:
    """Return the URL of a Redis, as both its clients here read it; nothing where none is named."""
    form = f"a URL such as redis://:password@host:6379/0, or rediss:// for TLS{_ENCODED}"
    return _read(name, "", _redis, form, show=variables.without_user)


def as_read() -> Environment:
    """Return what has been read so far, and what nothing has read yet."""
    return variables.environment(os.environ)


def _read(
    name: str, default: str, convert: Callable[[str], _T], form: str, *, show: Show = variables.plain
) -> _T:
    given = _given(name)
    raw = default.strip() if given is None else given
    secret = show is not variables.plain
    value = _convert(name, raw, convert, form, secret=secret)
    # Two spellings of one value are no change; what is secret is not looked at any closer.
    changed = raw != default.strip() and (secret or value != convert(default))
    variables.note(name, value=raw, default=default, changed=changed, show=show)
    return value


def _given(name: str) -> str | None:
    """Return what the environment says, or the file it names; None where it says nothing."""
    file = os.environ.get(f"{name}_FILE")
    if not file:
        raw = os.environ.get(name)
        return None if raw is None else raw.strip()
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE={file}: it cannot be read: {error}.") from error


def _shown(secret: bool) -> Show:
    return variables.hidden if secret else variables.plain


def _parts(raw: str) -> list[str]:
    return [part.strip() for part in raw.split(",") if part.strip()]


def _convert(name: str, raw: str, convert: Callable[[str], _T], form: str, *, secret: bool = False) -> _T:
    try:
        return convert(raw)
    except (KeyError, OverflowError, ValueError) as error:
        if secret:
            # Its cause would say what was found where a port belongs: a part of the password.
            raise ImproperlyConfigured(f"{name}: write {form}.") from None
        raise ImproperlyConfigured(f"{name}={raw}: write {form}.") from error


def _between(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError(number)
    return number


def _seconds(raw: str) -> timedelta:
    length = timedelta(seconds=float(raw))
    if length <= timedelta(0):
        raise ValueError(raw)
    return length


def _limit(raw: str) -> RateLimitItem | None:
    if not raw:
        return None
    if not _LIMIT.fullmatch(raw):
        raise ValueError(raw)
    return limits.parse(raw)


def _authorities(path: str) -> str:
    if path:
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(path) from error
    return path


def _database(url: str) -> dict[str, Any]:
    if not url.startswith(("postgres://", "postgresql://", "sqlite://")):
        raise ValueError("neither PostgreSQL nor SQLite")
    settings: dict[str, Any] = environ.Env.db_url_config(url)
    if not url.startswith("sqlite://") and "@" in url and not settings["USER"]:
        raise ValueError("a part of the password is taken for the name")
    return settings


def _redis(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError("a part of the password is somewhere else")
    # Celery knows Redis behind a file too, redis-py as well, but not by the same URL.
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("no Redis")
    # The port is looked at for what it raises.
    if parts.port == 0 or not _REDIS_DATABASE.fullmatch(parts.path):
        raise ValueError("no port, or no number of a database")
    return url
