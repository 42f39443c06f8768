"""Explaining: why something has not arrived, in a sentence, whatever id of it one has."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from django.db.models import Model, QuerySet
from django.utils.text import Truncator

from deliveries.identifiers import FAILURE_ID_LENGTH, UUID_FORM
from deliveries.models import Attempt, Delivery, Event, Failure, Pause, Webhook, WebhookHealth, Worker
from deliveries.printing import utc
from deliveries.reasons import Reason, describe
from deliveries.services import identifying, skipping

# Of one event so many deliveries are explained, and so many webhooks that did not get it.
MOST = 50

# Of a text with more ids the last ones are looked for.
MOST_IDS = 10

_HEX = "[0-9a-fA-F]"
# A UUID, also without its hyphens; or a failure's id.
_ID = re.compile(rf"{UUID_FORM}|(?<!{_HEX})(?<!-)(?:{_HEX}{{32}}|{_HEX}{{24}})(?!{_HEX}|-)")
_SKIPPED = {
    skipping.OTHER_AGENT: "belongs to another agent",
    skipping.NOT_SUBSCRIBED: "was not subscribed to events of this type",
    skipping.DISABLED: "was disabled",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of something.

    :param about: an event, a delivery or a webhook; or something else that has an id.
    :param says: one sentence or two.
    :param todo: what a person can do; empty where nothing needs doing.
    :param parts: of an event, what became of each of its deliveries.
    :param skipped: of an event, the webhooks that did not get it; each says why.
    """

    about: Model
    says: str
    todo: str = ""
    parts: Sequence["Answer"] = ()
    skipped: Sequence["Answer"] = ()


def explain(
    text: str, *, now: datetime, may_see: Callable[[type[Model]], bool] = lambda kind: True
) -> Answer | None:
    """Say why something has not arrived, or that it has.

    :param text: the id of an event, a delivery, an attempt (the log of the logs API), a failure, a webhook or
        of what else the console has a page of; any text with one in it, such as a URL of an API or of the
        console; the URL of a receiver, also without its scheme; or the exact name of a webhook.
    :param may_see: which of the other kinds whoever asks may see; there is none of the rest.
    :returns: None where nothing is known by it.
    """
    # In a URL the last id is what it is about.
    for found in list(reversed(_ID.findall(text)))[:MOST_IDS]:
        about = _find(found)
        if about is not None:
            return answer(about, now=now)
        if len(found) > FAILURE_ID_LENGTH and (row := identifying.find(UUID(found), may_see=may_see)):
            return Answer(about=row, says=identifying.describe(row, now=now))
    # PostgreSQL takes no NUL, not even to compare with.
    text = text.strip().replace("\0", "")
    pointing = _of_webhooks(_pointing_at(text), "point there", now=now)
    return pointing or _of_webhooks(_called(text), "are called that", now=now)


def _pointing_at(url: str) -> list[Webhook]:
    """Return the webhooks that point at a receiver, whoever's they are: by the nearest spelling."""
    distances = _distances(url)
    near = list(_existing().filter(url__in=distances)[:MOST])
    nearest = min((distances[webhook.url] for webhook in near), default=None)
    return [webhook for webhook in near if distances[webhook.url] == nearest]


def _called(name: str) -> list[Webhook]:
    return list(_existing().filter(name=name)[:MOST])


def _existing() -> QuerySet[Webhook]:
    """Return the webhooks that are not deleted, the newest first."""
    return Webhook.objects.existing().select_related("health", "account").order_by("-pk")


def _of_webhooks(webhooks: Sequence[Webhook], what: str, *, now: datetime) -> Answer | None:
    """Tell of each, and of several what they do."""
    answers = [_of_webhook(webhook, now=now) for webhook in webhooks]
    if len(answers) < 2:
        return answers[0] if answers else None
    return Answer(about=answers[0].about, says=f"{len(answers)} webhooks {what}.", parts=answers)


def _distances(url: str) -> dict[str, int]:
    """Return how a URL may have been written down, and how far each is from what it is.

    A line of a log may have left out the scheme: either is as near as the other.
    """
    written = [url] if "://" in url else [f"https://{url}", f"http://{url}"]
    found: dict[str, int] = {}
    for each in written:
        for distance, spelling in enumerate(_spellings(each)):
            found.setdefault(spelling, distance)
    return found


def _spellings(url: str) -> list[str]:
    """Return how a URL may have been written down, the nearest first.

    As it is, with the scheme and the host in lower case, with or without a slash at its end; and all of that
    without its query.
    """
    found = [url]
    try:
        parts = urlsplit(url)
    except ValueError:
        return found
    if not parts.netloc:
        return found
    path = parts.path.removesuffix("/")
    other = path if parts.path.endswith("/") else f"{path}/"
    for query in (parts.query, ""):
        for netloc in (parts.netloc, parts.netloc.lower()):
            found += [urlunsplit((parts.scheme, netloc, ending, query, "")) for ending in (parts.path, other)]
    return list(dict.fromkeys(found))


