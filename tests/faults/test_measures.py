"""How measurements are made into figures."""

import pytest

from tests.faults import measures


class TestObjection:
    @pytest.mark.parametrize("baseline", [None, 0.2, 2.5])
    def test_is_none_to_what_a_quiet_machine_takes(self, baseline: float | None) -> None:
        assert measures.objection(baseline) == ""

    def test_is_that_the_machine_was_too_slow(self) -> None:
        assert measures.objection(140.0).startswith("the machine was too slow to measure: 140.0 s")
