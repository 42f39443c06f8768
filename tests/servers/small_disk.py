"""A disk so small that a test can fill it: a file system in memory that only our own processes see."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# In name spaces of its own anybody may mount, and the mount ends with the process that holds it.
_HOLD = """
set -e
mount -t tmpfs -o size="$2",mode=0700 tmpfs "$1"
mkdir "$1/room"
: >"$1/filler"
echo mounted
exec sleep infinity
"""


@dataclass(frozen=True)
class SmallDisk:
    """A disk with a folder for whatever is to have little room.

    :param folder: where processes of the same account get to it. Root may, but owns nothing there.
    :param within: what to write before a command to have it see the disk in the place it was made for.
    """

    folder: Path
    within: Sequence[str]

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        """Give the room back."""
        os.truncate(self._filler, 0)

    @property
    def _filler(self) -> Path:
        return self.folder.parent / "filler"


@contextmanager
def small_disk(place: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Have a small disk that belongs to whom the place belongs, an empty folder that shows it to nobody else.

    :raises AssertionError: this machine allows nobody name spaces of their own, not even root.
    """
    owner = place.stat()
    account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    holder = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _HOLD, "sh", place, f"{megabytes}m"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **account,  # type: ignore[call-overload]
    )
    with holder:
        try:
            assert holder.stdout is not None
            assert holder.stderr is not None
            assert holder.stdout.readline() == b"mounted\n", holder.stderr.read().decode()
            enter = ["nsenter", f"--target={holder.pid}", "--user", "--preserve-credentials", "--mount"]
            yield SmallDisk(Path(f"/proc/{holder.pid}/root{place}/room"), [*enter, f"--wd={Path.cwd()}"])
        finally:
            holder.kill()
