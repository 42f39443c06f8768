"""The next version: migrated to while the version before it works, and taking over under traffic."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from tests.faults.conftest import Ground
from tests.faults.scene import Scene
from tests.service import ROOT

pytestmark = pytest.mark.postgresql

# The last commit of the version before.
BEFORE = "8d501fa"
# Seconds nobody may wait longer for a lock.
PATIENCE = 2.0


class TestMigration:
    def test_goes_on_under_traffic(self, ground: Ground, scene: Scene, tmp_path: Path) -> None:
        if not version_before(tmp_path):
            # As where only the end of the history was cloned, or none of it.
            assert not scene.size.long, f"there is no {BEFORE} to migrate from: git fetch --unshallow"
            pytest.skip(f"There is no {BEFORE} here to migrate from: git fetch --unshallow")
        new = scene.stack
        url = an_empty_database(ground)
        new.environment["DATABASE_URL"] = new.database_url = url
        scene.stack = old = replace(new, code=tmp_path, processes=new.processes)
        old.manage("migrate", "--verbosity", "0")
        old.make_account()
        new.key = old.key
        scene.start(webhooks=4, workers=2)
        seconds = scene.size.pick(short=1, long=10)

        with scene.publishing(rate=scene.size.pick(short=50, long=100)) as published:
            time.sleep(seconds)
            with watching(url) as waits:
                began = time.monotonic()
                new.manage("migrate", "--verbosity", "0")
                migrating = time.monotonic() - began
                time.sleep(seconds)
            scene.stack = new
            retiring = scene.alive()
            scene.start_worker()
            for worker in retiring:
                scene.ask_to_end(worker)
            for worker in retiring:
                worker.wait(40)
            # As docs/operating.md says: what they recorded meanwhile is in no total.
            new.manage("recount_logs")
            time.sleep(seconds)
        scene.settle()

        lost, repeated = scene.lost(), scene.duplicates()
        scene.figure(
            "migration",
            passed=not (lost or repeated or published.errors),
            timely=waits.longest <= PATIENCE,
            events=len(published.acknowledged),
            errors=published.errors.total(),
            lost=lost,
            duplicates=repeated,
            migrated_in_s=round(migrating, 1),
            longest_lock_wait_ms=round(waits.longest * 1000),
        )


def version_before(folder: Path) -> bool:
    """Unpack the version before into a folder; tell whether there is one."""
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        return False
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive.stdout, check=True)
    return True


def an_empty_database(ground: Ground) -> str:
    """Return the URL of a database in which nothing has been migrated; it goes with its server."""
    name = f"before_{time.monotonic_ns()}"
    with psycopg.connect(ground.postgresql.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return ground.postgresql.url(name)


@dataclass
class Waits:
    """How long somebody has waited for a lock, in seconds, at most."""

    longest: float = 0.0


@contextmanager
def watching(url: str) -> Iterator[Waits]:
    """Watch who waits for a lock, but for the migration itself where it lets everybody pass."""
    waits, ended = Waits(), threading.Event()
    query = (
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - state_change)), 0) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query NOT LIKE '%CONCURRENTLY%'"
    )

    def watch() -> None:
        with psycopg.connect(url, autocommit=True) as session:
            while not ended.wait(0.02):
                row = session.execute(query).fetchone()
                assert row is not None
                waits.longest = max(waits.longest, float(row[0]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join()
