"""The service as a newcomer runs it, with an event that failed; and somebody at the console's login form."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from tests.clients.browser import Visit, visiting
from tests.clients.operating import NAME, PASSWORD
from tests.up.service import Service, running
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has one failure to show."""
    with running(tmp_path_factory.mktemp("clients") / "var") as service:
        service.publish(number=1)
        wait_until(lambda: _failures(service), timeout=20, what="a failure")
        yield service


def _failures(service: Service) -> int:
    answer = service.client.get("/api/v4/tasks/webhook_failures?limit=0")
    return int(answer["metadata"]["total"])


@pytest.fixture
def operator(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> User:
    """Somebody who may do everything, by plain http and with a password that costs nothing to check."""
    # A browser keeps an event loop in the thread of its test, which waits for nothing of the database's.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = False
    return User.objects.create_superuser(NAME, password=PASSWORD)


@pytest.fixture
def server(operator: User, static_files: None) -> Iterator[LiveServer]:
    """The service; pytest-django's own would start before its settings are made."""
    server = LiveServer("localhost")
    yield server
    server.stop()


@pytest.fixture
def visit(operator: User, server: LiveServer) -> Iterator[Visit]:
    """Somebody at the login form."""
    with visiting() as visit:
        visit.open(f"{server.url}/admin/")
        yield visit
        assert visit.hosts == {server.url.removeprefix("http://")}
