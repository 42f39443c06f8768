import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import Attempt, Delivery, Webhook, databases
from deliveries.reasons import Reason
from deliveries.services import tailing
from deliveries.services.tailing import Tail, Told
from tests import builders

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
MINUTE, DAY = 60 * SECOND, timedelta(days=1)


def a_tail(now: datetime, **changes: Any) -> Tail:
    return Tail(**{"failed": False, "webhook": None, "now": now, **changes})


def an_attempt(at: datetime, webhook: Webhook | None = None, **changes: Any) -> Attempt:
    """Return one that begins at a moment, with a delivery of its own."""
    return builders.an_attempt(
        builders.a_delivery(webhook), **{"started_at": at, "created_at": at, **changes}
    )


def ids(attempts: Any) -> list[Any]:
    return [attempt.id for attempt in attempts]


class TestLast:
    def test_are_the_newest_in_the_order_they_began(self, now: datetime) -> None:
        _, second, third = (an_attempt(now - age * MINUTE) for age in (50, 40, 30))

        last = a_tail(now).last(most=2, since=now - DAY, now=now)

        assert ids(last) == [second.pk, third.pk]

    def test_are_no_older_than_wanted(self, now: datetime) -> None:
        an_attempt(now - 16 * MINUTE)
        newer = an_attempt(now - 14 * MINUTE)

        assert ids(a_tail(now).last(most=10, since=now - 15 * MINUTE, now=now)) == [newer.pk]

    def test_may_be_none(self, now: datetime) -> None:
        an_attempt(now - SECOND)

        assert a_tail(now).last(most=0, since=now - DAY, now=now) == ()

    def test_say_what_there_is_to_say(self, now: datetime) -> None:
        attempt = an_attempt(now, builders.a_webhook(name="CRM"), http_status=503, number=2)

        assert a_tail(now).last(most=1, since=now - DAY, now=now) == [
            Told(
                id=attempt.pk,
                started_at=now,
                duration=timedelta(milliseconds=142),
                number=2,
                reason=Reason.HTTP_STATUS,
                http_status=503,
                delivery_id=attempt.delivery_id,
                event_type="call.ended",
                webhook_id=attempt.webhook_id,
                webhook_name="CRM",
            )
        ]

    def test_are_told_also_where_their_delivery_is_gone(self, now: datetime) -> None:
        an_attempt(now)
        Delivery.objects.all().delete()

        (told,) = a_tail(now).last(most=1, since=now - DAY, now=now)

        assert told.event_type == ""


