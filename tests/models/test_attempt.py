from datetime import datetime, timedelta

import pytest

from deliveries.identifiers import new_id_at
from deliveries.models import Attempt
from tests import builders

pytestmark = pytest.mark.django_db


class TestOf:
    def test_keeps_those_of_the_delivery(self, now: datetime) -> None:
        delivery = builders.a_failed_delivery()
        builders.a_failed_delivery()

        assert list(Attempt.objects.of(delivery)) == [delivery.attempts.get()]

    @pytest.mark.parametrize("wrong_by", [timedelta(hours=23), timedelta(days=400)])
    def test_finds_them_under_ids_of_a_clock_that_was_wrong(self, now: datetime, wrong_by: timedelta) -> None:
        delivery = builders.a_failed_delivery(attempts_made=3)
        early = builders.an_attempt(delivery, number=2, id=new_id_at(now - wrong_by))
        late = builders.an_attempt(delivery, number=3, id=new_id_at(now + wrong_by))

        assert {early, late} < set(Attempt.objects.of(delivery))
