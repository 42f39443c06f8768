"""Say how the queue is doing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from deliveries import clock
from deliveries.management.try_it.beside import BesideCommand
from deliveries.models import Chore
from deliveries.printing import printable, utc
from deliveries.services import measuring, overview
from deliveries.services.measuring import Inbox
from deliveries.services.overview import Backlog, PauseInForce, QueueStatus, ShutCircuit

# What is held for no reason any more begins to go within half a minute.
_KINDS = {"none": "without a reason"}


class Command(BesideCommand):
    """For people, and with --json for programs."""

    help = "Say how many deliveries wait, for how long, for which webhooks, and what keeps others back."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say for whom."""
        parser.add_argument("--json", action="store_true", help="one line of JSON; ages in seconds")
        super().add_arguments(parser)

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
        f"due now     {_total(status.due)}{f', the oldest for {_age(now - oldest)}' if oldest else ''}",
        f"in flight   {_total(status.leased)}",
        f"scheduled   {_total(status.scheduled)}",
        f"held        {_by_kind(status.held)}",
        f"failed      {_failed(status.failed)}",
        f"circuits    {_by_kind(status.circuits, nothing='none open')}",
        f"workers     {status.workers} alive",
        f"beat        {_ago(status.chores[Chore.Name.RECOVER], now)}",
    ]
    lines += _listed("Waiting longest", [_waiting(backlog, now) for backlog in status.waiting])
    lines += _listed("Receivers that are down", [_shut(circuit, now) for circuit in status.shut])
    lines += _listed("Disabled, with deliveries held", [_disabled(backlog) for backlog in status.disabled])
    if status.pauses:
        lines += ["", "Paused:"]
    for pause in status.pauses:
        whose = f"by {printable(pause.by)}: {printable(pause.why)}"
        lines += [
            f"  {pause.id}  {_subject(pause)}",
            f"    until {utc(pause.until)}, {whose}",
        ]
    return "\n".join(lines)


def _total(count: int) -> str:
    return _bounded(count, most=measuring.MOST)


def _bounded(count: int, *, most: int) -> str:
    return f"{most:,} or more" if count >= most else str(count)


def _by_kind(counts: Mapping[str, int], *, nothing: str = "0") -> str:
    """Return what there is of each kind: 3 disabled, 1 paused."""
    told = [f"{_total(count)} {_KINDS.get(kind, kind)}" for kind, count in counts.items() if count]
    return ", ".join(told) or nothing


def _failed(inbox: Inbox) -> str:
    told = {"that need a person": inbox.open, **inbox.others}
    return ", ".join(f"{_total(count)} {what}" for what, count in told.items())


def _listed(heading: str, entries: Sequence[str]) -> list[str]:
    """Return a list with its heading, which says when there may be more; nothing where nothing is."""
    cut = f" (the first {overview.LISTED})" if len(entries) == overview.LISTED else ""
    return ["", f"{heading}{cut}:", *entries] if entries else []


def _waiting(backlog: Backlog, now: datetime) -> str:
    return f"{_of_webhook(backlog)}, the oldest for {_age(now - backlog.oldest_due_at)}"


def _disabled(backlog: Backlog) -> str:
    return f"{_of_webhook(backlog)}: {printable(backlog.disabled_reason) or 'nobody said why'}"


def _of_webhook(backlog: Backlog) -> str:
    count = _bounded(backlog.count, most=overview.MOST)
    return f"{count:>8}  {printable(backlog.webhook_name)} ({backlog.webhook_id})"


def _shut(shut: ShutCircuit, now: datetime) -> str:
    step = f"looked at next in {_age(max(shut.next_step_at - now, timedelta()))}"
    webhook = f"{printable(shut.webhook_name)} ({shut.webhook_id})"
    return f"{shut.circuit:>8}  {webhook}, for {_age(now - shut.since)}, {step}"


def _ago(seen_at: datetime | None, now: datetime) -> str:
    return f"last seen {_age(max(now - seen_at, timedelta()))} ago" if seen_at else "never seen"


def _subject(pause: PauseInForce) -> str:
    if pause.webhook_id:
        return f"webhook {printable(pause.webhook_name)} ({pause.webhook_id})"
    account = f"account {printable(pause.account_name)} ({pause.account_id})"
    return f"{printable(pause.event_type)} of {account}" if pause.event_type else account


def _age(age: timedelta) -> str:
    """Return an age without its fractions: 1 day, 2:03:04."""
    return str(timedelta(seconds=int(age.total_seconds())))
