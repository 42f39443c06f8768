"""The field of a row that others belong to, chosen from those that its input finds by their names.

Django's own ends in an error of the server where the id that was sent can be none.
"""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError


class RowSelect(AutocompleteSelect):
    """An input that shows nothing as chosen where no row can have the id."""

    def optgroups(self, name: str, value: Sequence[str], attr: dict[str, Any] | None = None) -> Any:
        """Return the options: those that are chosen."""
        return super().optgroups(name, [text for text in value if could_be(self.field, text)], attr)


class RowField(forms.ModelChoiceField[Any]):
    """A field that takes an id which can be none for one that no row has."""

    def to_python(self, value: Any) -> Any:
        """Return the row.

        :raises ValidationError: when there is none.
        """
        try:
            return super().to_python(value)
        except ValidationError as error:
            raise ValidationError(
                self.error_messages["invalid_choice"], code="invalid_choice", params={"value": value}
            ) from error


def could_be(field: Any, text: str) -> bool:
    """Tell whether a text can be a value of a model's field, or the id of a row it refers to."""
    try:
        getattr(field, "target_field", field).to_python(text)
    except ValidationError:
        return False
    return True
