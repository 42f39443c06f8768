"""What every test may use."""

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.test import Client

from deliveries import clock, counting
from deliveries.models import Account
from deliveries.services import matching
from tests import builders
from webhooks_project import redaction


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take how much `tests/fuzz` sends and `tests/faults` does; both do the same for the same seed."""
    parser.addoption("--fuzz-cases", type=int, default=1500)
    parser.addoption("--fuzz-seed", type=int, default=0)
    parser.addoption("--faults", choices=["short", "long"], default="short")
    parser.addoption("--faults-seed", type=int, default=0)
    parser.addoption("--soak-minutes", type=float, default=0.1)
    parser.addoption("--faults-figures", help="a file of JSON that keeps the figures")


@pytest.fixture(scope="session", autouse=True)
def patient_counting() -> Iterator[None]:
    """On a machine that has other things to do, Redis is not taken for away so soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_TIMEOUT", 10.0)
        patch.setattr(counting, "_SLOW", 10.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def closed_network() -> Iterator[None]:
    """No test reaches anything but this machine: neither an address nor a name server."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not ipaddress.ip_address(address[0]).is_loopback:
            raise PermissionError(f"The network is closed: {address[0]}")
        connect(self, address)

    def look_up_here(host: Any, *args: Any, **kwargs: Any) -> Any:
        numeric = kwargs.get("flags", 0) & socket.AI_NUMERICHOST
        if host not in (None, "", "localhost", "127.0.0.1", "::1") and not numeric:
            raise socket.gaierror(socket.EAI_FAIL, f"The network is closed: {host}")
        return look_up(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        patch.setattr(socket, "getaddrinfo", look_up_here)
        yield


def pytest_sessionstart() -> None:
    """Have nobody ask a database what time it is: not every test has one, and no module that is collected."""
    clock.ask_by(None)


@pytest.fixture(autouse=True)
def fresh_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request asks the database for the time: a test may count its queries."""
    monkeypatch.setattr("deliveries.clock._asked_at", time.monotonic())


@receiver(setting_changed)
def forget_own_secrets(**_: object) -> None:
    """No test's password is a word that later lines leave out."""
    redaction._own.cache_clear()


@pytest.fixture(autouse=True)
def no_copies() -> None:
    """No test goes by rules of another's, whose accounts may have had the same ids."""
    for kept in (matching.rules_kept, matching.types_kept, matching.agents_kept):
        kept.clear()


@pytest.fixture
def now() -> datetime:
    """The moment the tests happen at; the clock is an argument everywhere."""
    return builders.NOW


@pytest.fixture
def account(db: None) -> Account:
    """An account."""
    return builders.an_account()


@pytest.fixture
def api(account: Account) -> Client:
    """A client that carries a key of `account` with every scope."""
    return Client(headers={"authorization": f"Bearer {builders.a_key(account)}"})


@pytest.fixture(autouse=True)
def doorbell_rings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rings, noted in a list instead of sent to a broker."""
    rings: list[str] = []
    monkeypatch.setattr("deliveries.doorbell.ring", lambda: rings.append("ring"))
    return rings


@pytest.fixture(autouse=True)
def plain_http(settings: Any, tmp_path: Path) -> None:
    """No TLS in front of the test client, and no static files: every client would look for all of them."""
    settings.SECURE_SSL_REDIRECT = False
    settings.STATIC_ROOT = tmp_path
    settings.WHITENOISE_USE_FINDERS = False


@pytest.fixture
def static_files(settings: Any, plain_http: None) -> None:
    """Static files, for clients made from now on."""
    settings.WHITENOISE_USE_FINDERS = True


@pytest.fixture
def within() -> Callable[[float], None]:
    """Assert that the test has taken less than so many seconds so far."""
    begun = time.monotonic()

    def assert_within(seconds: float) -> None:
        assert time.monotonic() - begun < seconds

    return assert_within
