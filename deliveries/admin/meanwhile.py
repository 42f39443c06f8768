"""What somebody else did while a page was open: a form that would undo it is refused, and says so.

The form carries what it showed. That is compared with the row as it is when the form comes back, whatever
changed it: a row need not have a version of its own.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model
from django.http import HttpRequest

from deliveries.admin.tables import Row, Table
from deliveries.models import Account, AuditEntry
from deliveries.printing import UNSEEN_NAME, can_be_seen, utc

# So much of a value is repeated beside the input that somebody else changed as well.
MOST = 200


class Shown(forms.CharField):
    """What the page showed, hidden in it. It is nothing that anybody changes."""

    # A browser that goes back would otherwise fill in what an earlier page showed.
    widget = forms.HiddenInput(attrs={"autocomplete": "off"})

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Never."""
        return False


class MeanwhileForm(forms.ModelForm[Row]):
    """A form of a row, which is saved only where the row is as the page showed it.

    Whoever is refused loses nothing: what was typed stays, what somebody else changed is filled in where
    nothing was typed, and each input says so. Saving again saves what is seen by then.
    """

    # Columns that have no input, and tell of a change of what the form cannot show.
    watched: ClassVar[tuple[str, ...]] = ()

    shown = Shown(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.initial["shown"] = self._written(self.instance)

    def clean_name(self) -> str:
        """Return the name of a row that has one. One of before that nobody can see may stay."""
        name: str = self.cleaned_data["name"]
        if "name" in self.changed_data and not can_be_seen(name):
            raise ValidationError(UNSEEN_NAME)
        return name

    def clean(self) -> None:
        """Compare what was shown with what there is. The row stays as it is until it is saved."""
        super().clean()
        written = self.cleaned_data.get("shown")
        if self.instance._state.adding or not written:
            return
        rows = type(self.instance)._default_manager.select_for_update(no_key=True)
        row = rows.filter(pk=self.instance.pk).first()
        if row is None or getattr(row, "deleted_at", None):
            self.add_error(None, deleted(row or self.instance))
        elif written != self._written(row):
            self._refuse(row, _read(written))

    def _written(self, row: Model) -> str:
        """Return what a page shows of a row, as the page carries it."""
        names = [*self._columns(), *self.watched]
        values = {name: _value(row, name) for name in names}
        return json.dumps(values, cls=DjangoJSONEncoder, sort_keys=True)

    def _columns(self) -> Iterable[str]:
        # What is not to be typed into, as the hash of a password, is in no page.
        model = self._meta.model._meta
        ours = {field.name for field in (*model.concrete_fields, *model.many_to_many)}
        return [name for name, field in self.fields.items() if name in ours and not field.disabled]

    def _refuse(self, row: Model, shown: Mapping[str, Any]) -> None:
        """Say who changed what, and have the form show that beside what was typed."""
        differing = {
            name: (_as_typed(_field(row, name).to_python(shown.get(name))), _as_typed(_value(row, name)))
            for name in self._columns()
            if shown.get(name) != json.loads(json.dumps(_value(row, name), cls=DjangoJSONEncoder))
        }
        typed = {
            name
            for name, (before, _) in differing.items()
            if self.fields[name].has_changed(before, self[name].data)
        }
        # What was sent cannot be changed; what is shown of it can.
        data: Any = self.data
        self.data = data.copy()
        self._put("shown", self._written(row))
        for name, (before, now) in differing.items():
            say = partial(_in_words, self.fields[name])
            if name in typed:
                self.add_error(name, f"Changed meanwhile; saved is: {say(now)}. What you typed is kept.")
            else:
                self._fill_in(name, now)
                self.add_error(name, f"Changed meanwhile; it was: {say(before)}.")
        self.add_error(None, _changed(row))

    def _fill_in(self, name: str, value: Any) -> None:
        """Have an input show another value than the one that was sent."""
        field: Any = self.fields[name]
        if isinstance(field, forms.ModelMultipleChoiceField):
            data: Any = self.data
            data.setlist(self.add_prefix(name), [str(pk) for pk in value])
        elif isinstance(field.widget, forms.MultiWidget):
            for number, part in enumerate(field.widget.decompress(value) or []):
                self._put(f"{name}_{number}", part)
        else:
            self._put(name, field.prepare_value(value))

    def _put(self, name: str, value: Any) -> None:
        data: Any = self.data
        data[self.add_prefix(name)] = "" if value is None else str(value)


class Meanwhile(Table[Row]):
    """Rows that several people may change at once, by a `MeanwhileForm`."""

    form: Any = MeanwhileForm

    def get_fieldsets(self, request: HttpRequest, obj: Row | None = None) -> Any:
        """Have the form of an old row carry what it shows."""
        fieldsets = super().get_fieldsets(request, obj)
        return carrying(fieldsets) if obj and self.has_change_permission(request, obj) else fieldsets


def carrying(fieldsets: Any) -> list[Any]:
    """Return a form's fieldsets with the hidden input in the first of them."""
    (title, options), *rest = fieldsets
    return [(title, {**options, "fields": (*options["fields"], "shown")}), *rest]


def deleted(row: Model) -> str:
    """Say that a row is deleted, when and by whom."""
    last, noun = _last(row), row._meta.verbose_name
    if last and last.action.endswith(".deleted"):
        return f"Nothing was done: {last.by} deleted this {noun} at {utc(last.created_at)}."
    return f"Nothing was done: this {noun} has been deleted."


def _changed(row: Model) -> str:
    """Say that a row has changed, when, by whom and in what."""
    last, sentence = _last(row), "Nothing was saved: somebody has changed this since the page was loaded."
    if last:
        what = ", ".join(last.details.get("fields", [])) or last.why
        sentence = (
            f"Nothing was saved: {last.by} changed this at {utc(last.created_at)}, after the page was "
            f"loaded ({last.action}{': ' if what else ''}{what})."
        )
    return f"{sentence} What you typed is still here. Look at what differs, and save again."


def _last(row: Any) -> AuditEntry | None:
    """Return the last act on a row."""
    account = row.pk if isinstance(row, Account) else getattr(row, "account_id", None)
    # As `Audited` names them: a key that is a name is among the details.
    named = {"details__name": row.pk} if isinstance(row.pk, str) else {"subject_id": str(row.pk)}
    acts = AuditEntry.objects.filter(account=account, **named).exclude(
        action=AuditEntry.Action.WEBHOOK_TESTED
    )
    return acts.order_by("-created_at", "-pk").first()


def _read(written: str) -> Mapping[str, Any]:
    """Return what a page says it showed.

    :raises ValidationError: when it says no such thing.
    """
    try:
        shown = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise ValidationError("The page does not say what it showed. Load it again.") from error
    return shown if isinstance(shown, dict) else {}


def _value(row: Model, name: str) -> Any:
    value = _field(row, name).value_from_object(row)
    if _field(row, name).many_to_many:
        return sorted(each.pk for each in value)
    return value


def _as_typed(value: Any) -> Any:
    """Return a value as an input takes it: moments to the second."""
    return value.replace(microsecond=0) if isinstance(value, datetime) else value


def _field(row: Model, name: str) -> Any:
    return row._meta.get_field(name)


def _in_words(field: Any, value: Any) -> str:
    if isinstance(field, forms.ModelMultipleChoiceField):
        rows: Any = field.queryset
        value = list(rows.filter(pk__in=value or []))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return utc(value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str("" if value is None else value)
    return (text if len(text) <= MOST else f"{text[:MOST]}…") or "nothing"
