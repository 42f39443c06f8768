"""Diagnosing: what is wrong with an installation, one sentence for each, and what to do about it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings
from django.core.checks import run_checks
from django.db import Error as DatabaseError
from django.db import connection

from deliveries import doorbell, secrets
from deliveries.models import Chore, Webhook
from deliveries.models.databases import missing_days, server
from deliveries.services import measuring, schema
from deliveries.services.measuring import Inbox, Measures

# The same bound as in deploy/alerts.yaml, as are those of chores.
_LATE = timedelta(minutes=1)
_SKEWED = timedelta(seconds=10)
# Of so many webhooks, the last ones made, it is tried whether their secrets can be opened.
_TRIED = 100
# So many days before it needs its partition a day is missed: workers make them a week before.
_DAYS = 2
# What to do about a database that cannot be asked.
_TO_REACH = {
    "postgresql": "See whether PostgreSQL is there.",
    "sqlite": "See whether the file that DATABASE_URL names is there, and may be written to like its folder.",
}
# So many migrations are named.
_NAMED = 3


class Verdict(StrEnum):
    """How it is. Only what is broken keeps events from being taken or delivered."""

    OK = "ok"
    LOOK = "look"
    BROKEN = "broken"


class Place(StrEnum):
    """Where what a finding speaks of is listed."""

    WEBHOOKS = "webhooks"
    OUT_OF_ORDER = "out of order"
    PAUSES = "pauses"
    INBOX = "inbox"
    WORKERS = "workers"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    :param about: what, in a word or two.
    :param todo: what to do about it; empty where there is nothing to do.
    :param places: where a person who can follow links is led.
    """

    about: str
    verdict: Verdict
    says: str
    todo: str = ""
    places: tuple[Place, ...] = ()


