"""Who listens where on this machine, as far as /proc tells."""

import socket
from pathlib import Path

# The state of a listening socket in /proc/net/tcp.
_LISTENING = "0A"
_HIGHEST = 65535


def holder(port: int) -> str:
    """Return who listens on a port, "gunicorn (process 4711)", or "another program" where we may not know."""
    sockets = {f"socket:[{inode}]" for inode in _listening_on(port)}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in sockets:
                process = link.parent.parent
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            # Somebody else's process, or one that has just ended.
            continue
    return "another program"


def next_free(host: str, port: int) -> int:
    """Return the first port above `port` that nobody listens on at this moment, or 0 where there is none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port + 1, _HIGHEST + 1):
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, candidate))
            except OSError:
                continue
            return candidate
    return 0


def _listening_on(port: int) -> list[str]:
    """Return the inodes of the sockets that listen on a port."""
    inodes = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == _LISTENING and int(local.rpartition(":")[2], 16) == port:
                inodes.append(inode)
    return inodes
