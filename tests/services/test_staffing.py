"""Staffing: who is listed as alive and as silent, and which chores are late."""

from datetime import datetime, timedelta

import pytest

from deliveries.models import Chore
from deliveries.services import staffing
from tests import builders

SECONDS = timedelta(seconds=1)
HOURS = timedelta(hours=1)

pytestmark = pytest.mark.django_db


def late(now: datetime) -> set[str]:
    return {duty.name for duty in staffing.staff(now=now).duties if duty.late}


class TestMembers:
    def test_are_the_silent_first_and_none_of_days_ago(self, now: datetime) -> None:
        builders.a_worker(host="b", seen_at=now)
        builders.a_worker(host="a", seen_at=now)
        builders.a_worker(host="gone", seen_at=now - 30 * SECONDS)
        builders.a_worker(host="forgotten", seen_at=now - 24 * HOURS)

        members = staffing.staff(now=now).members

        assert [(each.worker.host, each.silent) for each in members] == [
            ("gone", True), ("a", False), ("b", False)
        ]  # fmt: skip

    def test_are_no_more_than_a_page_holds(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(staffing, "LISTED", 2)
        for ago in range(3):
            builders.a_worker(host=f"{ago}", seen_at=now - ago * SECONDS)
        staff = staffing.staff(now=now)

        assert ([each.worker.host for each in staff.members], staff.more) == (["1", "2"], True)


class TestDuties:
    def test_are_late_each_by_its_own_measure(self, now: datetime) -> None:
        for name in Chore.Name:
            builders.a_chore(name=name, done_at=now - 3 * HOURS)

        assert late(now) == {"recover", "expire_idempotency_keys"}
        assert late(now + 2 * HOURS) == {"recover", "expire_idempotency_keys", "prune_logs"}
        assert late(now + 48 * HOURS) == set(Chore.Name)

    def test_that_were_never_done_have_as_long_as_a_worker_is_there(self, now: datetime) -> None:
        assert late(now) == set()

        builders.a_worker(started_at=now - 2 * HOURS, seen_at=now)

        assert late(now) == {"recover", "expire_idempotency_keys"}
        assert all(duty.done_at is None for duty in staffing.staff(now=now).duties)
