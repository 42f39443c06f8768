"""Who is asking, and what their key allows: the same for all three contracts."""

from typing import TYPE_CHECKING, Protocol, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from deliveries import clock
from deliveries.models import Account, ApiKey, Scope

if TYPE_CHECKING:
    # The settings name the classes below, so this module is imported while that one is.
    from rest_framework.views import APIView


class BearerKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <api key>`. The request's user is the key's account, its auth the key."""

    def authenticate(self, request: Request) -> tuple[Account, ApiKey] | None:
        """Return the account and the key; None when the request brings no key.

        :raises AuthenticationFailed: when the key is unknown, revoked or expired.
        """
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            return None
        now = clock.now()
        # No key holds anything else, and not every text may be put to the database.
        plain = text.isascii() and text.isprintable()
        key = ApiKey.objects.find(text, now=now) if plain else None
        if key is None:
            raise AuthenticationFailed
        key.touch(now=now)
        return key.account, key

    def authenticate_header(self, request: Request) -> str:
        """Return the value of WWW-Authenticate on a 401."""
        return "Bearer"


class Scoped(Protocol):
    """A view that knows which scope a request needs."""

    def required_scope(self) -> Scope | None:
        """Return the scope; None where the request leads to nothing a scope could guard."""


class HasScope(BasePermission):
    """The request brings a key, and the key has the scope the view asks for."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Tell whether the request may go on. Without a key it may not; DRF makes a 401 of that."""
        if request.auth is None:
            return False
        scope = cast(Scoped, view).required_scope()
        # For the contracts that say which.
        self.message = f"The key lacks the scope `{scope}`."
        return scope is None or scope in cast(ApiKey, request.auth).scopes