def diagnose(*, now: datetime, skew: timedelta) -> list[Finding]:
    """Look at everything; what cannot be looked at is a finding, too, and no error.

    :param skew: how far the clock of this machine is ahead of the database's.
    """
    findings = [*_examined("settings", _settings), *_examined("redis", _redis)]
    for about, examine in (("database", _database), ("migrations", _migrations)):
        found = _examined(about, examine)
        findings += found
        if any(finding.verdict is Verdict.BROKEN for finding in found):
            # Nothing behind it can be looked at.
            return findings
    findings += _examined("secrets", _secrets)
    findings += _examined("days", lambda: _days(now))
    return findings + _examined("queue", lambda: _service(measuring.measure(now=now), now, skew))


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict there is."""
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.OK)


def _examined(about: str, examine: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(examine())
    except DatabaseError as error:
        return [_broken(about, f"The database: {_first_line(error)}", _TO_REACH[connection.vendor])]
    except Exception as error:
        # The libraries of brokers have many words for it.
        return [_broken(about, f"{type(error).__name__}: {_first_line(error)}")]


def _settings() -> Iterator[Finding]:
    found = [message for message in run_checks() if not message.is_silenced()]
    for message in found:
        make = _broken if message.is_serious() else _look
        yield make("settings", str(message.msg), str(message.hint or ""))
    if not found:
        yield _ok("settings", f"They make sense. Sends with {settings.WEBHOOKS_TRANSPORT}.")


def _redis() -> Iterator[Finding]:
    if not settings.REDIS_URL:
        yield _ok("redis", "None is used: workers look by themselves, and limits count for each process.")
        return
    todo = "See whether it is there. Deliveries go on without it, each up to a poll later."
    try:
        answers = doorbell.broker_answers()
    except Exception as error:
        yield _look("redis", f"{type(error).__name__}: {_first_line(error)}", todo)
        return
    yield _ok("redis", "Answers.") if answers else _look("redis", "Does not answer.", todo)


def _database() -> Iterator[Finding]:
    yield _ok("database", server())


def _migrations() -> Iterator[Finding]:
    missing = schema.missing()
    if not missing:
        yield _ok("migrations", "All are applied.")
        return
    named = ", ".join(missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    yield _broken("migrations", f"Not applied: {named}{more}.", "Run `manage.py migrate`.")


def _secrets() -> Iterator[Finding]:
    shut = 0
    for webhook in Webhook.objects.exclude(secret=None).only("secret").order_by("-pk")[:_TRIED]:
        try:
            webhook.secret.reveal()
        except secrets.Undecryptable:
            shut += 1
    if shut:
        todo = "Put the key they were sealed with back into ENCRYPTION_KEYS, for workers and web processes."
        yield _broken("secrets", f"{shut} of the last {_TRIED} webhooks have a secret no key opens.", todo)
    else:
        yield _ok("secrets", "ENCRYPTION_KEYS opens those of the last webhooks.")


def _days(now: datetime) -> Iterator[Finding]:
    missing = missing_days(now=now, ahead=_DAYS)
    if missing:
        todo = "Workers make them every hour; their log says why not. `manage.py make_days` does it now."
        yield _look("days", f"Attempts of {missing[0]:%Y-%m-%d} have no partition yet.", todo)
    elif connection.vendor == "postgresql":
        yield _ok("days", "Attempts of the coming days have their partitions.")


def _service(measures: Measures, now: datetime, skew: timedelta) -> Iterator[Finding]:
    yield _clocks(measures, skew)
    yield _workers(measures)
    yield _beat(measures)
    yield _pruning(measures)
    yield _queue(measures)
    yield _stranded(measures)
    yield _receivers(measures)
    yield _failures(measuring.inbox(measures.failures, now=now))


def _clocks(measures: Measures, skew: timedelta) -> Finding:
    skews = {"this machine": skew, **{each.host: each.clock_skew or timedelta() for each in measures.alive}}
    wrong = [
        f"{host} by {ahead.total_seconds():+.0f} s" for host, ahead in skews.items() if abs(ahead) > _SKEWED
    ]
    if wrong:
        todo = "Deliveries go by the database's clock; set the others for the sake of the logs."
        return _look("clocks", f"Differ from the database's: {', '.join(wrong)}.", todo, Place.WORKERS)
    return _ok("clocks", "Agree with the database's.")


def _workers(measures: Measures) -> Finding:
    alive, silent = len(measures.alive), measures.silent
    if not alive:
        return _broken("workers", "None is alive: events are stored, and nothing is delivered.", "Start one.")
    if silent:
        todo = "See why they ended; what they had under way has been taken by others."
        return _look("workers", f"{alive} alive; {silent} fell silent within a day.", todo, Place.WORKERS)
    busy = sum(worker.under_way for worker in measures.alive)
    slots = sum(worker.slots for worker in measures.alive)
    return _ok("workers", f"{alive} alive, {busy} of {slots} slots in use.")


def _beat(measures: Measures) -> Finding:
    age = _age(measures, Chore.Name.RECOVER)
    todo = "Start `celery beat`. Deliveries need none; nothing is pruned without."
    if age is None:
        return _look("beat", "Was never seen.", todo)
    if age > Chore.MISSED_AFTER:
        return _look("beat", f"Was last seen {_words(age)} ago.", todo)
    return _ok("beat", "Is there.")


def _pruning(measures: Measures) -> Finding:
    age, late = _age(measures, Chore.Name.PRUNE_LOGS), Chore.LATE_AFTER[Chore.Name.PRUNE_LOGS]
    if age is None and all(measures.at - each.started_at < late for each in measures.alive):
        return _ok("pruning", "Not yet; beat has it done every hour.")
    if age is None or age > late:
        said = "Has never come to an end." if age is None else f"Last came to an end {_words(age)} ago."
        return _look("pruning", said, "Start beat, or see what the log says under `retention.`.")
    return _ok("pruning", f"Came to an end {_words(age)} ago.")


def _queue(measures: Measures) -> Finding:
    counts = {"due": measures.due, "under way": measures.in_flight, "later": measures.scheduled}
    counts["held"] = sum(measures.held.values())
    said = ", ".join(f"{_number(count)} {what}" for what, count in counts.items()) + "."
    waits = measures.at - measures.oldest_due_at if measures.oldest_due_at else timedelta()
    if waits > _LATE:
        todo = (
            "`manage.py queue_status` names the webhooks. More worker processes, or see what holds these up."
        )
        return _look(
            "queue", f"{said} The oldest a worker could take waits for {_words(waits)}.", todo, Place.WEBHOOKS
        )
    return _ok("queue", said)


def _stranded(measures: Measures) -> Finding:
    stranded = {why: count for why, count in measures.stranded.items() if count}
    if stranded:
        named = ", ".join(f"{_number(count)} {why}" for why, count in stranded.items())
        return _look("stranded", f"{named}, in a state that should last for seconds.", "Restart the workers.")
    return _ok("stranded", "Nothing.")


def _receivers(measures: Measures) -> Finding:
    down = sum(measures.circuits.values())
    said = {Place.OUT_OF_ORDER: f"{down} out of order"} if down else {}
    said |= {Place.PAUSES: f"{measures.pauses} pauses in force"} if measures.pauses else {}
    if said:
        return _look(
            "receivers", f"{', '.join(said.values())}.", "`manage.py queue_status` names them.", *said
        )
    return _ok("receivers", "None is out of order, none is paused.")


def _failures(inbox: Inbox) -> Finding:
    said = f"{_number(inbox.open)} {'waits' if inbox.open == 1 else 'wait'} for a person."
    others = ", ".join(f"{_number(count)} {what}" for what, count in inbox.others.items())
    others = f" Besides, {others}." if others else ""
    if inbox.open:
        todo = "Send them again from the console's inbox, or resolve them there."
        return _look("failures", f"{said}{others}", todo, Place.INBOX)
    return _ok("failures", f"None waits for a person.{others}")


def _age(measures: Measures, chore: Chore.Name) -> timedelta | None:
    done: Mapping[str, datetime | None] = measures.chores
    at = done[chore]
    return max(measures.at - at, timedelta()) if at else None


def _words(age: timedelta) -> str:
    """Return an age as people say it: "40 seconds", "3 hours"."""
    seconds = int(age.total_seconds())
    units: Sequence[tuple[int, str]] = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next((each for each in units if seconds >= each[0]), units[-1])
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _number(count: int) -> str:
    return f"{count:,} or more" if count >= measuring.MOST else f"{count:,}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _ok(about: str, says: str) -> Finding:
    return Finding(about=about, verdict=Verdict.OK, says=says)


def _look(about: str, says: str, todo: str = "", *places: Place) -> Finding:
    return Finding(about=about, verdict=Verdict.LOOK, says=says, todo=todo, places=places)


def _broken(about: str, says: str, todo: str = "") -> Finding:
    return Finding(about=about, verdict=Verdict.BROKEN, says=says, todo=todo)
