import gc
from collections.abc import Iterator

import pytest

from deliveries import garbage


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class TestSpared:
    def test_is_what_lives_already(self) -> None:
        garbage.spare_what_stays()

        assert gc.get_freeze_count() > 10_000
        assert gc.get_count()[0] < 1_000

    def test_is_not_what_comes_later(self) -> None:
        garbage.spare_what_stays()
        later: list[object] = []
        later.append(later)

        del later

        assert gc.collect() >= 1
