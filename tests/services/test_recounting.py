"""Totals of logs that are wrong, and put right."""

from collections.abc import Mapping, Sequence
from uuid import UUID
from zlib import crc32

import pytest
from django.db import OperationalError

from deliveries.models import WebhookHealth, databases
from deliveries.services import recounting
from deliveries.services.recounting import Recounted
from tests import builders, somebody_else

pytestmark = pytest.mark.django_db


def totals() -> list[int]:
    return list(WebhookHealth.objects.order_by("pk").values_list("attempts_kept", flat=True))


@pytest.fixture
def three() -> list[int]:
    """Webhooks with none, one and two attempts; return their totals."""
    for number in range(3):
        delivery = builders.a_delivery()
        for each in range(number):
            builders.an_attempt(delivery, number=each + 1)
    return totals()


class TestRecount:
    def test_finds_nothing_wrong_where_nothing_is(
        self, three: list[int], caplog: pytest.LogCaptureFixture
    ) -> None:
        assert recounting.recount() == Recounted(webhooks=3, corrected=0)

        assert totals() == three
        assert not caplog.records

    @pytest.mark.parametrize("said", [0, 1, 5])
    def test_corrects_what_is_wrong_and_says_so(
        self, three: list[int], said: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        wrong = sum(each != said for each in three)
        WebhookHealth.objects.update(attempts_kept=said)

        assert recounting.recount() == Recounted(webhooks=3, corrected=wrong)

        assert totals() == three
        assert [vars(each)["event"] for each in caplog.records] == ["recount.corrected"] * wrong

    def test_goes_on_batch_by_batch(self, three: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recounting, "BATCH", 2)
        WebhookHealth.objects.update(attempts_kept=9)

        assert recounting.recount() == Recounted(webhooks=3, corrected=3)

        assert totals() == three

    def test_stops_when_it_is_told_to(self, three: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recounting, "BATCH", 1)
        answers = iter([True, True, False])

        assert recounting.recount(go_on=lambda: next(answers)).webhooks == 2

    def test_begins_anywhere(self, three: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recounting, "BATCH", 1)
        first = set()
        for _ in range(100):
            WebhookHealth.objects.update(attempts_kept=9)
            answers = iter([True, False])
            recounting.recount(go_on=lambda answers=answers: next(answers))  # type: ignore[misc]
            first.add(WebhookHealth.objects.exclude(attempts_kept=9).get().pk)

        assert len(first) == 3

    def test_goes_on_where_some_could_not_be_counted(
        self, three: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(recounting, "BATCH", 1)
        monkeypatch.setattr(databases, "is_busy", lambda error: True)
        WebhookHealth.objects.update(attempts_kept=9)
        count, answers = recounting._missing, iter([False, True, False])

        def be_busy_once(webhooks: Sequence[UUID]) -> Mapping[UUID, int]:
            if next(answers):
                raise OperationalError
            return count(webhooks)

        monkeypatch.setattr(recounting, "_missing", be_busy_once)

        assert recounting.recount() == Recounted(webhooks=2, corrected=2)

        assert totals().count(9) == 1
        assert [vars(each)["event"] for each in caplog.records].count("recount.postponed") == 1

    @pytest.mark.postgresql
    def test_is_done_by_one_at_a_time(self, three: list[int]) -> None:
        with somebody_else.session() as other:
            other.execute("SELECT pg_advisory_xact_lock(%s)", [crc32(b"deliveries.recount")])
            with pytest.raises(recounting.AlreadyRecounting):
                recounting.recount()
