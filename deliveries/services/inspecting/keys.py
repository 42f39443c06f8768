"""The keys to try a signature with: what a typed secret may stand for, or what a webhook keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from deliveries.models import Webhook
from deliveries.printing import utc
from deliveries.secrets import Undecryptable
from deliveries.services.inspecting.findings import Finding, Verdict
from deliveries.services.inspecting.readings import PREFIX, decoded, key_of, readings

PART = "the secret"
# Characters of the longest secret that is looked at.
LONGEST = 4096
# Bytes from which on base64 is hardly there by accident.
_A_KEY = 16

_AS_SHOWN = "Paste it as it was shown when it was made: whsec_ and what follows, and nothing else."


class Key(NamedTuple):
    """A key.

    :ivar reading: how the secret has to be read for it; empty where it is what the secret stands for.
    :ivar name: what it is called, for those who may not see it.
    :ivar until: the end of its time; None where that has none.
    """

    data: bytes
    reading: str = ""
    name: str = "The secret"
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Keys to try, and what there is to say of the secret while none is known to fit."""

    keys: Sequence[Key]
    finding: Finding


def of(against: str | Webhook | None) -> Keys:
    """Return the keys of a secret that was typed, or of a webhook."""
    if isinstance(against, Webhook):
        return _of_webhook(against)
    if not against:
        todo = "Type one, or choose a webhook."
        return Keys(keys=[], finding=_finding(Verdict.UNKNOWN, "There is none to check with.", todo))
    if len(against) > LONGEST:
        return Keys(keys=[], finding=_finding(Verdict.WRONG, "It is too long to be one.", _AS_SHOWN))
    return Keys(keys=[Key(*each) for each in readings(against)], finding=_form(against))


def _of_webhook(webhook: Webhook) -> Keys:
    try:
        present = [(webhook.secret.reveal(), None)] if webhook.secret else []
        kept: list[tuple[str, datetime | None]] = [*present, *webhook.reveal_previous_secrets()]
    except Undecryptable:
        says = "None of ENCRYPTION_KEYS opens what the webhook keeps."
        return Keys(keys=[], finding=_finding(Verdict.UNKNOWN, says, "See `manage.py doctor`."))
    if not kept:
        says = "The webhook has none, so its requests are not signed."
        return Keys(keys=[], finding=_finding(Verdict.WRONG, says, "Set one on the webhook's page."))
    keys = [
        Key(data, name=_name(until), until=until)
        for secret, until in kept
        if (data := key_of(secret)) is not None
    ]
    number = "The webhook's secret was" if len(keys) == 1 else f"The webhook's {len(keys)} secrets were"
    return Keys(keys=keys, finding=_finding(Verdict.UNKNOWN, f"{number} tried."))


def _name(until: datetime | None) -> str:
    if until is None:
        return "The webhook's present secret"
    return f"A secret of the webhook's that was replaced and signs until {utc(until)}"


def _form(secret: str) -> Finding:
    """Say what the form of a typed secret tells."""
    key = key_of(secret)
    if key is None:
        says = "Behind whsec_ must be base64, and there is something else."
        return _finding(Verdict.WRONG, says, _AS_SHOWN)
    if secret.startswith(PREFIX):
        return _finding(Verdict.RIGHT, f"It has the right form: whsec_ and {len(key)} bytes in base64.")
    if secret != secret.strip() or PREFIX in secret.lower():
        return _finding(Verdict.WRONG, "Something stands around it that does not belong to it.", _AS_SHOWN)
    if len(decoded(secret)) >= _A_KEY:
        says = "It is taken as text, as it does not begin with whsec_; but it looks like base64."
        return _finding(Verdict.UNKNOWN, says, _AS_SHOWN)
    return _finding(Verdict.RIGHT, "It does not begin with whsec_, so the key is its own text, in UTF-8.")


def _finding(verdict: Verdict, says: str, todo: str = "") -> Finding:
    return Finding(part=PART, verdict=verdict, says=says, todo=todo)
