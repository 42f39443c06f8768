"""The environment the settings are read from: one folder holds all there is, and nothing outside matters."""

import ipaddress
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self
from urllib.parse import quote, urlsplit

from deliveries.management.try_it import words
from deliveries.management.try_it.arguments import HOST, PORT
from deliveries.management.try_it.obstacles import Obstacle
from deliveries.secrets import new_key

# How long a stop waits for requests under way, in seconds.
DRAIN_TIMEOUT = 10
# The flaky receiver takes an event at the third attempt, for which nobody would watch five minutes.
RETRY_DELAYS = "5,5,300,1800,7200,18000,36000,50400,72000,86400"
# And while a receiver is down the next look at it may be watched as well.
CIRCUIT_DELAYS = "5,10,30,60,120,240,480,900"

# What a shell may carry for other programs, and would take us to another database or broker.
_UNWANTED = (
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
    "CSRF_TRUSTED_ORIGINS",
    "REDIS_URL",
    "SECRET_KEY",
    "ENCRYPTION_KEYS",
    "TRUST_X_FORWARDED_PROTO",
)

# The files that hold keys, and what makes one.
_KEYS: Mapping[str, Callable[[], str]] = {
    "secret_key": lambda: secrets.token_urlsafe(48),
    "encryption_keys": new_key,
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the service runs: its folder and its address.

    :param data_dir: absolute.
    :param demo: whether the built-in receiver is there.
    """

    data_dir: Path
    host: str
    port: int
    demo: bool = True

    @classmethod
    def of(cls, folder: Path, url: str, *, demo: bool = True) -> Self:
        """Return where a service runs that has this URL; without one, where it would run."""
        address = urlsplit(url)
        return cls(data_dir=folder, host=address.hostname or HOST, port=address.port or PORT, demo=demo)

    @property
    def url(self) -> str:
        """The service's address for a browser on this machine, without a slash at the end."""
        # As a number, because `localhost` may be read as ::1, where nobody listens.
        host = "127.0.0.1" if self.everywhere or self.host == "localhost" else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def receiver_url(self) -> str:
        """The built-in receiver's address, or nothing where there is none."""
        return f"{self.url}/demo/" if self.demo else ""

    @property
    def everywhere(self) -> bool:
        """Whether the service listens on all addresses of the machine."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - that is the question

    @property
    def reachable_from_itself(self) -> bool:
        """Whether the service listens on the loopback interface, the only local one the sender may reach."""
        if self.everywhere or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def enter(place: Place) -> None:
    """Return with the folder prepared and the settings read from it.

    The settings are read from the environment when Django starts, which has happened by now. So where the
    environment is not the one this place needs, the process starts over in it, and does not return.

    :raises Obstacle: the folder cannot be written to, or the address cannot be the receiver's.
    """
    if place.demo and not place.reachable_from_itself:
        raise Obstacle(
            f"The built-in receiver needs 127.0.0.1, where a service on {place.host} does not listen: "
            f"use `{words.run(place.data_dir, host='0.0.0.0', port=place.port)}`, "  # noqa: S104
            f"or leave the receiver out with `.venv/bin/python manage.py up --no-demo --host {place.host}`."
        )
    _prepare(place.data_dir)
    wanted = variables(place)
    if any(os.environ.get(name) != value for name, value in wanted.items()) or _intruders(wanted):
        _start_over(wanted)


def variables(place: Place) -> Mapping[str, str]:
    """Return the variables this place needs; every other setting is what the shell says, or its default."""
    return {
        "ALLOWED_HOSTS": "*" if place.everywhere else f"localhost,127.0.0.1,[::1],{place.host}",
        "DATABASE_URL": f"sqlite:///{quote(str(place.data_dir / 'webhooks.sqlite3'))}",
        "DEBUG": "false",
        "ENCRYPTION_KEYS_FILE": str(place.data_dir / "encryption_keys"),
        "HTTPS": "false",
        "LOG_FORMAT": os.environ.get("LOG_FORMAT", "plain"),
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        "SECRET_KEY_FILE": str(place.data_dir / "secret_key"),
        "STATIC_ROOT": str(place.data_dir / "static"),
        "WEBHOOKS_CIRCUIT_DELAYS": os.environ.get("WEBHOOKS_CIRCUIT_DELAYS", CIRCUIT_DELAYS),
        "WEBHOOKS_DEMO_RECEIVER": place.receiver_url,
        "WEBHOOKS_DRAIN_TIMEOUT": str(DRAIN_TIMEOUT),
        "WEBHOOKS_REQUIRE_HTTPS": "false",
        "WEBHOOKS_RETRY_DELAYS": os.environ.get("WEBHOOKS_RETRY_DELAYS", RETRY_DELAYS),
    }


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, all of it or nothing.

    :raises OSError: it cannot be written.
    """
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.rename(path)


def _prepare(folder: Path) -> None:
    # What is made from here on, the database too, is for its owner only, whatever the folder allows.
    os.umask(0o077)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "static").mkdir(exist_ok=True)
        # Wherever the folder is, its keys are in nobody's commit.
        if not (folder / ".gitignore").exists():
            write_private(folder / ".gitignore", "*\n")
        for name, new in _KEYS.items():
            if not (folder / name).exists():
                write_private(folder / name, new())
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError) -> Obstacle:
    """Return what to say when the folder cannot be written to."""
    why = (error.strerror or str(error)).lower()
    return Obstacle(
        f"The data folder {folder} cannot be written to ({why}): "
        f"choose another, for example with `{words.ANOTHER_FOLDER}`."
    )


def _intruders(wanted: Mapping[str, str]) -> set[str]:
    """Return the variables in the environment that would overrule ours."""
    files = {f"{name}_FILE" for name in (*wanted, *_UNWANTED)} - set(wanted)
    return {name for name in (*files, *_UNWANTED) if name in os.environ}


def _start_over(wanted: Mapping[str, str]) -> NoReturn:
    intruders = _intruders(wanted)
    kept = {name: value for name, value in os.environ.items() if name not in intruders}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**kept, **wanted})  # noqa: S606 - ourselves
