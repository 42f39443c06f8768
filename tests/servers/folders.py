"""Folders that do not outlive their use, whatever happens to who made them."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "webhooks-test-"
# A younger folder may belong to somebody who has not locked it yet.
YOUNG = 60.0


@contextmanager
def throw_away_folder(name: str) -> Iterator[Path]:
    """Make a folder and remove it afterwards, or at the next call on this machine if its owner was killed."""
    remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-"))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel gives it back when the owner dies
        yield folder
    finally:
        # Children of a killed server may still be writing; what they leave is for the next call.
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_left_behind() -> None:
    """Remove the folders whose owner is dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # in use, somebody else's, or just gone
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - folder.stat().st_mtime > YOUNG:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
