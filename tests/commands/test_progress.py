"""How far a long command is: on a real terminal, and where nobody watches."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import termios
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TextIO

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.utils import timezone

from deliveries.management import progress
from deliveries.management.progress import Progress
from deliveries.services import encryption, recounting, redelivery, retention
from tests import builders


class Terminal:
    """A terminal, and what it was told."""

    def __init__(self) -> None:
        self._screen, self._line = pty.openpty()
        self.file: TextIO = os.fdopen(self._line, "w", encoding="ascii")

    def resize(self, columns: int) -> None:
        """Be so wide."""
        fcntl.ioctl(self._line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def told(self) -> str:
        """Return what was written since the last time; the kernel takes a moment to hand it over."""
        told = b""
        while select.select([self._screen], [], [], 0.1)[0]:
            told += os.read(self._screen, 10_000)
        return told.decode("ascii")

    def close(self) -> None:
        """Be gone."""
        self.file.close()
        os.close(self._screen)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def shown(told: str) -> str:
    """Return what is on the line at the end: each return goes back to its beginning."""
    line: list[str] = []
    for written in told.split("\r"):
        line[: len(written)] = written
    return "".join(line).rstrip()


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


class TestOnATerminal:
    def test_says_nothing_in_the_first_second(self, terminal: Terminal, time: Clock) -> None:
        with Progress(OutputWrapper(terminal.file), "rows") as tell:
            time.seconds += 0.9
            tell(5, 10)

        assert terminal.told() == ""

    def test_is_a_bar_where_the_total_is_known(self, terminal: Terminal, time: Clock) -> None:
        with Progress(OutputWrapper(terminal.file), "rows") as tell:
            time.seconds += 2
            tell(5_000, 10_000)

            assert shown(terminal.told()) == (
                "[############............]  50 % 5,000 of 10,000 rows, 2,500 a second"
            )

    def test_is_a_count_where_it_is_not(self, terminal: Terminal, time: Clock) -> None:
        with Progress(OutputWrapper(terminal.file), "rows") as tell:
            time.seconds += 2
            tell(5_000)

            assert shown(terminal.told()) == "5,000 rows, 2,500 a second"

    def test_is_written_over_and_not_too_often(self, terminal: Terminal, time: Clock) -> None:
        with Progress(OutputWrapper(terminal.file), "rows") as tell:
            time.seconds += 1
            tell(1_000_000)
            before = terminal.told()
            tell(1_000_001)
            assert terminal.told() == ""
            time.seconds += 999
            tell(1)

            assert shown(before + terminal.told()) == "1 rows, 0 a second"

    def test_never_fills_the_line(self, terminal: Terminal, time: Clock) -> None:
        terminal.resize(40)
        with Progress(OutputWrapper(terminal.file), "rows") as tell:
            time.seconds += 1
            tell(1, 2)

            assert len(shown(terminal.told())) == 39

    def test_takes_a_terminal_that_does_not_know_its_width_for_a_usual_one(
        self, terminal: Terminal, time: Clock
    ) -> None:
        with Progress(OutputWrapper(terminal.file), 100 * "r") as tell:
            time.seconds += 1
            tell(1, 2)

            assert len(shown(terminal.told())) == 79

    @pytest.mark.parametrize(("done", "total"), [(30, 20), (20, 20)])
    def test_has_no_more_than_all(self, terminal: Terminal, time: Clock, done: int, total: int) -> None:
        with Progress(OutputWrapper(terminal.file), "rows") as tell:
            time.seconds += 1
            tell(done, total)

            assert shown(terminal.told()).startswith(f"[{24 * '#'}] 100 % {done} of {done} rows")

    def test_leaves_an_empty_line(self, terminal: Terminal, time: Clock) -> None:
        with Progress(OutputWrapper(terminal.file), "rows") as tell:
            time.seconds += 1
            tell(1, 2)
        told = terminal.told()

        assert shown(told) == ""
        assert told.endswith("\r")
        assert "\n" not in told

    def test_leaves_an_empty_line_also_where_something_goes_wrong(
        self, terminal: Terminal, time: Clock
    ) -> None:
        def fail(tell: Progress) -> None:
            time.seconds += 1
            tell(1, 2)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), Progress(OutputWrapper(terminal.file), "rows") as tell:
            fail(tell)

        assert shown(terminal.told()) == ""

    def test_has_no_colour(self, terminal: Terminal, time: Clock) -> None:
        stream = OutputWrapper(terminal.file)
        stream.style_func = lambda text: f"\x1b[31m{text}\x1b[0m"
        with Progress(stream, "rows") as tell:
            time.seconds += 1
            tell(1)

        assert "\x1b" not in terminal.told()


class TestElsewhere:
    def test_is_a_line_each_five_seconds(self, time: Clock) -> None:
        reading, writing = os.pipe()
        with open(writing, "w") as pipe, Progress(OutputWrapper(pipe), "rows") as tell:
            for second in range(14):
                tell(100 * second, 2_000)
                time.seconds += 1

        with open(reading) as pipe:
            assert pipe.read() == ("500 of 2,000 rows, 100 a second\n1,000 of 2,000 rows, 100 a second\n")

    def test_is_nothing_of_what_ends_before(self, time: Clock) -> None:
        file = io.StringIO()
        with Progress(OutputWrapper(file), "rows") as tell:
            time.seconds += 4.9
            tell(1)

        assert file.getvalue() == ""


def prune() -> str:
    long_ago = timezone.now() - timedelta(days=400)
    for _ in range(3):
        builders.an_event(created_at=long_ago)
    return "prune_logs"


def recount() -> str:
    for _ in range(3):
        builders.a_webhook()
    return "recount_logs"


def redeliver() -> str:
    for _ in range(3):
        builders.a_failed_delivery()
    return "redeliver --event-type call.ended"


def rotate() -> str:
    for _ in range(3):
        builders.a_webhook(secret="a secret")
    return "rotate_encryption"


@pytest.mark.django_db
class TestCommands:
    @pytest.fixture(autouse=True)
    def _soon_and_in_small_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(progress, "_FIRST", 0)
        monkeypatch.setattr(progress, "_OFTEN", 0)
        monkeypatch.setattr(retention, "LONGEST_REST", 0)
        for service in (encryption, recounting, redelivery, retention):
            monkeypatch.setattr(service, "BATCH", 1)

    @pytest.mark.parametrize(("prepare", "says", "result"), [
        (prune, "2 rows, ", "Deleted 0 attempts, 0 deliveries, 3 events, 0 minutes of traffic, 0 revisions,"
         " 0 logins, 0 sessions."),
        (recount, " 66 % 2 of 3 webhooks, ", "Counted the attempts of 3 webhooks; 0 totals were wrong."),
        (redeliver, " 66 % 2 of 3 deliveries, ", "Queued 3 deliveries."),
        (rotate, "2 values, ", "Rotated 0 values; 3 had the first key already, 0 cannot be read."
         " The first key alone opens everything: the others may be taken out now."),
    ])  # fmt: skip
    def test_tell_a_terminal_and_leave_the_result_as_it_is(
        self, terminal: Terminal, prepare: Callable[[], str], says: str, result: str
    ) -> None:
        stdout = io.StringIO()

        call_command(*prepare().split(" "), stdout=stdout, stderr=terminal.file)

        told = terminal.told()
        assert says in told
        assert shown(told) == ""
        assert stdout.getvalue() == f"{result}\n"

    def test_say_what_is_wrong_on_an_empty_line(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recount()
        missing = recounting._missing
        answers = iter([missing, missing])

        def be_taken(webhooks: object) -> object:
            count = next(answers, None)
            if count is None:
                raise recounting.AlreadyRecounting("Somebody else is at it.")
            return count(webhooks)  # type: ignore[arg-type]

        monkeypatch.setattr(recounting, "_missing", be_taken)

        with pytest.raises(CommandError, match="Somebody else"):
            call_command("recount_logs", stderr=terminal.file)

        told = terminal.told()
        assert re.search("2 of 3 webhooks", told)
        assert shown(told) == ""

    @pytest.mark.parametrize("prepare", [prune, recount, redeliver, rotate])
    def test_say_nothing_to_a_file_where_they_end_soon(self, prepare: Callable[[], str]) -> None:
        stderr = io.StringIO()

        call_command(*prepare().split(" "), stdout=io.StringIO(), stderr=stderr)

        assert stderr.getvalue() == ""
