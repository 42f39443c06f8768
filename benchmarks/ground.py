"""The servers and receivers of a run, and an installation on them for whoever asks by name."""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import trustme

from benchmarks import rows
from benchmarks.installation import Installation, Standing
from benchmarks.receiver import Receiver, receiving
from benchmarks.spending import WATCHER, spending
from tests.run import KEYS
from tests.servers.folders import throw_away_folder
from tests.servers.postgresql import PostgreSQL
from tests.servers.redis import Redis
from tests.service import environment
from tests.waiting import wait_until

# As in production: what was committed is on the disk.
POSTGRESQL = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "shared_preload_libraries": "pg_stat_statements",
    # Statements that are logged are logged without what they carry.
    "log_parameter_max_length": "0",
}
# The limits are counted, and higher than anything here reaches.
SERVICE = {f"WEBHOOKS_LIMIT_{what}": "100000000/minute" for what in ("READ", "PUBLISH", "MANAGE")}
# Events that are copied: how large, in kilobytes; 0 is as small as can be.
SIZES = (0, 1, 10)
EVENT_TYPE = "call.ended"
_TEMPLATE = "template_of_all"


@dataclass(kw_only=True)
class Ground:
    """What all cases share. Installations are made once, and used by every case that names them."""

    folder: Path
    postgresql: PostgreSQL
    redis: Redis
    receiver: Receiver
    tls_receiver: Receiver
    authority: Path
    watch: psycopg.Connection
    key: str = ""
    agent_id: str = ""
    _made: dict[str, Standing] = field(default_factory=dict)
    _databases: dict[str, str] = field(default_factory=dict)
    _undo: ExitStack = field(default_factory=ExitStack)

    def installation(self, name: str, **settings: str) -> Installation:
        """Return the installation of this name; the first time it is made, and runs nothing yet."""
        made = self._made.get(name)
        if not isinstance(made, Installation):
            made = Installation(
                folder=self.room(name),
                environment=self.environment(name, self.database(name), **settings),
                key=self.key,
                agent_id=self.agent_id,
            )
            self.keep(name, made)
        return made

    def keep(self, name: str, made: Standing) -> None:
        """Keep what was made until the end of the run."""
        self._made[name] = made
        self._undo.callback(made.end)

    def made(self, name: str) -> Standing | None:
        """Return what is kept under a name."""
        return self._made.get(name)

    def room(self, name: str) -> Path:
        """Return a folder of this name."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def environment(self, name: str, database_url: str, **settings: str) -> dict[str, str]:
        """Return the variables of an installation, which has a database of Redis to itself."""
        redis_url = self.redis.url(len(self._made) + 1)
        variables = environment(self.folder / name, database_url, redis_url, **SERVICE, **settings)
        return {**variables, "WEBHOOKS_CA_BUNDLE": str(self.authority)}

    def database(self, name: str, *, template: str = _TEMPLATE) -> str:
        """Make a database unless it is there, and return its URL."""
        if name not in self._databases:
            self.watch.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
            self._databases[name] = self.postgresql.url(name)
        return self._databases[name]

    def spending(self, database: str = "", **parts: int) -> AbstractContextManager[dict[str, float]]:
        """Measure what a block takes of PostgreSQL, of Redis, and of the processes named."""
        assert self.postgresql.pid is not None
        assert self.redis.pid is not None
        parts |= {"postgresql": self.postgresql.pid, "redis": self.redis.pid}
        return spending(parts, watch=self.watch, database=database)

    def receiver_of(self, *, tls: bool) -> Receiver:
        """Return who receives."""
        return self.tls_receiver if tls else self.receiver

    def end(self) -> None:
        """End what was made."""
        self._undo.close()


@contextmanager
def prepared() -> Iterator[Ground]:
    """Start everything, and make what installations are copied from."""
    os.environ.update({**KEYS, **os.environ})
    with ExitStack() as undo:
        folder = undo.enter_context(throw_away_folder("benchmarks"))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            folder / "receiver.pem"
        )
        postgresql = undo.enter_context(PostgreSQL(settings=POSTGRESQL))
        ground = Ground(
            folder=folder,
            postgresql=postgresql,
            watch=undo.enter_context(_watching(postgresql)),
            redis=undo.enter_context(Redis()),
            receiver=undo.enter_context(receiving()),
            tls_receiver=undo.enter_context(receiving(certificate=str(folder / "receiver.pem"))),
            authority=folder / "authority.pem",
        )
        undo.callback(ground.end)
        _make_template(ground)
        yield ground


def _watching(postgresql: PostgreSQL) -> psycopg.Connection:
    """Make the role that we look as, and connect as it."""
    with psycopg.connect(postgresql.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {WATCHER} SUPERUSER LOGIN".encode())
        connection.execute("CREATE EXTENSION pg_stat_statements")
    return psycopg.connect(postgresql.url().replace("//postgres@", f"//{WATCHER}@"), autocommit=True)


def _make_template(ground: Ground) -> None:
    """Have the service make one of each row that is copied later."""
    room = ground.room(_TEMPLATE)
    variables = ground.environment(_TEMPLATE, ground.database(_TEMPLATE, template="template0"))
    service = Installation(folder=room, environment=variables)
    service.manage("migrate", "--verbosity", "0")
    service.make_account()
    service.start_web()
    service.watch.execute(rows.PREPARE.encode())
    webhook_id, agent_id = service.make_webhook(ground.receiver.url("/keep/0"), name="takes")
    _, other_id = service.make_webhook(ground.receiver.url("/fail/0"), name="fails", max_retries=0)
    for size in SIZES:
        answer = service.call("POST", "/api/v1/events", event(agent_id, size))
        rows.keep(service.watch, f"event_{size}", "deliveries_event", f"id = '{answer.json['id']}'")
    taken = f"event_id = '{answer.json['id']}'"
    answer = service.call("POST", "/api/v1/events", event(other_id, 1))
    failed = f"event_id = '{answer.json['id']}'"
    rows.keep(service.watch, "webhook", "deliveries_webhook", f"id = '{webhook_id}'")
    rows.keep(service.watch, "health", "deliveries_webhookhealth", f"webhook_id = '{webhook_id}'")
    rows.keep(service.watch, "pending", "deliveries_delivery", taken)
    service.begin()
    with service.going():
        wait_until(service.is_idle, what="deliveries", timeout=20)
    for name, which in (("taken", taken), ("failed", failed)):
        delivery = f"delivery_id IN (SELECT id FROM deliveries_delivery WHERE {which})"
        rows.keep(service.watch, name, "deliveries_delivery", which)
        rows.keep(service.watch, f"attempt_{name}", "deliveries_attempt", delivery)
    rows.keep(service.watch, "failure", "deliveries_failure", delivery)
    rows.keep(service.watch, "failure_group", "deliveries_failuregroup", "true")
    rows.keep(service.watch, "traffic", "deliveries_trafficminute", f"webhook_id = '{webhook_id}'")
    rows.keep(service.watch, "audit", "deliveries_auditentry", f"subject_id = '{webhook_id}'")
    # One that selects nothing is completed at once.
    service.call("POST", "/api/v1/recoveries", {"event": "message.sent"})
    rows.keep(service.watch, "recovery", "deliveries_recovery", "true")
    ground.key, ground.agent_id = service.key, agent_id
    service.end()
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM deliveries_worker")


def event(agent_id: str, kilobytes: int) -> dict[str, object]:
    """Return an event to publish."""
    return {"event": EVENT_TYPE, "agent_id": agent_id, "payload": payload(kilobytes)}


def payload(kilobytes: int) -> dict[str, str]:
    """Return a payload whose compact form is so large."""
    size = kilobytes * 1024
    fields = {f"field_{number}": f"{number:030}" for number in range(size // 50)}
    rest = size - len(json.dumps({**fields, "rest": ""}, separators=(",", ":")))
    return {**fields, "rest": "." * rest}
