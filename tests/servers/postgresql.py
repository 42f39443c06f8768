"""A private PostgreSQL that is quick because a crash of the machine may cost it everything."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import psycopg

from tests.servers import binaries
from tests.servers.process import PrivateServer

Mode = Literal["smart", "fast", "immediate"]

_STOP_SIGNALS: dict[Mode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


class PostgreSQL(PrivateServer):
    """A PostgreSQL cluster of our own, with one role, `postgres`, that needs no password.

    :param settings: of the server's, where they are to be other than ours.
    :param like: a stopped one, whose data this one begins with.
    :raises binaries.NotInstalled: PostgreSQL is missing on this machine.
    """

    name = "postgresql"
    stop_signal = _STOP_SIGNALS["fast"]

    def __init__(
        self, *, settings: Mapping[str, str] | None = None, like: "PostgreSQL | None" = None
    ) -> None:
        super().__init__()
        self._programs = binaries.postgresql()
        self._settings = settings or {}
        self._like = like

    def url(self, database: str = "postgres") -> str:
        """Return a DATABASE_URL for a database of this server; only `postgres` exists from the start."""
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def restart(self, mode: Mode = "fast") -> None:
        """Stop the way `pg_ctl stop --mode` does, and start again on the same port.

        `smart` waits for clients to leave, `fast` throws them out, `immediate` recovers as after a crash.

        :raises ServerFailed: it did not stop, or did not answer again, in time.
        """
        self.end(_STOP_SIGNALS[mode])
        self.start()

    def prepare(self) -> None:
        """Make the cluster, or copy it."""
        if self._like:
            self.run(["cp", "-a", self._like._data, self._data])
            return
        options = "--username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync"
        self.run([self._programs / "initdb", "-D", self._data, *options.split()])

    def command(self) -> list[str | Path]:
        """Return how to run `postgres`."""
        settings = {
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "port": str(self.port),
            **self._settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self._programs / "postgres", "-D", self._data, *options]

    def answers(self) -> bool:
        """Return whether it takes connections on the socket in its folder, where no other server is."""
        try:
            with psycopg.connect(
                host=str(self.folder), port=self.port, user="postgres", dbname="postgres", connect_timeout=2
            ):
                return True
        except psycopg.OperationalError:
            return False

    @property
    def _data(self) -> Path:
        return self.folder / "data"
