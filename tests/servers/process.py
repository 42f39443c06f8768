"""What our PostgreSQL and Redis have in common: one process, one folder, one port, one owner."""

import ctypes
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.folders import throw_away_folder

PATIENCE = 30.0  # seconds a server may take to start or to stop, on a busy machine
# Below the range that outgoing connections take their ports from, so that nobody sits on the port of a
# stopped server when it comes back.
PORTS = range(20_000, 32_000)

_PR_SET_PDEATHSIG = 1
# Loaded here, because a child between fork and exec should do as little as possible.
_libc = ctypes.CDLL(None)


class ServerFailed(Exception):
    """A private server did not start or stop; the message ends with the last lines of its log."""


class PrivateServer(ABC):
    """A server of our own on a free port of 127.0.0.1, with its data in a throw-away folder.

    Use it as a context manager. In between, `stop`, `kill` and `start` may follow each other: data and port
    stay what they were. The server also ends when the *thread* that started it ends, `kill -9` included, so
    start it from one that lives as long.
    """

    name: str
    stop_signal: signal.Signals

    def __init__(self) -> None:
        self.port = 0
        # What the server gets of an environment besides the little it needs; counts from the next start on.
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.folder = undo.enter_context(throw_away_folder(self.name))
            if os.geteuid() == 0:
                os.chown(self.folder, _account().pw_uid, _account().pw_gid)
            undo.callback(self._end_by_all_means)
            self.prepare()
            self.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def log(self) -> Path:
        """Where the server writes what it has to say."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """The process that runs the server, or None while it is stopped."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server, and return once it answers: the first time on a free port, then on the same.

        :raises ServerFailed: it did not answer in time.
        """
        assert self._process is None, f"{self.name} is running already"
        first = self.port == 0
        deadline = time.monotonic() + PATIENCE
        while True:
            if first:
                self.port = free_port()
            self._process = self._launch()
            if self._wait_until_ready(deadline):
                return
            self.kill()
            # Somebody took the port between our look and the start, or the children of a killed server
            # still hold its memory. Both pass.
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} did not start on port {self.port}:\n{self._last_lines()}")
            time.sleep(0.25)

    def stop(self) -> None:
        """Ask the server to end, and return when it has.

        :raises ServerFailed: it did not end in time.
        """
        self.end(self.stop_signal)

    def kill(self) -> None:
        """End the server the way a crash does: at once, and without a word to its clients."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> None:
        """Send the running server a signal that ends it, and return when it has ended.

        :raises ServerFailed: it did not end in time.
        """
        assert self._process is not None, f"{self.name} is not running"
        self._process.send_signal(number)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise ServerFailed(f"{self.name} did not stop:\n{self._last_lines()}") from error
        self._process = None

    @abstractmethod
    def prepare(self) -> None:
        """Fill the folder, once, before the first start."""

    @abstractmethod
    def command(self) -> list[str | Path]:
        """Return the command that runs the server in the foreground, on our port."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether this server is ready; another one on the same port must not be taken for it."""

    def run(self, command: list[str | Path]) -> None:
        """Run a program to its end, under the server's account.

        :raises ServerFailed: it ended with an error.
        """
        with self.log.open("ab") as log:
            done = subprocess.run(command, check=False, **self._surroundings(log.fileno()))
        if done.returncode != 0:
            raise ServerFailed(f"{command[0]} failed:\n{self._last_lines()}")

    def _launch(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                start_new_session=True,  # Ctrl-C is for the tests, which stop their servers themselves
                preexec_fn=ending_with_parent(self.stop_signal),
                **self._surroundings(log.fileno()),
            )

    def _surroundings(self, log: int) -> dict[str, Any]:
        """Return where and as whom to run: PostgreSQL refuses root, and neither needs our environment."""
        surroundings: dict[str, Any] = {
            "cwd": self.folder,
            "env": {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC", **self.environment},
            "stdin": subprocess.DEVNULL,
            "stdout": log,
            "stderr": subprocess.STDOUT,
        }
        if os.geteuid() == 0:
            surroundings |= {"user": _account().pw_uid, "group": _account().pw_gid, "extra_groups": []}
        return surroundings

    def _wait_until_ready(self, deadline: float) -> bool:
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.answers():
                return True
            time.sleep(0.05)
        return False

    def _end_by_all_means(self) -> None:
        if self._process is None:
            return
        try:
            self.stop()
        except ServerFailed:
            self.kill()

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on at this moment."""
    while True:
        # Not `random`: tests seed it, and then everybody draws the same ports.
        port = secrets.choice(PORTS)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def ending_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` that has Linux send the child this signal when the thread that made it ends."""
    parent = os.getpid()

    def ask_the_kernel() -> None:
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return ask_the_kernel


def _account() -> pwd.struct_passwd:
    """Return the unprivileged account that servers run under when we are root."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
