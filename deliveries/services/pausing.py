"""Pausing: an operator keeps something back for a while. Events are taken meanwhile, and nothing is lost."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, Subquery

from deliveries.identifiers import new_id
from deliveries.models import Account, AuditEntry, Delivery, Pause, Webhook, WebhookHealth
from deliveries.models.event import TYPE_FORM
from deliveries.printing import utc
from deliveries.services import auditing, circuits, guarding, holding, matching

# Who forgets a pause is reminded by what arrives after it.
LONGEST = timedelta(days=30)
MAX_WHY = 500
# What is asked for twice within so long, and is the same, is one pause.
SAME = timedelta(minutes=1)
# From how many queues a paused event type is taken at once, and of how much at the head of each.
QUEUES = 5
AHEAD = 1000
# Who ends what runs out.
CLOCK = "The clock"


class InvalidPause(ValueError):
    """A part has a value a pause cannot have; `problems` holds the messages by the argument's name."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__(str(problems))
        self.problems = problems


class AlreadyEnded(Exception):
    """The pause has been ended, or has run out; the message says when and by whom."""


def pause(
    *,
    account: Account,
    until: datetime,
    why: str,
    by: str,
    now: datetime,
    webhook_id: UUID | None = None,
    event_type: str = "",
    pk: UUID | None = None,
) -> Pause:
    """Keep back what goes to a webhook, what is of an event type, or with neither all of an account.

    From the commit on nothing of it is claimed: what a worker has claimed by then is still sent. The first of
    what waits is held at once, and the rest of a long queue by and by, which changes what is shown.

    :param until: when it ends by itself; `LONGEST` from now at most.
    :param pk: the id it is to have. Who asks for the same with the same id again gets the pause there is.
    :raises InvalidPause: when a part breaks a rule.
    """
    check(account=account, webhook_id=webhook_id, event_type=event_type, until=until, why=why, now=now)
    parts = {
        "account_id": account.pk,
        "webhook_id": webhook_id,
        "event_type": event_type,
        "why": why,
        "by": by[: auditing.MAX_BY],
    }
    with transaction.atomic():
        made, is_new = Pause.objects.get_or_create(
            pk=pk or new_id(), defaults={**parts, "created_at": now, "until": until}
        )
        if not is_new:
            if _is_the_same(made, parts, until=until):
                return made
            made = Pause.objects.create(**parts, created_at=now, until=until)
        matching.changed(account.pk)
        _note(AuditEntry.Action.PAUSE_CREATED, made, by=by, now=now, why=why)
        _hold(made, now=now)
    return made


def check(
    *,
    account: Account,
    webhook_id: UUID | None,
    event_type: str,
    until: datetime,
    why: str,
    now: datetime,
) -> None:
    """Look at the parts of a pause that is to be made.

    :raises InvalidPause: when one breaks a rule.
    """
    problems: dict[str, list[str]] = {}
    if webhook_id is not None:
        if event_type:
            problems["event_type"] = ["A pause is of a webhook or of an event type, not of both."]
        if not Webhook.objects.existing().filter(pk=webhook_id, account=account).exists():
            problems["webhook_id"] = ["This is not a webhook of the account."]
    if event_type and not TYPE_FORM.fullmatch(event_type):
        problems["event_type"] = [f"This is not an event type, of the form {TYPE_FORM.pattern}."]
    if until <= now:
        problems["until"] = ["The end must be in the future."]
    elif until > now + LONGEST:
        problems["until"] = [f"The end must be within {LONGEST.days} days."]
    if not why.strip():
        problems["why"] = ["Say why, for whoever finds nothing arriving."]
    elif len(why) > MAX_WHY:
        problems["why"] = [f"The reason takes at most {MAX_WHY} characters."]
    if problems:
        raise InvalidPause(problems)


def _is_the_same(made: Pause, parts: Mapping[str, Any], *, until: datetime) -> bool:
    """Tell whether a pause is what is asked for, and still holds that back."""
    alike = all(getattr(made, name) == value for name, value in parts.items())
    return alike and made.ended_at is None and abs(made.until - until) < SAME


def resume(pause: Pause, *, by: str, now: datetime) -> Pause:
    """End a pause before its time, and return it as it is now. Of two at once, one succeeds.

    What nothing else keeps back goes on, at a rate that grows.

    :raises AlreadyEnded: when it holds nothing back any more.
    """
    with transaction.atomic():
        ended = Pause.objects.in_force(now).filter(pk=pause.pk).end(by=by, at=now)
        pause.refresh_from_db()
        if not ended:
            raise AlreadyEnded(how_it_ended(pause))
        _after(pause, by=by, now=now)
    return pause


def expire(*, now: datetime, go_on: Callable[[], bool] = lambda: True) -> int:
    """End the pauses that have run out, and return how many. What others are ending is theirs."""
    count = 0
    # In any order, so that one that takes all the time in vain keeps no other from ending.
    for pk in list(Pause.objects.run_out(now).order_by("?").values_list("pk", flat=True)):
        if not go_on():
            break
        with guarding.going_on("expire", pause_id=pk):
            count += _expire(pk, now=now)
    return count


def hold_types(*, now: datetime, go_on: Callable[[], bool] = lambda: True) -> int:
    """Hold what of the paused event types is first in the queues, and return how many.

    The claim holds it too, a few at a time, and meanwhile the webhook's other types wait behind it.
    """
    count = 0
    # In any order, so that a time that is up keeps none of them waiting for ever.
    for pause in list(Pause.objects.in_force(now).exclude(event_type="").order_by("?")):
        if not go_on():
            break
        with guarding.going_on("hold_types", pause_id=pause.pk):
            count += _hold_type(pause, now=now)
    return count


