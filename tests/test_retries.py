from datetime import UTC, datetime, timedelta

import pytest

from deliveries.retries import RetrySchedule, retry_after

NOW = datetime(2026, 3, 15, 10, 0, tzinfo=UTC)
SCHEDULE = RetrySchedule(delays=(timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)))


def next_delay(
    *,
    retries_made: int = 0,
    overloaded: bool = False,
    retry_after: timedelta | None = None,
    jitter: float = 1.0,
) -> timedelta:
    return SCHEDULE.next_delay(
        retries_made=retries_made, overloaded=overloaded, retry_after=retry_after, jitter=jitter
    )


class TestNextDelay:
    @pytest.mark.parametrize(("retries_made", "seconds"), [(0, 5), (1, 300), (2, 1800), (3, 1800), (9, 1800)])
    def test_follows_the_schedule_and_stays_at_its_end(self, retries_made: int, seconds: int) -> None:
        assert next_delay(retries_made=retries_made) == timedelta(seconds=seconds)

    @pytest.mark.parametrize("jitter", [0.8, 1.2])
    def test_is_spread_by_the_jitter(self, jitter: float) -> None:
        assert next_delay(jitter=jitter) == timedelta(seconds=5) * jitter

    @pytest.mark.parametrize(("jitter", "seconds"), [(0.8, 60), (1.0, 60), (1.2, 72)])
    def test_gives_an_overloaded_receiver_a_minute_at_least(self, jitter: float, seconds: int) -> None:
        assert next_delay(overloaded=True, jitter=jitter) == timedelta(seconds=seconds)

    def test_waits_as_long_as_the_receiver_asks(self) -> None:
        assert next_delay(retry_after=timedelta(hours=2)) == timedelta(hours=2)

    def test_does_not_come_sooner_because_the_receiver_asks(self) -> None:
        assert next_delay(retries_made=1, retry_after=timedelta(seconds=1)) == timedelta(minutes=5)

    def test_waits_a_day_at_most(self) -> None:
        assert next_delay(retry_after=timedelta(days=30)) == timedelta(hours=24)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "wait"),
        [
            ("120", timedelta(seconds=120)),
            (" 120 ", timedelta(seconds=120)),
            ("0", timedelta(0)),
            ("Sun, 15 Mar 2026 10:02:00 GMT", timedelta(minutes=2)),
            ("Sun, 15 Mar 2026 10:02:00 -0000", timedelta(minutes=2)),
            ("Sun, 15 Mar 2026 09:00:00 GMT", None),
            ("9" * 400, timedelta(seconds=999_999_999)),
            ("-5", None),
            ("1.5", None),
            ("١٢", None),
            ("soon", None),
            ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
            ("Sun, 99 Mar 2026 10:02:00 GMT", None),
            ("", None),
        ],
    )
    def test_reads_seconds_and_dates(self, value: str, wait: timedelta | None) -> None:
        assert retry_after({"retry-after": value}, now=NOW) == wait

    def test_is_none_without_the_header(self) -> None:
        assert retry_after({}, now=NOW) is None
