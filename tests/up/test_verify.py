"""`manage.py verify` beside `make run`."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.up.service import manage, running

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


def accounts(folder: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(folder / "webhooks.sqlite3", timeout=20)) as database:
        return database.execute("SELECT name FROM deliveries_account").fetchall()


class TestVerify:
    def test_uses_the_built_in_receiver(self, tmp_path: Path) -> None:
        folder = tmp_path / "var"
        with running(folder):
            before = accounts(folder)
            done = manage("verify", "--data-dir", str(folder), "--events", "100", "--json")

            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            assert (told["arrived"], told["lost"], told["signature_failures"]) == (100, 0, 0)
            assert accounts(folder) == before

    def test_does_not_kill_the_whole_service(self, tmp_path: Path) -> None:
        folder = tmp_path / "var"
        with running(folder) as service:
            done = manage("verify", "--data-dir", str(folder), "--kill-worker", "--yes")

            assert done.returncode == 1
            assert "the service of `make run` is neither" in done.stderr
            assert service.process.poll() is None

    def test_says_how_to_start_what_does_not_run(self, tmp_path: Path) -> None:
        done = manage("verify", "--data-dir", str(tmp_path))

        assert done.returncode == 1
        assert "start it with `make run DATA=" in done.stderr
