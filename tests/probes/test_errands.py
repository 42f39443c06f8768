"""Errands: questions that may hang."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from deliveries.probes.errands import Errand
from tests.waiting import wait_until


class Oracle:
    """Answers with how often it was asked, once it may speak."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_speak = threading.Event()

    def __call__(self) -> int:
        self.asked += 1
        answer = self.asked
        assert self.may_speak.wait(30)
        return answer


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    """One that is silent until it may speak, which it may at the end in any case."""
    oracle = Oracle()
    yield oracle
    oracle.may_speak.set()


class TestAnswer:
    def test_is_asked_once_while_it_is_fresh(self, oracle: Oracle) -> None:
        errand = Errand(oracle, patience=30, fresh=3600)
        oracle.may_speak.set()

        assert [errand.answer() for _ in range(3)] == [1, 1, 1]

    def test_is_asked_again_when_it_is_not(self, oracle: Oracle) -> None:
        errand = Errand(oracle, patience=30)
        oracle.may_speak.set()

        assert [errand.answer() for _ in range(3)] == [1, 2, 3]

    def test_is_an_error_as_long(self) -> None:
        asked = []

        def fail() -> None:
            asked.append(1)
            raise LookupError

        errand = Errand(fail, patience=30, fresh=3600)
        for _ in range(2):
            with pytest.raises(LookupError):
                errand.answer()

        assert len(asked) == 1

    def test_is_not_waited_for_by_who_comes_when_its_time_is_over(
        self, oracle: Oracle, within: Callable[[float], None]
    ) -> None:
        errand = Errand(oracle, patience=2)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                errand.answer()

        within(20)
        assert oracle.asked == 1

    def test_comes_once_a_thread_can_be_started_again(
        self, oracle: Oracle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        oracle.may_speak.set()
        errand = Errand(oracle, patience=30)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(TimeoutError, match="no thread"):
                errand.answer()

        assert errand.answer() == 1


class TestLatest:
    def test_is_nothing_at_first_and_never_waited_for(self, oracle: Oracle) -> None:
        errand = Errand(oracle, patience=30)

        assert errand.latest() is None
        oracle.may_speak.set()
        wait_until(lambda: errand.latest() is not None, timeout=30, what="the answer")

    def test_is_the_one_before_while_another_is_under_way(self, oracle: Oracle) -> None:
        errand = Errand(oracle, patience=30)
        oracle.may_speak.set()
        assert errand.answer() == 1
        oracle.may_speak.clear()

        assert [errand.latest() for _ in range(3)] == [1, 1, 1]
        assert oracle.asked == 2

    def test_is_none_when_nothing_comes_any_more(self, oracle: Oracle) -> None:
        errand = Errand(oracle, patience=3)
        oracle.may_speak.set()
        assert errand.answer() == 1
        oracle.may_speak.clear()

        assert errand.latest() == 1
        time.sleep(3.1)
        with pytest.raises(TimeoutError):
            errand.latest()