def _find(text: str) -> Event | Delivery | Webhook | None:
    if len(text) == FAILURE_ID_LENGTH:
        failure = Failure.objects.select_related("delivery").filter(pk=text.lower()).first()
        return failure.delivery if failure else None
    pk = UUID(text)
    looks: Sequence[Callable[[], Event | Delivery | Webhook | None]] = (
        lambda: Delivery.objects.filter(pk=pk).first(),
        lambda: Event.objects.filter(pk=pk).first(),
        lambda: Delivery.objects.filter(pk__in=Attempt.objects.filter(pk=pk).values("delivery")).first(),
        lambda: Webhook.objects.filter(pk=pk).first(),
    )
    return next((found for look in looks if (found := look()) is not None), None)


def answer(about: Event | Delivery | Webhook, *, now: datetime) -> Answer:
    """Say what became of an event or a delivery, or how a webhook is."""
    if isinstance(about, Event):
        return _of_event(about, now=now)
    return _of_delivery(about, now=now) if isinstance(about, Delivery) else _of_webhook(about, now=now)


def _of_event(event: Event, *, now: datetime) -> Answer:
    deliveries = list(event.deliveries.select_related("webhook__health", "event").order_by("pk")[:MOST])
    skipped = [
        Answer(about=each.webhook, says=f"{each.webhook.name} {_SKIPPED[each.reason]}.")
        for each in skipping.skipped(event)[:MOST]
    ]
    if not deliveries:
        says = f"No webhook wanted this {event.type} when it was published."
        todo = "Subscribe a webhook to its type; events are not sent to who comes later."
        return Answer(about=event, says=says, todo=todo, skipped=skipped)
    parts = [_of_delivery(delivery, now=now) for delivery in deliveries]
    arrived = sum(delivery.status == Delivery.Status.SUCCEEDED for delivery in deliveries)
    of = f"{len(deliveries)} or more" if len(deliveries) == MOST else str(len(deliveries))
    all_of_them = f"It went to {of} webhooks and has arrived at {arrived} of them."
    says = parts[0].says if len(parts) == 1 else all_of_them
    todo = next((part.todo for part in parts if part.todo), "")
    return Answer(about=event, says=says, todo=todo, parts=parts, skipped=skipped)


def _of_delivery(delivery: Delivery, *, now: datetime) -> Answer:
    says, todo = {
        Delivery.Status.SUCCEEDED: _succeeded,
        Delivery.Status.FAILED: _failed,
        Delivery.Status.CANCELLED: _cancelled,
        Delivery.Status.HELD: _held,
        Delivery.Status.PENDING: _pending,
    }[Delivery.Status(delivery.status)](delivery, now)
    return Answer(about=delivery, says=says, todo=todo)


def _succeeded(delivery: Delivery, now: datetime) -> tuple[str, str]:
    attempt = Attempt.objects.of(delivery).filter(succeeded=True).order_by("-number").first()
    if attempt is None:
        return f"It arrived at {delivery.webhook.name}, at {_at(delivery.finished_at)}.", ""
    took = attempt.duration // timedelta(milliseconds=1)
    answered = f"{delivery.webhook.name} answered {attempt.http_status} within {took:,} ms"
    return f"It arrived: {answered}, at {_at(attempt.started_at)}, to attempt {attempt.number}.", ""


def _failed(delivery: Delivery, now: datetime) -> tuple[str, str]:
    name, attempts = delivery.webhook.name, _attempts(delivery)
    says = f"{name} did not take it in {attempts}. {_last(delivery)}Nothing more happens by itself."
    if delivery.webhook.deleted_at:
        return says, "Its webhook is deleted; it cannot be sent again."
    if not delivery.webhook.enabled:
        return (
            says,
            f"Enable the webhook first: it is disabled{_because(delivery.webhook)}. Then send it again.",
        )
    return says, "Send it again once the receiver is well."


def _cancelled(delivery: Delivery, now: datetime) -> tuple[str, str]:
    ended, deleted = delivery.finished_at, delivery.webhook.deleted_at
    # A long queue is cancelled by and by.
    why = "because its webhook was deleted" if deleted and ended and ended >= deleted else "by a person"
    return f"It was cancelled {why}, at {_at(ended)}, {_after(delivery)}.", ""


