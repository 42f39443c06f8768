"""How many connections each process of a web server has, so that a new one goes where there are fewest.

All of them listen on one socket, and the kernel wakes whoever waits there: of clients that keep their
connections a single process may get every one, and the others, and their cores, have nothing to do.
"""

import mmap
import os
import struct

_SLOT = struct.Struct("=ii")
# More processes than these share slots, and see less of each other.
_SLOTS = 256


class Counts:
    """What the processes tell each other. To be made before they are started, and shared by them.

    Each writes to a slot of its own, eight bytes at once, so nobody needs a lock.
    """

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _SLOT.size * _SLOTS)

    def tell(self, place: int, connections: int) -> None:
        """Say how many this process has.

        :param place: a number of its own.
        """
        _SLOT.pack_into(self._shared, place % _SLOTS * _SLOT.size, os.getpid(), connections)

    def fewest(self) -> int | None:
        """Return how many the process has that has fewest of all others; None when there is no other."""
        return min(
            (
                connections
                for pid, connections in _SLOT.iter_unpack(self._shared[:])
                if pid not in (0, os.getpid()) and _lives(pid)
            ),
            default=None,
        )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
