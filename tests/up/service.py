"""`manage.py up` as a person runs it: a process, a folder, and what it prints."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deliveries.management.try_it.client import Client
from tests.servers.process import ending_with_parent, free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
# For a start on a machine that has other things to do.
PATIENCE = 30.0


@dataclass
class Service:
    """A service that was started on a folder."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    log: Path
    started_at: float

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    @property
    def papers(self) -> dict[str, Any]:
        """What up.json says."""
        papers: dict[str, Any] = json.loads((self.data_dir / "up.json").read_text())
        return papers

    @property
    def client(self) -> Client:
        """Somebody with the key."""
        return Client(self.papers["url"], self.papers["api_key"])

    def wait_until_ready(self) -> float:
        """Return how many seconds the start took."""
        wait_until(lambda: self._ready() or self.process.poll() is not None, timeout=PATIENCE, what="ready")
        assert self.process.poll() is None, self.output
        return time.monotonic() - self.started_at

    def _ready(self) -> bool:
        """Tell whether up.json is there, and not the one of a process that was killed before."""
        try:
            return bool(self.papers["pid"] == self.process.pid)
        except FileNotFoundError:
            return False

    def publish(self, **payload: object) -> dict[str, Any]:
        """Publish an event that three demo webhooks want, and return the answer."""
        draft = {"event": "call.ended", "agent_id": self.papers["agent_id"], "payload": payload}
        answer: dict[str, Any] = self.client.post("/api/v1/events", draft)
        return answer

    def behave(self, receiver: str, behaviour: str) -> None:
        """Tell a receiver how to answer."""
        self.client.post(f"/demo/receivers/{receiver}/behaviour", {"behaviour": behaviour})

    def arrivals(self, receiver: str) -> list[dict[str, Any]]:
        """Return what a receiver got, newest first."""
        deliveries = self.client.get("/demo/state")["deliveries"]
        return [delivery for delivery in deliveries if delivery["receiver"] == receiver]

    def wait_for_arrival(self, receiver: str) -> dict[str, Any]:
        """Return the newest delivery a receiver got, once there is one."""
        wait_until(lambda: self.arrivals(receiver), timeout=10, what=f"a delivery to {receiver}")
        return self.arrivals(receiver)[0]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def started(
    data_dir: Path,
    *options: str,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[Service]:
    """Start the service on a folder, which need not be there, and kill it at the end if it still runs.

    :param within: a command that runs the one written after it in surroundings of its own.
    """
    log = data_dir.with_name(f"{data_dir.name}.log")
    where = ("--port", str(port or free_port()), "--data-dir", str(data_dir))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*within, sys.executable, "manage.py", "up", *where, *options],
            cwd=ROOT,
            env={**surroundings(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=ending_with_parent(signal.SIGKILL),
        )
    service = Service(process, data_dir, log, time.monotonic())
    try:
        yield service
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)


@contextmanager
def running(
    data_dir: Path, *options: str, port: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Start the service on a folder, and go on when it is ready."""
    with started(data_dir, *options, port=port, environment=environment) as service:
        service.wait_until_ready()
        yield service


def manage(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**surroundings(), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def visit(service: Service, path: str, *, method: str = "GET", host: str = "") -> tuple[int, str | None]:
    """Return the status of an answer, and where it redirects to."""
    with closing(HTTPConnection(urlsplit(service.papers["url"]).netloc, timeout=PATIENCE)) as connection:
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location")


def surroundings() -> dict[str, str]:
    """Return a shell's environment without anything of ours in it."""
    return {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
