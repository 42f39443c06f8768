"""A standby of a private PostgreSQL, that follows it until it is promoted."""

from pathlib import Path

import psycopg

from tests.servers.postgresql import PostgreSQL
from tests.waiting import wait_until


class Standby(PostgreSQL):
    """A server that holds what another one has streamed to it, and only reads until `promote`."""

    name = "standby"

    def __init__(self, primary: PostgreSQL) -> None:
        super().__init__()
        self._primary = primary

    def prepare(self) -> None:
        """Copy the primary, which must run."""
        where = ["--host", str(self._primary.folder), "--port", str(self._primary.port)]
        how = "--username=postgres --write-recovery-conf --checkpoint=fast --no-sync"
        data: list[str | Path] = ["--pgdata", self._data]
        self.run([self._programs / "pg_basebackup", *where, *how.split(), *data])

    def follow(self, *, synchronously: bool) -> None:
        """Return once the primary streams to it, and waits for it with every commit or does not."""
        names = "*" if synchronously else ""
        self._tell_primary(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self._tell_primary("SELECT pg_reload_conf()")
        state = "sync" if synchronously else "async"
        wait_until(lambda: self._is(state), timeout=20, what=f"a standby that is {state}")

    def promote(self) -> None:
        """Make it a primary of its own; return when it takes writes.

        The old primary must be dead. Started again, it does not wait for a standby that it no longer has.
        """
        self._forget_settings()
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("SELECT pg_promote(true, 30)")

    def leave(self) -> None:
        """Have the primary wait for no standby any more, whatever became of this one."""
        self._forget_settings()
        if self._primary.pid is not None:
            self._tell_primary("SELECT pg_reload_conf()")

    def _forget_settings(self) -> None:
        (self._primary.folder / "data" / "postgresql.auto.conf").write_text("")

    def _is(self, state: str) -> bool:
        with psycopg.connect(self._primary.url()) as connection:
            rows = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
        return rows == [(state,)]

    def _tell_primary(self, statement: str) -> None:
        with psycopg.connect(self._primary.url(), autocommit=True) as connection:
            connection.execute(statement.encode())
