"""What the views of all three contracts have in common."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast

from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework.exceptions import NotFound, PermissionDenied, UnsupportedMediaType
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from deliveries.api import parsing, throttling
from deliveries.models import Account, ApiKey, Scope

Row = TypeVar("Row", bound=Model)


COMMON_HEADERS = {"Cache-Control": "no-store", "Vary": "Authorization, Accept"}


def last_of_its_connection(request: HttpRequest, response: HttpResponse) -> HttpResponseBase:
    """Return the response, so that the connection ends with it where nobody knows where the request ends.

    What was left of chunks would be read as the next request. WSGI leaves `Connection` to the server;
    Django's closes behind what has no length. (Not so behind HEAD, which has no body to be delimited.)
    """
    if not parsing.is_chunked(request.META) or parsing.ends_with_its_input(request.META):
        return response
    return StreamingHttpResponse(
        [response.content], status=response.status_code, headers=dict(response.headers)
    )


def _refuse_deliveries(request: Request) -> None:
    """Let no delivery of ours call the API.

    A webhook that points here, and carries a key, would publish events that it gets itself, each of them to
    all its fellows. Whatever name or proxy it comes by, a delivery brings this header, which nobody can take
    away from it.

    :raises PermissionDenied: the request is one.
    """
    if "X-Webhook-Attempt" in request.headers:
        raise PermissionDenied(
            "This is a webhook's delivery (X-Webhook-Attempt). A webhook cannot call the API."
        )


class Negotiation(DefaultContentNegotiation):
    """DRF's, except that an empty `Accept` is as good as none."""

    def get_accept_list(self, request: Request) -> list[str]:
        """Return the media types that are accepted."""
        header = request.headers.get("Accept", "")
        return super().get_accept_list(request) if header.strip() else ["*/*"]

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the parser that reads the body; None for a media type there is none for.

        :raises UnsupportedMediaType: when the body is not declared to be anything.
        """
        if not (request.content_type or "").strip():
            raise UnsupportedMediaType("", "The body has no type: send `Content-Type: application/json`.")
        return super().select_parser(request, parsers)


class ContractView(APIView):
    """A view that asks for key, scope and limit, in this order, and only then looks at anything else."""

    content_negotiation_class = Negotiation
    throttle_classes = [throttling.KeyThrottle]
    # Where the key stands with its limit: known once the request was counted, if there is a limit.
    standing: throttling.Standing | None = None
    body_limits: ClassVar = parsing.ONE_EVENT
    # No OPTIONS: it is answered with 405 and `Allow`, like every method a path does not have.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    @property
    def account(self) -> Account:
        """The account of the key. All that a request may see or touch belongs to it."""
        return cast(ApiKey, self.request.auth).account

    @property
    def caller(self) -> str:
        """What the audit calls whoever asks: the key by its name and the part of it that is no secret."""
        return f"API key {self.request.auth}"

    @property
    def default_response_headers(self) -> dict[str, str]:
        """The headers of every answer, errors included."""
        return dict(COMMON_HEADERS)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer the request."""
        response = cast(Response, super().dispatch(request, *args, **kwargs))
        if self.standing is not None:
            for name, value in self.limit_headers(self.standing).items():
                response.headers[name] = value
        return last_of_its_connection(request, response.render())

    def http_method_not_allowed(  # type: ignore[override]  # as DRF does
        self, request: Request, *args: Any, **kwargs: Any
    ) -> Response:
        """Answer 405, and name the methods the path has.

        :raises MethodNotAllowed: always.
        """
        self.headers["Allow"] = ", ".join(self.allowed_methods)
        return super().http_method_not_allowed(request, *args, **kwargs)

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Return the request as one that knows how to read its body."""
        made = super().initialize_request(request, *args, **kwargs)
        return parsing.BodyRequest(
            request, made.parsers, self.get_authenticators(), made.negotiator, made.parser_context
        )

    def get_parser_context(self, http_request: HttpRequest) -> dict[str, Any]:
        """Return what is known to whoever reads the body."""
        return {**super().get_parser_context(http_request), "limits": self.body_limits}

    def required_scope(self) -> Scope | None:
        """Return the scope the request needs; None where it leads to nothing a scope could guard."""
        return None

    def limit_group(self) -> throttling.Group:
        """Return the group whose limit the request counts against."""
        return throttling.group_of(self.required_scope())

    def limit_headers(self, standing: throttling.Standing) -> Mapping[str, str]:
        """Return the headers that tell where the key stands."""
        return throttling.headers(standing)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check key, scope and limit before the content is negotiated; DRF has it the other way round."""
        self.perform_authentication(request)
        self.check_permissions(request)
        self.check_throttles(request)
        _refuse_deliveries(request)
        super().initial(request, *args, **kwargs)


class ContractViewSet(ContractView, GenericViewSet[Row], Generic[Row]):
    """A viewset whose every action names its scope. One that forgets to is an error, not an open door.

    None stands for an action that every key may do.
    """

    scopes: ClassVar[Mapping[str, Scope | None]]
    # The actions that do not count against the limit their scope leads to.
    limit_groups: ClassVar[Mapping[str, throttling.Group]] = {}

    def required_scope(self) -> Scope | None:
        """Return the scope of the action; None for a method the path does not have."""
        action = self.action_map.get(str(self.request.method).lower())
        return self.scopes[action] if action else None

    def limit_group(self) -> throttling.Group:
        """Return the group of the action."""
        return self.limit_groups.get(self.action) or super().limit_group()


class UnknownPathView(ContractView):
    """The end of a contract's paths: whatever came this far does not exist."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer 404 to everybody with a key.

        :raises NotFound: always.
        """
        super().initial(request, *args, **kwargs)
        raise NotFound
