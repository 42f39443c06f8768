"""A connection to PostgreSQL that does not wait for ever for an answer.

The server ends statements that take too long, but can only say so while the network carries it. Where a
firewall forgot the connection, the machine at the other end is gone, or a proxy holds on to both sockets,
nothing comes any more, and no error either: keep-alives are answered by whoever is nearest, and
`tcp_user_timeout` counts only what was sent and not acknowledged. So whoever asks gives up by itself.

The session at the other end does not: it keeps its locks, and where it waits for the rest of a `COPY`, no
timeout of the server's ends it (decision record 55). So whoever connects next ends it.
"""

import math
import secrets
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from django.db.backends.postgresql import base
from psycopg import IsolationLevel
from psycopg.abc import PQGen

from webhooks_project.postgresql import times

_RV = TypeVar("_RV")

# Seconds for the one question that needs no work at all: whether anybody is there.
_PATIENCE_WITH_HEALTH = 3.0
# For so many seconds after an answer that question need not be asked.
_STILL_THERE = 1.0


# The sessions whose connections this process has lost, by their names.
_left_behind: set[str] = set()
# The letters PostgreSQL keeps of a name.
_LONGEST_NAME = 63

# Our transaction stood still for too long; the server is a standby. The library files these under its own
# faults, but what was asked is in order, and may be asked again: of a new connection, or a while later.
_NOT_NOW = (
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
)


class NoAnswer(psycopg.OperationalError):
    """The server has not answered in time; the connection is closed."""


class NotNow(psycopg.OperationalError):
    """The server does not do at this moment what it was asked."""


class Connection(psycopg.Connection[Any]):
    """A connection that closes itself when an answer takes longer than `patience` seconds."""

    patience: float | None = None
    session: str = ""
    """The name of its session, which no other has."""
    _answered_at = float("-inf")

    def wait(self, gen: PQGen[_RV], interval: float = 0.1, timeout: float | None = None) -> _RV:
        """Run a step of the protocol.

        :raises NoAnswer: it took too long. Whether the server did what it was asked is not known.
        :raises NotNow: it was not done.
        """
        try:
            answer = super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            # Half an answer may still come, and would be taken for that to the next question.
            self.pgconn.finish()
            _left_behind.add(self.session)
            raise NoAnswer(f"PostgreSQL has not answered for {self.patience:g} seconds.") from error
        except _NOT_NOW as error:
            raise NotNow(str(error)) from error
        except psycopg.OperationalError:
            if self.broken:
                _left_behind.add(self.session)
            raise
        self._answered_at = time.monotonic()
        return answer

    def is_there(self) -> bool:
        """Tell whether the server answered a moment ago, and has said nothing since.

        Whoever asks nothing is told nothing but that the connection ends: what can be read is no good news.
        """
        if self.closed or time.monotonic() - self._answered_at > _STILL_THERE:
            return False
        news = select.poll()
        news.register(self.fileno(), select.POLLIN)
        return not news.poll(0)

    @contextmanager
    def waiting(self, seconds: float | None) -> Iterator[None]:
        """Have so much patience for the length of the block; None: all there is."""
        usual, self.patience = self.patience, seconds
        try:
            yield
        finally:
            self.patience = usual


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, on connections of ours. The option `patience` says for how many seconds these wait."""

    connection: Connection | None

    def get_connection_params(self) -> dict[str, Any]:
        """Return what to connect with, without what is not for the library."""
        return {name: value for name, value in super().get_connection_params().items() if name != "patience"}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        """Connect; `connect_timeout` bounds that."""
        self.isolation_level = IsolationLevel.READ_COMMITTED
        session = _session_name(conn_params.get("application_name", "webhooks"))
        connection = Connection.connect(**{**conn_params, "application_name": session})
        connection.session = session
        connection.adapters.register_loader("timestamptz", times.Loader)
        connection.patience = self.settings_dict["OPTIONS"].get("patience")
        return connection

    def init_connection_state(self) -> None:
        """Prepare a new connection, and end the sessions this process has left behind."""
        super().init_connection_state()
        if left := list(_left_behind):
            with self.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY(%s)",
                    [left],
                )
            _left_behind.difference_update(left)

    def is_usable(self) -> bool:
        """Tell whether the connection works. Asked before each request, which otherwise gets a new one."""
        if self.connection is None:
            return False
        # After an error nothing is taken for granted.
        if self.connection.is_there() and not self.errors_occurred:
            return True
        with self.connection.waiting(min(_PATIENCE_WITH_HEALTH, self.connection.patience or math.inf)):
            return super().is_usable()


def _session_name(given: str) -> str:
    """Return a name that says who it is, and is nobody else's. The server keeps no letters but ASCII's."""
    token = secrets.token_hex(6)
    return f"{given.encode('ascii', 'replace').decode()[: _LONGEST_NAME - len(token) - 1]} {token}"
