"""What acts are done to: the kinds of it, the pages of it, and what the audit has on it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from deliveries.admin.pages.showing import page_of
from deliveries.models import (
    Account,
    Agent,
    ApiKey,
    AuditEntry,
    Delivery,
    EventType,
    Failure,
    FailureGroup,
    Pause,
    Recovery,
    Webhook,
)

# By the word that an act begins with. Nothing has a row that a rotation of the encryption is done to.
MODELS: Mapping[str, type[Model] | None] = {
    "account": Account,
    "agent": Agent,
    "api_key": ApiKey,
    "deliveries": Delivery,
    "delivery": Delivery,
    "encryption": None,
    "event_type": EventType,
    "failures": FailureGroup,
    "group": Group,
    "lockout": AccessAttempt,
    "pause": Pause,
    "person": User,
    "recovery": Recovery,
    "webhook": Webhook,
}
# By the word that stands in addresses.
KINDS: Mapping[str, type[Model]] = {str(model._meta.model_name): model for model in MODELS.values() if model}

# What the audit calls those that Django calls otherwise.
_NAMES: Mapping[type[Model], str] = {AccessAttempt: "Lockout", Group: "Group of people", User: "Person"}


def name(kind: str) -> str:
    """Return what a row of a kind is called: "API key"."""
    model = KINDS[kind]
    return _NAMES.get(model) or capfirst(str(model._meta.verbose_name))


def actions_on(kind: str) -> list[AuditEntry.Action]:
    """Return the acts that are done to rows of a kind."""
    return [action for action in AuditEntry.Action if _model(action) is KINDS[kind]]


def pages(entries: Iterable[AuditEntry], request: HttpRequest) -> dict[UUID, str]:
    """Return the paths of the pages of what acts were done to, by the ids of the acts.

    Asks the database once for each kind. Left out is what is gone, and what whoever asks may not see.
    """
    wanted: dict[type[Model], set[str]] = defaultdict(set)
    acts = [(entry, model) for entry in entries if entry.subject_id and (model := _model(entry.action))]
    for entry, model in acts:
        wanted[model].add(entry.subject_id)
    there = {
        model: _there(model, ids)
        for model, ids in wanted.items()
        if admin.site.get_model_admin(model).has_view_permission(request)
    }
    rows = [(entry, there.get(model, {}).get(entry.subject_id)) for entry, model in acts]
    return {entry.pk: page_of(row) for entry, row in rows if row is not None}


def audit_link(row: Model) -> str:
    """Return the way to the acts on a row; to all acts where none is done to rows like it."""
    return f"{reverse('admin:deliveries_auditentry_changelist')}{_query(row)}"


def is_audited(row: Model) -> bool:
    """Whether somebody did something to a row, apart from event types: their ids are not in the audit."""
    kind, subject = _subject(row)
    if not subject:
        return False
    return AuditEntry.objects.filter(subject_id=subject, action__in=actions_on(kind)).exists()


def _query(row: Model) -> str:
    kind, subject = _subject(row)
    if subject:
        return f"?{urlencode({'subject_id__exact': subject, 'kind': kind})}"
    return f"?{urlencode({'kind': kind, 'since': 'all'})}" if kind else ""


def _subject(row: Model) -> tuple[str, str]:
    """Return the kind and the id that the audit knows a row by; empty where it does not."""
    if isinstance(row, Failure):
        return "delivery", str(row.delivery_id)
    kind = str(row._meta.model_name)
    if kind not in KINDS:
        return "", ""
    return kind, "" if isinstance(row.pk, str) else str(row.pk)


def _model(action: str) -> type[Model] | None:
    return MODELS.get(action.partition(".")[0])


def _there(model: type[Model], ids: Iterable[str]) -> dict[str, Model]:
    """Return rows by their ids, of those there are; read is nothing but the id."""
    rows = model._base_manager.filter(pk__in=[pk for pk in ids if _could_be(model, pk)]).only("pk")
    return {str(row.pk): row for row in rows}


def _could_be(model: type[Model], pk: str) -> bool:
    try:
        cast(Any, model._meta.pk).to_python(pk)
    except ValidationError:
        return False
    return True
