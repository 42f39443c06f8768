"""manage.py doctor."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from deliveries import clock, doorbell
from deliveries.models import Chore, Worker
from deliveries.services import diagnosing, schema
from tests import builders
from tests.commands.conftest import Run
from tests.service import ROOT

MINUTE = timedelta(minutes=1)
Doctor = Callable[[], dict[str, Any]]


@pytest.fixture
def doctor(db: None) -> Doctor:
    """Return what is said, by what it is about, and the verdict under "". It ends with 1 if that is bad."""

    def doctor() -> dict[str, Any]:
        stdout, code = io.StringIO(), 0
        try:
            call_command("doctor", "--json", stdout=stdout)
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = json.loads(stdout.getvalue())
        assert code == (said["verdict"] == "broken")
        return {"": said["verdict"], **{finding["about"]: finding for finding in said["findings"]}}

    return doctor


@pytest.fixture
def healthy(db: None) -> None:
    """A worker, a beat, and chores that are done."""
    now = timezone.now()
    builders.a_worker(seen_at=now)
    for name in Chore.Name:
        builders.a_chore(name=name, done_at=now)


class TestHealthyInstallation:
    def test_is_all_green(self, healthy: None, doctor: Doctor) -> None:
        said = doctor()

        assert said.pop("") == "ok"
        assert {about: finding["verdict"] for about, finding in said.items()} == dict.fromkeys(said, "ok")
        assert {
            "settings",
            "redis",
            "database",
            "migrations",
            "secrets",
            "clocks",
            "workers",
            "beat",
        } < said.keys()
        assert not any(finding["todo"] for finding in said.values())

    def test_reads_well(self, healthy: None, run: Run) -> None:
        lines = run("doctor").stdout.splitlines()

        assert all(line.startswith("ok      ") for line in lines)
        assert any(line.startswith("ok      workers     1 alive, 0 of 32 slots in use.") for line in lines)
        assert "\x1b" not in "".join(lines)


class TestTrouble:
    @pytest.fixture(autouse=True)
    def _healthy(self, healthy: None) -> None:
        pass

    def test_is_a_warning_or_an_error_of_the_settings(
        self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found: list[checks.CheckMessage] = [checks.Warning("Odd.", hint="Even it out.", id="deliveries.W999")]
        monkeypatch.setattr(diagnosing, "run_checks", lambda: found)
        said = doctor()
        assert said["settings"] == {
            "about": "settings", "verdict": "look", "says": "Odd.", "todo": "Even it out."
        }  # fmt: skip
        assert said[""] == "look"

        found.append(checks.Error("Wrong.", id="deliveries.E999"))
        said = doctor()
        assert (said[""], said["settings"]["says"]) == ("broken", "Wrong.")

    def test_is_a_broker_that_does_not_answer(
        self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        def refuse() -> bool:
            raise ConnectionError("Connection refused.\nAgain and again.")

        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        monkeypatch.setattr(doorbell, "broker_answers", refuse)

        said = doctor()["redis"]

        assert (said["verdict"], said["says"]) == ("look", "ConnectionError: Connection refused.")
        assert "Deliveries go on without it" in said["todo"]

    def test_is_a_database_that_is_away(self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        def away() -> None:
            raise OperationalError("server closed the connection")

        monkeypatch.setattr(diagnosing, "_database", away)

        said = doctor()

        assert (said[""], said["database"]["says"]) == (
            "broken", "The database: server closed the connection"
        )  # fmt: skip
        assert said.keys() == {"", "settings", "redis", "database"}

    def test_is_a_migration_that_is_not_applied(
        self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        coming = frozenset(("deliveries", f"999{number}_coming") for number in range(5))
        monkeypatch.setattr(schema, "_migrations", lambda: coming)

        said = doctor()

        assert said["migrations"]["says"] == (
            "Not applied: deliveries.9990_coming, deliveries.9991_coming, deliveries.9992_coming and 2 more."
        )
        assert said["migrations"]["todo"] == "Run `manage.py migrate`."
        assert said[""] == "broken"
        assert "workers" not in said

    def test_is_a_secret_that_no_key_opens(self, doctor: Doctor, settings: Any) -> None:
        builders.a_webhook(secret="a secret")
        assert doctor()["secrets"]["verdict"] == "ok"

        settings.ENCRYPTION_KEYS = ["2v8Lk4b3Cq7cHhS2m0nJtX5yRz1aQeWfUoPiGdKsLxM="]

        assert doctor()["secrets"]["verdict"] == "broken"

    @pytest.mark.postgresql
    def test_is_a_day_without_its_partition(self, doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
        assert doctor()["days"]["verdict"] == "ok"
        later = clock.now() + timedelta(days=30)
        monkeypatch.setattr(clock, "now", lambda: later)

        said = doctor()["days"]

        assert (said["verdict"], said["says"]) == (
            "look", f"Attempts of {later:%Y-%m-%d} have no partition yet."
        )  # fmt: skip

    def test_is_a_clock_that_is_wrong(self, doctor: Doctor) -> None:
        builders.a_worker(host="late", seen_at=timezone.now(), clock_skew=-MINUTE)

        said = doctor()["clocks"]

        assert (said["verdict"], said["says"]) == ("look", "Differ from the database's: late by -60 s.")

    def test_is_nobody_who_delivers(self, doctor: Doctor) -> None:
        Worker.objects.all().delete()

        said = doctor()

        assert said["workers"]["verdict"] == said[""] == "broken"
        assert "nothing is delivered" in said["workers"]["says"]

    def test_is_a_worker_that_fell_silent(self, doctor: Doctor) -> None:
        builders.a_worker(seen_at=timezone.now() - 5 * MINUTE)

        assert doctor()["workers"]["says"] == "1 alive; 1 fell silent within a day."

    def test_is_a_beat_that_is_gone(self, doctor: Doctor) -> None:
        Chore.objects.filter(name=Chore.Name.RECOVER).update(done_at=timezone.now() - 10 * MINUTE)
        assert doctor()["beat"]["says"] == "Was last seen 10 minutes ago."

        Chore.objects.filter(name=Chore.Name.RECOVER).delete()
        assert doctor()["beat"]["says"] == "Was never seen."

    def test_is_pruning_that_comes_to_no_end(self, doctor: Doctor) -> None:
        Chore.objects.filter(name=Chore.Name.PRUNE_LOGS).update(done_at=timezone.now() - 300 * MINUTE)

        assert doctor()["pruning"]["says"] == "Last came to an end 5 hours ago."

        Chore.objects.filter(name=Chore.Name.PRUNE_LOGS).delete()
        assert doctor()["pruning"]["says"] == "Has never come to an end."
        Worker.objects.update(started_at=timezone.now() - 60 * MINUTE)
        assert doctor()["pruning"]["verdict"] == "ok"

    def test_is_what_waits_for_long(self, doctor: Doctor) -> None:
        builders.a_delivery(due_at=timezone.now() - 3 * MINUTE)

        said = doctor()

        assert said["queue"]["says"] == (
            "1 due, 0 under way, 0 later, 0 held. The oldest a worker could take waits for 3 minutes."
        )
        assert said["stranded"]["says"] == "1 due, in a state that should last for seconds."
        assert said[""] == "look"

    def test_is_a_receiver_that_is_paused(self, doctor: Doctor) -> None:
        webhook = builders.a_webhook()
        builders.a_pause(webhook.account, webhook=webhook, until=timezone.now() + MINUTE)

        assert doctor()["receivers"]["says"] == "1 pauses in force."

    def test_is_a_failure_that_waits_for_a_person(self, doctor: Doctor) -> None:
        builders.a_failure_group()

        assert doctor()["failures"]["says"] == "1 waits for a person."

    def test_is_none_that_somebody_is_done_with(self, doctor: Doctor) -> None:
        builders.a_failure_group(state="resolved")
        builders.a_failure_group(state="snoozed", snoozed_until=timezone.now() + MINUTE)

        found = doctor()["failures"]

        assert found["verdict"] == "ok"
        assert found["says"] == (
            "None waits for a person. Besides, 1 snoozed, 1 of resolved groups or deleted webhooks."
        )

    def test_is_told_with_what_to_do(self, run: Run) -> None:
        builders.a_failure_group()

        lines = run("doctor").stdout.splitlines()

        at = lines.index(next(line for line in lines if line.startswith("look")))
        assert lines[at].split() == ["look", "failures", "1", "waits", "for", "a", "person."]
        assert lines[at + 1].strip().startswith("-> Send them again from the console's inbox")

    def test_says_nothing_a_terminal_would_obey(self, run: Run) -> None:
        builders.a_worker(host="\x1b[31mred", seen_at=timezone.now(), clock_skew=MINUTE)

        assert "\x1b" not in run("doctor").stdout


@pytest.mark.slow
class TestNothingThere:
    def test_ends_with_1_and_says_all(self) -> None:
        said = doctor_of("postgres://nobody@127.0.0.1:1/none")

        assert said.returncode == 1, said
        assert "Traceback" not in said.stderr
        lines = said.stdout.splitlines()
        assert [line.split()[:2] for line in lines if "->" not in line][-2:] == [
            ["look", "redis"], ["broken", "database"]
        ]  # fmt: skip
        assert lines[-1].strip() == "-> See whether PostgreSQL is there."

    def test_says_of_a_file_what_fits_a_file(self, tmp_path: Path) -> None:
        said = doctor_of(f"sqlite:///{tmp_path}/missing/webhooks.sqlite3")

        assert said.returncode == 1, said
        assert "unable to open database file" in said.stdout
        assert "-> See whether the file that DATABASE_URL names is there" in said.stdout
        assert "See whether PostgreSQL" not in said.stdout


def doctor_of(database_url: str) -> "subprocess.CompletedProcess[str]":
    """Ask in a process of its own, without a broker."""
    return subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        check=False,
    )
