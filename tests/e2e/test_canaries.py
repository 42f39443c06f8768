"""Secrets pushed through every path of a running installation, and looked for where they must not be."""

import base64
import json
import os
import pickle
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
import requests
from django.apps import apps
from kombu import Connection

from tests.e2e.stack import Stack, installation
from tests.servers import binaries
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]


def canary(name: str) -> str:
    return f"canary-{name}-{secrets.token_hex(8)}"


CANARIES = {
    name: canary(name)
    for name in ("credential", "header", "database", "redis", "session-key", "password", "unknown-key")
}
CANARIES["secret-key"] = canary("secret-key") + secrets.token_urlsafe(48)
CANARIES["webhook-secret"] = "whsec_" + base64.b64encode(os.urandom(24)).decode()
# Starts with what no generator of ours makes, so that it can be told apart; all else is random.
CANARIES["encryption-key"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
ENTRIES = "/api/v1/agents/{}/webhooks"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """An installation full of canaries, as talkative as can be."""
    own = {"SECRET_KEY": CANARIES["secret-key"], "ENCRYPTION_KEYS": CANARIES["encryption-key"]}
    with installation(**own, LOG_LEVEL="DEBUG", WEBHOOKS_RETRY_DELAYS="0.2,0.2") as stack:
        port = stack.redis.port
        stack.redis.configure("requirepass", CANARIES["redis"])
        database = stack.postgresql.url().replace("postgres@", f"postgres:{CANARIES['database']}@")
        stack.environment["DATABASE_URL"] = database
        stack.environment["REDIS_URL"] = f"redis://:{CANARIES['redis']}@127.0.0.1:{port}/0"
        stack.make_account()
        CANARIES["api-key"] = stack.key.rpartition("_")[2]
        stack.start_web()
        stack.start_worker()
        stack.start_beat()
        stack.wait_for_workers(1)
        yield stack


def send_everything(stack: Stack) -> str:
    """Push the canaries through the APIs, the console, deliveries and commands; return all that came back."""
    seen: list[str] = []

    def call(method: str, path: str, body: object = None, **headers: str) -> Any:
        answer = stack.call(method, path, body, **headers)
        seen.append(json.dumps([answer.headers, answer.json]))
        return answer.json

    agent = call("POST", "/api/v1/agents", {"name": "Reception"})["id"]
    stack.receiver.behaviours = {"/bad": lambda nth: 500}
    stack.receiver.echoing = True
    for path, scheme in (("/good", "bearer"), ("/bad", "basic"), ("/key", "api_key")):
        body = {
            "name": path, "webhook_url": stack.receiver.url(path),
            "webhook_secret": CANARIES["webhook-secret"],
            "events": ["call.ended"], "authorization_scheme": scheme, "max_retries": 1,
            "authorization_credential": CANARIES["credential"],
            "custom_headers": [{"key": "X-Token", "value": CANARIES["header"]}],
        }  # fmt: skip
        answer = call("POST", ENTRIES.format(agent), body)
        assert "data" in answer, answer
        made = answer["data"]
        call("POST", f"{ENTRIES.format(agent)}/{made['id']}/test", {})
        call("PUT", f"{ENTRIES.format(agent)}/{made['id']}", {**body, "timeout": 4})
        for name, value in CANARIES.items():
            for field in ("timeout", "events", "http_method", "max_retries", "authorization_scheme", name):
                if name != "api-key" and field != name:
                    # The refusal may name the value: to who sent it, and to nobody else.
                    stack.call("PUT", f"{ENTRIES.format(agent)}/{made['id']}", {field: [value]})
    event = call("POST", "/api/v1/events", {"event": "call.ended", "agent_id": agent, "payload": {"a": 1}})
    wait_until(lambda: len(stack.receiver.at("/bad")) >= 2, timeout=20, what="the retries")
    wait_until(lambda: stack.call("GET", "/api/v4/tasks/webhook_failures").json["metadata"]["total"] >= 1,
               timeout=20, what="a failure")  # fmt: skip
    for path in ("/api/v1/deliveries", "/api/v1/agents", f"/api/v1/events/{event['id']}", "/api/v1/whoami",
                 ENTRIES.format(agent), "/api/v4/tasks/webhook_failures", "/api/v1/event_types"):  # fmt: skip
        call("GET", path)
    # What a person puts in the wrong place comes back to that person only where it is what was wrong.
    url, key = f"http://127.0.0.1:{stack.port}", stack.key
    for value in CANARIES.values():
        requests.get(
            f"{url}/api/v1/events?api_key={quote(value)}",
            headers={"X-Api-Key": value, "X-Request-Id": value},
            timeout=20,
        )
        requests.get(f"{url}/api/v1/events", headers={"Authorization": f"Bearer {value}"}, timeout=20)
        cookie = {"Cookie": f"sessionid={quote(value)}"}
        requests.get(f"{url}/api/v1/whoami?token={quote(value)}", headers=cookie, timeout=20)
        requests.post(f"{url}/api/v1/events", data=value, headers={"Authorization": f"Bearer {key}",
                      "Content-Type": "application/json"}, timeout=20)  # fmt: skip
        for line in (f"Authorization Bearer {value}", f"X-Api-Key {value}", f"Cookie: {value}\0"):
            send_malformed(stack.port, line)
    seen += look_around(stack, url)
    return "\n".join(seen)


def send_malformed(port: int, line: str) -> None:
    """Send what no server can read, with a line in the place of a header."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n".encode())
        assert b" 400 " in connection.recv(65_536)


def look_around(stack: Stack, url: str) -> list[str]:
    """Fail to log in to the console, log in, and return every list and page of it."""
    program = (
        "from django.contrib.auth.models import User; User.objects.create_superuser('ada', password={!r})"
    )
    stack.manage("shell", "--no-imports", "-c", program.format(CANARIES["password"]))
    browser, seen = requests.Session(), []
    for name, password in (
        ("ada", CANARIES["header"]),
        (CANARIES["password"], "x"),
        ("ada", CANARIES["password"]),
    ):
        page = browser.get(f"{url}/admin/login/?next=/admin/", timeout=20).text
        token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token}
        answered = browser.post(f"{url}/admin/login/", data=form, timeout=20)
        if name == "ada":
            # What was typed as the name stands in the form that comes back, for who typed it.
            seen.append(answered.text)
    for model in apps.get_app_config("deliveries").get_models():
        path, table, key = (
            f"{url}/admin/deliveries/{model._meta.model_name}/",
            model._meta.db_table,
            model._meta.pk,
        )
        changelist = browser.get(path, timeout=20)
        assert changelist.status_code == 200, path
        seen.append(changelist.text)
        for (row,) in stack.rows(f"SELECT {key.column} FROM {table} LIMIT 20"):
            for page in (f"{path}{row}/change/", f"{path}{row}/history/"):
                answered = browser.get(page, timeout=20)
                assert answered.status_code == 200, page
                seen.append(answered.text)
    for page in (
        "axes/accesslog",
        "axes/accessattempt",
        "auth/user",
        "deliveries/webhook/add",
        "no/such/page",
    ):
        seen.append(browser.get(f"{url}/admin/{page}/", timeout=20).text)
    return seen


def of_redis(stack: Stack) -> str:
    client = redis.Redis(port=stack.redis.port, password=CANARIES["redis"])
    held = []
    for key in client.scan_iter():
        held.append(repr(key) + repr(client.dump(key)))
    return "\n".join(held)


def of_the_database(stack: Stack) -> str:
    # Sessions and their data are signed, not encrypted; whose they are is what they hold.
    dump = [str(binaries.postgresql() / "pg_dump"), stack.postgresql.url()]
    dumped: str = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
    assert "COPY public.deliveries_webhook " in dumped
    return dumped


def of_the_processes(stack: Stack) -> str:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # ended meanwhile
            lines.append(path.read_text(errors="replace"))
    assert any("celery" in line for line in lines)
    return "\n".join(lines)


def of_the_logs(stack: Stack) -> str:
    return "\n".join(path.read_text(errors="replace") for path in stack.folder.glob("*.log"))


def hits(text: str) -> set[str]:
    """Return which canaries stand in a text: as they are, in a URL, in base64, or as bytes in a dump."""
    found = set()
    for name, value in CANARIES.items():
        for spelling in (value, quote(value, safe=""), base64.b64encode(value.encode()).decode()):
            if spelling in text or spelling.encode().hex() in text:
                found.add(name)
    return found


class Bomb:
    """What runs a command when somebody unpickles it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.file}",))


