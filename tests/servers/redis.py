"""A private Redis that keeps everything in memory."""

import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers import binaries
from tests.servers.process import PrivateServer


class Redis(PrivateServer):
    """A Redis of our own; stopped or killed, it forgets what it held.

    :raises binaries.NotInstalled: Redis is missing on this machine.
    """

    name = "redis"
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        super().__init__()
        self._program = binaries.redis()

    def url(self, database: int = 0) -> str:
        """Return a REDIS_URL for one of the databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def flush(self) -> None:
        """Forget everything, in all databases."""
        with self._client() as client:
            client.flushall()

    def configure(self, name: str, value: str) -> None:
        """Change a setting of the running server, such as `maxmemory`."""
        with self._client() as client:
            client.config_set(name, value)

    def follow(self, port: int | None) -> None:
        """Be a replica of the server at a port, there or not, and so read-only; of none with None."""
        with self._client() as client:
            client.replicaof(*(("127.0.0.1", port) if port else ("NO", "ONE")))

    def restore(self) -> None:
        """Forget everything, and any limit of memory that was set."""
        self.configure("maxmemory", "0")
        self.flush()

    def prepare(self) -> None:
        """Do nothing: Redis needs no files."""

    def command(self) -> list[str | Path]:
        """Return how to run `redis-server`."""
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self._socket),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "databases": "64",
        }
        return [self._program, *(word for name, value in options.items() for word in (f"--{name}", value))]

    def answers(self) -> bool:
        """Return whether it answers on the socket in its folder, where no other server is."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _client(self) -> redis.Redis:
        # By default it asks a server that is down again and again, for seconds.
        no_retry = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=2, retry=no_retry)

    @property
    def _socket(self) -> Path:
        return self.folder / "redis.sock"