def _held(delivery: Delivery, now: datetime) -> tuple[str, str]:
    webhook = delivery.webhook
    if not webhook.enabled:
        return (
            f"It is held: {webhook.name} is disabled{_because(webhook)}.",
            "Enable the webhook; it goes out then.",
        )
    if pause := _longest_pause(delivery, now):
        return f"It is held. {_paused(pause)}", "Resume it, or wait until then."
    health = webhook.health
    if health.circuit == WebhookHealth.Circuit.OPEN:
        since, step = _at(health.circuit_since), _at(health.next_step_at)
        says = (
            f"It is held: {webhook.name} has been out of order since {since}, and is tried again at {step}."
        )
        return (
            says,
            "Nothing, once the receiver answers: what is held goes out by itself, a little at a time.",
        )
    if health.circuit == WebhookHealth.Circuit.PROBING:
        return f"It is held: {_probed(webhook)} The rest waits for what that tells.", ""
    return f"It was held and is let go: {_there_again(webhook)}", ""


def _pending(delivery: Delivery, now: datetime) -> tuple[str, str]:
    webhook = delivery.webhook
    due_at = delivery.due_at or now
    if due_at > now:
        if delivery.lease_token is not None:
            return f"It is on its way to {webhook.name} at this moment, {_after(delivery)}.", ""
        says = f"{_last(delivery)}The next attempt is made at {_at(due_at)}, in {_words(due_at - now)}."
        return f"{webhook.name} has not taken it yet. {says}", ""
    says = f"It has been waiting to be sent to {webhook.name} since {_at(due_at)}."
    if pause := _longest_pause(delivery, now):
        return f"{says} {_paused(pause)}", "Resume it, or wait until then."
    if not Worker.objects.alive(now).exists():
        return f"{says} No worker is alive.", "Start a worker."
    under_way = Delivery.objects.under_way(now).filter(webhook=webhook).count()
    if under_way >= webhook.max_in_flight:
        says = f"{says} The receiver has {under_way} requests under way, as many as it may have at once."
        return says, "Wait for the receiver, or raise the webhook's limit if it can take more."
    return says, "See `manage.py doctor` if that lasts for more than seconds."


def _of_webhook(webhook: Webhook, *, now: datetime) -> Answer:
    health = webhook.health
    if webhook.deleted_at:
        return Answer(about=webhook, says=f"{webhook.name} was deleted at {_at(webhook.deleted_at)}.")
    if not webhook.enabled:
        says, todo = f"{webhook.name} is disabled{_because(webhook)}.", "Enable it once its receiver is well."
    elif pause := Pause.objects.in_force(now).of_webhook(webhook, account=webhook.account).first():
        says, todo = f"{webhook.name} gets nothing now. {_paused(pause)}", "Resume it, or wait until then."
    elif health.circuit == WebhookHealth.Circuit.PROBING:
        says, todo = _probed(webhook), "See what its receiver says."
    elif health.circuit == WebhookHealth.Circuit.RECOVERING:
        says, todo = _there_again(webhook), ""
    elif health.circuit == WebhookHealth.Circuit.OPEN:
        since = _at(health.circuit_since)
        says, todo = f"{webhook.name} has been out of order since {since}.", "See what its receiver says."
    elif health.failing_since:
        row = f"{health.consecutive_failures:,} attempts in a row, since {_at(health.failing_since)}"
        says, todo = f"{webhook.name} is enabled, and has failed {row}.", "See what its receiver says."
    else:
        says, todo = f"{webhook.name} is active.", ""
    if health.last_success_at:
        says += f" It last took something at {_at(health.last_success_at)}."
    return Answer(about=webhook, says=says, todo=todo)


def _probed(webhook: Webhook) -> str:
    return f"{webhook.name} was out of order, and is tried with one delivery at a time."


def _there_again(webhook: Webhook) -> str:
    return f"{webhook.name} is there again, and gets more and more."


def _longest_pause(delivery: Delivery, now: datetime) -> Pause | None:
    return delivery.pauses(now).order_by("-until").first()


def _last(delivery: Delivery) -> str:
    """Say what the last attempt came to, and a space behind; nothing where none is kept."""
    attempt = Attempt.objects.of(delivery).order_by("-number").first()
    if attempt is None or attempt.succeeded:
        return ""
    text = describe(Reason(attempt.reason_code), attempt.http_status)
    return f"The last attempt, at {_at(attempt.started_at)}: {text}. "


def _attempts(delivery: Delivery) -> str:
    made = delivery.attempts_made
    return "no attempt" if not made else "1 attempt" if made == 1 else f"{made} attempts"


def _after(delivery: Delivery) -> str:
    return f"after {_attempts(delivery)}" if delivery.attempts_made else "before any attempt"


def _because(webhook: Webhook) -> str:
    reason = Truncator(webhook.disabled_reason).chars(200).rstrip(".")
    return f": {reason}" if reason else ""


def _paused(pause: Pause) -> str:
    return f"Paused until {_at(pause.until)} by {pause.by}: {pause.why.rstrip('.')}."


def _at(moment: datetime | None) -> str:
    return utc(moment) if moment else "a moment nobody knows"


def _words(wait: timedelta) -> str:
    return str(timedelta(seconds=int(wait.total_seconds())))
