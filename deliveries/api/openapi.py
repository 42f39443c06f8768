"""The published documents of the APIs: what their generation has in common.

drf-spectacular finds the operations in the URLs, and the scope of each in its view. What an operation takes
and answers is declared beside its contract, in a module `schema`. One that is routed and not declared is a
warning, which `make schema` and the tests treat as an error.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar

from drf_spectacular.drainage import warn
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from rest_framework.request import Request

from deliveries.api.views import ContractView, UnknownPathView
from deliveries.models import Scope

Json = dict[str, Any]

VERSION = "1.0.0"
# Whatever an operation does, it may answer with these; one that reads a body, with the others as well.
OF_ALL = (400, 401, 403, 406, 429, 500, 503)
OF_BODIES = (411, 413, 415, 422)

_NAMES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    406: "NotAcceptable",
    409: "Conflict",
    411: "LengthRequired",
    412: "PreconditionFailed",
    413: "BodyTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}
_DESCRIPTIONS = {
    400: "The request is malformed: no JSON where JSON belongs, JSON that breaks a rule, a wrong Host "
    "header.",
    401: "The key is missing, unknown, revoked or expired.",
    403: "The key is valid and lacks the scope.",
    404: "There is no such resource, it is another account's, or its id is malformed.",
    406: "The Accept header asks for something other than JSON.",
    409: "The state of the resource forbids it.",
    411: "The body came in chunks, and this server reads none: send a Content-Length.",
    412: "The resource is not as `If-Match` or `If-None-Match` wants it. Nothing was done.",
    413: "The body is too large. It was not read to its end.",
    415: "The body is not declared to be JSON.",
    422: "A value breaks a rule; every one that does is listed.",
    429: "Rate limited. `Retry-After` says when to try again.",
    500: "Our fault, and in our log.",
    503: "The database is away, and nothing was stored. Try again.",
}
_ERROR_HEADERS: dict[int, Sequence[str]] = {
    401: ["WWW-Authenticate"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}
_COMMON_HEADERS = ("Cache-Control", "X-Request-Id")
_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining")
# Who is refused with these has not been counted.
_UNCOUNTED = (401, 403)

HEADERS: dict[str, Json] = {
    "Cache-Control": {
        "description": "Always `no-store`.",
        "schema": {"type": "string", "const": "no-store"},
    },
    "ETag": {
        "description": "Names this state of the resource, for `If-None-Match` and `If-Match`.",
        "schema": {"type": "string"},
    },
    "Idempotency-Replayed": {
        "description": "`true` when this is the answer to an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Link": {
        "description": "The pages beside this one, `next` and `prev`, where there are any (RFC 8288).",
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "Where the new resource is.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "RateLimit": {
        "description": "What is left (`r`) of which limit, and in how many seconds (`t`) there is more.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {
        "description": "The limit: how many requests (`q`) in how many seconds (`w`).",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Whole seconds to wait, at least 1.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": '`Bearer`, with `error="invalid_token"` when a key was given.',
        "schema": {"type": "string"},
    },
    "X-RateLimit-Limit": {
        "description": "Requests allowed in the window, for this key and group of scopes.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Remaining": {
        "description": "Requests left in the window.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-Request-Id": {
        "description": "The request's own, or one made for it. Our log has it: give it when you ask for "
        "help.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
}
REQUEST_ID: Json = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "A name for this request, to find it again in our log. Another form is replaced.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
}
# Conditions, RFC 9110 section 13: the parameters of operations on what has an ETag.
IF_MATCH: Json = {
    "name": "If-Match",
    "in": "header",
    "description": "Do it only while the resource has one of these tags, compared strongly; 412 otherwise.",
    "schema": {"type": "string"},
}
IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Answer 304, without a body, while the resource has one of these tags, compared weakly.",
    "schema": {"type": "string"},
}
SECURITY_SCHEME: Json = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "whk_…",
    "description": "An API key. `manage.py create_api_key` makes one; `make run` prints the one it made.",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an operation answers when all went well.

    :param schema: None where there is no body.
    :param examples: by name; the only one if need be.
    :param headers: of `HEADERS`, beside the common ones.
    """

    description: str
    schema: Json | None = None
    examples: Mapping[str, object] = field(default_factory=dict)
    headers: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Body:
    """What an operation takes."""

    schema: Json
    examples: Mapping[str, object]
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What the document says of one method of one path.

    :param answers: by status, those that are no errors.
    :param errors: the names of the contract's responses, by status, for those that not every operation has,
        or that are worded otherwise here.
    :param parameters: the names of the contract's parameters, those of the path left out.
    """

    id: str
    tag: str
    summary: str
    description: str
    answers: Mapping[int, Answer]
    errors: Mapping[int, str] = field(default_factory=dict)
    parameters: Sequence[str] = ()
    body: Body | None = None


NOT_MODIFIED = Answer(description="You have it already: nothing has changed.", headers=("ETag",))

Operations = Mapping[tuple[type[ContractView], str], Operation]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A document: one contract's.

    :param view: what all views of the contract are.
    :param operations: by view and action.
    :param path_parameters: by their names in the URLs.
    :param headers: of `HEADERS`, those in which this contract tells a limit beside the common ones.
    """

    title: str
    description: str
    view: type[ContractView]
    tags: Mapping[str, str]
    operations: Operations
    path_parameters: Mapping[str, Json]
    parameters: Mapping[str, Json]
    responses: Mapping[str, Json]
    schemas: Mapping[str, Json]
    headers: Sequence[str] = ()

    def settings(self) -> Json:
        """Return drf-spectacular's settings for this document."""
        return {
            "TITLE": self.title,
            "DESCRIPTION": self.description,
            "VERSION": VERSION,
            "OAS_VERSION": "3.1.1",
            "SERVERS": [{"url": "/", "description": "The server this document comes from."}],
            "TAGS": [{"name": name, "description": text} for name, text in self.tags.items()],
            "POSTPROCESSING_HOOKS": [],
            "APPEND_COMPONENTS": {
                "headers": HEADERS,
                "parameters": {"XRequestId": REQUEST_ID, **self.parameters, **self._named_path_parameters()},
                "responses": {
                    name: self._with_its_headers(response) for name, response in self.responses.items()
                },
                "schemas": self.schemas,
                "securitySchemes": {"Bearer": SECURITY_SCHEME},
            },
        }

    def _with_its_headers(self, response: Json) -> Json:
        """Return a response with this contract's headers as well, where it tells a limit."""
        counted = _LIMIT_HEADERS[0] in response["headers"]
        return {**response, "headers": response["headers"] | _headers(self.headers if counted else ())}

    def _named_path_parameters(self) -> dict[str, Json]:
        return {
            each["name"]: {"in": "path", "required": True, **each} for each in self.path_parameters.values()
        }


