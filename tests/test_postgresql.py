import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

import pytest
from django.db import DataError, OperationalError, connection, connections
from django.db.backends.postgresql.psycopg_any import BaseTzLoader

from deliveries.models import databases
from tests.faults.proxy import Proxy, proxying
from tests.waiting import wait_until
from webhooks_project.postgresql import base
from webhooks_project.postgresql.base import DatabaseWrapper, NoAnswer

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]

# Any number but those of other tests' locks.
LOCK = 55


@pytest.fixture
def database() -> Iterator[DatabaseWrapper]:
    """A connection of its own that waits for a second."""
    database = connections.create_connection("default")
    assert isinstance(database, DatabaseWrapper)
    database.settings_dict = {
        **database.settings_dict,
        "OPTIONS": {**database.settings_dict["OPTIONS"], "patience": 1},
    }
    database.inc_thread_sharing()
    yield database
    database.close()


@pytest.fixture
def silent(database: DatabaseWrapper) -> Iterator[DatabaseWrapper]:
    """The same, at whose other end nobody answers any more."""
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    os.kill(backend, signal.SIGSTOP)
    yield database
    os.kill(backend, signal.SIGCONT)


class TestSilence:
    def test_ends_a_statement(self, silent: DatabaseWrapper) -> None:
        began = time.monotonic()

        with (
            pytest.raises(OperationalError, match="has not answered for 1 seconds"),
            silent.cursor() as cursor,
        ):
            cursor.execute("SELECT 1")

        assert 0.9 < time.monotonic() - began < 9  # the server would end it itself after ten

    def test_ends_a_transaction_and_is_followed_by_a_new_connection(self, silent: DatabaseWrapper) -> None:
        silent.autocommit = False
        with pytest.raises(OperationalError), silent.cursor() as cursor:
            cursor.execute("SELECT 1")
        silent.close()

        with silent.cursor() as cursor:
            cursor.execute("SELECT 1")

    def test_is_noticed_when_asked_for_health(self, silent: DatabaseWrapper) -> None:
        time.sleep(1)

        assert not silent.is_usable()


@pytest.fixture
def way(database: DatabaseWrapper) -> Iterator[Proxy]:
    """The way to the server, which can forget the connections there are."""
    settings = database.settings_dict
    with proxying(int(settings["PORT"])) as proxy:
        database.settings_dict = {**settings, "HOST": "127.0.0.1", "PORT": str(proxy.port)}
        yield proxy


class TestSession:
    """What is left of a connection at the server's end."""

    def test_that_was_left_in_a_copy_is_ended_by_the_next(
        self, database: DatabaseWrapper, way: Proxy
    ) -> None:
        with holding(database, LOCK) as cursor:
            cursor.execute("CREATE TEMPORARY TABLE copied (number int)")

            with pytest.raises(NoAnswer):
                copy_into_silence(cursor, way)

        assert_is_free(database, LOCK)

    def test_that_was_left_in_a_transaction_is_ended_by_the_next(
        self, database: DatabaseWrapper, way: Proxy
    ) -> None:
        with holding(database, LOCK) as cursor:
            way.forget()

            with pytest.raises(OperationalError):
                cursor.execute("SELECT 1")

        assert_is_free(database, LOCK)

    def test_is_ended_where_only_our_end_was_cut_off(self, database: DatabaseWrapper, way: Proxy) -> None:
        with holding(database, LOCK) as cursor:
            way.forget()
            with socket.socket(fileno=os.dup(cursor.connection.fileno())) as same:
                same.shutdown(socket.SHUT_RDWR)

            with pytest.raises(OperationalError):
                cursor.execute("SELECT 1")

        assert_is_free(database, LOCK)

    def test_has_a_name_of_its_own(self, database: DatabaseWrapper) -> None:
        names = set()
        for given in ("webhooks", "Zoé's " * 20):
            database.settings_dict["OPTIONS"]["application_name"] = given
            for _ in range(2):
                with database.cursor() as cursor:
                    cursor.execute("SELECT current_setting('application_name')")
                    (name,) = cursor.fetchone()
                assert name.startswith(given.replace("é", "?")[:50])
                assert database.connection is not None
                assert name == database.connection.session
                names.add(name)
                database.close()

        assert len(names) == 4

    def test_is_asked_for_by_the_server_as_well(self, database: DatabaseWrapper, way: Proxy) -> None:
        with database.cursor() as cursor:
            cursor.execute("SELECT name, setting FROM pg_settings WHERE name LIKE 'tcp_keepalives_%'")

            assert dict(cursor.fetchall()) == {
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
            }


