"""Rows that people make, change and delete with no service between: the audit has a note of each act."""

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.forms.models import model_to_dict
from django.http import HttpRequest

from deliveries import clock
from deliveries.admin.tables import Row, Table
from deliveries.models import Account, AuditEntry
from deliveries.services import auditing


class Audited(Table[Row]):
    """Notes who did it and which fields changed; of some fields what they were and are."""

    # What the acts are called by: of an "account" they are `account.created` and so on.
    noun: ClassVar[str]
    # The field people know a row by.
    known_by: ClassVar[str] = "name"
    # The fields whose values the audit repeats.
    told: ClassVar[tuple[str, ...]] = ()

    def account_of(self, row: Row) -> Account | UUID | None:
        """Return whose the row is; None where it is nobody's alone."""
        return None

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save what hangs on a row, which is the end of saving it, and note it."""
        super().save_related(request, form, formsets, change)
        told = [name for name in self.told if name in form.changed_data]
        after = {name: _plain(form.cleaned_data[name]) for name in told}
        if not change:
            self.note(request, form.instance, "created", after=after)
        elif form.changed_data:
            before = {name: _plain(form.initial.get(name)) for name in told}
            fields = sorted(form.changed_data)
            self.note(request, form.instance, "changed", fields=fields, before=before, after=after)

    def delete_model(self, request: HttpRequest, obj: Row) -> None:
        """Delete one, and note it."""
        with transaction.atomic():
            self.note(request, obj, "deleted", before=self._values(obj))
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Row]) -> None:
        """Delete some, and note each."""
        with transaction.atomic():
            for row in queryset:
                self.note(request, row, "deleted", before=self._values(row))
            super().delete_queryset(request, queryset)

    def note(self, request: HttpRequest, row: Row, act: str, **details: Any) -> None:
        """Write down an act, in the transaction of the act."""
        auditing.note(
            AuditEntry.Action(f"{self.noun}.{act}"),
            by=str(request.user),
            now=clock.now(),
            account=self.account_of(row),
            # A key that is a name may be too long for an id's place, and is among the details.
            subject="" if isinstance(row.pk, str) else row.pk,
            name=getattr(row, self.known_by),
            **details,
        )

    def _values(self, row: Row) -> dict[str, Any]:
        return {name: _plain(value) for name, value in model_to_dict(row, self.told).items()}


def _plain(value: Any) -> Any:
    """Return the value of a form's field as JSON has it: rows by their names."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return sorted(map(str, value))
    return value
