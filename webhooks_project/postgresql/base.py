"""A connection to PostgreSQL that does not wait for ever for an answer.

The server ends statements that take too long, but can only say so while the network carries it. Where a
firewall forgot the connection, the machine at the other end is gone, or a proxy holds on to both sockets,
nothing comes any more, and no error either: keep-alives are answered by whoever is nearest, and
`tcp_user_timeout` counts only what was sent and not acknowledged. So whoever asks gives up by itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from django.db.backends.postgresql import base
from psycopg import IsolationLevel
from psycopg.abc import PQGen

_RV = TypeVar("_RV")

# Seconds for the one question that needs no work at all: whether anybody is there.
_PATIENCE_WITH_HEALTH = 3.0


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

    def wait(self, gen: PQGen[_RV], interval: float = 0.1, timeout: float | None = None) -> _RV:
        """Run a step of the protocol.

        :raises NoAnswer: it took too long. Whether the server did what it was asked is not known.
        :raises NotNow: it was not done.
        """
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout as error:
            # Half an answer may still come, and would be taken for that to the next question.
            self.pgconn.finish()
            raise NoAnswer(f"PostgreSQL has not answered for {self.patience:g} seconds.") from error
        except _NOT_NOW as error:
            raise NotNow(str(error)) from error

    @contextmanager
    def waiting_at_most(self, seconds: float) -> Iterator[None]:
        """Have less patience than otherwise, for the length of the block."""
        usual = self.patience
        self.patience = seconds if usual is None else min(seconds, usual)
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
        connection = Connection.connect(**conn_params)
        connection.patience = self.settings_dict["OPTIONS"].get("patience")
        return connection

    def is_usable(self) -> bool:
        """Tell whether the connection works. Asked before each request, which otherwise gets a new one."""
        if self.connection is None:
            return False
        with self.connection.waiting_at_most(_PATIENCE_WITH_HEALTH):
            return super().is_usable()
