"""Webhooks: making them, changing them, turning them off and on, renewing their secrets, deleting them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict, Unpack
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from deliveries import addresses, headers, signing
from deliveries.models import (
    Account,
    Agent,
    AuditEntry,
    Delivery,
    EventType,
    FailureGroup,
    Sealed,
    Webhook,
    WebhookHealth,
    WebhookRevision,
)
from deliveries.models.event import TYPE_FORM
from deliveries.printing import UNSEEN_NAME, can_be_seen
from deliveries.secrets import Undecryptable
from deliveries.services import auditing, circuits, egress, holding, matching

NEED_A_CREDENTIAL = (
    Webhook.Authorization.BEARER,
    Webhook.Authorization.BASIC,
    Webhook.Authorization.API_KEY,
)
# What decides where a request goes and what it looks like: with it changed, a receiver may take events again.
SPEAKING = {
    "url",
    "http_method",
    "timeout",
    "secret",
    "authorization_scheme",
    "authorization_credential",
    "custom_headers",
}
# How many secrets sign a request at most: a header takes no more than so much, and a receiver's patience too.
MAX_SECRETS = 5


class InvalidWebhook(ValueError):
    """A field has a value a webhook cannot have; `problems` holds the messages by field."""

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        super().__init__(str(problems))
        self.problems = problems


class WebhookChanged(Exception):
    """Somebody has changed or deleted the webhook since it was read."""


class NotRotatable(Exception):
    """The secret cannot be replaced like this; the message, for the webhook's owner, says why."""


class AlreadyRotated(Exception):
    """This very rotation was done before; its secret is not shown again."""


class Rotated(NamedTuple):
    """A new secret, readable, and until when the one before it signs; None if there is none that does."""

    secret: str
    previous_expires_at: datetime | None


class Fields(TypedDict, total=False):
    """What a webhook's owner decides. Readable: what is secret is encrypted on the way in."""

    name: str
    url: str
    http_method: str
    events: Sequence[str]
    timeout: int
    max_retries: int
    max_in_flight: int
    enabled: bool
    secret: str | None
    authorization_scheme: str
    authorization_credential: str | None
    custom_headers: Mapping[str, str]


def check(webhook: Webhook, **fields: Unpack[Fields]) -> None:
    """Look at fields that are to be saved later, as changes of this webhook or as a new one.

    :raises InvalidWebhook: when a field breaks a rule.
    """
    _columns(fields, of=webhook)


def create(
    *, account: Account, agent: Agent | None = None, by: str, now: datetime, **fields: Unpack[Fields]
) -> Webhook:
    """Make a webhook and return it.

    :raises InvalidWebhook: when a field breaks a rule: the address policy, an unknown event type, a header
        that is not the owner's to set.
    """
    columns = _columns(fields, of=Webhook())
    with transaction.atomic():
        webhook = Webhook.objects.create(
            account=account, agent=agent, created_at=now, updated_at=now, **columns
        )
        matching.changed(account.pk)
        WebhookHealth.objects.create(webhook=webhook)
        WebhookRevision.objects.note(webhook, at=now)
        _note(AuditEntry.Action.WEBHOOK_CREATED, webhook, by=by, now=now)
    return webhook


def change(
    webhook: Webhook,
    *,
    by: str,
    now: datetime,
    unchanged_since: datetime | None = None,
    **fields: Unpack[Fields],
) -> Webhook:
    """Change the given fields of a webhook, from the next attempt on, and return it as it is now.

    Disabling holds what is queued; enabling begins to let it go. Without fields nothing changes.

    :param unchanged_since: the webhook's `updated_at` as the caller saw it, to change nothing else.
    :raises InvalidWebhook: when a field breaks a rule.
    :raises WebhookChanged: when it was deleted meanwhile, or changed since that moment.
    """
    with transaction.atomic():
        held = _hold_row(webhook, unchanged_since)
        if fields:
            _apply(held, fields, by=by, now=now)
        # Read back before anybody else changes it: the caller tells what came of this call.
        webhook.refresh_from_db()
    return webhook


