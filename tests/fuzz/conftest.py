"""An account with a row of each kind, how many cases each test has, and the service without its limits."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from wsgiref.util import setup_testing_defaults

import hypothesis
import limits
import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase

from deliveries.models import Account, Attempt, Failure, Recovery
from tests import builders

Fuzz = Callable[[Callable[..., None], float], None]


@dataclass(frozen=True)
class Tenant:
    """Who asks: a key with every scope, and the ids that lead somewhere, by the names of path parameters."""

    key: str
    ids: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Answer:
    """What the service answered to a raw request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@pytest.fixture
def fuzz(request: pytest.FixtureRequest) -> Fuzz:
    """Runs a test made with `hypothesis.given` on a share of all the cases, each in its own transaction."""
    cases, seed = request.config.getoption("--fuzz-cases"), request.config.getoption("--fuzz-seed")

    def run(test: Callable[..., None], share: float) -> None:
        settings = hypothesis.settings(
            max_examples=max(1, round(cases * share)),
            database=None,
            deadline=None,
            # Nothing is slow but the machine, and what is thrown away costs nothing.
            suppress_health_check=list(HealthCheck),
            # What else fails says enough; to explain it takes a minute for each.
            phases=[phase for phase in Phase if phase is not Phase.explain],
        )
        hypothesis.seed(seed)(settings(test))()

    return run


@pytest.fixture
def application(plain_http: None) -> Iterator[WSGIHandler]:
    """The service as a web server calls it, in the transaction of the test."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield WSGIHandler()
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def tenant(account: Account, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """An account with a row of each kind, which may ask for as much as it likes."""
    plenty = limits.parse("1000000/minute")
    monkeypatch.setattr("deliveries.api.throttling._limit", lambda group: plenty)
    agent = builders.an_agent(account)
    webhook = builders.a_webhook(agent=agent, secret="whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==")
    disabled = builders.a_webhook(agent=agent, enabled=False)
    failed, held_back = (
        builders.a_failed_delivery(each, event=builders.an_event(account, agent=agent))
        for each in (webhook, disabled)
    )
    waiting = builders.a_delivery(builders.a_webhook(account))
    # Recent enough to be retried.
    Attempt.objects.update(created_at=timezone.now())
    attempts = [str(pk) for pk in Attempt.objects.values_list("pk", flat=True)]
    running = builders.a_recovery(account)
    completed = builders.a_recovery(account, status=Recovery.Status.COMPLETED, finished_at=builders.NOW)
    ids: dict[str, Sequence[object]] = {
        "agent_id": [agent.pk],
        "webhook_id": [webhook.pk, disabled.pk],
        "log_id": attempts,
        "attempt_id": attempts,
        "event_id": [failed.event_id],
        "delivery_id": [failed.pk, held_back.pk, waiting.pk],
        "recovery_id": [running.pk, completed.pk],
        "pause_id": [
            builders.a_pause(account, event_type="message.sent", until=timezone.now() + timedelta(days=1)).pk,
            builders.a_pause(account, event_type="message.sent").pk,
        ],
        "webhook_failure_id": [*Failure.objects.values_list("pk", flat=True)],
    }
    return Tenant(builders.a_key(account), {name: [str(each) for each in rows] for name, rows in ids.items()})


@contextmanager
def undone() -> Iterator[None]:
    """Take back whatever happens to the database, so that each case meets the same rows."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def send(
    application: WSGIHandler,
    method: str,
    path: bytes,
    *,
    query: bytes = b"",
    body: bytes = b"",
    headers: Mapping[str, str],
    environ: Mapping[str, Any] | None = None,
) -> Answer:
    """Send a request with nothing in between that would make it a proper one."""
    request: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        **{_variable(name): value for name, value in headers.items()},
        **(environ or {}),
    }
    setup_testing_defaults(request)
    got: dict[str, Any] = {}

    def start_response(status: str, sent: list[tuple[str, str]], *_: object) -> Callable[[bytes], None]:
        got.update(status=int(status.split()[0]), headers=dict(sent))
        return lambda _: None

    response = application(request, start_response)
    content = b"".join(response)
    response.close()
    return Answer(got["status"], got["headers"], content)


def _variable(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{upper}"