def _expire(pk: UUID, *, now: datetime) -> bool:
    with transaction.atomic():
        locked = Pause.objects.select_for_update(skip_locked=True, of=("self",))
        pause = locked.run_out(now).filter(pk=pk).first()
        if pause is not None:
            Pause.objects.filter(pk=pk).end(by=CLOCK, at=pause.until)
            _after(pause, by=CLOCK, now=now)
    return pause is not None


def _after(pause: Pause, *, by: str, now: datetime) -> None:
    """Note the end of a pause, and let go of what nothing else keeps back."""
    matching.changed(pause.account_id)
    _note(AuditEntry.Action.PAUSE_ENDED, pause, by=by, now=now)
    webhooks = _webhooks(pause)
    if not pause.event_type:
        circuits.give_time(webhooks, now=now)
    circuits.resume(webhooks, now=now)


def _webhooks(pause: Pause) -> Collection[UUID]:
    if pause.webhook_id:
        return [pause.webhook_id]
    return list(Webhook.objects.enabled().filter(account=pause.account_id).values_list("pk", flat=True))


def _hold(pause: Pause, *, now: datetime) -> int:
    """Hold the first of what a pause covers, and return how many."""
    if pause.event_type:
        return _hold_type(pause, now=now)
    # By webhook, which is what the index of the queue knows. Without a join: what is selected for an update
    # is locked, and nobody waits for webhooks here.
    webhooks = Webhook.objects.filter(account=pause.account_id)
    if pause.webhook_id:
        webhooks = webhooks.filter(pk=pause.webhook_id)
    return holding.hold(Delivery.objects.filter(webhook__in=webhooks), now=now)


def _hold_type(pause: Pause, *, now: datetime) -> int:
    """Hold what is of a pause's event type at the head of those queues that begin with it.

    No index knows the types of a queue. Those further behind would take reading all of it to find, and are
    in nobody's way.
    """
    waiting = Delivery.objects.filter(status=Delivery.Status.PENDING).unleased(now).order_by("due_at")
    first = waiting.filter(webhook=OuterRef("pk")).values("event__type")[:1]
    webhooks = Webhook.objects.filter(account=pause.account_id)
    blocked = webhooks.alias(first=Subquery(first)).filter(first=pause.event_type)
    held = 0
    # Any of them, so that long queues do not keep the others waiting.
    for webhook_id in list(blocked.order_by("?").values_list("pk", flat=True)[:QUEUES]):
        ahead = waiting.filter(webhook=webhook_id).values_list("pk", "event__type")[:AHEAD]
        of_type = [pk for pk, event_type in ahead if event_type == pause.event_type]
        held += holding.hold(Delivery.objects.filter(pk__in=of_type), now=now)
    return held


def how_it_ended(pause: Pause) -> str:
    """Say how a pause ended that is over."""
    if pause.ended_at is None:
        return f"The pause ran out at {utc(pause.until)}."
    return f"The pause was ended at {utc(pause.ended_at)} by {pause.ended_by}."


def _note(action: AuditEntry.Action, pause: Pause, *, by: str, now: datetime, why: str = "") -> None:
    auditing.note(
        action,
        by=by,
        now=now,
        account=pause.account_id,
        subject=pause.pk,
        why=why,
        webhook_id=str(pause.webhook_id) if pause.webhook_id else None,
        event_type=pause.event_type or None,
        until=pause.until.isoformat(),
    )


# How many pauses are named where several keep the same back.
NAMED = 3


def still_kept_back(over: Pause, *, now: datetime) -> list[str]:
    """Return what keeps back some of what a pause covered that is over, in sentences for people."""
    webhooks = Webhook.objects.existing().filter(account=over.account_id).select_related("health")
    if over.webhook_id:
        webhooks = webhooks.filter(pk=over.webhook_id)
    covered = [each for each in webhooks if not over.event_type or each.wants(over.event_type)]
    in_force = Pause.objects.in_force(now).filter(account=over.account_id).select_related("webhook")
    others = [each for each in in_force.order_by("-until", "-pk") if _keeps_back(each, over, covered)]
    sentences = [in_words(each) for each in others[:NAMED]]
    if len(others) > NAMED:
        sentences.append(f"More pauses like these: {len(others) - NAMED}.")
    disabled = [each for each in covered if not each.enabled]
    if disabled:
        sentences.append(f"Disabled webhooks: {len(disabled)}.")
    is_open = [each for each in covered if each.enabled and each.health.circuit == WebhookHealth.Circuit.OPEN]
    if is_open:
        sentences.append(f"Webhooks with an open circuit: {len(is_open)}.")
    return sentences


def _keeps_back(pause: Pause, over: Pause, covered: Collection[Webhook]) -> bool:
    """Tell whether a pause keeps back some of what another one covered, which was for these webhooks."""
    event_type = pause.event_type or over.event_type
    if over.event_type not in ("", event_type):
        return False
    return any(
        pause.covers(each, event_type) and (not event_type or each.wants(event_type)) for each in covered
    )


def in_words(pause: Pause) -> str:
    """Say who paused what, until when and why."""
    what = f"webhook {pause.webhook}" if pause.webhook else pause.event_type or "the account"
    return f"{pause.by} paused {what} until {utc(pause.until)}: {pause.why}"
