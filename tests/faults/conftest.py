"""The servers of all scenarios, and a fresh installation on them for each."""

import random
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from tests.faults import invariants
from tests.faults.figures import Figures
from tests.faults.receiver import Receiver, receiving
from tests.faults.scene import SETTINGS, Scene, Size
from tests.measuring import machine
from tests.servers.folders import throw_away_folder
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import Redis
from tests.service import Service, environment

_HERE = Path(__file__).parent
_TEMPLATE = "migrated"
# Lines of each log to show when a scenario fails.
LAST_LINES = 15


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what is timed here one after the other, in one process; see `--dist loadgroup` in tests/run.py.

    What is marked `long` is left for `make faults`: docs/reliability.md says of it whether it was run.
    """
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.xdist_group("faults"))
            item.add_marker(pytest.mark.slow)
    if config.getoption("--faults") == "short":
        left = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Check the invariants after a scenario, and only then report what it has measured.

    In the call and not while its fixtures end: by then the logs that would explain it are gone.
    """
    scene = getattr(item, "funcargs", {}).get("scene")
    if not isinstance(scene, Scene):
        return (yield)
    held = False
    try:
        yield
        invariants.check(scene)
        held = True
    finally:
        scene.report(held=held)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show of a scenario that failed what its processes said last."""
    report = yield
    scene = getattr(item, "funcargs", {}).get("scene")
    if report.failed and isinstance(scene, Scene):
        for path in sorted(scene.stack.folder.glob("*.log")):
            last = path.read_text(errors="replace").splitlines()[-LAST_LINES:]
            report.sections.append((path.name, "\n".join(line[:500] for line in last)))
    return report


@dataclass(frozen=True)
class Ground:
    """What scenarios share: servers, and a database with an account in it that each gets a copy of."""

    postgresql: PostgreSQL
    redis: Redis
    receiver: Receiver
    key: str

    @contextmanager
    def database(self) -> Iterator[str]:
        """Copy the database for the length of the block, and yield its URL."""
        name = f"scene_{time.monotonic_ns()}"
        self._tell(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        try:
            yield self.postgresql.url(name)
        finally:
            # Also after a scenario that failed: the next one must not find what it left.
            self._restore()
            self._tell(f"DROP DATABASE {name} WITH (FORCE)")

    def _tell(self, statement: str) -> None:
        with psycopg.connect(self.postgresql.url(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _restore(self) -> None:
        """Undo what a scenario did to the servers."""
        for server in (self.postgresql, self.redis):
            if server.pid is None:
                server.start()
        self.redis.restore()
        self.receiver.forget()


@pytest.fixture(scope="session")
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """The servers, started once."""
    seed = request.config.getoption("--faults-seed")
    with (
        PostgreSQL() as postgresql,
        Redis() as redis,
        receiving(seed=seed) as receiver,
        throw_away_folder("ground") as folder,
    ):
        with psycopg.connect(postgresql.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
        service = Service(
            folder=folder, environment=environment(folder, postgresql.url(_TEMPLATE), redis.url())
        )
        service.manage("migrate", "--verbosity", "0")
        service.make_account()
        yield Ground(postgresql=postgresql, redis=redis, receiver=receiver, key=service.key)


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """Where figures go: to a file as well when there is one to write."""
    path = request.config.getoption("--faults-figures")
    return Figures(
        path=Path(path) if path else None,
        seed=request.config.getoption("--faults-seed"),
        machine=f"{machine.describe()}, the {settings.WEBHOOKS_TRANSPORT} engine",
        commit=machine.commit(),
    )


@pytest.fixture
def scene(request: pytest.FixtureRequest, ground: Ground, figures: Figures) -> Iterator[Scene]:
    """An installation that runs nothing yet."""
    seed = f"{request.config.getoption('--faults-seed')} {request.node.name}"
    with throw_away_folder("scene") as folder, ground.database() as url:
        variables = {name: str(value) for name, value in SETTINGS.items()}
        service = Service(
            folder=folder, environment=environment(folder, url, ground.redis.url(), **variables)
        )
        service.key = ground.key
        scene = Scene(
            stack=service,
            postgresql=ground.postgresql,
            redis=ground.redis,
            receiver=ground.receiver,
            figures=figures,
            size=Size(long=request.config.getoption("--faults") == "long"),
            chance=random.Random(seed),
            words=f"canary-of-{time.monotonic_ns()}",
        )
        try:
            yield scene
        finally:
            scene.end()
