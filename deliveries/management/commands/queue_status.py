"""Say how the queue is doing."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from deliveries import clock
from deliveries.models import Chore
from deliveries.services import overview
from deliveries.services.overview import PauseInForce, QueueStatus


class Command(BaseCommand):
    """For people, and with --json for programs."""

    help = "Say how many deliveries wait, for how long, for which webhooks, and what is paused."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say for whom."""
        parser.add_argument("--json", action="store_true", help="one line of JSON; ages in seconds")

    def handle(self, *, json: bool, **options: Any) -> str:
        """Return the numbers."""
        now = clock.now()
        status = overview.queue_status(now=now)
        return _as_json(status, now=now) if json else _as_text(status, now=now)


def _as_json(status: QueueStatus, *, now: datetime) -> str:
    oldest = status.oldest_due_at
    age = (now - oldest).total_seconds() if oldest else None
    return json.dumps({**asdict(status), "oldest_due_age": age}, cls=DjangoJSONEncoder)


def _as_text(status: QueueStatus, *, now: datetime) -> str:
    oldest = status.oldest_due_at
    lines = [
        f"due now     {status.due}{f', the oldest for {_age(now - oldest)}' if oldest else ''}",
        f"in flight   {status.leased}",
        f"scheduled   {status.scheduled}",
        f"held        {status.held}",
        f"failed      {status.failed} that need attention",
        f"circuits    {status.open_circuits} open",
        f"workers     {status.workers} alive",
        f"beat        {_ago(status.chores[Chore.Name.RECOVER], now)}",
    ]
    if status.busiest:
        lines += ["", "Most due:"]
    lines += [
        f"{backlog.due:>8}  {backlog.webhook_name} ({backlog.webhook_id}), "
        f"the oldest for {_age(now - backlog.oldest_due_at)}"
        for backlog in status.busiest
    ]
    if status.pauses:
        lines += ["", "Paused:"]
    for pause in status.pauses:
        lines += [
            f"  {pause.id}  {_subject(pause)}",
            f"    until {pause.until:%Y-%m-%d %H:%M:%S} UTC, by {pause.by}: {pause.why}",
        ]
    return "\n".join(lines)


def _ago(seen_at: datetime | None, now: datetime) -> str:
    return f"last seen {_age(max(now - seen_at, timedelta()))} ago" if seen_at else "never seen"


def _subject(pause: PauseInForce) -> str:
    if pause.webhook_id:
        return f"webhook {pause.webhook_name} ({pause.webhook_id})"
    account = f"account {pause.account_name} ({pause.account_id})"
    return f"{pause.event_type} of {account}" if pause.event_type else account


def _age(age: timedelta) -> str:
    """Return an age without its fractions: 1 day, 2:03:04."""
    return str(timedelta(seconds=int(age.total_seconds())))
