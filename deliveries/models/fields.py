"""The column for what must not be readable in a database dump."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from deliveries import secrets


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """An encrypted text. It shows itself to nobody who does not ask for it by `reveal()`."""

    token: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Encrypt `text` with the first of ENCRYPTION_KEYS.

        :raises deliveries.secrets.InvalidKey: when there is no usable key.
        """
        return cls(secrets.encrypt(text, keys=settings.ENCRYPTION_KEYS))

    def reveal(self) -> str:
        """Return the text.

        :raises deliveries.secrets.Undecryptable: when none of ENCRYPTION_KEYS fits.
        """
        return _reveal(self.token, tuple(settings.ENCRYPTION_KEYS))

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "<Sealed>"


@lru_cache(maxsize=4096)
def _reveal(token: str, keys: tuple[str, ...]) -> str:
    return secrets.decrypt(token, keys=keys)


class SealedField(models.TextField):  # type: ignore[type-arg]
    """Holds a `Sealed`, or None. One bad token spoils one value, never a query: it opens when it is used."""

    def from_db_value(
        self, value: str | None, expression: object, connection: BaseDatabaseWrapper
    ) -> Sealed | None:
        """Wrap what the database holds."""
        return None if value is None else Sealed(value)

    def get_prep_value(self, value: Any) -> str | None:
        """Return what the database gets.

        :raises TypeError: for a plain text, which would otherwise be stored readable.
        """
        if value is None:
            return None
        if isinstance(value, Sealed):
            return value.token
        raise TypeError(f"{self.name} takes a Sealed or None, not {type(value).__name__}.")

    def to_python(self, value: Any) -> Any:
        """Return the value as given, and the token that a fixture holds as the `Sealed` it was.

        :raises ValidationError: for a plain text, which would otherwise be stored readable.
        """
        if value is None or isinstance(value, Sealed):
            return value
        if isinstance(value, str) and secrets.is_token(value):
            return Sealed(value)
        raise ValidationError("This is neither sealed nor what a fixture holds of it.")

    def value_to_string(self, obj: models.Model) -> str:
        """Return the token, so that a fixture holds no readable secret."""
        sealed = self.value_from_object(obj)
        return sealed.token if isinstance(sealed, Sealed) else ""
