"""Chores: noted when done, and not more often than anybody needs to know."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries import tasks
from deliveries.models import Chore, databases
from deliveries.services import retention
from tests import builders

SECONDS = timedelta(seconds=1)
RECOVER = Chore.Name.RECOVER

pytestmark = pytest.mark.django_db


class TestNote:
    @pytest.mark.parametrize(("ago", "written"), [(29, False), (30, True), (-1, True)])
    def test_is_written_twice_a_minute(self, ago: int, written: bool) -> None:
        before = builders.NOW - ago * SECONDS
        Chore.objects.note(RECOVER, now=before)

        with CaptureQueriesContext(connection) as queries:
            Chore.objects.note(RECOVER, now=builders.NOW)

        assert Chore.objects.get().done_at == (builders.NOW if written else before)
        assert written or len(queries) == 1


class TestTasks:
    @pytest.mark.parametrize(
        ("name", "task"),
        [
            (Chore.Name.RECOVER, tasks.recover),
            (Chore.Name.EXPIRE_IDEMPOTENCY_KEYS, tasks.expire_idempotency_keys),
            (Chore.Name.PRUNE_LOGS, tasks.prune_logs),
            (Chore.Name.RECOUNT_LOGS, tasks.recount_logs),
        ],
    )
    def test_note_that_they_were_done(self, name: str, task: object) -> None:
        task()  # type: ignore[operator]

        assert Chore.objects.get().name == name

    def test_note_nothing_that_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(**kwargs: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(retention, "prune", fail)

        with pytest.raises(RuntimeError):
            tasks.prune_logs()

        assert not Chore.objects.exists()

    def test_note_nothing_that_is_not_finished(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(tasks, "PRUNING", timedelta(0))

        tasks.prune_logs()

        assert not Chore.objects.exists()
        assert [getattr(record, "event", None) for record in caplog.records] == ["retention.unfinished"]

    def test_note_nothing_that_had_to_wait(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def wait(**kwargs: object) -> None:
            raise databases.InUse("A dump.")

        monkeypatch.setattr(retention, "prune", wait)

        tasks.prune_logs()

        assert not Chore.objects.exists()
        assert [getattr(record, "event", None) for record in caplog.records] == ["retention.postponed"]
