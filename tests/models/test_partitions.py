"""Attempts by days, as PostgreSQL keeps them."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import QuerySet

from deliveries.models import Attempt, Delivery, databases
from deliveries.models.databases import partitions
from tests import builders, somebody_else

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]

# Long after everything the migration's own part of the table holds.
TODAY = datetime(2100, 3, 15, 10, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OTHER = "deliveries_attempt_other"


def day_of(moment: datetime) -> str:
    return f"deliveries_attempt_{moment:%Y_%m_%d}"


def part_of(attempt: Attempt) -> str:
    """Return the name of the partition an attempt is in."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass FROM deliveries_attempt WHERE id = %s", [attempt.pk])
        return str(cursor.fetchone()[0])


def days() -> list[str]:
    """Return the names of the partitions of TODAY and later."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'deliveries_attempt'::regclass AND inhrelid::regclass::text LIKE '%_2100_%'"
            " ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def an_attempt(at: datetime, delivery: Delivery | None = None, **changes: Any) -> Attempt:
    return builders.an_attempt(delivery or builders.a_delivery(), created_at=at, **changes)


class TestDays:
    def test_are_made_for_today_and_the_week_ahead(self) -> None:
        databases.make_days(now=TODAY)

        assert days() == [day_of(TODAY + number * DAY) for number in range(8)]

    def test_are_made_once(self) -> None:
        databases.make_days(now=TODAY)
        databases.make_days(now=TODAY)
        databases.make_days(now=TODAY + DAY)

        assert len(days()) == 9

    def test_begin_at_midnight_of_utc(self) -> None:
        databases.make_days(now=TODAY)
        midnight = TODAY.replace(hour=0)

        first, last = an_attempt(midnight), an_attempt(midnight + DAY - timedelta(milliseconds=1))

        assert part_of(first) == part_of(last) == day_of(TODAY)
        assert part_of(an_attempt(midnight + DAY)) == day_of(TODAY + DAY)

    def test_have_the_indexes_and_checks_of_the_table(self) -> None:
        databases.make_days(now=TODAY)

        with connection.cursor() as cursor:
            made = connection.introspection.get_constraints(cursor, day_of(TODAY))
            other = connection.introspection.get_constraints(cursor, OTHER)

        def told(constraints: Any) -> set[tuple[object, ...]]:
            return {
                (
                    tuple(each["columns"] or ()),
                    each["primary_key"],
                    each["unique"],
                    each["check"],
                    each["index"],
                )
                for each in constraints.values()
            }

        assert told(made) == told(other)
        assert (("delivery_id", "number"), False, True, False, False) in told(made)

    def test_have_their_part_of_the_index_by_start(self) -> None:
        databases.make_days(now=TODAY)

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_get_indexdef(inhrelid) FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid"
                " WHERE inhparent = 'attempts_by_start'::regclass AND indrelid = %s::regclass AND indisvalid",
                [day_of(TODAY)],
            )
            ((made,),) = cursor.fetchall()
        assert made.endswith("USING brin (started_at) WITH (autosummarize='on', pages_per_range='16')")

    def test_leave_no_gap_that_a_clock_has_jumped_over(self) -> None:
        databases.make_days(now=TODAY + 20 * DAY)

        databases.make_days(now=TODAY)

        assert days()[:8] == [day_of(TODAY + number * DAY) for number in range(8)]

    def test_are_there_after_a_migration_without_any(self, now: datetime) -> None:
        """What is queued in the first week goes where all went before it."""
        databases.make_days(now=now)

        assert part_of(an_attempt(now)).startswith("deliveries_attempt_before_")


class TestAttemptOfNoDay:
    def test_finds_its_place_all_the_same(self) -> None:
        assert part_of(an_attempt(TODAY)) == OTHER

    def test_moves_to_its_day_when_that_is_made(self) -> None:
        attempt, of_another = an_attempt(TODAY), an_attempt(TODAY - DAY)

        databases.make_days(now=TODAY)

        assert part_of(attempt) == day_of(TODAY)
        assert part_of(of_another) == OTHER

    def test_stays_where_it_is_with_many_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(partitions, "MOST_MOVED", 2)
        several = [an_attempt(TODAY) for _ in range(3)]
        tomorrow = [an_attempt(TODAY + DAY) for _ in range(2)]

        databases.make_days(now=TODAY)

        assert {part_of(attempt) for attempt in several} == {OTHER}
        assert {part_of(attempt) for attempt in tomorrow} == {day_of(TODAY + DAY)}
        assert len(days()) == 7


class TestManyOfNoDay:
    def test_leave_it_to_a_person_to_make_days(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(partitions, "LARGEST", 0)
        attempt = an_attempt(TODAY)

        databases.make_days(now=TODAY)

        assert days() == []
        (said,) = caplog.records
        assert (vars(said)["event"], vars(said)["missing"]) == ("days.missing", 8)

        assert databases.make_days(now=TODAY, ahead=30, however_long=True) == 31
        assert part_of(attempt) == day_of(TODAY)
        assert databases.make_days(now=TODAY, ahead=30, however_long=True) == 0

    def test_say_nothing_while_all_days_are_there(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        databases.make_days(now=TODAY)
        an_attempt(TODAY - 40 * DAY)
        monkeypatch.setattr(partitions, "LARGEST", 0)

        databases.make_days(now=TODAY)

        assert not caplog.records


@pytest.fixture
def days_go() -> Iterator[None]:
    """Take away what a test has made for good."""
    yield
    with connection.cursor() as cursor:
        for name in days():
            cursor.execute(f"DROP TABLE {name}")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("days_go")
class TestMakingDays:
    def test_makes_nobody_wait_who_writes_to_another(self) -> None:
        databases.make_days(now=TODAY - DAY)
        attempt = an_attempt(TODAY)

        with somebody_else.session() as other:
            other.execute("UPDATE deliveries_attempt SET number = 2 WHERE id = %s", [attempt.pk])
            databases.make_days(now=TODAY)

        assert day_of(TODAY + 7 * DAY) in days()

    def test_gives_up_rather_than_keep_everybody_behind_it(self, within: Callable[[float], None]) -> None:
        with somebody_else.session() as other:
            other.execute("SELECT count(*) FROM deliveries_attempt")

            with pytest.raises(OperationalError) as refused:
                databases.make_days(now=TODAY)

            assert databases.is_busy(refused.value)
            within(1.5)

        assert days() == []

    def test_is_done_by_one_of_two(self) -> None:
        together = threading.Barrier(2)

        def make() -> None:
            together.wait(10)
            try:
                databases.make_days(now=TODAY)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            for made in [pool.submit(make) for _ in range(2)]:
                made.result()

        assert len(days()) == 8


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("days_go")
class TestDroppingDays:
    def test_is_no_longer_tried_once_it_is_to_stop(self) -> None:
        databases.make_days(now=TODAY)
        answers = chain([True], repeat(False))
        with somebody_else.session() as other:
            other.execute("SELECT count(*) FROM deliveries_attempt")

            dropped = databases.drop_days(
                before=TODAY + DAY, go_on=lambda: next(answers), forget=lambda counts: None
            )

        assert dropped == 0
        assert day_of(TODAY) in days()


@pytest.fixture
def ninety_days(db: None) -> None:
    """As many days as somebody may keep, with a few attempts in each."""
    for number in range(0, 90, 8):
        databases.make_days(now=TODAY - number * DAY)
    webhook = builders.a_webhook()
    deliveries = [builders.a_delivery(webhook) for _ in range(90)]
    for number, delivery in enumerate(deliveries):
        at = TODAY - number * DAY
        Delivery.objects.filter(pk=delivery.pk).update(created_at=at, attempts_made=1)
        an_attempt(at, delivery)


def parts_read(rows: "QuerySet[Any]") -> set[str]:
    """Return the partitions a query has to look into."""

    def of(plan: dict[str, Any]) -> Iterator[str]:
        # One that is known not to be needed only when the query is run is left out as well.
        if "Relation Name" in plan and plan.get("Actual Loops", 1):
            yield plan["Relation Name"]
        for child in plan.get("Plans", []):
            yield from of(child)

    explained: Any = json.loads(rows.explain(format="json", analyze=True))
    return {name for name in of(explained[0]["Plan"]) if name.startswith("deliveries_attempt")}


@pytest.mark.usefixtures("ninety_days")
class TestAmongNinetyDays:
    def test_an_attempt_is_looked_for_in_its_own(self) -> None:
        attempt = Attempt.objects.order_by("pk")[40]

        assert parts_read(Attempt.objects.filter(pk=attempt.pk)) == {part_of(attempt)}

    def test_those_of_a_page_are_looked_for_in_theirs(self) -> None:
        page = list(Attempt.objects.order_by("pk")[40:45])

        found = parts_read(Attempt.objects.filter(pk__in=[attempt.pk for attempt in page]))

        assert found == {part_of(attempt) for attempt in page}

    def test_those_of_a_finished_delivery_are_looked_for_in_its_time(self) -> None:
        delivery = Attempt.objects.order_by("pk")[40].delivery
        delivery.finished_at = delivery.created_at

        of_delivery = Attempt.objects.of(delivery)

        assert list(of_delivery.values_list("delivery", flat=True)) == [delivery.pk]
        assert len(parts_read(of_delivery)) == 3

    def test_those_of_a_delivery_under_way_are_looked_for_from_its_beginning_on(self) -> None:
        delivery = Attempt.objects.order_by("pk")[85].delivery

        of_delivery = Attempt.objects.of(delivery)

        assert list(of_delivery.values_list("delivery", flat=True)) == [delivery.pk]
        # Today, the four days before, one for the clocks, those ahead, and what belongs to none.
        assert len(parts_read(of_delivery)) <= 1 + 4 + 1 + 7 + 1
