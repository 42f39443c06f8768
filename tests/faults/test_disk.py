"""Disks that are full: PostgreSQL's and that of SQLite."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deliveries.management.try_it.client import Refused
from tests.faults.conftest import Ground
from tests.faults.figures import Figures
from tests.faults.scene import SLOTS, Scene
from tests.servers.small_disk import SmallDisk, small_disk
from tests.up.service import Service as Up
from tests.up.service import started
from tests.waiting import wait_until


@pytest.fixture
def database_disk(ground: Ground) -> Iterator[SmallDisk]:
    """A small disk for PostgreSQL, a tablespace there, from before the scene until after it."""
    place, owner = ground.postgresql.folder / "small", ground.postgresql.folder.stat()
    place.mkdir()
    os.chown(place, owner.st_uid, owner.st_gid)
    with small_disk(place, megabytes=48) as disk:
        _tell(ground, f"CREATE TABLESPACE small LOCATION '{disk.folder}'")
        yield disk
        _tell(ground, "DROP TABLESPACE small")


@pytest.mark.postgresql
class TestFullDatabase:
    def test_takes_nothing_until_there_is_room(
        self, ground: Ground, database_disk: SmallDisk, scene: Scene
    ) -> None:
        """Events are in the database whole or not at all, and who published them was told which."""
        name = scene.stack.database_url.rpartition("/")[2]
        _tell(ground, f"ALTER DATABASE {name} SET TABLESPACE small")
        scene.start(webhooks=4, workers=2)

        with scene.publishing(rate=scene.size.pick(short=60, long=100)) as published:
            time.sleep(1)
            database_disk.fill()
            wait_until(lambda: _is_full(scene), timeout=60, what="an answer of 503")
            # What was sent and cannot be written down is sent again where its lease ends meanwhile.
            scene.allowed_duplicates = scene.leased()
            time.sleep(scene.size.pick(short=2, long=20))
            database_disk.free()
            time.sleep(1)
        scene.settle()

        lost = scene.lost()
        scene.figure(
            "disk-full",
            case="PostgreSQL",
            passed=not lost and not published.given_up and set(published.errors) == {"503"},
            events=len(published.acknowledged),
            lost=lost,
            answers_other_than_202=dict(published.errors),
        )


@pytest.mark.postgresql
class TestFullLog:
    @pytest.mark.long
    def test_costs_no_delivery(self, scene: Scene) -> None:
        """Neither of a worker whose log fills nor of one that is started while there is no room."""
        scene.allowed_duplicates = SLOTS
        with full(scene.stack.folder / "worker.log"):
            scene.start(webhooks=2, workers=2)
            with scene.publishing(rate=30, seconds=2):
                time.sleep(1)
                scene.kill(scene.workers[0])
                scene.start_worker()
            scene.settle()

        lost = scene.lost()
        scene.figure("disk-full", case="the workers' log", passed=not lost, lost=lost)


@contextmanager
def full(log: Path) -> Iterator[None]:
    """Have a log on a disk without room, for the length of the block."""
    log.symlink_to("/dev/full")
    try:
        yield
    finally:
        # Read to its end it would fill the memory.
        log.unlink()


@pytest.mark.sqlite
class TestFullSQLite:
    def test_takes_nothing_until_there_is_room(
        self, tmp_path: Path, figures: Figures, request: pytest.FixtureRequest
    ) -> None:
        """`make run` with all it has on a disk that fills."""
        with small_disk(tmp_path, megabytes=16) as disk:
            inside = ["--data-dir", str(tmp_path / "room" / "data")]
            with started(disk.folder / "data", *inside, within=disk.within) as service:
                service.wait_until_ready()
                disk.fill()
                wait_until(lambda: said(service, "HTTP 503"), timeout=60, what="an answer of 503")
                disk.free()
                wait_until(lambda: said(service, ""), timeout=20, what="an event that is taken")
                accepted = service.publish(number="the last")["id"]
                wait_until(lambda: has_arrived(service, accepted), timeout=20, what="its delivery")

                figures.add(
                    "disk-full",
                    case="SQLite",
                    passed=True,
                    measured={"recovered": "yes"},
                    long=request.config.getoption("--faults") == "long",
                )


def said(service: Up, words: str) -> bool:
    """Publish an event, and tell whether it was refused with these words; with none: taken."""
    try:
        service.publish(words="x" * 20_000)
    except Refused as refused:
        answer = str(refused)
    else:
        answer = ""
    assert not answer or ("HTTP 503" in answer and "Try again" in answer), answer
    return words in answer if words else not answer


def has_arrived(service: Up, event_id: str) -> bool:
    """Tell whether the built-in receiver has an event."""
    return any(each["message_id"] == event_id for each in service.arrivals("healthy"))


def _is_full(scene: Scene) -> bool:
    event = {"event": "call.ended", "agent_id": scene.subscriptions[0].agent_id, "payload": {}}
    answer = scene.stack.call("POST", "/api/v1/events", event)
    if answer.status == 202:
        scene.unannounced += 1
        return False
    assert answer.status == 503, answer
    assert int(answer.headers["retry-after"]) > 0
    return True


def _tell(ground: Ground, statement: str) -> None:
    with psycopg.connect(ground.postgresql.url(), autocommit=True) as connection:
        connection.execute(statement.encode())
