"""The service as it runs in production: gunicorn, Celery workers and beat, each a process of its own."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg
import requests

from tests.servers.process import ending_with_parent, free_port
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Answer:
    """A response of the service."""

    status: int
    headers: dict[str, str]
    json: Any


@dataclass(kw_only=True)
class Service:
    """An installation of the service, with a handle on each of its processes.

    `environment` is what processes get that start from now on, `database_url` is where we look ourselves, and
    `code` is the version of ours that runs.
    """

    folder: Path
    environment: dict[str, str]
    code: Path = ROOT
    port: int = field(default_factory=free_port)
    key: str = ""
    agent_id: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    database_url: str = field(init=False)

    def __post_init__(self) -> None:
        self.database_url = self.environment["DATABASE_URL"]

    def start(
        self, name: str, *command: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process of the service in a process group of its own; its output goes to a file.

        :param environment: what is different for this one.
        """
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.code,
                env={**self.environment, **(environment or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=ending_with_parent(signal.SIGKILL),
            )
        self.processes.append(process)
        return process

    def start_web(self, *, workers: int = 1) -> subprocess.Popen[bytes]:
        """Start gunicorn and wait until it answers."""
        address = f"127.0.0.1:{self.port}"
        process = self.start(
            "web", "gunicorn", "webhooks_project.wsgi", "--worker-class", "webhooks_project.web.Worker",
            "--bind", address, "--workers", str(workers), "--threads", "8", "--no-control-socket",
        )  # fmt: skip
        wait_until(lambda: self._answers(), timeout=20, what="gunicorn")
        return process

    def start_worker(
        self,
        *,
        concurrency: int = 1,
        app: str = "webhooks_project",
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a Celery worker.

        :param app: the module of the Celery application, for a worker with something of the tests in it.
        :param environment: what is different for this one.
        """
        return self.start(
            "worker", "celery", "-A", app, "worker", "--concurrency", str(concurrency),
            "--without-gossip", "--without-mingle", environment=environment,
        )  # fmt: skip

    def wait_for_workers(self, number: int) -> None:
        """Wait until so many of the workers started so far have said that they are ready.

        Before that a signal meets a process that knows nothing of it yet.
        """
        wait_until(lambda: self.log("worker").count(" ready.") >= number, timeout=30, what="workers")

    def start_beat(self) -> subprocess.Popen[bytes]:
        """Start Celery's scheduler."""
        return self.start("beat", "celery", "-A", "webhooks_project", "beat")

    def make_account(self) -> None:
        """Make an account, and carry a key of it with every scope from now on."""
        self.key = self.manage(
            "create_api_key", "--create-account", "--account", "Harbour", "--name", "tests"
        )

    def manage(self, *arguments: str) -> str:
        """Run a management command and return what it printed."""
        process = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=self.code,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout.strip()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a process and its children the hard way."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Call the API with the key, if there is one."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {"Authorization": f"Bearer {self.key}", **{n.replace("_", "-"): v for n, v in headers.items()}}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body=data, headers=sent)
            response = connection.getresponse()
            text = response.read()
            return Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                json=json.loads(text) if text else None,
            )
        finally:
            connection.close()

    def sign_in(self) -> requests.Session:
        """Return a session in the console, opened with its own form, of a person made for it."""
        self.environment["DJANGO_SUPERUSER_PASSWORD"] = "kite-harbour-42-tests"
        self.manage(
            "createsuperuser", "--noinput", "--username", "operator", "--email", "operator@example.com"
        )
        session = requests.Session()
        session.trust_env = False
        url = f"http://127.0.0.1:{self.port}/admin/login/"
        session.get(url)
        form = {
            "username": "operator",
            "password": self.environment["DJANGO_SUPERUSER_PASSWORD"],
            "csrfmiddlewaretoken": session.cookies["csrftoken"],
            "next": "/admin/",
        }
        assert "Log out" in session.post(url, data=form, headers={"Referer": url}).text
        return session

    def make_webhook(
        self, url: str, *, name: str, agent_id: str | None = None, **fields: Any
    ) -> tuple[str, str]:
        """Make a webhook through the API, and return its id and its agent's.

        :param agent_id: whose it is; by default it gets an agent of its own.
        :param fields: in the words of the logs API.
        """
        agent = agent_id or self.call("POST", "/api/v1/agents", {"name": name}).json["id"]
        body = {"name": name, "webhook_url": url, "events": ["*"], **fields}
        answer = self.call("POST", f"/api/v1/agents/{agent}/webhooks", body)
        assert answer.status == 201, answer
        return answer.json["data"]["id"], agent

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        kind, _, place = self.database_url.partition(":///")
        if kind == "sqlite":
            with closing(sqlite3.connect(place, timeout=20)) as database:
                return database.execute(query).fetchall()
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(query.encode()).fetchall()

    def end(self) -> None:
        """End every process that is still there."""
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)

    def log(self, name: str) -> str:
        """Return what the processes of a name have printed."""
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/admin/login/", timeout=2)
        except OSError:
            return False
        return True


def environment(folder: Path, database_url: str, redis_url: str, **settings: str) -> dict[str, str]:
    """Return the variables of an installation that may send to this machine, by plain http."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SECRET_KEY": os.environ["SECRET_KEY"],
        "ENCRYPTION_KEYS": os.environ["ENCRYPTION_KEYS"],
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "HTTPS": "false",
        "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOKS_ALLOW_PRIVATE_NETWORKS": "true",
        "WEBHOOKS_REQUIRE_HTTPS": "false",
        "CELERY_BEAT_SCHEDULE_FILENAME": str(folder / "beat"),
        # Whoever runs the tests may choose another engine for all of them.
        **{name: value for name, value in os.environ.items() if name == "WEBHOOKS_TRANSPORT"},
        **settings,
    }
