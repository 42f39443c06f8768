"""What a person reads after a start: where everything is, and three things to paste."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from deliveries.management.try_it import papers, words
from deliveries.management.try_it.environment import Place
from deliveries.management.try_it.papers import Credentials

_EVENTS = "/api/v1/events"
_FAILURES = "/api/v4/tasks/webhook_failures"


def lines(place: Place, credentials: Credentials, *, new: bool, logs: str | None) -> Iterator[str]:
    """Yield the banner. Password and key are in it when they are new; later they are in a file.

    :param logs: the path of a webhook's logs, to be mentioned.
    """
    file = _short(papers.credentials_file(place.data_dir))
    operator = credentials.operator
    yield ""
    yield f"webhooks is running at {place.url}   (to try it out: SQLite and Celery in one process)"
    yield ""
    if new:
        yield f"  Console    {place.url}/admin/   {operator.username} / {operator.password}"
        yield f"  API key    {credentials.api_key}"
        yield f"             Password and key are shown this once, and kept in {file}."
    else:
        yield f"  Console    {place.url}/admin/"
        yield f"  API key    and the operator's password: see {file}"
    yield f"  APIs       {place.url}/docs/   read and try them: Authorize takes the key"
    if place.demo:
        yield f"  Receiver   {place.receiver_url}   watch deliveries arrive"
        yield f"  Try        {words.hello(place.data_dir)}   publish an event and follow it"
    yield "  Stop       Ctrl-C   the data stay"
    for title, command in _commands(place, credentials, logs):
        yield ""
        yield title
        yield f"  {command}"
    yield ""
    if place.everywhere:
        yield f"Whoever reaches port {place.port} of this machine sees what arrives at the receiver,"
        yield "and no connection is encrypted: do not put this on a network you do not trust."
        yield ""


def retrigger_curl(url: str, folder: Path, failure_id: str) -> str:
    """Return the command that sends a failure again."""
    return f"{_curl(folder)} -X POST {url}{_FAILURES}/{failure_id}/retrigger"


def _commands(place: Place, credentials: Credentials, logs: str | None) -> Iterator[tuple[str, str]]:
    curl = _curl(place.data_dir)
    draft = f'{{"event": "call.ended", "agent_id": "{credentials.agent_id}", "payload": {{"duration": 45}}}}'
    yield (
        "Publish an event:",
        f"{curl} {place.url}{_EVENTS} -H 'Content-Type: application/json' \\\n    -d '{draft}'",
    )
    yield "List the failures that need attention:", f"{curl} {place.url}{_FAILURES}"
    # Only a failure's id has 24 hex digits in a row.
    newest = f"$({curl} {place.url}{_FAILURES} | grep -oE '[0-9a-f]{{24}}' | head -n 1)"
    yield (
        "Send the newest of them again (there must be one in the list):",
        retrigger_curl(place.url, place.data_dir, newest),
    )
    if logs is not None:
        yield "Read the log of a webhook:", f"{curl} {place.url}{logs}"


def _curl(folder: Path) -> str:
    """Return the beginning of a command. The key comes from a file, so that no shell history keeps it."""
    return f"curl -sw '\\n' -H @{shlex.quote(str(papers.header_file(folder)))}"


def _short(path: Path) -> str:
    """Return a path as it is typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
