"""What the views of all three contracts have in common."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast

from django.db.models import Model
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from deliveries.models import Account, ApiKey, Scope

Row = TypeVar("Row", bound=Model)


class ContractView(APIView):
    """A view that asks for the key first, then for the scope, and only then looks at anything else."""

    # No OPTIONS: it is answered with 405 and `Allow`, like every method a path does not have.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @property
    def account(self) -> Account:
        """The account of the key. All that a request may see or touch belongs to it."""
        return cast(ApiKey, self.request.auth).account

    @property
    def default_response_headers(self) -> dict[str, str]:
        """The headers of every answer, errors included."""
        return {**super().default_response_headers, "Cache-Control": "no-store"}

    def required_scope(self) -> Scope | None:
        """Return the scope the request needs; None where it leads to nothing a scope could guard."""
        return None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the key and its scope before the content is negotiated; DRF has it the other way round."""
        self.perform_authentication(request)
        self.check_permissions(request)
        super().initial(request, *args, **kwargs)


class ContractViewSet(ContractView, GenericViewSet[Row], Generic[Row]):
    """A viewset whose every action names its scope. One that forgets to is an error, not an open door."""

    scopes: ClassVar[Mapping[str, Scope]]

    def required_scope(self) -> Scope | None:
        """Return the scope of the action; None for a method the path does not have."""
        action = self.action_map.get(str(self.request.method).lower())
        return self.scopes[action] if action else None


class UnknownPathView(ContractView):
    """The end of a contract's paths: whatever came this far does not exist."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer 404 to everybody with a key.

        :raises NotFound: always.
        """
        super().initial(request, *args, **kwargs)
        raise NotFound
