from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import RFC_4122, UUID

import pytest

from deliveries import identifiers
from deliveries.identifiers import first_id_at, new_id, new_id_at

MOMENT = datetime(2026, 3, 15, 10, 0, 0, 123_456, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class TestIdAtAMoment:
    def test_is_a_uuid_of_that_moment(self) -> None:
        made = new_id_at(MOMENT)

        assert (made.version, made.variant) == (7, RFC_4122)
        assert first_id_at(MOMENT) <= made < first_id_at(MOMENT + MILLISECOND)

    def test_reads_the_moment_as_every_uuid7_does(self) -> None:
        before = datetime.now(UTC)
        made = new_id()
        after = datetime.now(UTC)

        assert first_id_at(before) <= made < first_id_at(after + MILLISECOND)

    def test_sorts_by_the_moment(self) -> None:
        later, earlier = new_id_at(MOMENT + MILLISECOND), new_id_at(MOMENT)

        assert earlier < later

    def test_sorts_by_insertion_within_a_millisecond(self) -> None:
        made = [new_id_at(MOMENT) for _ in range(1000)]

        assert made == sorted(set(made))

    def test_is_behind_nothing_before_there_were_any(self) -> None:
        assert first_id_at(datetime(1753, 1, 1, tzinfo=UTC)) == UUID(int=0)

    def test_is_another_in_a_process_that_has_counted_as_far(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def ids() -> Iterator[object]:
            monkeypatch.setattr(identifiers, "_count", count(7))
            return (new_id_at(MOMENT) for _ in range(1000))

        assert not set(ids()) & set(ids())

    def test_goes_on_when_there_is_nothing_left_to_count_with(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(identifiers, "_count", count(2**26 - 1))

        last, first = new_id_at(MOMENT), new_id_at(MOMENT)

        assert (first.version, first.variant) == (last.version, last.variant) == (7, RFC_4122)
        assert first_id_at(MOMENT) <= first < last < first_id_at(MOMENT + MILLISECOND)