class TestCanaries:
    def test_are_seen_nowhere(self, stack: Stack) -> None:
        answers = send_everything(stack)
        dump = of_the_database(stack)
        found = {
            "answers and pages": hits(answers),
            "Redis": hits(of_redis(stack)),
            "the database": hits(dump),
            "the processes": hits(of_the_processes(stack)),
            "the logs": hits(of_the_logs(stack)),
        }

        assert {where: names for where, names in found.items() if names} == {}
        assert "DEBUG" in of_the_logs(stack)
        refused = [line for line in stack.log("web").splitlines() if "Invalid HTTP Header" in line]
        assert {json.loads(line)["logger"] for line in refused} == {"gunicorn.error"}
        # What the receiver sent back of them was kept, and masked.
        assert '"x-echo-x-token": "***"' in dump
        assert b'"x-token": "***"'.hex() in dump

    @pytest.mark.parametrize("kind", ["pickle", "yaml"])
    def test_messages_that_are_no_json_run_nothing(self, stack: Stack, kind: str) -> None:
        file = stack.folder / f"executed-{kind}"
        bomb = pickle.dumps(([Bomb(file)], {}, {}))
        text = f"!!python/object/apply:os.system ['touch {file}']"
        types = {
            "pickle": ("application/x-python-serialize", "binary", bomb),
            "yaml": ("application/x-yaml", "utf-8", text),
        }
        content_type, encoding, body = types[kind]
        with Connection(stack.environment["REDIS_URL"]) as connection:
            producer = connection.Producer()
            producer.publish(
                body,
                routing_key="webhooks",
                content_type=content_type,
                content_encoding=encoding,
                headers={"task": "deliveries.deliver_due", "id": kind},
            )

        wait_until(lambda: content_type in stack.log("worker"), timeout=20, what="the refusal")
        agent = stack.call("POST", "/api/v1/agents", {"name": kind}).json["id"]
        webhook = {"name": kind, "webhook_url": stack.receiver.url(f"/{kind}"), "events": ["call.ended"]}
        assert stack.call("POST", ENTRIES.format(agent), webhook).status == 201
        draft = {"event": "call.ended", "agent_id": agent, "payload": {"a": 2}}
        assert stack.call("POST", "/api/v1/events", draft).status == 202
        wait_until(lambda: stack.receiver.at(f"/{kind}"), timeout=20, what="the delivery")
        assert not file.exists()

    def test_are_seen_nowhere_while_the_servers_are_away(self, stack: Stack) -> None:
        for place, changes in (
            ("database", {"DATABASE_URL": f"postgres://postgres:{CANARIES['database']}@127.0.0.1:1/x"}),
            ("database", {"DATABASE_URL": f"mysql://postgres:{CANARIES['database']}@127.0.0.1:1/x"}),
            ("database", {"DATABASE_URL": f"postgres://postgres:{CANARIES['database']}/2@127.0.0.1:1/x"}),
            ("redis", {"REDIS_URL": f"redis://:{CANARIES['redis']}/2@127.0.0.1:1/0"}),
            ("redis", {"REDIS_URL": f"mq://:{CANARIES['redis']}@127.0.0.1:1/0"}),
            ("encryption-key", {"ENCRYPTION_KEYS": CANARIES["encryption-key"][:-5]}),
        ):
            said = failing_command(stack, **changes)
            assert hits(said) == set(), (place, said)
        with without_servers(stack):
            answer = stack.call("GET", "/api/v1/whoami")
            page = requests.get(f"http://127.0.0.1:{stack.port}/admin/login/", timeout=20).text

            assert answer.status == 503
            assert hits(json.dumps(answer.json) + page) == set()
            wait_until(lambda: "127.0.0.1" in stack.log("worker"), timeout=20, what="the worker's complaint")
            assert hits(of_the_logs(stack)) == set()


@contextmanager
def without_servers(stack: Stack) -> Iterator[None]:
    """Stop database and Redis for the length of the block, and wait until all is well again."""
    stack.redis.stop()
    stack.postgresql.stop()
    try:
        yield
    finally:
        stack.postgresql.start()
        stack.redis.start()
        stack.redis.configure("requirepass", CANARIES["redis"])
        wait_until(lambda: is_well(stack), timeout=30, what="the service")


def is_well(stack: Stack) -> bool:
    """Tell whether the web server reaches database and Redis, and a worker has been heard of."""
    checks = requests.get(f"http://127.0.0.1:{stack.port}/readyz", timeout=20).json()["checks"]
    return all(checks[name]["ok"] for name in ("database", "redis", "workers"))


def failing_command(stack: Stack, **changes: str) -> str:
    """Return what a command says that must fail."""
    ended = subprocess.run(
        [sys.executable, "manage.py", "queue_status"],
        cwd=Path(__file__).resolve().parent.parent.parent,
        env={**stack.environment, **changes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    return ended.stdout + ended.stderr
