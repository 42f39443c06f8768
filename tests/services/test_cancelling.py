"""What a person gives up."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from django.db import OperationalError, connection

from deliveries.models import AuditEntry, Delivery
from deliveries.services import auditing, cancelling
from tests import builders


@pytest.mark.django_db
class TestCancel:
    def test_ends_it_and_its_failure(self, now: datetime) -> None:
        delivery = builders.a_delivery()
        failure = builders.a_failure(delivery, status="pending")

        cancelled = cancelling.cancel(delivery, by="ada", now=now)

        failure.refresh_from_db()
        assert cancelled.status == Delivery.Status.CANCELLED
        assert failure.status == "inactive"

    def test_does_nothing_where_that_cannot_be_noted(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*args: object, **kwargs: object) -> None:
            raise OperationalError

        delivery = builders.a_delivery()
        monkeypatch.setattr(auditing, "note", away)

        with pytest.raises(OperationalError):
            cancelling.cancel(delivery, by="ada", now=now)
        assert Delivery.objects.get().status == Delivery.Status.PENDING


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_one_succeeds(now: datetime) -> None:
    delivery = builders.a_delivery()
    together = threading.Barrier(2)

    def try_to() -> bool:
        mine = Delivery.objects.get(pk=delivery.pk)
        together.wait(10)
        try:
            cancelling.cancel(mine, by="ada", now=now)
        except cancelling.NotCancellable:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(try_to) for _ in range(2)]

    assert sorted(each.result() for each in done) == [False, True]
    assert AuditEntry.objects.filter(action="delivery.cancelled").count() == 1