class _Endpoints(EndpointEnumerator):  # type: ignore[misc]
    """The operations of one contract. A slash at the end is optional everywhere, and printed nowhere."""

    def __init__(self, contract: Contract, patterns: Any, urlconf: Any) -> None:
        super().__init__(patterns, urlconf)
        self.contract = contract

    def should_include_endpoint(self, path: str, callback: Callable[..., Any]) -> bool:
        view = getattr(callback, "cls", None)
        return view is not None and is_operation(view) and issubclass(view, self.contract.view)

    def get_path_from_regex(self, path_regex: str) -> str:
        path: str = super().get_path_from_regex(without_optional_slashes(path_regex))
        for name, parameter in self.contract.path_parameters.items():
            path = path.replace(f"{{{name}}}", f"{{{parameter['name']}}}")
        return path


class _Declared(AutoSchema):  # type: ignore[misc]
    """What a contract declares about a view, as OpenAPI has it."""

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.contract = contract

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: object
    ) -> Json | None:
        action = getattr(self.view, "action", method.lower())
        declared = self.contract.operations.get((type(self.view), action))
        if declared is None:
            warn(f"{method} {path} is declared nowhere.")
            return None
        named = [*re.findall(r"{(\w+)}", path), *declared.parameters, "XRequestId"]
        operation: Json = {
            "operationId": declared.id,
            "summary": declared.summary,
            "description": f"{declared.description}\n\n{_scope(self.view.required_scope())}",
            "tags": [declared.tag],
            "security": [{"Bearer": []}],
            "parameters": [ref(name, "parameters") for name in named],
        }
        if declared.body:
            operation["requestBody"] = {
                "required": declared.body.required,
                "content": content(declared.body.schema, declared.body.examples),
            }
        operation["responses"] = self._responses(declared)
        return operation

    def _responses(self, declared: Operation) -> Json:
        usual = (*OF_ALL, *OF_BODIES) if declared.body else OF_ALL
        errors = {**{status: _NAMES[status] for status in usual}, **declared.errors}
        found = {
            status: _answer(answer, self.contract.headers) for status, answer in declared.answers.items()
        }
        found |= {status: ref(name, "responses") for status, name in errors.items()}
        return {str(status): found[status] for status in sorted(found)}


