"""The watchdog, look by look: what it counts. What it does to a process, tests/e2e/test_watchdog.py sees."""

import os
import queue
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest

from deliveries.services import watchdog

PATIENCE = timedelta(seconds=120)


class Watch:
    """A watchdog whose looks come when the test says so, and whose end of a process is only noted.

    It looks when its wait ends. Between the looks any time may have passed: none does here.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.waits: list[float] = []
        self.ended = threading.Event()
        self._may_look: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._waiting = threading.Semaphore(0)

    def wait(self, seconds: float) -> bool:
        """Stand for the wait of the event that says that all is over."""
        self.waits.append(seconds)
        self._waiting.release()
        return self._may_look.get()

    def set(self) -> None:
        """Stand for that event."""
        self._may_look.put(True)

    def end(self, stuck: int, patience: timedelta) -> None:
        """Stand for the end of the process."""
        self.ended.set()

    def look(self, times: int = 1) -> None:
        """Have it look so often, and return when it has."""
        for _ in range(times):
            self._may_look.put(False)
            assert self._waiting.acquire(timeout=5)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A watchdog at work."""
    watch = Watch()
    threads = SimpleNamespace(Event=lambda: watch, Thread=threading.Thread, get_ident=threading.get_ident)
    monkeypatch.setattr(watchdog, "threading", threads)
    monkeypatch.setattr(watchdog, "_end", watch.end)
    with watchdog.watching(lambda: watch.turns, patience=PATIENCE):
        assert watch._waiting.acquire(timeout=5)
        yield watch


class TestLooks:
    def test_come_ten_times_in_its_patience(self, watch: Watch) -> None:
        watch.look(3)

        assert watch.waits == [12.0] * 4

    def test_end_a_process_that_stood_still_for_ten(self, watch: Watch) -> None:
        watch.look(9)
        assert not watch.ended.is_set()

        watch.look()

        assert watch.ended.is_set()

    def test_begin_anew_with_every_turn(self, watch: Watch) -> None:
        watch.look(9)
        watch.turns += 1
        watch.look(10)
        assert not watch.ended.is_set()

        watch.look()

        assert watch.ended.is_set()

    def test_count_and_not_the_time_between_them(self, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that was stopped for an hour, with its machine or alone, has been looked at once more."""
        watch.look()
        later = time.monotonic() + 3600
        monkeypatch.setattr("time.monotonic", lambda: later)
        watch.look(2)

        assert not watch.ended.is_set()


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes this process ended with; and it goes on."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


class TestTheEnd:
    def test_waits_for_the_last_words(self, exits: list[int]) -> None:
        said: list[str] = []

        watchdog.end(lambda: said.append("Farewell"))

        assert (said, exits) == (["Farewell"], [1])

    def test_does_not_wait_for_a_log_nobody_reads(
        self, exits: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watchdog, "_LAST_WORDS", 0.05)
        read = threading.Event()

        watchdog.end(partial(read.wait, 60))

        assert exits == [1]
        read.set()

    def test_comes_also_where_no_thread_is_left_to_say_a_word(
        self, exits: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)

        with pytest.raises(RuntimeError):
            watchdog.end(lambda: None)

        assert exits == [1]
