import os
import signal
import time
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connections

from webhooks_project.postgresql.base import DatabaseWrapper

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]


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
        assert not silent.is_usable()


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
