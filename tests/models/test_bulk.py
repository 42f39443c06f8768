"""Many rows at once: what the ORM would have done, only quicker."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from deliveries.identifiers import new_id
from deliveries.models import Attempt, Delivery, TrafficMinute, WebhookHealth, databases
from tests import builders

pytestmark = pytest.mark.django_db

COLUMNS = tuple(column.attname for column in Attempt._meta.concrete_fields)


def values(delivery: Delivery, **changes: Any) -> dict[str, Any]:
    """Return the values of an attempt nobody would choose."""
    return {
        "id": new_id(),
        "delivery_id": delivery.pk,
        "webhook_id": delivery.webhook_id,
        "number": 2147483647,
        "round": 1,
        "created_at": builders.NOW + timedelta(microseconds=1),
        "started_at": builders.NOW,
        "duration": timedelta(days=2, microseconds=-1),
        "succeeded": False,
        "http_status": None,
        "reason_code": "http_status",
        "error": "back\\slash, tab\t, line\nfeed, \\N, \\. and quotes '\"",
        "url": "https://example.com/ä/\U0001f41f?a=%20",
        "http_method": "POST",
        "request_headers": {"quotes": "\"'", "back": "\\", "lines": "a\r\n\tb", "fish": "\U0001f41f"},
        "response_headers": None,
        "response_body": bytes(range(256)) + b"\\x41 \\N",
        "remote_address": "2001:db8::7",
        "dns_us": None,
        "connect_us": 0,
        "tls_us": 2147483647,
        "first_byte_us": 1,
        **changes,
    }


def write(*rows: dict[str, Any]) -> None:
    databases.write(Attempt, COLUMNS, [[row[name] for name in COLUMNS] for row in rows])


class TestWrite:
    def test_keeps_every_value_as_the_orm_does(self) -> None:
        one, other = (values(builders.a_delivery()) for _ in range(2))

        write(one)
        Attempt.objects.create(**other)

        for given in (one, other):
            (stored,) = Attempt.objects.filter(pk=given["id"]).values(*COLUMNS)
            stored["response_body"] = bytes(stored["response_body"])
            assert stored == given

    def test_writes_all_or_nothing(self) -> None:
        delivery = builders.a_delivery()

        with pytest.raises(IntegrityError), transaction.atomic():
            write(values(delivery), values(delivery))

        assert not Attempt.objects.exists()

    @pytest.mark.postgresql
    def test_raises_what_django_raises_for_what_no_column_takes(self) -> None:
        with pytest.raises(DataError), transaction.atomic():
            write(values(builders.a_delivery(), error="\x00"))

    def test_takes_no_rows(self) -> None:
        write()

        assert not Attempt.objects.exists()


class TestRewrite:
    def test_writes_these_columns_of_these_rows(self, now: datetime) -> None:
        for _ in range(3):
            builders.a_webhook()
        one, other, untouched = WebhookHealth.objects.order_by("pk")
        one.consecutive_failures, one.failing_since, one.attempts_kept = 7, now, 2**40
        other.consecutive_failures, other.failing_since, other.last_success_at = 0, None, now

        databases.rewrite([one, other], ["consecutive_failures", "failing_since", "attempts_kept"])

        other.last_success_at = None
        stored = WebhookHealth.objects.order_by("pk").values()
        assert list(stored) == [
            {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
            for row in (one, other, untouched)
        ]

    def test_is_one_statement_or_none(self) -> None:
        rows = [builders.a_webhook().health for _ in range(3)]

        with CaptureQueriesContext(connection) as queries:
            databases.rewrite(rows, ["attempts_kept", "failing_since"])
            databases.rewrite([], ["attempts_kept"])

        assert len([each for each in queries if each["sql"].startswith("UPDATE")]) == 1


class TestAmong:
    def test_keeps_the_rows_with_one_of_the_ids(self) -> None:
        ids = [builders.a_delivery().pk for _ in range(3)]

        found = Delivery.objects.filter(pk__among={*ids[:2], new_id()})

        assert set(found.values_list("pk", flat=True)) == set(ids[:2])

    def test_keeps_nothing_where_there_are_none(self) -> None:
        builders.a_delivery()

        assert not Delivery.objects.filter(pk__among=[]).exists()
        assert Delivery.objects.exclude(pk__among=[]).count() == 1

    def test_is_one_parameter_however_many_they_are(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            list(Delivery.objects.filter(pk__among=[new_id() for _ in range(40_000)]))

        assert len(queries) == 1


class TestInstances:
    def test_are_what_from_db_makes(self) -> None:
        builders.a_delivery()
        columns = ("id", "event_id", "status")
        rows = list(Delivery.objects.values_list(*columns))

        (made,) = databases.instances(Delivery, columns, rows, using="default")

        ormers = Delivery.from_db("default", columns, rows[0])
        assert {**vars(made), "_state": None} == {**vars(ormers), "_state": None}
        assert (made._state.adding, made._state.db) == (ormers._state.adding, ormers._state.db)
        assert made._state.fields_cache == {}

    def test_read_the_other_columns_when_asked_for(self) -> None:
        delivery = builders.a_delivery(claims=2)

        (made,) = databases.instances(Delivery, ("id",), [(delivery.pk,)], using="default")

        assert (made, made.claims, made.event) == (delivery, 2, delivery.event)


class TestAddUp:
    def test_keeps_to_the_order_of_the_rows_and_adds_to_what_is_there(self) -> None:
        minute = builders.a_minute_of_traffic(succeeded=3, failed=1)
        key = ("webhook_id", "event_type", "minute")
        whose, counts = (minute.account_id, minute.webhook_id, minute.event_type), TrafficMinute.counts()
        rows = [(*whose, minute.minute + after, *[after + 5] * len(counts)) for after in (1, 0)]

        columns = ("account_id", *key, *counts)
        databases.add_up(TrafficMinute, columns, rows, of_each=key, counts=counts)

        found = TrafficMinute.objects.order_by("minute").values_list(
            "minute", "succeeded", "failed", "upto_5"
        )
        assert list(found) == [(minute.minute, 8, 6, 5), (minute.minute + 1, 6, 6, 6)]

    def test_takes_no_rows(self) -> None:
        databases.add_up(TrafficMinute, (), [], of_each=(), counts=())
