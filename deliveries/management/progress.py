"""How far a long command is, on stderr: one line that changes on a terminal, one now and then elsewhere."""

import os
import time
from types import TracebackType
from typing import Self

from django.core.management.base import OutputWrapper

# In seconds: when a terminal is told first and how often then, and how often a file is. What ends before says
# nothing.
_FIRST, _OFTEN, _SELDOM = 1.0, 0.1, 5.0
_BAR = 24
# Where nobody says how wide the terminal is.
_WIDTH = 80


class Progress:
    """Told by a service how far it is, as `(done, total)`, it says so; at its end a terminal's line is empty.

    :param what: is counted, in the plural.
    """

    def __init__(self, stream: OutputWrapper, what: str) -> None:
        self._stream, self._what = stream, what
        self._on_terminal = stream.isatty()
        self._began = time.monotonic()
        self._next = self._began + (_FIRST if self._on_terminal else _SELDOM)
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rewrite("")

    def __call__(self, done: int, total: int | None = None) -> None:
        """Say it, unless that was done a moment ago.

        :param total: how many there are, if that is known.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_OFTEN if self._on_terminal else _SELDOM)
        said = self._in_words(done, total, seconds=now - self._began)
        if not self._on_terminal:
            self._stream.write(said, str)
            self._stream.flush()
            return
        bar = f"{_bar(done, total)} " if total else ""
        # A line that is full would be continued on the next.
        self._rewrite(f"{bar}{said}"[: self._width() - 1])

    def _in_words(self, done: int, total: int | None, *, seconds: float) -> str:
        of = f" of {max(done, total):,}" if total else ""
        return f"{done:,}{of} {self._what}, {done / seconds:,.0f} a second"

    def _rewrite(self, line: str) -> None:
        """Write a line over the one before, which any terminal can, and leave the cursor behind it."""
        if line or self._written:
            blank = " " * (self._written - len(line))
            self._stream.write(f"\r{line}{blank}\r{line}", str, ending="")
            self._stream.flush()
        self._written = len(line)

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _WIDTH
        except OSError:
            return _WIDTH


def _bar(done: int, total: int) -> str:
    share = min(done / total, 1.0)
    full = int(share * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}] {int(share * 100):3} %"
