"""What web processes know of each other."""

from types import SimpleNamespace

import pytest

from webhooks_project import fewest
from webhooks_project.fewest import Counts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The machine's clock, which stands still."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(fewest, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


class TestFewest:
    def test_is_nobody_where_there_is_no_other(self, clock: SimpleNamespace) -> None:
        counts = Counts()
        counts.tell(1, 5)

        assert counts.fewest_of_others(1) is None

    def test_is_that_of_the_other_who_has_fewest(self, clock: SimpleNamespace) -> None:
        counts = Counts()
        for number, connections in ((1, 0), (2, 7), (3, 4)):
            counts.tell(number, connections)

        assert counts.fewest_of_others(1) == 4
        assert counts.fewest_of_others(3) == 0

    def test_is_nobody_who_leaves(self, clock: SimpleNamespace) -> None:
        counts = Counts()
        counts.tell(2, 0)

        counts.leave(2)

        assert counts.fewest_of_others(1) is None

    @pytest.mark.parametrize(("later", "known"), [(2.0, 3), (3.0, None)])
    def test_is_nobody_who_has_said_nothing_for_long(
        self, clock: SimpleNamespace, later: float, known: int | None
    ) -> None:
        counts = Counts()
        counts.tell(2, 3)

        clock.now += later

        assert counts.fewest_of_others(1) == known

    def test_is_told_by_more_processes_than_there_are_slots(self, clock: SimpleNamespace) -> None:
        counts = Counts()

        counts.tell(1_000_000, 3)

        assert counts.fewest_of_others(1) == 3
