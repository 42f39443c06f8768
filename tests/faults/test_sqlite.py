"""The small installation, `make run`: many writers on one file, and its process killed again and again."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deliveries.services.dispatching import RECORD_AT
from tests.faults import invariants
from tests.faults.figures import Figures
from tests.faults.receiver import receiving
from tests.faults.scene import SETTINGS, SLOTS, Scene, Size
from tests.measuring.controller import Acknowledged, Published
from tests.servers.postgresql import PostgreSQL
from tests.servers.process import free_port
from tests.servers.redis import Redis
from tests.service import ROOT, Service
from tests.up.service import Service as Up
from tests.up.service import started

pytestmark = pytest.mark.sqlite

# Writers in processes of their own, beside whoever publishes over HTTP, delivers and keeps house.
PROCESSES, THREADS = 4, 3
# Publishes from several threads, as a product does that imports us; prints the id of each event.
WRITER = """
import os, sys, threading, time
import django
django.setup()
from deliveries import clock
from deliveries.models import Account, Agent
from deliveries.services import publishing
account, agent = Account.objects.get(), Agent.objects.get(name="/0")
ends_at = time.monotonic() + float(sys.argv[1])
def write(name):
    number = 0
    while time.monotonic() < ends_at:
        number += 1
        payload = {"by": name, "number": number}
        published = publishing.publish(
            account=account, agent=agent, event_type="call.ended", payload=payload, now=clock.now())
        print(published.event.pk, flush=True)
threads = [threading.Thread(target=write, args=[n]) for n in range(int(sys.argv[2]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.fixture
def scene(request: pytest.FixtureRequest, figures: Figures, tmp_path: Path) -> Iterator[Scene]:
    """A scene whose service is not started yet."""
    seed = request.config.getoption("--faults-seed")
    data_dir, logs = tmp_path / "data", tmp_path / "logs"
    # What the service prints stays out of them: on the terminal it shows its owner the key.
    logs.mkdir()
    database = f"sqlite:///{data_dir / 'webhooks.sqlite3'}"
    with receiving(seed=seed) as receiver:
        scene = Scene(
            stack=Service(folder=logs, environment={"DATABASE_URL": database}, port=free_port()),
            # Neither is ever started.
            postgresql=PostgreSQL(),
            redis=Redis(),
            receiver=receiver,
            figures=figures,
            size=Size(long=request.config.getoption("--faults") == "long"),
            chance=random.Random(f"{seed} {request.node.name}"),
            words=f"canary-of-{time.monotonic_ns()}",
        )
        yield scene


@contextmanager
def up(scene: Scene) -> Iterator[Up]:
    """Start the service on the scene's folder and port.

    What it logs of a locked database fails the test. The rest of what it prints is a log of the scene, but
    for the key, which it tells its owner at the first start.
    """
    settings = {name: str(value) for name, value in SETTINGS.items()}
    settings |= {
        "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOKS_ALLOW_PRIVATE_NETWORKS": "true",
        "LOG_LEVEL": "INFO",
        "LOG_FORMAT": "json",
    }
    folder = scene.stack.folder.parent / "data"
    first = not folder.exists()
    with started(folder, "--no-demo", port=scene.stack.port, environment=settings) as service:
        service.wait_until_ready()
        scene.stack.key = service.papers["api_key"]
        for name in ("secret_key", "encryption_keys"):
            scene.stack.environment[name.upper()] = (folder / name).read_text()
        # Its footprint is looked at while it is there; the invariants come when it has ended.
        scene.workers.append(service.process)
        scene.baseline = scene.footprints()
        try:
            yield service
            hoarded = list(invariants.nothing_is_hoarded(scene))
        finally:
            scene.workers.remove(service.process)
    assert "database is locked" not in service.output
    assert hoarded == []
    with (scene.stack.folder / "up.log").open("a") as log:
        log.write(service.output.replace(scene.stack.key, "", int(first)))


class TestTwelveWriters:
    def test_never_meet_a_locked_database(self, scene: Scene) -> None:
        seconds = scene.size.pick(short=4, long=60)
        with up(scene):
            scene.subscribe("/0")
            with scene.publishing(rate=20, seconds=seconds) as published:
                writers = [self._writer(scene, seconds) for _ in range(PROCESSES)]
                said = [writer.communicate() for writer in writers]
            events = [line for out, _ in said for line in out.split()]
            agent = scene.subscriptions[0].agent_id
            scene.published.append(Published([Acknowledged(each, agent, 0, 0, 1) for each in events]))
            scene.settle(timeout=300)

        locked = sum("locked" in errors for _, errors in said)
        lost = scene.lost()
        scene.figure(
            "sqlite",
            case=f"{PROCESSES * THREADS} writers",
            passed=not (locked or lost or published.errors) and all(errors == "" for _, errors in said),
            events=len(scene.acknowledged()),
            locked=locked,
            errors=published.errors.total(),
            ingest_p99_ms=round(published.answered_within(0.99) * 1000),
            lost=lost,
        )

    @staticmethod
    def _writer(scene: Scene, seconds: float) -> "subprocess.Popen[str]":
        folder = scene.stack.folder.parent / "data"
        environment: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "webhooks_project.settings",
            "DATABASE_URL": scene.stack.environment["DATABASE_URL"],
            "SECRET_KEY_FILE": str(folder / "secret_key"),
            "ENCRYPTION_KEYS_FILE": str(folder / "encryption_keys"),
        }
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, str(seconds), str(THREADS)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class TestKilledProcess:
    def test_loses_nothing_that_was_acknowledged(self, scene: Scene) -> None:
        kills = scene.size.count(short=2, long=20)
        scene.allowed_duplicates = kills * (SLOTS + RECORD_AT)
        with up(scene):
            scene.subscribe("/0", "/1")
        with ExitStack() as until_closed:
            published = until_closed.enter_context(scene.publishing(rate=40))
            for _ in range(kills):
                with up(scene) as service:
                    time.sleep(scene.chance.uniform(1, 2))
                    service.process.kill()
            with up(scene):
                until_closed.close()
                scene.settle()

        lost, repeated = scene.lost(), scene.duplicates()
        scene.figure(
            "sqlite",
            case="kill -9",
            passed=not lost and not published.given_up and repeated <= scene.allowed_duplicates,
            kills=kills,
            events=len(published.acknowledged),
            lost=lost,
            duplicates=repeated,
            set_aside=scene.set_aside(),
        )