@contextmanager
def holding(database: DatabaseWrapper, lock: int) -> Iterator[Any]:
    """A cursor in a transaction that holds a lock."""
    with database.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock])
        yield cursor


def copy_into_silence(cursor: Any, way: Proxy) -> None:
    """Send a row that never arrives. No timeout of the server's ends its waiting for it."""
    with cursor.copy("COPY copied FROM STDIN") as copy:
        way.forget()
        copy.write_row([1])


def assert_is_free(database: DatabaseWrapper, lock: int) -> None:
    """Assert that a lock is let go as soon as there is another connection, before any timeout."""
    began = time.monotonic()
    database.close()
    with database.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock])
    assert time.monotonic() - began < 1.9  # a lock is waited for for two seconds
    assert not base._left_behind


class TestHealth:
    def test_is_not_asked_for_right_after_an_answer(self, silent: DatabaseWrapper) -> None:
        assert silent.is_usable()

    def test_is_asked_for_after_an_error(self, silent: DatabaseWrapper) -> None:
        silent.errors_occurred = True

        assert not silent.is_usable()

    def test_is_over_when_the_server_ends_the_connection(
        self, database: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(base, "_STILL_THERE", 3600.0)
        with database.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (backend,) = cursor.fetchone()
        os.kill(backend, signal.SIGTERM)

        wait_until(lambda: not database.is_usable(), what="the end of the connection")


class TestStandStill:
    """What the library files under its own faults; to us it is the database that cannot do it now."""

    def test_in_a_transaction_ends_the_connection(self, database: DatabaseWrapper) -> None:
        with database.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = '100ms'")
            cursor.execute("BEGIN")
            time.sleep(0.3)

            with pytest.raises(OperationalError):
                cursor.execute("SELECT 1")

    def test_of_a_standby_that_takes_no_changes(self, database: DatabaseWrapper) -> None:
        with database.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")

            with pytest.raises(OperationalError, match="read-only"):
                cursor.execute("CREATE TABLE forbidden ()")


class TestPatience:
    def test_is_longer_than_any_statement_may_take(self, database: DatabaseWrapper) -> None:
        patience = connections["default"].settings_dict["OPTIONS"]["patience"]
        with database.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM current_setting('statement_timeout')::interval)")

            assert cursor.fetchone()[0] < patience

    def test_leaves_a_statement_alone_that_is_answered_in_time(self, database: DatabaseWrapper) -> None:
        with database.cursor() as cursor:
            for _ in range(3):
                cursor.execute("SELECT pg_sleep(0.5)")

        assert database.is_usable()


class TestPlan:
    def test_is_not_compiled(self, database: DatabaseWrapper) -> None:
        with database.cursor() as cursor:
            cursor.execute("SHOW jit")

            assert cursor.fetchone() == ("off",)


class TestUnhurried:
    def test_has_the_time_it_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with connection.cursor() as cursor:
            monkeypatch.setattr(connection.connection, "patience", 1)
            cursor.execute("SET LOCAL statement_timeout = '300ms'")

            with databases.unhurried():
                cursor.execute("SELECT pg_sleep(1.2)")

            assert connection.connection.patience == 1


class TestMoments:
    @pytest.mark.parametrize(
        "written",
        ["2026-11-29 13:05:07.020434+00", "2026-11-29 13:05:07+00", "1999-12-31 23:59:59.9+00"]
        + ["0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00", "2026-03-29 02:30:00.1+02:30"],
    )
    def test_are_read_as_django_reads_them(self, written: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::timestamptz", [written])
            (ours,) = cursor.fetchone()
            cursor.cursor.adapters.register_loader("timestamptz", Theirs)
            cursor.execute("SELECT %s::timestamptz", [written])
            (theirs,) = cursor.fetchone()

        assert (ours, ours.tzinfo) == (theirs, UTC)

    @pytest.mark.parametrize("written", ["infinity", "0044-03-15 12:00:00+00 BC", "10000-01-01 00:00:00+00"])
    def test_that_python_has_no_word_for_are_refused(self, written: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::timestamptz", [written])
            with pytest.raises(DataError):
                cursor.fetchone()


class Theirs(BaseTzLoader):  # type: ignore[misc]  # not in its stubs
    timezone = UTC
