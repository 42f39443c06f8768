"""What a process takes of the machine, as Linux tells it."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ESTABLISHED = "01"
_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What one process holds.

    :param resident: memory, in bytes.
    :param peak: the most it has ever been, or since `forget_peak`.
    :param sockets: of any kind.
    :param peers: the remote port of each established connection over IPv4.
    """

    resident: int
    peak: int
    files: int
    sockets: int
    threads: int
    peers: tuple[int, ...]

    def connections(self, ports: Iterable[int]) -> int:
        """Return how many connections lead to one of these ports."""
        wanted = set(ports)
        return sum(port in wanted for port in self.peers)


def of(pid: int) -> Footprint | None:
    """Return what a process holds; None when it has ended."""
    process = _PROC / str(pid)
    try:
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        # One that closed while the list was read is no file any more.
        links = [link for path in (process / "fd").iterdir() if (link := _link(path))]
        peers = _peers(process)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if "VmRSS" not in status:  # a zombie
        return None
    sockets = {link for link in links if link.startswith("socket:")}
    return Footprint(
        resident=int(status["VmRSS"].split()[0]) * 1024,
        peak=int(status["VmHWM"].split()[0]) * 1024,
        files=len(links),
        sockets=len(sockets),
        threads=int(status["Threads"]),
        peers=tuple(port for inode, port in peers if f"socket:[{inode}]" in sockets),
    )


def forget_peak(pid: int) -> None:
    """Have the peak of a process be what it holds now."""
    (_PROC / str(pid) / "clear_refs").write_text("5")


def family(pid: int) -> list[int]:
    """Return a process and all that it started, and those started, as far as they live."""
    found = [pid]
    for each in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in (_PROC / str(each) / "task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu(pid: int) -> float:
    """Return the seconds of CPU, user and system, of a process and all that it started, dead or alive."""
    return sum(_own_cpu(each) + _cpu_of_the_dead(each) for each in family(pid))


def _own_cpu(pid: int) -> float:
    """Return it to the nanosecond, by the clock Linux has for each process; /proc says hundredths."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:  # it has ended
        return 0.0


def _cpu_of_the_dead(pid: int) -> float:
    """Return that of the children a process has waited for."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # The name, in brackets, may hold spaces.
    user, system = text.rpartition(")")[2].split()[13:15]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _link(path: Path) -> str:
    with suppress(FileNotFoundError):
        return str(path.readlink())
    return ""


def _peers(process: Path) -> list[tuple[str, int]]:
    """Return the inode and the remote port of every established connection on the machine."""
    lines = (process / "net" / "tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return [(row[9], int(row[2].split(":")[1], 16)) for row in rows if row[3] == _ESTABLISHED]
