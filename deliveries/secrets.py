"""Encryption of what must not be readable in a database dump: webhook secrets, credentials, header values."""

import base64
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

# Version, moment, initialisation vector, one block and the signature of a Fernet token, in bytes.
_SHORTEST_TOKEN = 1 + 8 + 16 + 16 + 32


class Undecryptable(Exception):
    """None of the keys opens this value."""


class InvalidKey(ValueError):
    """An encryption key is missing or is not 32 bytes in URL-safe base64."""


def new_key() -> str:
    """Return a fresh encryption key, in the form ENCRYPTION_KEYS takes."""
    return Fernet.generate_key().decode()


def encrypt(text: str, *, keys: Sequence[str]) -> str:
    """Return `text` encrypted with the first key.

    :raises InvalidKey: when there is no key, or one is malformed.
    """
    return _box(tuple(keys)).encrypt(text.encode()).decode()


def decrypt(token: str, *, keys: Sequence[str]) -> str:
    """Return the text that was encrypted with any of the keys.

    :raises InvalidKey: when there is no key, or one is malformed.
    :raises Undecryptable: when no key fits.
    """
    try:
        return _box(tuple(keys)).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise Undecryptable("No key in ENCRYPTION_KEYS decrypts this value.") from error


def renew(token: str, *, keys: Sequence[str]) -> str | None:
    """Return the value encrypted with the first key, or None where that opens it already.

    :raises InvalidKey: when there is no key, or one is malformed.
    :raises Undecryptable: when no key fits.
    """
    try:
        decrypt(token, keys=keys[:1])
    except Undecryptable:
        return encrypt(decrypt(token, keys=keys), keys=keys)
    return None


def is_token(text: str) -> bool:
    """Tell whether a text has the form of an encrypted one."""
    try:
        found = base64.urlsafe_b64decode(text)
    except ValueError:
        return False
    return found[:1] == b"\x80" and len(found) >= _SHORTEST_TOKEN


@lru_cache(maxsize=8)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise InvalidKey("ENCRYPTION_KEYS is empty: give it at least one key, newest first.")
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise InvalidKey("ENCRYPTION_KEYS: a key is 32 bytes in URL-safe base64, 44 characters.") from error
