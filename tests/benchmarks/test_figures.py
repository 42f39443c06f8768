"""Raw numbers on their way to figures."""

from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.figures import Measured, Spread, Turn


def a_turn(number: int, *, point: str = "small", variant: str = "ours", **numbers: float) -> Turn:
    return Turn(point=point, variant=variant, round=number, numbers=numbers)


class TestSpread:
    def test_is_the_median_between_the_least_and_the_most(self) -> None:
        turns = [a_turn(number, cost=cost) for number, cost in enumerate((9, 1, 2))]

        assert figures.spread(turns, "small", "ours", figures.plain("cost")) == Spread(2, 1, 9)

    def test_is_none_of_what_was_not_measured(self) -> None:
        assert figures.spread([a_turn(0, cost=1)], "large", "ours", figures.plain("cost")) is None


class TestRatio:
    def test_is_of_turns_of_the_same_round(self) -> None:
        """The second round was twice as slow for both; over the rounds the ratio is the same."""
        turns = [
            a_turn(0, cost=10),
            a_turn(0, variant="theirs", cost=40),
            a_turn(1, cost=20),
            a_turn(1, variant="theirs", cost=80),
        ]

        found = figures.ratio(turns, figures.plain("cost"), of=("small", "theirs"), to=("small", "ours"))

        assert found == Spread(4, 4, 4)

    def test_leaves_out_a_round_that_only_one_had(self) -> None:
        turns = [a_turn(0, cost=10), a_turn(0, variant="theirs", cost=40), a_turn(1, cost=1)]

        found = figures.ratio(turns, figures.plain("cost"), of=("small", "theirs"), to=("small", "ours"))

        assert found == Spread(4, 4, 4)


class TestValue:
    NUMBERS = {"cpu worker": 0.2, "cpu postgresql": 0.1, "seconds": 2.0, "deliveries": 1000.0, "p99": 0.05}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (figures.cpu_per("deliveries"), 300),
            (figures.cpu_per("deliveries", "worker"), 200),
            (figures.cpu_per("deliveries", "web"), 0),
            (figures.rate("deliveries"), 500),
            (figures.per("deliveries", "seconds"), 0.002),
            (figures.milliseconds("p99"), 50),
        ],
    )
    def test_is_made_of_the_numbers(self, value: figures.Value, expected: float) -> None:
        assert value(self.NUMBERS) == pytest.approx(expected)


def test_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "performance.json"
    measured = Measured(
        at="2026-01-02T03:04", commit="1a2b3c", machine="fast", load=0.5, turns=[a_turn(0, cost=1.5)]
    )

    assert figures.read(path) == {}
    figures.write(path, {"delivery": measured})
    assert figures.read(path) == {"delivery": measured}
