"""One process works on a data folder at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deliveries.management.try_it import environment
from deliveries.management.try_it.obstacles import Obstacle


@contextmanager
def alone_in(folder: Path, *, otherwise: str = "") -> Iterator[None]:
    """Hold the folder's lock for the length of the block. The system lets go of it when the process dies.

    :param otherwise: what else helps than ending the process that holds it, to be said after that.
    :raises Obstacle: another process holds it, or the folder cannot be written to.
    """
    try:
        file = open(os.open(folder / "up.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")  # noqa: SIM115
    except OSError as error:
        raise environment.unwritable(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = file.read().strip()
            raise Obstacle(
                f"The data folder {folder} is in use by another process, {pid}: "
                f"stop it with `kill {pid}`{otherwise}."
            ) from error
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