class Generator(SchemaGenerator):  # type: ignore[misc]
    """Makes the document of one contract; `make schema` names the subclasses."""

    contract: ClassVar[Contract]

    def create_view(self, callback: Any, method: str, request: Request | None = None) -> Any:
        """Return a view whose document is what its contract declares."""
        view = super().create_view(callback, method, request)
        self._set_schema_to_view(view, _Declared(self.contract))
        return view

    def _initialise_endpoints(self) -> None:
        self.inspector = _Endpoints(self.contract, self.patterns, self.urlconf)
        self.endpoints = self.inspector.get_api_endpoints()

    def get_schema(self, request: Request | None = None, public: bool = False) -> Any:
        """Return the document."""
        with patched_settings(self.contract.settings()):
            return super().get_schema(request, public)


def _scope(scope: Scope | None) -> str:
    return f"Scope: `{scope}`" if scope else "Scope: `any`, or none at all"


def is_operation(view: type) -> bool:
    """Tell whether a view belongs in a document: every one of ours that leads somewhere."""
    return issubclass(view, ContractView) and not issubclass(view, UnknownPathView)


def without_optional_slashes(regex: str) -> str:
    """Return the regular expression of a path without what makes a slash optional at its end."""
    return regex.replace("(?:/|$)", "/").replace("/?$", "")


def ref(name: str, kind: str = "schemas") -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def content(schema: Json, examples: Mapping[str, object], media_type: str = "application/json") -> Json:
    """Return the body of a request or an answer."""
    shown: Json = {}
    if len(examples) == 1:
        shown["example"] = next(iter(examples.values()))
    elif examples:
        shown["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {media_type: {"schema": schema, **shown}}


def error(
    status: int,
    schema: Json,
    examples: Mapping[str, object],
    *,
    description: str | None = None,
    media_type: str = "application/json",
) -> Json:
    """Return an error as an answer."""
    return {
        "description": description or _DESCRIPTIONS[status],
        "headers": _headers(
            [*_ERROR_HEADERS.get(status, ()), *(() if status in _UNCOUNTED else _LIMIT_HEADERS)]
        ),
        "content": content(schema, examples, media_type),
    }


def name_of(status: int) -> str:
    """Return the name of the usual response with a status."""
    return _NAMES[status]


def phrase(status: int) -> str:
    """Return the standard words for a status."""
    return HTTPStatus(status).phrase


def text(**rules: Any) -> Json:
    """Return the schema of a string."""
    return {"type": "string", **rules}


def integer(**rules: Any) -> Json:
    """Return the schema of a whole number."""
    return {"type": "integer", **rules}


def array(items: Json, **rules: Any) -> Json:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **rules}


def nullable(schema: Json) -> Json:
    """Return a schema that also takes null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def obj(properties: Mapping[str, Json], *, required: Sequence[str] | None = None, **more: Any) -> Json:
    """Return the schema of an object that has these properties and no other, all of them unless said."""
    needed = list(properties) if required is None else list(required)
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": needed} if needed else {}),
        "additionalProperties": False,
        **more,
    }


def query(name: str, schema: Json, description: str) -> Json:
    """Return a parameter of the query."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def header(name: str, schema: Json, description: str) -> Json:
    """Return a parameter in a header."""
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _answer(answer: Answer, headers: Sequence[str]) -> Json:
    described: Json = {
        "description": answer.description,
        "headers": _headers([*answer.headers, *_LIMIT_HEADERS, *headers]),
    }
    if answer.schema is not None:
        described["content"] = content(answer.schema, answer.examples)
    return described


def _headers(more: Sequence[str]) -> Json:
    return {name: ref(name, "headers") for name in sorted((*_COMMON_HEADERS, *more))}
