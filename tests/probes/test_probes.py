"""/healthz, /readyz and /metrics, as load balancers and Prometheus ask for them."""

import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from deliveries import clock, doorbell
from deliveries.probes import exposition, readiness
from deliveries.probes.errands import Errand
from deliveries.services import schema
from tests import builders
from tests.waiting import wait_until
from webhooks_project.policies import ELSEWHERE

PATHS = ("/healthz", "/readyz", "/metrics")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is left from the test before, and a slow machine has time for the next."""
    for name in ("_database", "_broker"):
        find_out = getattr(readiness, name)._run
        monkeypatch.setattr(readiness, name, Errand(find_out, patience=60, fresh=readiness.FRESH))


@pytest.fixture
def probe(settings: Any) -> Client:
    """A load balancer: it knows an address, and no TLS."""
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["hooks.example.com"]
    return Client(headers={"host": "10.1.2.3:8000"})


@pytest.fixture
def database_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody ask the database anything."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", fail)


@pytest.fixture
def read_metrics(probe: Client) -> Callable[[], dict[str, float]]:
    """Return the values of the metrics by name and labels."""

    def read() -> dict[str, float]:
        return {
            "".join(
                [sample.name, *(f" {name}={value}" for name, value in sample.labels.items())]
            ): sample.value
            for family in text_string_to_metric_families(probe.get("/metrics").content.decode())
            for sample in family.samples
        }

    return read


@pytest.mark.django_db(transaction=True)
class TestEveryProbe:
    @pytest.mark.parametrize("path", PATHS)
    def test_answers_whatever_the_host_name_and_is_never_kept(self, probe: Client, path: str) -> None:
        response = probe.get(path)

        assert response.status_code == 200, response.content
        assert response["Cache-Control"] == "no-store"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["X-Request-Id"]
        assert response["Content-Security-Policy"] == ELSEWHERE
        assert not response.cookies

    @pytest.mark.parametrize("path", PATHS)
    def test_answers_head_without_a_body(self, probe: Client, path: str) -> None:
        response = probe.head(path)

        assert (response.status_code, response.content) == (200, b"")
        assert int(response["Content-Length"]) > 0

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
    def test_refuses_every_other_method(self, probe: Client, path: str, method: str) -> None:
        response = getattr(probe, method)(path)

        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
        assert response["Content-Security-Policy"] == ELSEWHERE

    def test_leaves_other_paths_alone(self, probe: Client) -> None:
        assert probe.get("/healthz/x").status_code != 200


class TestHealth:
    def test_asks_no_database(self, probe: Client, database_away: None) -> None:
        assert probe.get("/healthz").json() == {"status": "alive"}


@pytest.mark.django_db(transaction=True)
class TestReadiness:
    def test_tells_each_check(self, probe: Client) -> None:
        builders.a_worker(seen_at=builders.NOW + timedelta(days=36500))
        builders.a_chore(done_at=builders.NOW + timedelta(days=36500))

        wait_until(lambda: probe.get("/readyz").json()["checks"]["redis"]["ok"], timeout=30, what="Redis")

        response = probe.get("/readyz")

        assert response.status_code == 200
        assert response.json() == {
            "status": "ready",
            "checks": {
                "database": {"ok": True},
                "migrations": {"ok": True, "missing": []},
                "workers": {"ok": True, "alive": 1},
                "beat": {"ok": True, "age": 0},
                "redis": {"ok": True},
            },
        }

    def test_is_not_given_without_a_database(self, probe: Client, database_away: None) -> None:
        response = probe.get("/readyz")

        assert response.status_code == 503
        assert response.json()["checks"]["database"] == {"ok": False}
        assert response.json()["checks"]["workers"] == {"ok": False, "alive": None}

    def test_is_not_given_before_every_migration(
        self, probe: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        coming = frozenset({("deliveries", "9999_coming")})
        monkeypatch.setattr(schema, "_migrations", lambda: coming)

        response = probe.get("/readyz")

        assert response.status_code == 503
        assert response.json()["checks"]["migrations"] == {"ok": False, "missing": ["deliveries.9999_coming"]}

    def test_is_given_without_redis_and_without_workers(
        self, probe: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> bool:
            raise ConnectionError("refused")

        monkeypatch.setattr(readiness, "_broker", Errand(refuse, patience=30, fresh=3600))
        told = ({"ok": True}, {"ok": False})
        wait_until(
            lambda: probe.get("/readyz").json()["checks"]["redis"] in told, timeout=30, what="a word of Redis"
        )

        response = probe.get("/readyz")

        assert response.status_code == 200
        assert response.json()["checks"]["redis"] == {"ok": False}
        assert response.json()["checks"]["workers"] == {"ok": False, "alive": 0}

    def test_does_not_wait_for_redis(
        self, probe: Client, monkeypatch: pytest.MonkeyPatch, within: Callable[[float], None]
    ) -> None:
        silence = threading.Event()
        monkeypatch.setattr(readiness, "_broker", Errand(lambda: silence.wait(60), patience=60))

        response = probe.get("/readyz")

        within(30)
        silence.set()
        assert response.status_code == 200
        assert response.json()["checks"]["redis"] == {"ok": None}

    def test_asks_the_database_once_for_all_who_come_within_a_second(
        self, probe: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def look() -> tuple[list[str], int, int]:
            asked.append(1)
            return [], 1, 1

        monkeypatch.setattr(readiness, "_database", Errand(look, patience=30, fresh=3600))

        assert [probe.get("/readyz").status_code for _ in range(5)] == [200] * 5
        assert len(asked) == 1

    @pytest.mark.parametrize("token", ["", "s3cret"])
    def test_tells_strangers_no_details(
        self, probe: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, token: str
    ) -> None:
        coming = frozenset({("deliveries", "9999_coming")})
        monkeypatch.setattr(schema, "_migrations", lambda: coming)
        settings.WEBHOOKS_METRICS_TOKEN = token

        response = probe.get("/readyz", headers={"authorization": "Bearer wrong"}, REMOTE_ADDR="192.0.2.7")

        assert response.status_code == 503
        answer = response.json()
        assert answer["status"] == "not ready"
        assert answer["checks"].keys() == {"database", "migrations", "workers", "beat", "redis"}
        assert {key for check in answer["checks"].values() for key in check} == {"ok"}

    def test_tells_who_has_the_token_all(self, probe: Client, settings: Any) -> None:
        settings.WEBHOOKS_METRICS_TOKEN = "s3cret"

        response = probe.get("/readyz", headers={"authorization": "Bearer s3cret"}, REMOTE_ADDR="192.0.2.7")

        assert response.json()["checks"]["migrations"] == {"ok": True, "missing": []}

    @pytest.mark.parametrize(("ago", "ok"), [(290, True), (301, False)])
    def test_is_given_without_beat(self, probe: Client, ago: int, ok: bool) -> None:
        builders.a_chore(done_at=clock.now() - timedelta(seconds=ago))

        response = probe.get("/readyz")

        beat = response.json()["checks"]["beat"]
        assert (response.status_code, beat["ok"]) == (200, ok)
        assert ago <= beat["age"] < ago + 9

    def test_does_not_wait_for_a_silent_database(
        self, probe: Client, monkeypatch: pytest.MonkeyPatch, within: Callable[[float], None]
    ) -> None:
        silence = threading.Event()
        asked = []

        def hang() -> Any:
            asked.append(1)
            silence.wait(10)

        monkeypatch.setattr(readiness, "_database", Errand(hang, patience=0.2))

        began = time.monotonic()
        assert [probe.get("/readyz").status_code for _ in range(3)] == [503] * 3
        assert time.monotonic() - began < 8
        silence.set()
        # The impatient do not pile up behind it.
        assert len(asked) == 1


@pytest.mark.django_db(transaction=True)
class TestWhoMayReadMetrics:
    def test_is_this_machine_where_there_is_no_token(self, probe: Client) -> None:
        assert probe.get("/metrics", REMOTE_ADDR="::1").status_code == 200

    @pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", ""])
    def test_is_nobody_else(self, probe: Client, address: str) -> None:
        response = probe.get("/metrics", REMOTE_ADDR=address)

        assert response.status_code == 404
        assert b"WEBHOOKS_METRICS_TOKEN" in response.content

    @pytest.mark.parametrize(
        "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "Via"]
    )
    def test_is_nobody_behind_a_proxy_on_this_machine(self, probe: Client, header: str) -> None:
        assert probe.get("/metrics", headers={header: "127.0.0.1"}).status_code == 404

    @pytest.mark.parametrize("given", ["", "Bearer wrong", "Basic s3cret", "Bearer", "Bearer s3cret\xe9"])
    def test_is_who_has_the_token(self, probe: Client, settings: Any, given: str) -> None:
        settings.WEBHOOKS_METRICS_TOKEN = "s3cret"

        refused = probe.get("/metrics", headers={"authorization": given})
        answered = probe.get("/metrics", headers={"authorization": "Bearer s3cret"}, REMOTE_ADDR="192.0.2.7")

        assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Bearer")
        assert answered.status_code == 200


@pytest.mark.django_db(transaction=True)
class TestMetrics:
    def test_give_the_queue(self, read_metrics: Callable[[], dict[str, float]]) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 3, due_at=builders.NOW)
        builders.a_backlog(webhook, 2, status="held")

        metrics = read_metrics()

        assert metrics["webhooks_database_up"] == 1
        assert metrics["webhooks_due"] == 3
        assert metrics["webhooks_held reason=none"] == 2
        assert metrics["webhooks_stranded why=held"] == 2
        assert metrics["webhooks_oldest_due_age_seconds"] > 0

    def test_tell_failures_that_wait_from_those_somebody_is_done_with(
        self, read_metrics: Callable[[], dict[str, float]]
    ) -> None:
        builders.a_failure_group()
        builders.a_failure_group(state="snoozed", snoozed_until=clock.now() + timedelta(hours=1))
        for _ in range(2):
            builders.a_failure_group(state="resolved")

        metrics = read_metrics()

        assert {name: value for name, value in metrics.items() if "failures_waiting" in name} == {
            "webhooks_failures_waiting state=open": 1,
            "webhooks_failures_waiting state=snoozed": 1,
            "webhooks_failures_waiting state=settled": 2,
        }

    def test_give_a_beat_nobody_has_ever_seen(self, read_metrics: Callable[[], dict[str, float]]) -> None:
        builders.a_chore(name="prune_logs")

        metrics = read_metrics()

        assert metrics["webhooks_chore_age_seconds chore=recover"] == math.inf
        assert 0 < metrics["webhooks_chore_age_seconds chore=prune_logs"] < math.inf

    def test_give_each_worker(self, read_metrics: Callable[[], dict[str, float]]) -> None:
        tomorrow = builders.NOW + timedelta(days=36500)
        builders.a_worker(seen_at=tomorrow, recorded=7, under_way=3, clock_skew=timedelta(seconds=-40))
        builders.a_worker(host="gone", seen_at=clock.now() - timedelta(minutes=5))

        metrics = read_metrics()

        assert metrics["webhooks_workers state=alive"] == metrics["webhooks_workers state=silent"] == 1
        assert metrics["webhooks_worker_recorded_total worker=one.example.com:4711"] == 7
        assert metrics["webhooks_worker_under_way worker=one.example.com:4711"] == 3
        assert metrics["webhooks_worker_clock_skew_seconds worker=one.example.com:4711"] == -40
        assert not any("gone" in name for name in metrics)

    def test_give_one_series_for_two_workers_of_one_name(
        self, read_metrics: Callable[[], dict[str, float]], probe: Client
    ) -> None:
        tomorrow = builders.NOW + timedelta(days=36500)
        builders.a_worker(seen_at=tomorrow, started_at=builders.NOW + timedelta(minutes=1), recorded=7)
        builders.a_worker(seen_at=tomorrow, started_at=builders.NOW, recorded=900)

        metrics = read_metrics()

        assert metrics["webhooks_worker_recorded_total worker=one.example.com:4711"] == 7
        assert probe.get("/metrics").content.count(b"webhooks_worker_recorded_total{") == 1

    def test_say_of_which_web_process_they_are(self, read_metrics: Callable[[], dict[str, float]]) -> None:
        for name in read_metrics():
            if name.startswith(("process_", "webhooks_web_")):
                assert " pid=" in name

    def test_name_no_tenant_and_no_url(self, probe: Client) -> None:
        webhook = builders.a_webhook(name="Canary CRM", url="https://canary.example.org/hook")
        builders.a_backlog(webhook, 2)

        text = probe.get("/metrics").content.decode().lower()

        assert "canary" not in text
        assert "https:" not in text
        assert str(webhook.account_id) not in text

    def test_are_those_of_the_process_without_a_database(self, probe: Client, database_away: None) -> None:
        response = probe.get("/metrics")

        assert response.status_code == 200
        assert b"webhooks_database_up 0.0" in response.content
        assert b"webhooks_scrape_complete 0.0" in response.content
        assert b"webhooks_due" not in response.content
        assert b"webhooks_build_info" in response.content

    def test_tell_a_database_that_takes_too_long_from_one_that_is_away(
        self, probe: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forever = threading.Event()
        monkeypatch.setattr(exposition, "_numbers", Errand(lambda: forever.wait(60), patience=0.2))

        response = probe.get("/metrics")

        forever.set()
        assert b"webhooks_database_up 1.0" in response.content
        assert b"webhooks_scrape_complete 0.0" in response.content
        assert b"webhooks_due" not in response.content

    @pytest.mark.postgresql
    def test_tell_a_statement_that_was_ended_from_a_database_that_is_away(
        self, probe: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def take_too_long() -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 100")
                cursor.execute("SELECT pg_sleep(60)")

        monkeypatch.setattr(exposition, "_numbers", Errand(take_too_long, patience=30))

        response = probe.get("/metrics")

        assert b"webhooks_database_up 1.0" in response.content
        assert b"webhooks_scrape_complete 0.0" in response.content


class TestBroker:
    @pytest.mark.postgresql
    def test_answers(self) -> None:
        assert doorbell.broker_answers()
