from datetime import timedelta

import pytest

from deliveries.management.verifying.outcome import count
from deliveries.management.verifying.receiving import Arrival
from tests.builders import NOW

PUBLISHED = {str(number): NOW + timedelta(seconds=number) for number in range(100)}


def arrival(number: int, *, after: float = 0.01, verified: bool = True) -> Arrival:
    at = NOW + timedelta(seconds=number + after)
    return Arrival(event_id=str(number), at=at, verified=verified)


ALL = [arrival(number, after=number / 1000) for number in range(100)]


class TestCount:
    def test_of_a_good_installation(self) -> None:
        outcome = count(PUBLISHED, ALL, wanted=100)

        assert outcome.good
        assert (outcome.published, outcome.arrived, outcome.lost) == (100, 100, 0)
        assert (outcome.duplicates, outcome.signature_failures) == (0, 0)
        assert (outcome.p50_ms, outcome.p95_ms, outcome.p99_ms) == (49.0, 94.0, 98.0)

    def test_misses_what_did_not_arrive(self) -> None:
        outcome = count(PUBLISHED, ALL[1:], wanted=100)

        assert (outcome.arrived, outcome.lost, outcome.good) == (99, 1, False)

    def test_sees_what_arrived_twice_and_takes_the_time_of_the_first(self) -> None:
        outcome = count(PUBLISHED, [arrival(7, after=40), *ALL, arrival(7, after=50)], wanted=100)

        assert (outcome.arrived, outcome.lost, outcome.duplicates) == (100, 0, 2)
        assert outcome.p99_ms == 98.0
        assert outcome.good

    def test_sees_a_signature_that_does_not_fit(self) -> None:
        outcome = count(PUBLISHED, [*ALL[1:], arrival(0, verified=False)], wanted=100)

        assert (outcome.arrived, outcome.signature_failures, outcome.good) == (100, 1, False)

    def test_leaves_out_the_events_of_others(self) -> None:
        outcome = count(PUBLISHED, [*ALL, arrival(1000, verified=False)], wanted=100)

        assert (outcome.arrived, outcome.signature_failures, outcome.good) == (100, 0, True)

    @pytest.mark.parametrize("wanted", [100, 101])
    def test_is_good_only_with_all_of_them_published(self, wanted: int) -> None:
        assert count(PUBLISHED, ALL, wanted=wanted).good == (wanted == 100)

    def test_of_nothing_has_no_times(self) -> None:
        outcome = count({}, [], wanted=1)

        assert outcome.p50_ms is None
        assert not any(line.startswith("p50") for line in outcome.lines())

    def test_is_told_with_the_worker_that_was_killed_and_why_attempts_failed(self) -> None:
        lines = count(PUBLISHED, ALL, wanted=100, killed=4711, reasons=["3 x HTTP 500"]).lines()

        assert "p50                  49.0 ms" in lines
        assert "killed               worker with process id 4711" in lines
        assert "attempts failed      3 x HTTP 500" in lines
