"""The clock of the rows: the database's, whatever the host's says."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from deliveries import clock
from deliveries.models import databases
from tests import builders
from webhooks_project.database_time import DatabaseTimeMiddleware

SECONDS = timedelta(seconds=1)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clocks of a host, to be set; nobody has asked the database yet."""
    host = SimpleNamespace(steady=5000.0, wall=builders.NOW.timestamp())
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: host.steady, time=lambda: host.wall))
    monkeypatch.setattr(clock, "_offset", None)
    monkeypatch.setattr(clock, "_asked_at", float("-inf"))
    monkeypatch.setattr(clock, "_skew", timedelta(0))
    return host


@pytest.fixture
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the clock back in the end."""
    for name in ("_offset", "_asked_at", "_skew", "_ask"):
        monkeypatch.setattr(clock, name, getattr(clock, name))


def says(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


class TestNow:
    def test_is_the_databases(self, host: SimpleNamespace) -> None:
        clock.set_by(says(builders.NOW + 7200 * SECONDS))

        assert clock.now() == builders.NOW + 7200 * SECONDS

    def test_goes_on_by_itself(self, host: SimpleNamespace) -> None:
        clock.set_by(says(builders.NOW))

        host.steady += 2.5

        assert clock.now() == builders.NOW + 2.5 * SECONDS

    @pytest.mark.parametrize("step", [-3600, 3600])
    def test_does_not_care_about_a_step_of_the_hosts(self, host: SimpleNamespace, step: int) -> None:
        clock.set_by(says(builders.NOW))

        host.wall += step

        assert clock.now() == builders.NOW

    def test_takes_an_answer_for_true_half_way(self, host: SimpleNamespace) -> None:
        def slowly() -> datetime:
            host.steady += 0.5
            return builders.NOW

        clock.set_by(slowly)

        assert clock.now() == builders.NOW + 0.25 * SECONDS

    def test_follows_a_step_of_the_databases_with_the_next_answer(self, host: SimpleNamespace) -> None:
        clock.set_by(says(builders.NOW))
        clock.set_by(says(builders.NOW - 3600 * SECONDS))

        assert clock.now() == builders.NOW - 3600 * SECONDS

    def test_is_the_hosts_until_somebody_asked(self, host: SimpleNamespace) -> None:
        assert abs(clock.now() - datetime.now(UTC)) < SECONDS

    def test_stays_as_it_was_where_asking_fails(self, host: SimpleNamespace) -> None:
        def fail() -> datetime:
            raise DatabaseError("gone")

        clock.set_by(says(builders.NOW))

        with pytest.raises(DatabaseError):
            clock.set_by(fail)

        assert clock.now() == builders.NOW

    def test_leaves_out_an_answer_that_took_long(self, host: SimpleNamespace) -> None:
        def at_last() -> datetime:
            host.steady += 5
            return builders.NOW + 1000 * SECONDS

        clock.set_by(says(builders.NOW))
        clock.set_by(at_last)

        assert clock.now() == builders.NOW + 5 * SECONDS

    def test_takes_such_an_answer_where_there_is_no_other(self, host: SimpleNamespace) -> None:
        def at_last() -> datetime:
            host.steady += 5
            return builders.NOW

        clock.set_by(at_last)

        assert clock.now() == builders.NOW + 2.5 * SECONDS


class TestAge:
    def test_says_how_long_ago_the_database_was_asked(self, host: SimpleNamespace) -> None:
        clock.set_by(says(builders.NOW))
        host.steady += 7

        assert clock.age() == 7 * SECONDS

    def test_is_endless_before(self, host: SimpleNamespace) -> None:
        assert clock.age() == timedelta.max


class TestSkew:
    @pytest.mark.parametrize("ahead", [-7200, -31, 31, 7200])
    def test_is_logged_once(
        self, host: SimpleNamespace, caplog: pytest.LogCaptureFixture, ahead: int
    ) -> None:
        for _ in range(3):
            clock.set_by(says(builders.NOW - ahead * SECONDS))

        (record,) = caplog.records
        assert record.__dict__["event"] == "clock.skewed"
        assert record.__dict__["ahead_seconds"] == ahead
        assert record.levelno == logging.WARNING
        assert clock.skew() == ahead * SECONDS

    @pytest.mark.parametrize("ahead", [-29, 0, 29])
    def test_is_no_news_where_it_is_small(
        self, host: SimpleNamespace, caplog: pytest.LogCaptureFixture, ahead: int
    ) -> None:
        clock.set_by(says(builders.NOW - ahead * SECONDS))

        assert caplog.records == []
        assert clock.skew() == ahead * SECONDS


@pytest.mark.django_db
@pytest.mark.usefixtures("as_it_was")
class TestAskingTheDatabase:
    @pytest.mark.postgresql
    def test_happens_before_anybody_is_told_the_time(
        self, monkeypatch: pytest.MonkeyPatch, host: SimpleNamespace
    ) -> None:
        """Neither by a command, whose first statement it is, nor by a worker that has just started."""
        host.wall += 7200
        clock.ask_by(partial(databases.keep_time, within=timedelta()))

        assert abs(clock.now() - datetime.now(UTC)) < SECONDS

    def test_that_fails_leaves_the_hosts(self, host: SimpleNamespace) -> None:
        asked: list[bool] = []
        clock.ask_by(lambda: asked.append(True))

        assert abs(clock.now() - datetime.now(UTC)) < SECONDS
        assert asked

    @pytest.mark.postgresql
    def test_happens_when_it_was_not_done_lately(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "_asked_at", time.monotonic() - 11)
        monkeypatch.setattr(clock, "_offset", 0.0)

        with CaptureQueriesContext(connection) as queries:
            for _ in range(3):
                databases.keep_time(within=10 * SECONDS)

        assert [query["sql"] for query in queries] == ["SELECT clock_timestamp()"]
        assert abs(clock.now() - datetime.now(UTC)) < SECONDS

    @pytest.mark.sqlite
    def test_asks_no_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "_asked_at", time.monotonic() - 1000)

        with CaptureQueriesContext(connection) as queries:
            assert databases.keep_time(within=10 * SECONDS) == timedelta(0)

        assert len(queries) == 0

    def test_harms_nobody_where_it_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> None:
            raise DatabaseError("gone")

        monkeypatch.setattr(clock, "_asked_at", time.monotonic() - 11)
        before = clock.now()

        with connection.execute_wrapper(fail):
            databases.keep_time(within=10 * SECONDS)

        assert clock.now() - before < SECONDS

    @pytest.mark.postgresql
    def test_is_done_by_a_request_once_a_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(request: HttpRequest) -> HttpResponse:
            return HttpResponse()

        monkeypatch.setattr(clock, "_asked_at", time.monotonic() - 61)

        with CaptureQueriesContext(connection) as queries:
            for _ in range(3):
                DatabaseTimeMiddleware(answer)(RequestFactory().get("/"))

        assert len(queries) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("as_it_was")
class TestConnecting:
    @pytest.fixture
    def closed(self) -> Iterator[None]:
        """No connection yet."""
        connection.close()
        yield
        connection.close()

    def test_sets_the_clock(self, closed: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "_offset", None)

        connection.ensure_connection()

        assert clock._offset is not None
        assert abs(clock.now() - datetime.now(UTC)) < SECONDS

    def test_is_not_what_a_request_does_for_the_time(
        self, closed: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clock, "_asked_at", time.monotonic() - 61)

        DatabaseTimeMiddleware(lambda request: HttpResponse())(RequestFactory().get("/"))

        assert connection.connection is None
