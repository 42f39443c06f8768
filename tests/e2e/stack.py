"""The whole service with servers and a receiver of its own, to follow what happens to an event."""

import atexit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

from tests.e2e.receiver import Receiver, receiving
from tests.servers.folders import throw_away_folder
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import Redis
from tests.service import Service, environment


@dataclass(kw_only=True)
class Stack(Service):
    """A running installation."""

    postgresql: PostgreSQL
    redis: Redis
    receiver: Receiver


@contextmanager
def installation(**settings: str) -> Iterator[Stack]:
    """Set up the servers, the tables and an environment; start no process of the service yet."""
    with ExitStack() as stack:
        folder = stack.enter_context(throw_away_folder("e2e"))
        postgresql = stack.enter_context(PostgreSQL(like=_migrated()))
        redis = stack.enter_context(Redis())
        receiver = stack.enter_context(receiving())
        running = Stack(
            folder=folder,
            postgresql=postgresql,
            redis=redis,
            receiver=receiver,
            environment=environment(folder, postgresql.url(), redis.url(), **settings),
        )
        stack.callback(running.end)
        yield running


@cache
def _migrated() -> PostgreSQL:
    """Return a stopped server that has the service's tables: they are made once in a run, and then copied."""
    with ExitStack() as undo:
        server = undo.enter_context(PostgreSQL())
        surroundings = environment(server.folder, server.url(), redis_url="")
        Service(folder=server.folder, environment=surroundings).manage("migrate", "--verbosity", "0")
        server.stop()
        atexit.register(undo.pop_all().close)
    return server
