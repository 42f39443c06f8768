"""How many connections each process of a web server has, so that a new one goes where there are fewest.

All of them listen on one socket, and the kernel wakes whoever waits there: of clients that keep their
connections a single process may get every one, and the others, and their cores, have nothing to do.
"""

import mmap
import struct
import time

# When it was told, in whole seconds of the clock that all processes of a machine share, and how many.
_SLOT = struct.Struct("=II")
_SLOTS = 256
# Whoever has told nothing for so many seconds has ended or stands still.
_FRESH = 2


class Counts:
    """What the processes tell each other, and again every second. Made before they are started.

    Each has a slot of its own, by its number; of two that are 256 apart, which takes as many restarts, each
    sees now its own count and now the other's. Nothing is locked: what is read wrong costs a moment's wait.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _SLOT.size * _SLOTS)

    def tell(self, number: int, connections: int) -> None:
        """Say how many a process has."""
        self._write(number, _SLOT.pack(int(time.monotonic()), connections))

    def leave(self, number: int) -> None:
        """Say that a process takes no more."""
        self._write(number, bytes(_SLOT.size))

    def fewest_of_others(self, number: int) -> int | None:
        """Return how many the other process has that has fewest; None when there is no other."""
        since = int(time.monotonic()) - _FRESH
        told = enumerate(_SLOT.iter_unpack(self._shared[:]))
        return min(
            (
                connections
                for place, (at, connections) in told
                if at and at >= since and place != number % _SLOTS
            ),
            default=None,
        )

    def _write(self, number: int, slot: bytes) -> None:
        start = number % _SLOTS * _SLOT.size
        self._shared[start : start + _SLOT.size] = slot
