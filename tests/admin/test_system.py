"""The System page: each section, what it says where it cannot know, and that it gives no secret away."""

import html
import re
import runpy
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries import clock, doorbell
from deliveries.admin.pages import system
from deliveries.models import Chore, WebhookHealth, databases
from deliveries.services import diagnosing, schema, sizing
from deliveries.services.diagnosing import Finding, Place, Verdict
from tests import builders
from tests.test_readme import settings_in_the_code
from webhooks_project import variables
from webhooks_project.variables import HIDDEN, Environment, Variable

SYSTEM = reverse("console:system")
SETTINGS = Path(__file__).resolve().parents[2] / "webhooks_project" / "settings.py"
HOSTILE = "<script>0</script>"
DAY = timedelta(days=1)
# Every variable, and a value that is not its default. What is no secret is to be found on the page.
GIVEN = {
    "ALLOWED_HOSTS": "canary.example.com",
    "CELERY_BEAT_SCHEDULE_FILENAME": "canary-schedule",
    "CONSOLE_SESSION_IDLE": "3601",
    "CSRF_TRUSTED_ORIGINS": "https://canary.example.com",
    "DATABASE_URL": "postgres://canary-user:canary-password@db.example.com/name?sslpassword=canary-query",
    "DEBUG": "true",
    "ENCRYPTION_KEYS": "{key},{key}",
    "HTTPS": "false",
    "LOG_FORMAT": "plain",
    "LOG_LEVEL": "ERROR",
    "REDIS_URL": "redis://canary-user:canary-password@redis.example.com/1?password=canary-query",
    "SECRET_KEY": "canary-secret-key-that-is-long-enough-for-anybody-at-all",
    "STATIC_ROOT": "/canary/static",
    "TRUSTED_PROXIES": "7",
    "TRUST_X_FORWARDED_PROTO": "true",
    "WEBHOOKS_ALLOWED_NETWORKS": "10.77.0.0/16",
    "WEBHOOKS_ALLOW_PRIVATE_NETWORKS": "true",
    "WEBHOOKS_CA_BUNDLE": "{bundle}",
    "WEBHOOKS_CIRCUIT_DELAYS": "31,62",
    "WEBHOOKS_DEMO_RECEIVER": "http://canary-user:canary-password@demo.example.com/",
    "WEBHOOKS_DISABLE_AFTER_DAYS": "6",
    "WEBHOOKS_DRAIN_TIMEOUT": "24",
    "WEBHOOKS_LEASE_GRACE": "33",
    "WEBHOOKS_LIMIT_MANAGE": "601/minute",
    "WEBHOOKS_LIMIT_PUBLISH": "120001/minute",
    "WEBHOOKS_LIMIT_READ": "1201/minute",
    "WEBHOOKS_METRICS_TOKEN": "canary-metrics-token",
    "WEBHOOKS_POLL_INTERVAL": "2",
    "WEBHOOKS_REQUIRE_HTTPS": "false",
    "WEBHOOKS_RETENTION_DAYS": "29",
    "WEBHOOKS_RETRY_DELAYS": "6,301",
    "WEBHOOKS_SLOTS": "257",
    "WEBHOOKS_STATEMENT_TIMEOUT": "11",
    "WEBHOOKS_TRANSPORT": "requests",
    "WEBHOOKS_WATCHDOG": "121",
}
# How those are shown that are not shown as they were given.
SHOWN = {
    "DATABASE_URL": "postgres://***@db.example.com/name?***",
    "ENCRYPTION_KEYS": HIDDEN,
    "REDIS_URL": "redis://***@redis.example.com/1?***",
    "SECRET_KEY": HIDDEN,
    "WEBHOOKS_DEMO_RECEIVER": "http://***@demo.example.com/",
    "WEBHOOKS_METRICS_TOKEN": HIDDEN,
}
# Parts of secrets, none of which is part of something else here.
CANARIES = ("canary-user", "canary-password", "canary-query", "canary-secret", "canary-metrics")


def source_of(console: Client) -> str:
    page = console.get(SYSTEM)
    assert page.status_code == 200
    return page.content.decode()