def toggle(webhook: Webhook, *, by: str, now: datetime, unchanged_since: datetime | None = None) -> Webhook:
    """Disable an enabled webhook or enable a disabled one, and return it as it is now. Two at once do both.

    :param unchanged_since: the webhook's `updated_at` as the caller saw it, to change nothing else.
    :raises WebhookChanged: when it was deleted meanwhile, or changed since that moment.
    """
    with transaction.atomic():
        held = _hold_row(webhook, unchanged_since)
        _apply(held, {"enabled": not held.enabled}, by=by, now=now)
        webhook.refresh_from_db()
    return webhook


def rotate_secret(
    webhook: Webhook,
    *,
    overlap: timedelta,
    by: str,
    now: datetime,
    unchanged_since: datetime | None = None,
    rotation: UUID | None = None,
) -> Rotated:
    """Replace a webhook's secret by a new one, and return that. It is shown nowhere else.

    The secrets before it go on signing beside it: the last one for `overlap`, each earlier one for as long as
    its own rotation said. A webhook without a secret gets its first.

    :param unchanged_since: the webhook's `updated_at` as the caller saw it, to change nothing else.
    :param rotation: an id of the caller's. With the same id again nothing is replaced.
    :raises AlreadyRotated: when this webhook's secret was replaced with that id before.
    :raises NotRotatable: when with an overlap more than `MAX_SECRETS` would sign, or one cannot be opened.
        Without an overlap it always goes.
    :raises WebhookChanged: when it was deleted meanwhile, or changed since that moment.
    """
    secret = signing.new_secret()
    expires_at = now + overlap
    with transaction.atomic():
        held = _hold_row(webhook, unchanged_since)
        if rotation and _rotations(held).filter(details__rotation=str(rotation)).exists():
            raise AlreadyRotated
        previous = _still_signing(held, until=expires_at, now=now)
        Webhook.objects.filter(pk=held.pk).update(
            secret=Sealed.of(secret),
            previous_secrets=Webhook.seal_previous_secrets(previous),
            updated_at=now,
        )
        details = {"rotation": str(rotation)} if rotation else {}
        hours = overlap / timedelta(hours=1)
        _note(AuditEntry.Action.SECRET_ROTATED, held, by=by, now=now, overlap_hours=hours, **details)
    kept = overlap and held.secret is not None
    return Rotated(secret=secret, previous_expires_at=expires_at if kept else None)


def disable(
    webhook_id: UUID,
    *,
    reason: str,
    by: str,
    now: datetime,
    url: str | None = None,
    asked_for: bool = True,
) -> bool:
    """Turn a webhook off, saying why, and hold what is queued for it. Tell whether it was on.

    :param url: turn it off only while it still points there.
    :param asked_for: whether somebody wants it off, and so knows of it.
    """
    webhooks = Webhook.objects.enabled().filter(pk=webhook_id)
    if url is not None:
        webhooks = webhooks.filter(url=url)
    with transaction.atomic():
        turned_off = webhooks.update(
            enabled=False,
            disabled_reason=reason,
            disabled_itself_at=None if asked_for else now,
            updated_at=now,
        )
        if turned_off:
            _follow(webhook_id, enabled=False, now=now)
            webhook = Webhook.objects.get(pk=webhook_id)
            matching.changed(webhook.account_id)
            WebhookRevision.objects.note(webhook, at=now)
            _note(AuditEntry.Action.WEBHOOK_DISABLED, webhook, by=by, now=now, why=reason)
    return bool(turned_off)


