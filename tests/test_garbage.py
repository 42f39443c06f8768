import gc
import weakref
from collections.abc import Iterator

import pytest

from deliveries import garbage, tasks
from deliveries.services import dispatching


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Ring:
    """Holds on to itself."""

    def __init__(self) -> None:
        self.itself = self


class TestSparing:
    def test_is_of_what_lives_already(self) -> None:
        garbage.spare_what_stays()

        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] > 700

    def test_is_not_of_what_comes_later(self) -> None:
        garbage.spare_what_stays()
        later = weakref.ref(Ring())

        gc.collect()

        assert later() is None

    def test_is_done_by_a_worker_before_it_delivers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        frozen = []
        monkeypatch.setattr(dispatching, "start", lambda **options: frozen.append(gc.get_freeze_count()))

        tasks.start_dispatcher()

        assert frozen[0] > 10_000