class TestFilter:
    def test_keeps_what_failed(self, now: datetime) -> None:
        tail = a_tail(now, failed=True)
        failed, _ = an_attempt(now), an_attempt(now, http_status=200)
        assert ids(tail.last(most=2, since=now - DAY, now=now)) == [failed.pk]

        another, _ = an_attempt(now), an_attempt(now, http_status=200)
        assert ids(tail.news(most=9, now=now + SECOND).attempts) == [another.pk]

    def test_keeps_a_webhook(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        tail = a_tail(now, webhook=webhook.pk)
        its, _ = an_attempt(now, webhook), an_attempt(now)
        assert ids(tail.last(most=2, since=now - DAY, now=now)) == [its.pk]

        another, _ = an_attempt(now, webhook), an_attempt(now)
        assert ids(tail.news(most=9, now=now + SECOND).attempts) == [another.pk]


class Following:
    """A tail that is asked every second."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.tail = a_tail(now)
        self.tail.last(most=10, since=now - DAY, now=now)

    def news(self, *, after: timedelta = SECOND, most: int = 100) -> tailing.News:
        self.now += after
        return self.tail.news(most=most, now=self.now)


@pytest.fixture
def following(now: datetime) -> Following:
    return Following(now)


class TestNews:
    def test_is_told_once(self, following: Following) -> None:
        attempt = an_attempt(following.now)

        assert ids(following.news().attempts) == [attempt.pk]
        for _ in range(20):
            assert following.news().attempts == ()

    def test_is_nothing_that_was_there_before(self, now: datetime) -> None:
        for _ in range(15):
            an_attempt(now - SECOND)

        following = Following(now)

        assert following.news().attempts == ()

    def test_is_what_was_recorded_while_the_last_were_looked_for(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recorded: list[Attempt] = []
        newest = Tail._newest

        def record_first(*arguments: Any, **options: Any) -> Any:
            recorded.extend(an_attempt(now - age * SECOND) for age in range(12))
            return newest(*arguments, **options)

        monkeypatch.setattr(Tail, "_newest", record_first)
        tail = a_tail(now)

        told = ids(tail.last(most=10, since=now - DAY, now=now)) + ids(tail.news(most=9, now=now).attempts)

        # The twelfth ended more than ten seconds ago.
        assert sorted(told) == sorted(ids(recorded)[:11])

    def test_is_what_took_two_minutes(self, following: Following) -> None:
        """It began long before what was told meanwhile, and was queued the day before."""
        began = following.now
        for _ in range(121):
            an_attempt(following.now)
            assert len(following.news().attempts) == 1
        slow = an_attempt(
            began,
            created_at=began - DAY,
            duration=120 * SECOND,
            http_status=None,
            reason_code=Reason.CONNECTION_TIMEOUT,
        )

        assert ids(following.news().attempts) == [slow.pk]

    def test_is_what_was_recorded_a_while_after_its_end(self, following: Following) -> None:
        ended = following.now
        for _ in range(8):
            following.news()
        late = an_attempt(ended - SECOND)

        assert ids(following.news().attempts) == [late.pk]

    def test_of_too_much_is_what_began_last(self, following: Following) -> None:
        attempts = [an_attempt(following.now + number * SECOND / 10) for number in range(5)]

        news = following.news(most=2)

        assert (ids(news.attempts), news.left_out) == (ids(attempts[3:]), 3)
        assert following.news().left_out == 0

    def test_is_complete_after_a_moment_without_a_database(self, following: Following) -> None:
        attempts = [an_attempt(following.now + number * SECOND) for number in range(100)]

        news = following.news(after=100 * SECOND)

        assert (ids(news.attempts), news.missing_before) == (ids(attempts), None)

    def test_says_when_it_is_not_complete(self, following: Following) -> None:
        an_attempt(following.now)
        newer = an_attempt(following.now + 9 * MINUTE)

        news = following.news(after=10 * MINUTE)

        assert (ids(news.attempts), news.missing_before) == ([newer.pk], following.now - tailing.AWAY)
        assert following.news().missing_before is None

    def test_remembers_no_more_than_what_ended_lately(self, following: Following) -> None:
        for _ in range(60):
            an_attempt(following.now)
            following.news()

        assert len(following.tail._told) <= 12

    def test_comes_once_where_the_clock_is_set_back(self, following: Following) -> None:
        an_attempt(following.now)
        following.news()
        for _ in range(12):
            following.news()

        assert following.news(after=-12 * SECOND).attempts == ()
        assert following.news().attempts == ()

    def test_is_asked_for_in_one_query_where_there_is_none(self, following: Following) -> None:
        def queries() -> list[str]:
            with CaptureQueriesContext(connection) as captured:
                following.news()
            return [query["sql"] for query in captured if "SELECT" in query["sql"]]

        assert len(queries()) == 1
        for _ in range(20):
            an_attempt(following.now)
        asked = queries()
        assert len(asked) == 4
        assert not any(each in query for query in asked for each in ("_body", "_headers", "error", '"url"'))


# After everything the migration's own part of the table holds.
LATER = datetime(2100, 3, 15, 10, 0, tzinfo=UTC)


@pytest.fixture
def ten_days(db: None) -> None:
    """So many days with an attempt every two seconds for five hours, the last of them now."""
    databases.make_days(now=LATER - 9 * DAY, ahead=9)
    like = an_attempt(LATER - 30 * DAY)
    same = ["webhook_id", "number", "round", "succeeded", "reason_code", "error", "url", "http_method",
            "request_headers"]  # fmt: skip
    with connection.cursor() as cursor:
        for day in range(10):
            cursor.execute(
                "INSERT INTO deliveries_attempt"  # noqa: S608 - names of ours
                f" (id, created_at, started_at, duration, delivery_id, {', '.join(same)})"
                " SELECT (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0')"
                "         || substr(gen_random_uuid()::text, 15))::uuid,"
                f"       at, at, interval '1 s', gen_random_uuid(), {', '.join(same)}"
                "   FROM deliveries_attempt, generate_series(%s - interval '5 h', %s, interval '2 s') AS at"
                "  WHERE id = %s",
                [LATER - day * DAY, LATER - day * DAY, like.pk],
            )
        cursor.execute("ANALYZE deliveries_attempt")


@pytest.mark.postgresql
@pytest.mark.usefixtures("ten_days")
class TestAmongTenDays:
    def test_a_look_reads_none_of_them_as_a_whole(self) -> None:
        tail = a_tail(LATER)

        plan = tail._wanted.ended_since(LATER - tailing.LATE).values_list("pk", "started_at").explain()

        assert len(tail._ended()) == 6
        used = set(re.findall(r"Bitmap Index Scan on deliveries_attempt_(2100_03_\d\d)_started_at_idx", plan))
        assert used == {f"2100_03_{day:02}" for day in range(6, 16)}, plan
        assert not re.search(r"Seq Scan on deliveries_attempt_2100_03_(0[6-9]|1[0-5])", plan)
