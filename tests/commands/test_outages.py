"""What manage.py says when the database lets it down, in processes of its own."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError, connection
from django.db.utils import DataError

from deliveries.management import outages
from tests.servers.process import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "canary-of-a-password"
FOUND = "018f0000-0000-7000-8000-000000000000"
COMMANDS = [
    ["queue_status"],
    ["queue_status", "--json"],
    ["verify"],
    ["resume", FOUND],
    ["pause", "--webhook", FOUND, "--for", "1h", "--why", "Test."],
    ["redeliver", "--webhook", FOUND],
    ["create_api_key", "--account", "Acme"],
    ["prune_logs", "--dry-run"],
    ["recount_logs"],
    ["tail"],
    ["tail", "--webhook", FOUND],
    ["rotate_encryption", "--dry-run"],
]


def manage(database_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SECRET_KEY": secrets.token_urlsafe(48),
            "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "DATABASE_URL": database_url,
            "LOG_LEVEL": "ERROR",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
class TestEveryCommand:
    @pytest.mark.postgresql
    def test_says_that_the_database_is_away(self, arguments: list[str]) -> None:
        ended = manage(f"postgres://webhooks:{PASSWORD}@127.0.0.1:{free_port()}/webhooks", *arguments)

        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("The database does not answer: ")
        assert len(ended.stderr.splitlines()) == 1
        assert PASSWORD not in ended.stderr

    @pytest.mark.sqlite
    def test_says_that_migrations_are_missing(self, arguments: list[str], tmp_path: Path) -> None:
        ended = manage(f"sqlite:///{tmp_path / 'empty.sqlite3'}", *arguments)

        assert (ended.returncode, ended.stdout) == (1, "")
        assert "run `manage.py migrate`" in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


@pytest.mark.sqlite
def test_a_traceback_is_shown_to_who_asks_for_it(tmp_path: Path) -> None:
    ended = manage(f"sqlite:///{tmp_path / 'empty.sqlite3'}", "queue_status", "--traceback")

    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


class TestInWords:
    @pytest.mark.parametrize("sql", ["SELECT * FROM no_such", "SELECT no_such FROM deliveries_account"])
    @pytest.mark.django_db
    def test_a_table_or_a_column_is_missing(self, sql: str) -> None:
        with pytest.raises((OperationalError, ProgrammingError)) as caught, connection.cursor() as cursor:
            cursor.execute(sql)

        assert "manage.py migrate" in str(outages.in_words(caught.value))

    @pytest.mark.postgresql
    @pytest.mark.django_db
    def test_what_took_too_long_is_not_away(self) -> None:
        take_too_long = "SET LOCAL statement_timeout = 100; SELECT pg_sleep(60)"
        with pytest.raises(OperationalError) as caught, connection.cursor() as cursor:
            cursor.execute(take_too_long)

        assert "did not do it: canceling statement" in str(outages.in_words(caught.value))

    def test_it_is_one_line_without_a_secret(self) -> None:
        error = InterfaceError("gone\n\tpostgres://webhooks:canary@db.example.com/webhooks")

        assert outages.in_words(error) == (
            "The database does not answer: gone postgres://***@db.example.com/webhooks"
        )

    @pytest.mark.parametrize("error", [DataError("too long"), DatabaseError("?"), ProgrammingError("syntax")])
    def test_a_bug_has_none(self, error: DatabaseError) -> None:
        assert outages.in_words(error) is None