def delete(webhook: Webhook, *, by: str, now: datetime, unchanged_since: datetime | None = None) -> None:
    """Delete a webhook: cancel what is queued, forget its secrets, keep its history.

    Of a long queue the rest is cancelled by and by; nothing of it is sent.

    :param unchanged_since: the webhook's `updated_at` as the caller saw it, to delete nothing else.
    :raises WebhookChanged: when it was deleted already, or changed since that moment.
    """
    with transaction.atomic():
        held = _hold_row(webhook, unchanged_since)
        Webhook.objects.filter(pk=webhook.pk).update(
            enabled=False,
            disabled_reason="Deleted.",
            secret=None,
            previous_secrets=None,
            authorization_credential=None,
            custom_headers=None,
            deleted_at=now,
            updated_at=now,
        )
        matching.changed(held.account_id)
        _revise(held, {"enabled": False}, now=now)
        holding.cancel(Delivery.objects.filter(webhook=webhook), now=now)
        circuits.shut(webhook.pk, now=now)
        # After the health, like whoever records. Nothing of them can be sent again.
        FailureGroup.objects.filter(webhook=webhook).update(
            state=FailureGroup.State.RESOLVED, settled_by=by[: auditing.MAX_BY], settled_at=now
        )
        _note(AuditEntry.Action.WEBHOOK_DELETED, webhook, by=by, now=now)
    webhook.refresh_from_db()


def _hold_row(webhook: Webhook, unchanged_since: datetime | None) -> Webhook:
    """Return the webhook as it is, and as it stays until the transaction ends unless the caller changes it.

    :raises WebhookChanged: when it is deleted, or not as it was at that moment.
    """
    rows = Webhook.objects.existing().filter(pk=webhook.pk)
    if unchanged_since is not None:
        rows = rows.filter(updated_at=unchanged_since)
    # No stronger than an UPDATE's own lock: attempts are recorded meanwhile, and refer to the row.
    held = rows.select_for_update(no_key=True).first()
    if held is None:
        raise WebhookChanged
    return held


def _apply(held: Webhook, fields: Fields, *, by: str, now: datetime) -> None:
    """Change the given fields of a webhook whose row the caller holds.

    :raises InvalidWebhook: when a field breaks a rule.
    """
    columns = _columns(fields, of=held)
    if columns.get("enabled"):
        columns["disabled_reason"] = ""
    was_enabled = held.enabled
    if columns.get("enabled", was_enabled) != was_enabled:
        columns["disabled_itself_at"] = None
    moved = _moved(held.url, columns.get("url", held.url))
    Webhook.objects.filter(pk=held.pk).update(**columns, updated_at=now)
    matching.changed(held.account_id)
    _revise(held, columns, now=now)
    if held.enabled != was_enabled:
        _follow(held.pk, enabled=held.enabled, now=now)
    elif fields.keys() & SPEAKING:
        circuits.probe(held.pk, now=now)
    _note(AuditEntry.Action.WEBHOOK_CHANGED, held, by=by, now=now, fields=sorted(fields), **moved)


def _moved(before: str, after: str) -> dict[str, str]:
    """Return what the audit says of a URL that leads elsewhere now: its credential goes there from now on."""
    was, is_now = addresses.origin(before), addresses.origin(after)
    return {} if was == is_now else {"origin": is_now, "origin_before": was}


def _revise(held: Webhook, columns: Mapping[str, Any], *, now: datetime) -> None:
    """Write down what these new columns make of a webhook, where they turn it on or off or change its events.

    :param held: the webhook as it was before; from here on as they make it.
    """
    before = held.enabled, held.events
    held.enabled = columns.get("enabled", held.enabled)
    held.events = list(columns.get("events", held.events))
    if (held.enabled, held.events) != before:
        WebhookRevision.objects.note(held, at=now)


def _rotations(webhook: Webhook) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(subject_id=str(webhook.pk), action=AuditEntry.Action.SECRET_ROTATED)


def _still_signing(webhook: Webhook, *, until: datetime, now: datetime) -> list[tuple[str, datetime]]:
    """Return the secrets that go on signing beside a new one, newest first, and until when each does.

    :param until: the end of the present secret's time.
    :raises NotRotatable: when the present one is to be among them and would be one too many, or one of them
        cannot be opened.
    """
    overlapping = webhook.secret is not None and until > now
    try:
        previous = [(secret, end) for secret, end in webhook.reveal_previous_secrets() if now < end]
        present = [(webhook.secret.reveal(), until)] if webhook.secret and overlapping else []
    except Undecryptable as error:
        if not overlapping:
            return []  # what cannot be opened signs nothing
        raise NotRotatable(
            "The present secret cannot be read; only a rotation without overlap goes."
        ) from error
    if overlapping and len(previous) + 2 > MAX_SECRETS:
        raise NotRotatable(
            f"{MAX_SECRETS} secrets sign already; wait for one to expire or rotate without overlap."
        )
    return present + previous