def text_of(source: str) -> str:
    """Return what a reader of the page's own part reads."""
    own = source.partition('<div class="system">')[2].partition('<dialog id="keys"')[0]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", own)))


def links_of(console: Client) -> list[str]:
    """Return where the findings lead."""
    own = source_of(console).partition('aria-labelledby="findings"')[2].partition("</section>")[0]
    return [html.unescape(link) for link in re.findall(r'<a href="([^"]+)"', own)]


def section(console: Client, heading: str) -> str:
    """Return what a section says."""
    (found,) = re.findall(
        rf'<section aria-labelledby="{heading}">.*?</section>', source_of(console), re.DOTALL
    )
    return text_of(f'<div class="system">{found}')


@pytest.fixture
def healthy(db: None) -> None:
    """A worker, a beat, and chores that are done."""
    builders.a_worker(started_at=clock.now() - DAY, seen_at=clock.now(), slots=1024, recorded=1234567)
    for name in Chore.Name:
        builders.a_chore(name=name, done_at=clock.now())


class TestPage:
    def test_is_for_those_who_may_see_workers(self, client: Client, viewer: Client) -> None:
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_webhook"))
        client.force_login(user)

        assert client.get(SYSTEM).status_code == 403
        webhooks = reverse("admin:deliveries_webhook_changelist")
        assert SYSTEM not in client.get(webhooks).content.decode()
        assert viewer.get(SYSTEM).status_code == 200
        assert SYSTEM in viewer.get(webhooks).content.decode()

    def test_asks_strangers_to_log_in(self, client: Client, db: None) -> None:
        assert client.get(SYSTEM)["Location"].startswith(reverse("admin:login"))

    def test_takes_nothing_but_a_look(self, console: Client) -> None:
        assert console.post(SYSTEM).status_code == 405

    def test_has_its_sections_in_this_order(self, console: Client) -> None:
        source = source_of(console)

        assert re.findall(r"<h2[^>]*>([^<]+)", source.partition("<dialog")[0]) == [
            "Is everything in order?",
            "Workers",
            "Schema and versions",
            "Sizes",
            "Retention of attempts",
            "Settings that are not the default",
        ]
        assert source.count("<h1") == 1

    def test_reads_no_more_where_there_is_more(self, console: Client, healthy: None) -> None:
        source_of(console)
        with CaptureQueriesContext(connection) as few:
            source_of(console)
        for number in range(30):
            builders.a_worker(host=f"{number}", seen_at=clock.now())
            builders.a_failed_delivery(builders.a_webhook())
        with CaptureQueriesContext(connection) as many:
            source_of(console)

        assert len(many) <= len(few) + 3

    def test_can_be_read_by_keys_and_by_ear(self, console: Client, healthy: None) -> None:
        source = source_of(console)

        tables = re.findall(r"<div class=\"box\"([^>]*)>\s*<table>(.*?)</table>", source, re.DOTALL)
        assert len(tables) == source.count("<table") == 4
        for box, table in tables:
            assert 'tabindex="0"' in box
            assert 'role="region" ' in box
            assert "aria-label=" in box
            assert "<caption class=" in table
            heads = re.findall(r"<th\b[^>]*>", table)
            assert heads == re.findall(r'<th scope="(?:col|row)">', table) != []

    def test_says_so_while_the_database_is_away(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> None:
            raise OperationalError("server closed the connection")

        monkeypatch.setattr("deliveries.services.sizing.sizes", away)

        assert console.get(SYSTEM).status_code == 503

    @pytest.mark.parametrize(
        ("asks", "heading"),
        [
            ("staffing.staff", "workers"),
            ("schema.missing", "schema"),
            ("versions.versions", "schema"),
            ("sizing.sizes", "sizes"),
            ("sizing.sizes", "retention"),
            ("forecasting.forecast", "retention"),
        ],
    )
    def test_says_in_a_section_what_could_not_be_asked(
        self, asks: str, heading: str, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(**kwargs: object) -> None:
            raise ProgrammingError("permission denied for <table>\nLINE 1")

        monkeypatch.setattr(f"deliveries.services.{asks}", refuse)

        said = section(console, heading)

        assert "This could not be asked of the database: permission denied for <table>" in said
        assert "LINE 1" not in said

    @pytest.mark.postgresql
    def test_goes_on_behind_a_statement_that_was_refused(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM nothing_of_the_kind")

        monkeypatch.setattr(sizing, "database_size", refuse)

        assert "nothing_of_the_kind" in section(console, "sizes")
        assert "All migrations are applied." in section(console, "schema")


class TestFindings:
    def test_say_first_that_all_is_well(self, console: Client, healthy: None) -> None:
        said = section(console, "findings")

        assert "Everything is in order. ✓ In order settings" in said
        assert "→" not in said

    def test_say_first_what_is_broken(self, console: Client) -> None:
        builders.a_failure_group()

        said = section(console, "findings")

        assert "Something is broken: events are not taken or not delivered. ✕ Broken workers None is" in said
        assert "→ Start one. ! Look beat Was never seen. → Start" in said
        assert said.index("Look failures") < said.index("In order")

    def test_say_when_only_a_look_is_due(self, console: Client, healthy: None) -> None:
        builders.a_failure_group()

        assert (
            "Events are taken and delivered; a person should look at something. ! Look failures"
            in section(console, "findings")
        )

    def test_lead_to_the_webhooks_that_are_out_of_order(self, console: Client, healthy: None) -> None:
        for name, circuit in (("Shut CRM", "open"), ("Tried CRM", "probing"), ("Well CRM", "closed")):
            webhook = builders.a_webhook(name=name)
            if circuit != "closed":
                WebhookHealth.objects.filter(webhook=webhook).update(
                    circuit=circuit, circuit_since=builders.NOW, next_step_at=builders.NOW
                )

        (link,) = links_of(console)
        shown = console.get(link).context["cl"].result_list

        assert "2 out of order." in section(console, "findings")
        assert {webhook.name for webhook in shown} == {"Shut CRM", "Tried CRM"}

    def test_lead_to_the_pauses_in_force(self, console: Client, healthy: None) -> None:
        pause = builders.a_pause(until=clock.now() + DAY)
        builders.a_pause(until=builders.NOW)

        (link,) = links_of(console)

        assert list(console.get(link).context["cl"].result_list) == [pause]

    def test_lead_to_the_inbox(self, console: Client, healthy: None) -> None:
        group = builders.a_failure_group()

        (link,) = links_of(console)

        assert [each.pk for each in console.get(link).context["cl"].result_list] == [group.pk]

    def test_lead_to_the_workers(self, console: Client, healthy: None) -> None:
        builders.a_worker(host="silent", seen_at=clock.now() - timedelta(minutes=5))

        (link,) = links_of(console)

        assert console.get(link).context["cl"].result_count == 2

    def test_lead_nobody_to_what_they_may_not_see(self, client: Client, healthy: None) -> None:
        builders.a_failure_group()
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_worker"))
        client.force_login(user)

        assert "1 waits for a person." in section(client, "findings")
        assert links_of(client) == []

    def test_know_every_place(self) -> None:
        assert system.PLACES.keys() == set(Place)

    def test_are_text(self, console: Client, healthy: None) -> None:
        builders.a_worker(host=HOSTILE, seen_at=clock.now(), clock_skew=DAY)

        assert HOSTILE not in source_of(console)
        assert f"{HOSTILE} by +86400 s" in section(console, "findings")

    def test_show_commands_as_such(self, console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [
            Finding(
                about="queue",
                verdict=Verdict.LOOK,
                says=f"`celery beat` is not there. `{HOSTILE}",
                todo="Run `manage.py queue_status`, or `manage.py deliver`.",
            )
        ]
        monkeypatch.setattr(diagnosing, "diagnose", lambda **kwargs: found)

        source = source_of(console)

        assert "Run <code>manage.py queue_status</code>, or <code>manage.py deliver</code>." in source
        assert "<code>celery beat</code> is not there. `&lt;script&gt;" in source

    def test_hold_no_password(self, console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [
            Finding(about="redis", verdict=Verdict.LOOK, says="At redis://:canary@host", todo="x://:canary@h")
        ]
        monkeypatch.setattr(diagnosing, "diagnose", lambda **kwargs: found)

        said = section(console, "findings")

        assert "At redis://***@host" in said
        assert "canary" not in said


class TestWorkers:
    def test_are_listed_with_what_they_did(self, console: Client, healthy: None) -> None:
        builders.a_worker(host=HOSTILE, pid=7, seen_at=clock.now() - timedelta(minutes=5), database_errors=3)

        said = section(console, "workers")

        assert re.search(
            r"one\.example\.com:4711 ✓ Alive 24 h ago \S+ \S+ UTC \d s ago .* 1,024 0 1,234,567 0 0", said
        )
        assert re.search(r"<script>0</script>:7 ✕ Silent .* 5 min ago \S+ \S+ UTC 32 0 0 3 0", said)
        assert said.index("Silent") < said.index("Alive")

    def test_are_said_to_be_missing_and_how_to_start_one(self, console: Client) -> None:
        said = section(console, "workers")

        assert "No worker was seen within a day" in said
        assert "celery -A webhooks_project worker" in said
        assert "manage.py deliver" in said

    def test_are_listed_up_to_a_bound(
        self, console: Client, healthy: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        builders.a_worker(seen_at=clock.now())
        assert "There are more than these" not in section(console, "workers")

        monkeypatch.setattr("deliveries.services.staffing.LISTED", 1)

        assert "There are more than these" in section(console, "workers")

    def test_are_followed_by_what_beat_has_done(self, console: Client, healthy: None) -> None:
        Chore.objects.filter(pk=Chore.Name.RECOVER).update(done_at=clock.now() - timedelta(minutes=6))
        Chore.objects.filter(pk__in=[Chore.Name.RECOUNT_LOGS, Chore.Name.PRUNE_LOGS]).delete()

        said = section(console, "workers")

        assert re.search(r"recover ! Late 6 min ago", said)
        assert re.search(r"expire_idempotency_keys ✓ In time \d s ago", said)
        assert "prune_logs ! Late never" in said
        assert "recount_logs ◷ Not yet never" in said


class TestSchema:
    def test_is_complete_and_versions_are_told(self, console: Client, settings: Any) -> None:
        settings.REDIS_URL, settings.WEBHOOKS_TRANSPORT = "", "requests"

        said = section(console, "schema")

        assert "✓ Complete All migrations are applied." in said
        assert re.search(
            rf"This service {settings.VERSION} Django 5\.2[\d.]* Python 3\.[\d.]+ Database "
            r"(PostgreSQL|SQLite) \d[\d.]+ Redis not used "
            r"Sends with requests: requests [\d.]+, urllib3 [\d.]+",
            said,
        )

    def test_tells_what_curl_rests_on(self, console: Client, settings: Any) -> None:
        settings.REDIS_URL, settings.WEBHOOKS_TRANSPORT = "redis://127.0.0.1:1/0", "curl"

        assert re.search(
            r"Redis used Sends with curl: PycURL [\d.]+, libcurl [\d.]+\S*, OpenSSL [\d.]+",
            section(console, "schema"),
        )

    def test_names_missing_migrations(self, console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(schema, "missing", lambda: ["deliveries.9999_coming"])

        said = section(console, "schema")

        assert (
            "✕ Missing Migrations that are not applied; run manage.py migrate : deliveries.9999_coming"
            in said
        )


class TestSizes:
    def test_are_told_of_the_largest_tables(self, console: Client) -> None:
        said = section(console, "sizes")

        assert re.search(r"The database takes [\d.]+ [KM]B\.", said)
        assert re.search(
            r"deliveries_attempt (\d+|not known yet) [\d.]+ [KM]B [\d.]+ [KM]B [\d.]+ [KM]B", said
        )
        assert "Rows are estimates" in said

    @pytest.mark.postgresql
    def test_tell_how_far_days_are_made(self, console: Client) -> None:
        databases.make_days(now=clock.now() + 20 * DAY)

        end = clock.now() + 28 * DAY

        assert re.search(
            rf"there are \d+, made ahead until {end:%Y-%m-%d} \(in 2[78] d\)", section(console, "sizes")
        )

    @pytest.mark.sqlite
    def test_say_what_sqlite_does_not_know(self, console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        said = section(console, "sizes")
        assert "SQLite keeps attempts in one table, and not by days." in said
        assert "is not known" not in said

        monkeypatch.setattr("deliveries.models.databases.sizes.LARGEST_FILE", 0)

        said = section(console, "sizes")
        assert "What each table takes is not known: SQLite would have to look through the whole file" in said
        assert re.search(r"auth_permission \d+ - - -", said)


class TestRetention:
    def test_says_when_there_is_nothing(self, console: Client) -> None:
        said = section(console, "retention")

        assert "Kept for 30 whole days, UTC Oldest attempt There is none." in said
        assert "There is too little history" in said

    def test_looks_ahead(self, console: Client) -> None:
        webhook = builders.a_webhook()
        for ago in range(4):
            at = clock.now() - ago * DAY
            builders.an_attempt(builders.a_delivery(webhook, created_at=at), created_at=at)

        said = section(console, "retention")

        assert re.search(r"Oldest attempt 3 d ago", said)
        assert re.search(r"no more are kept from then on in [23]\d d \d{4}-\d\d-\d\d 00:00:00 UTC", said)
        assert re.search(r"Frees, estimated about [\d.]+ (bytes|KB|MB)", said)
        assert re.search(r"Pace, estimated about .* a day, [\d.]+ (bytes|KB|MB), over the last 3 d", said)
        assert re.search(r"Once all days are there, estimated about [\d.]+ [KM]B for attempts, 30 days", said)
        assert "too little history" not in said


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Start as a process does that is given every variable there is, and a mistyped one."""
    key = Fernet.generate_key().decode()
    values = {name: value.format(key=key, bundle=certifi.where()) for name, value in GIVEN.items()}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.setenv("WEBHOOKS_SLOT", "canary-password")
    monkeypatch.setattr(variables, "_noted", {})
    return values


class TestSettings:
    def test_are_shown_without_a_single_secret(
        self, given: Mapping[str, str], console: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert given.keys() == settings_in_the_code().keys(), (
            "Give each variable a value, secret ones a canary."
        )
        started = runpy.run_path(str(SETTINGS))
        settings.ENVIRONMENT = started["ENVIRONMENT"]
        for name in ("SECRET_KEY", "ENCRYPTION_KEYS", "REDIS_URL", "WEBHOOKS_METRICS_TOKEN"):
            setattr(settings, name, started[name])

        def refuse() -> bool:
            raise ConnectionError(f"Refused by {started['REDIS_URL']}")

        monkeypatch.setattr(doorbell, "broker_answers", refuse)
        # The session was signed with the other key.
        console.force_login(User.objects.get(username="operator"))

        source = source_of(console)

        assert not [canary for canary in (*CANARIES, *started["ENCRYPTION_KEYS"]) if canary in source]
        said = section(console, "settings")
        missing = [name for name, value in given.items() if f"{name} {SHOWN.get(name, value)} " not in said]
        assert missing == []
        assert "! Not read No setting has these names." in said
        assert "WEBHOOKS_SLOT ." in said

    def test_are_only_those_that_differ(self, console: Client, settings: Any) -> None:
        settings.ENVIRONMENT = Environment(
            read=(
                Variable(name="LIKE", value="a", default="a", changed=False),
                Variable(name="UNLIKE", value=HOSTILE, default="", changed=True),
            ),
            unread=(),
        )

        said = section(console, "settings")

        assert f"UNLIKE {HOSTILE} none" in said
        assert HOSTILE not in source_of(console)
        assert " LIKE " not in said
        assert "Not read" not in said

    def test_may_all_be_the_default(self, console: Client, settings: Any) -> None:
        settings.ENVIRONMENT = Environment(read=(), unread=())

        assert "All settings are the default." in section(console, "settings")
