"""The life of one event, as `manage.py hello` tells it: asked for over HTTP, as any consumer would."""

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from deliveries.management.try_it import banner
from deliveries.management.try_it.client import Client, Refused
from deliveries.management.try_it.papers import Running
from deliveries.printing import printable

EVENT = "call.ended"
# The flaky receiver takes an event at the third attempt, about ten seconds after the first.
PATIENCE = 15.0
_INTERVAL = 0.2
_UNFINISHED = ("pending", "held")


class Story:
    """One event, from its publication until its deliveries are finished, or until patience ends."""

    def __init__(self, running: Running, folder: Path) -> None:
        self._running = running
        self._folder = folder
        self._service = Client(running.url, running.credentials.api_key)
        self._call_id = f"hello-{secrets.token_hex(4)}"
        self._told: dict[str, int] = {}

    def tell(self) -> Iterator[str]:
        """Publish an event, and yield a line whenever something happens to it.

        :raises deliveries.management.try_it.client.Refused: the service answered with an error.
        :raises OSError: the service does not answer.
        """
        agent_id = self._running.credentials.agent_id
        payload = {"call_id": self._call_id, "duration": 45}
        draft = {"event": EVENT, "agent_id": agent_id, "payload": payload}
        path = f"/api/v1/events/{self._service.post('/api/v1/events', draft)['id']}"
        event = self._service.get(path)
        yield _line("accepted", event["id"], event["event"])
        yield _line("matched", _count(len(event["deliveries"]), "webhook", "webhooks"))
        for skipped in event["skipped"]:
            yield _line("skipped", skipped["webhook"]["name"], skipped["reason"].replace("_", " "))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            event = self._service.get(path)
            for delivery in event["deliveries"]:
                yield from self._news(delivery, event)
            if not _unfinished(event):
                return
            time.sleep(_INTERVAL)
        yield _line("waiting", f"{_count(_unfinished(event), 'delivery', 'deliveries')} will be tried again")

    def _news(self, delivery: dict[str, Any], event: dict[str, Any]) -> Iterator[str]:
        """Yield the attempts of a delivery that have not been told yet."""
        webhook = delivery["webhook"]
        if delivery["attempts_made"] == self._told.get(webhook["id"], 0):
            return
        logs = self._logs(webhook["id"])
        if not logs:
            self._told[webhook["id"]] = delivery["attempts_made"]
            yield _line(delivery["status"], webhook["name"])
        for log in logs:
            if self._told.get(webhook["id"], 0) < log["attempt"] <= delivery["attempts_made"]:
                self._told[webhook["id"]] = log["attempt"]
                last = log["attempt"] == delivery["attempts_made"]
                yield self._attempt(delivery, log, event, last=last)

    def _logs(self, webhook_id: str) -> list[dict[str, Any]]:
        """Return the logs of our event at a webhook, in the order they were made."""
        try:
            page = self._service.get(f"{self._path(webhook_id)}/logs?per_page=100")
        except Refused:
            # A webhook of the whole account is under no agent, so there is no path to its logs.
            return []
        ours = [log for log in page["data"] if log["request_payload"].get("call_id") == self._call_id]
        return sorted(ours, key=lambda log: int(log["attempt"]))

    def _attempt(
        self, delivery: dict[str, Any], log: dict[str, Any], event: dict[str, Any], *, last: bool
    ) -> str:
        webhook = delivery["webhook"]
        if log["status"] == "success":
            answer = f"HTTP {log['http_status']} in {log['duration_ms']} ms"
            signature = self._signature(webhook["id"], event["id"], log["attempt"])
            return _line("delivered", webhook["name"], answer, signature)
        if last and delivery["status"] == "failed":
            return _line("failed", webhook["name"], _error(log), self._given_up(webhook["id"], event))
        return _line("failed", webhook["name"], _error(log), _next_try(delivery) if last else "")

    def _given_up(self, webhook_id: str, event: dict[str, Any]) -> str:
        """Return what to paste to send it again."""
        # A failure does not tell its event. One of before the publication is another's in any case, and the
        # newest is ours unless somebody else has published since.
        since = urlencode({"limit": 100, "created_at[gte]": event["created_at"]})
        failures = self._service.get(f"/api/v4/tasks/webhook_failures?{since}")["webhook_failures"]
        newest = next((each["id"] for each in failures if each["webhook"]["id"] == webhook_id), None)
        if newest is None:
            return "given up"
        return (
            f"given up; send it again with:\n{banner.retrigger_curl(self._running.url, self._folder, newest)}"
        )

    def _signature(self, webhook_id: str, event_id: str, attempt: int) -> str:
        """Return what the built-in receiver said of an attempt's signature; nothing if it did not get it."""
        if not self._running.receiver_url:
            return ""
        url = self._service.get(self._path(webhook_id))["data"]["webhook_url"]
        for delivery in self._service.get("/demo/state")["deliveries"]:
            if (delivery["message_id"], delivery["attempt"]) == (event_id, str(attempt)) and url.endswith(
                f"/receivers/{delivery['receiver']}"
            ):
                return str(delivery["signature"])
        return ""

    def _path(self, webhook_id: str) -> str:
        return f"/api/v1/agents/{self._running.credentials.agent_id}/webhooks/{webhook_id}"


def _error(log: dict[str, Any]) -> str:
    """Return what an attempt came to: the status of the answer, or why there was none."""
    return log["error"] if log["http_status"] is None else f"HTTP {log['http_status']}"


def _next_try(delivery: dict[str, Any]) -> str:
    """Return when a delivery is tried again."""
    if delivery["next_attempt_at"] is None:
        return "next try now"
    wait = datetime.fromisoformat(delivery["next_attempt_at"]) - datetime.now(UTC)  # noqa: TID251 - a client, with no database to ask
    return f"next try in {max(1, round(wait.total_seconds()))} s"


def _unfinished(event: dict[str, Any]) -> int:
    return sum(delivery["status"] in _UNFINISHED for delivery in event["deliveries"])


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _line(what: str, *details: str) -> str:
    first, *others = details
    return f"{what:<9}  {printable(first):<20}  {'  '.join(f'{other:<18}' for other in others)}".rstrip()
