"""Fields of the logs API: strict about types, and worded as its vendor words them.

Section "The webhook object" of the contract.
"""

import re
from typing import Any, NoReturn

from rest_framework import serializers

# What may stand in a header, and so in a credential that becomes one.
_PRINTABLE = re.compile(r"[\x20-\x7e]*")


class VendorField(serializers.Field[Any, Any, Any, Any]):
    """A field whose messages name it: "The webhook url field is required."."""

    default_error_messages = {"required": "The {field} field is required."}

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        """Raise the message with the field's name in it. To be null is to be missing.

        :raises ValidationError: always.
        """
        if key == "null" and self.required:
            key = "required"
        super().fail(key, field=str(self.field_name).replace("_", " "), **kwargs)

    def to_representation(self, value: Any) -> Any:
        """Return the value as it is."""
        return value


class Text(VendorField):
    """A string. Required means that there is something in it."""

    default_error_messages = {
        "null": "The {field} field must be a string.",
        "type": "The {field} field must be a string.",
        "long": "The {field} field must not be greater than {max_length} characters.",
    }

    def __init__(self, *, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length

    def to_internal_value(self, data: Any) -> str:
        """Return the string.

        :raises ValidationError: for anything that is none, is too long, or blank though required.
        """
        if not isinstance(data, str):
            self.fail("type")
        if self.required and not data.strip():
            self.fail("required")
        if len(data) > self.max_length:
            self.fail("long", max_length=self.max_length)
        return data


class Credential(Text):
    """A string that may be sent in a header."""

    default_error_messages = {"printable": "The {field} field must only contain printable ASCII characters."}

    def to_internal_value(self, data: Any) -> str:
        """Return the string.

        :raises ValidationError: for anything that is none, is too long or does not fit in a header.
        """
        text = super().to_internal_value(data)
        if not _PRINTABLE.fullmatch(text):
            self.fail("printable")
        return text


class WholeNumber(VendorField):
    """An integer in a range."""

    default_error_messages = {
        "null": "The {field} field must be an integer.",
        "type": "The {field} field must be an integer.",
        "range": "The {field} field must be between {least} and {most}.",
    }

    def __init__(self, *, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least, self.most = least, most

    def to_internal_value(self, data: Any) -> int:
        """Return the number.

        :raises ValidationError: for anything else, `true` included, and outside of the range.
        """
        # In Python a bool is an int.
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("type")
        if not self.least <= data <= self.most:
            self.fail("range", least=self.least, most=self.most)
        return data


class Flag(VendorField):
    """A boolean."""

    default_error_messages = {
        "null": "The {field} field must be true or false.",
        "type": "The {field} field must be true or false.",
    }

    def to_internal_value(self, data: Any) -> bool:
        """Return the boolean.

        :raises ValidationError: for anything else, 0 and 1 included.
        """
        if not isinstance(data, bool):
            self.fail("type")
        return data


class Choice(VendorField):
    """One of a few strings, in this very spelling."""

    default_error_messages = {
        "null": "The selected {field} is invalid.",
        "choice": "The selected {field} is invalid.",
    }

    def __init__(self, *, choices: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices = choices

    def to_internal_value(self, data: Any) -> str:
        """Return the choice.

        :raises ValidationError: for anything else.
        """
        if not isinstance(data, str) or data not in self.choices:
            self.fail("choice")
        return data


class Texts(VendorField):
    """An array of strings, with something in it, and nothing twice."""

    default_error_messages = {
        "null": "The {field} field must be an array.",
        "type": "The {field} field must be an array.",
        "few": "The {field} field must contain at least 1 items.",
        "many": "The {field} field must not contain more than {max_items} items.",
        "item": "The {field} field must contain strings only.",
        "twice": "The {field} field has a duplicate value.",
    }

    def __init__(self, *, max_items: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_items = max_items

    def to_internal_value(self, data: Any) -> list[str]:
        """Return the strings.

        :raises ValidationError: for anything that is no array of strings, for too few or too many, and for
            one given twice.
        """
        if not isinstance(data, list):
            self.fail("type")
        if not data:
            self.fail("few")
        if len(data) > self.max_items:
            self.fail("many", max_items=self.max_items)
        if not all(isinstance(item, str) for item in data):
            self.fail("item")
        if len(set(data)) < len(data):
            self.fail("twice")
        return data


class Headers(VendorField):
    """An array of objects with a key and a value, both strings; the keys all different."""

    default_error_messages = {
        "null": "The {field} field must be an array.",
        "type": "The {field} field must be an array.",
        "item": "The {field} field must contain objects with a key and a value only, both strings.",
        "twice": "The {field} field must not contain a key twice.",
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Return the values by their keys.

        :raises ValidationError: for any other shape, and for a key given twice, in whatever case.
        """
        if not isinstance(data, list):
            self.fail("type")
        if not all(_is_header(item) for item in data):
            self.fail("item")
        if len({item["key"].lower() for item in data}) < len(data):
            self.fail("twice")
        return {item["key"]: item["value"] for item in data}


def _is_header(item: object) -> bool:
    return (
        isinstance(item, dict)
        and item.keys() == {"key", "value"}
        and all(isinstance(text, str) for text in item.values())
    )
