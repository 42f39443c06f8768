"""What no log line may say: keys, passwords, cookies, signatures, and the private parts of URLs.

First the very secrets this process was started with, wherever they turn up; then whatever looks like one.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

HIDDEN = "***"
# Shorter ones would be found by accident.
_SHORTEST = 6
# What is longer is cut, because looking through it would take a second of everybody's.
LONGEST = 50_000

# The middle of a name and its end. What may be repeated in a pattern has a limit: what a stranger sent may be
# a megabyte that almost fits.
_NAME = (
    r"(?:passw|secret|credential|(?:api|private)[_-]?key|(?:access|auth|csrf\w{0,20})[_-]?token)[\w-]{0,40}"
)
_SECRET_NAME = re.compile(rf"{_NAME}|authorization|cookie|signature", re.IGNORECASE)
# How a value follows its name: in a header, in JSON or Python, inside of another text, a form, a list.
_COLON = r"""\\?["']?\s{0,4}[:=]\s{0,4}"""
_IS = rf"""{_COLON}\[?\\?["']?"""
# A pair as Python shows one.
_FIRST_OF_PAIR = rf"""\(b?\\?["'][\w-]{{0,40}}?(?:{_NAME}|authorization|cookie)\\?["'],\s{{0,4}}b?"""
# All between two marks of quotation, or of a list; without any as far as a word goes.
_VALUE = r"""(?(mark)(?:(?!(?P=mark))(?:\\.|[^\r\n]))*|(?!\*\*\*)(?:\[[^\]]*|[^\s"',;&}\]\\]+))"""
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), by)
    for pattern, by in (
        (r"(whk_[0-9a-f]{12}_)[0-9a-f]+", r"\1..."),  # an API key: see ApiKeyQuerySet.issue
        (r"(whsec_)[a-z0-9+/=_-]{8,}", rf"\1{HIDDEN}"),
        (r"\b(v1a?,)[a-z0-9+/=]{20,}", rf"\1{HIDDEN}"),
        (r"(://)[^/\s\"'<>@]{0,256}@", rf"\1{HIDDEN}@"),
        (r"([^\s\"'<>?(,]\?)[^\s\"'<>]+", rf"\1{HIDDEN}"),  # the query of a URL, or of a path
        (r"(&(?:token|key|sig|signature|session(?:id)?)=)[^\s\"'<>&]+", rf"\1{HIDDEN}"),  # of a form
        (rf"(authorization{_IS})[^\"'\r\n}}\\]+", rf"\1{HIDDEN}"),
        (rf"(cookie{_IS})[^\"'\r\n}}\\]+", rf"\1{HIDDEN}"),
        (r"\b(bearer\s{1,4})[a-z0-9._~+/=-]{8,}", rf"\1{HIDDEN}"),
        (rf"({_NAME}{_COLON}(?P<mark>\\?[\"'])?){_VALUE}", rf"\1{HIDDEN}"),
        (rf"({_FIRST_OF_PAIR}(?P<mark>\\?[\"'])){_VALUE}", rf"\1{HIDDEN}"),
    )
)
# One of these is in every text that one of those fits.
_MARKS = (
    *("whk_", "whsec_", "v1,", "v1a,", "://", "?", "&", "authorization", "cookie", "bearer"),
    *("passw", "secret", "credential", "api", "private", "token"),
)


def redact(text: str) -> str:
    """Return a text without what is secret in it, cut where it is very long.

    Most texts hold nothing and come back at once.
    """
    for secret in _own():
        if secret in text:
            text = text.replace(secret, HIDDEN)
    lower = text.lower()
    for mark in _MARKS:
        if mark in lower:
            break
    else:
        return text
    length = len(text)
    text = text[:LONGEST]
    for pattern, by in _PATTERNS:
        text = pattern.sub(by, text)
    return text if length <= LONGEST else f"{text}... ({length} characters)"


def redact_value(name: str, value: object) -> object:
    """Return what a log line may say under a name: numbers as they are, all else as text without secrets."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(key): redact_value(str(key), each) for key, each in value.items()}
    if isinstance(value, tuple) and len(value) == 2:
        return [redact_value(name, value[0]), redact_value(str(value[0]), value[1])]
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(name, each) for each in value]
    return redact(str(value))


@cache
def _own() -> tuple[str, ...]:
    """Return the secrets of this process's settings, as they are and as a URL spells them."""
    secrets = [*settings.ENCRYPTION_KEYS, settings.WEBHOOKS_METRICS_TOKEN]
    # Where there is none yet, Django raises what is about to be logged.
    with suppress(ImproperlyConfigured):
        secrets.append(settings.SECRET_KEY)
    passwords = [settings.DATABASES["default"].get("PASSWORD"), urlsplit(settings.REDIS_URL).password]
    for password in filter(None, passwords):
        secrets += [password, quote(password, safe=""), unquote(password)]
    return tuple(sorted({each for each in secrets if len(each) >= _SHORTEST}, key=len, reverse=True))
