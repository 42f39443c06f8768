"""The files that say who may come in, and where the service is. Readable by their owner only."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from deliveries.management.try_it.environment import Place, write_private


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Who may enter the console."""

    username: str
    password: str


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a person and a program come with. They stay the same from start to start."""

    api_key: str
    account_id: str
    agent_id: str
    operator: Operator


@dataclass(frozen=True, kw_only=True)
class Running:
    """A service that runs, or ran until it was killed."""

    url: str
    receiver_url: str
    credentials: Credentials
    pid: int

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def credentials_file(folder: Path) -> Path:
    """Return where the credentials are kept."""
    return folder / "credentials.json"


def header_file(folder: Path) -> Path:
    """Return where the header with the key is, for `curl -H @file`."""
    return folder / "authorization"


def read_credentials(folder: Path) -> Credentials | None:
    """Return the credentials of an earlier start; None where there are none, or none that can be read."""
    try:
        return _credentials(json.loads(credentials_file(folder).read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_credentials(folder: Path, credentials: Credentials) -> None:
    """Keep the credentials for the next start, and the key as a header for curl.

    :raises OSError: the folder cannot be written to.
    """
    write_private(credentials_file(folder), json.dumps(asdict(credentials), indent=2) + "\n")
    write_private(header_file(folder), f"Authorization: Bearer {credentials.api_key}\n")


def announce(place: Place, credentials: Credentials) -> None:
    """Tell programs that the service is ready, and where: `up.json`.

    :raises OSError: the folder cannot be written to.
    """
    papers = {
        "url": place.url,
        "admin_url": f"{place.url}/admin/",
        "receiver_url": place.receiver_url,
        **asdict(credentials),
        "pid": os.getpid(),
    }
    write_private(_announcement(place.data_dir), json.dumps(papers, indent=2) + "\n")


def withdraw(folder: Path) -> None:
    """Tell programs that the service is gone."""
    _announcement(folder).unlink(missing_ok=True)


def read_announcement(folder: Path) -> Running | None:
    """Return the service that runs on this folder; None where none does."""
    try:
        papers = json.loads(_announcement(folder).read_text())
        running = Running(
            url=papers["url"],
            receiver_url=papers["receiver_url"],
            credentials=_credentials(papers),
            pid=papers["pid"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running if running.alive else None


def _announcement(folder: Path) -> Path:
    return folder / "up.json"


def _credentials(papers: dict[str, object]) -> Credentials:
    operator = papers["operator"]
    if not isinstance(operator, dict):
        raise TypeError("operator: an object.")
    return Credentials(
        api_key=str(papers["api_key"]),
        account_id=str(papers["account_id"]),
        agent_id=str(papers["agent_id"]),
        operator=Operator(username=str(operator["username"]), password=str(operator["password"])),
    )
