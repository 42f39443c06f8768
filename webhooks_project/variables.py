"""What the settings have read from the environment, as it may be shown: nothing secret is kept here.

Each reader of `env` notes what it reads, so that no list of variables can be out of step with the settings.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

HIDDEN = "set, not shown"
# What begins so is meant for us.
PREFIX = "WEBHOOKS_"

# Such a name is enough, should its reader have forgotten to say that it is secret.
_SECRET_NAME = re.compile("CREDENTIAL|KEY|PASSW|SECRET|TOKEN")
_USER = re.compile(r"(://)[^\s,]*@")

Show = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A variable as it was read.

    :param value: what was given, or else the default, without what is secret in it.
    :param changed: whether that means something else than the default.
    """

    name: str
    value: str
    default: str
    changed: bool


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a process was started with.

    :param read: the variables that were read, by name.
    :param unread: the names that begin like ours, and that nothing has read.
    """

    read: tuple[Variable, ...]
    unread: tuple[str, ...]


_noted: dict[str, Variable] = {}


def note(name: str, *, value: str, default: str, changed: bool, show: Show) -> None:
    """Note that a variable was read.

    :param show: takes out what is secret.
    """
    shown = hidden(value) if _SECRET_NAME.search(name) else show(value)
    _noted[name] = Variable(name=name, value=shown, default=default, changed=changed)


def environment(names: Iterable[str]) -> Environment:
    """Return what was read so far.

    :param names: of all there is to read.
    """
    known = {f"{name}{ending}" for name in _noted for ending in ("", "_FILE")}
    return Environment(
        read=tuple(_noted[name] for name in sorted(_noted)),
        unread=tuple(sorted(name for name in names if name.startswith(PREFIX) and name not in known)),
    )


def plain(value: str) -> str:
    """Return a value as it stands, but for the users of URLs in it."""
    return _USER.sub(r"\1***@", value)


def hidden(value: str) -> str:
    """Return nothing of a value but that there is one."""
    return HIDDEN if value else ""


def without_user(url: str) -> str:
    """Return a URL without its user, its password and its query, any of which may be secret."""
    if not url:
        return ""
    parts = urlsplit(url)
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        # The user may have begun before what looks like the path.
        return HIDDEN
    _, at, host = parts.netloc.rpartition("@")
    rest = "?***" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{'***' if at else ''}{at}{host}{parts.path}{rest}"
