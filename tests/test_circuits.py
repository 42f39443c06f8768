from datetime import UTC, datetime, timedelta

import pytest

from deliveries import circuits
from deliveries.reasons import Reason

NOW = datetime(2026, 3, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)

UNAVAILABLE, ANSWERED, NEITHER = (True, False), (False, True), (False, False)


class TestOutcomes:
    @pytest.mark.parametrize(
        ("reason", "http_status", "expected"),
        [
            (None, 200, ANSWERED),
            *((Reason.HTTP_STATUS, status, ANSWERED) for status in (302, 400, 401, 404, 409, 410, 422)),
            *(
                (Reason.HTTP_STATUS, status, UNAVAILABLE)
                for status in (408, 425, 429, 500, 502, 503, 504, 599)
            ),
            (Reason.CONNECTION_CLOSED, None, UNAVAILABLE),
            (Reason.CONNECTION_REFUSED, None, UNAVAILABLE),
            (Reason.CONNECTION_TIMEOUT, None, UNAVAILABLE),
            (Reason.DNS_FAILED, None, UNAVAILABLE),
            (Reason.INVALID_RESPONSE, None, UNAVAILABLE),
            (Reason.RESPONSE_TOO_SLOW, None, UNAVAILABLE),
            (Reason.TLS_FAILED, None, UNAVAILABLE),
            (Reason.BLOCKED_ADDRESS, None, NEITHER),
            (Reason.CANCELLED, None, NEITHER),
            (Reason.INVALID_REQUEST, None, NEITHER),
            (Reason.NO_RESOURCES, None, NEITHER),
            (Reason.WORKER_KILLED, None, NEITHER),
        ],
    )
    def test_say_something_about_the_receiver_or_not(
        self, reason: Reason | None, http_status: int | None, expected: tuple[bool, bool]
    ) -> None:
        unavailable = circuits.is_unavailable(reason, http_status)

        assert (unavailable, circuits.is_answer(reason, http_status)) == expected

    @pytest.mark.parametrize("reason", list(Reason))
    def test_are_never_both(self, reason: Reason) -> None:
        status = 503 if reason is Reason.HTTP_STATUS else None

        assert not (circuits.is_unavailable(reason, status) and circuits.is_answer(reason, status))


class TestTrips:
    @pytest.mark.parametrize(
        ("in_a_row", "attempts", "unavailable", "expected"),
        [
            (9, 9, 9, False),
            (10, 10, 10, True),
            (10, 1000, 10, True),
            (0, 10, 6, False),
            (0, 10, 7, True),
            (0, 9, 9, False),
            (0, 100, 69, False),
            (0, 100, 70, True),
            (0, 0, 0, False),
        ],
    )
    def test_by_a_row_or_by_a_share(
        self, in_a_row: int, attempts: int, unavailable: int, expected: bool
    ) -> None:
        assert circuits.trips(in_a_row=in_a_row, attempts=attempts, unavailable=unavailable) is expected


class TestOpenFor:
    @pytest.mark.parametrize(("openings", "seconds"), [(0, 30), (1, 60), (2, 120), (3, 120), (99, 120)])
    def test_follows_the_delays_and_stays_at_their_end(self, openings: int, seconds: int) -> None:
        delays = [30 * SECOND, 60 * SECOND, 120 * SECOND]

        assert circuits.open_for(openings, delays=delays, jitter=1.0) == seconds * SECOND
        assert circuits.open_for(openings, delays=delays, jitter=0.8) == seconds * 0.8 * SECOND


class TestAllowed:
    @pytest.mark.parametrize(
        ("seconds", "count"),
        [(-5, 10), (0, 10), (1, 20), (10, 110), (11, 130), (20, 310), (30, 710), (60, 6310), (77, 21_670)],
    )
    def test_doubles_its_rate(self, seconds: float, count: int) -> None:
        assert circuits.allowed(seconds * SECOND) == count

    def test_grows_no_faster_than_the_highest_rate(self) -> None:
        hour = 3600 * SECOND

        assert circuits.allowed(hour + SECOND) - circuits.allowed(hour) == 1280


class TestIsDead:
    @pytest.mark.parametrize(
        ("days", "failures", "expected"),
        [(5, 10, True), (4.99, 10, False), (5, 9, False), (30, 500, True), (None, 500, False)],
    )
    def test_after_days_without_success_and_failures_enough(
        self, days: float | None, failures: int, expected: bool
    ) -> None:
        since = None if days is None else NOW - timedelta(days=days)

        dead = circuits.is_dead(failing_since=since, failures=failures, now=NOW, patience=timedelta(days=5))

        assert dead is expected