def _follow(webhook_id: UUID, *, enabled: bool, now: datetime) -> None:
    """Hold what is queued for a webhook, or begin to let it go. Of a long queue a sweep holds the rest."""
    if enabled:
        circuits.start_over(webhook_id, now=now)
    else:
        circuits.shut(webhook_id, now=now)
        holding.hold(Delivery.objects.filter(webhook=webhook_id), now=now)


def _note(
    action: AuditEntry.Action, webhook: Webhook, *, by: str, now: datetime, why: str = "", **details: Any
) -> None:
    auditing.note(action, by=by, now=now, account=webhook.account_id, subject=webhook.pk, why=why, **details)


def _columns(fields: Fields, *, of: Webhook) -> dict[str, Any]:
    """Return the columns for the given fields of a webhook, checked and encrypted."""
    problems: dict[str, list[str]] = {}
    columns: dict[str, Any] = dict(fields)
    if "name" in fields and not can_be_seen(fields["name"]):
        problems["name"] = [UNSEEN_NAME]
    if "url" in fields:
        try:
            columns["url"] = addresses.normalise_url(fields["url"], egress.policy())
        except addresses.UrlRefused as error:
            problems["url"] = [str(error)]
    if "events" in fields:
        problems |= _event_problems(fields["events"])
    if fields.get("secret") is not None:
        problems |= _secret_problems(str(fields["secret"]))
    problems |= _credential_problems(fields, of)
    for name in ("secret", "authorization_credential"):
        if name in columns:
            columns[name] = Sealed.of(columns[name]) if columns[name] else None
    if "secret" in columns:
        # Whoever sets one decides what signs from now on; beside another it signs only by rotation.
        columns["previous_secrets"] = None
    if "custom_headers" in fields:
        found = headers.problems(fields["custom_headers"])
        if found:
            problems["custom_headers"] = found
        columns["custom_headers"] = Webhook.seal_headers(fields["custom_headers"])
    if problems:
        raise InvalidWebhook(problems)
    return columns


def _event_problems(events: Sequence[str]) -> dict[str, list[str]]:
    if not events:
        return {"events": ["At least one event type is needed."]}
    exact = {event for event in events if not event.endswith("*")}
    unknown = exact - set(EventType.objects.filter(code__in=exact).values_list("code", flat=True))
    unknown |= {event for event in events if event.endswith("*") and not _is_pattern(event)}
    return (
        {"events": [f"{event[:100]} is not a known event type." for event in sorted(unknown)]}
        if unknown
        else {}
    )


def _is_pattern(text: str) -> bool:
    return text == "*" or (text.endswith(".*") and bool(TYPE_FORM.fullmatch(text.removesuffix(".*"))))


def _credential_problems(fields: Fields, webhook: Webhook) -> dict[str, list[str]]:
    if not fields.keys() & {"authorization_scheme", "authorization_credential"}:
        return {}  # an old row may break a rule; a change of something else need not mend it
    scheme = fields.get("authorization_scheme", webhook.authorization_scheme)
    credential = fields.get("authorization_credential", webhook.authorization_credential)
    if scheme in NEED_A_CREDENTIAL and not credential:
        return {"authorization_credential": ["This authorization scheme needs a credential."]}
    if isinstance(credential, str) and not headers.is_value(credential):
        form = f"at most {headers.MAX_VALUE} visible ASCII characters"
        return {"authorization_credential": [f"The credential must be {form}."]}
    return {}


def _secret_problems(secret: str) -> dict[str, list[str]]:
    try:
        signing.key_bytes(secret)
    except ValueError as error:
        return {"secret": [str(error)]}
    return {}
