"""How measurements are made into figures."""

import pytest

from tests.measuring import measures


class TestObjection:
    @pytest.mark.parametrize("baseline", [None, 0.2, 0.5])
    def test_is_none_to_what_a_quiet_machine_takes(self, baseline: float | None) -> None:
        assert measures.objection(baseline) == ""

    def test_is_that_the_machine_was_too_slow(self) -> None:
        assert measures.objection(140.0).startswith("the machine was too slow to measure: 140.0 s")


class TestFigures:
    def test_percentile_is_one_of_the_values(self) -> None:
        values = [float(number) for number in range(100, 0, -1)]

        assert [measures.percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
        assert measures.percentile([7], 0.5) == 7

    def test_slope_is_that_of_the_closest_line(self) -> None:
        assert measures.slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx(2)
        assert measures.slope([(0, 1), (1, 3), (2, 1)]) == pytest.approx(0)
