"""Requests nobody's client would send, made from bytes: paths, headers, queries and bodies."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import given
from hypothesis import strategies as st

from tests.api.test_schema import DOCUMENTS, Documented, operations
from tests.fuzz.conftest import Answer, Fuzz, Tenant, send, undone

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

OPERATIONS = list(operations())
QUERIED = [each for each in OPERATIONS if each.method == "get"]
WITH_BODY = [each for each in OPERATIONS if "requestBody" in each.declared]
# Of all the cases, for each of the four tests; the rest is made from the documents.
SHARE = 0.075
JSON_TYPE = {"Content-Type": "application/json"}

# What a header may hold once a web server has read it: any byte but those that would end it.
_HEADER_VALUES = st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40
) | st.sampled_from(
    ["*/*", "application/json;q=0", "text/html", "bearer", "Bearer ", "identity", 'W/"x"', "*", "-1"]
)
_HEADER_NAMES = st.sampled_from(
    [
        "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Encoding", "Content-Type",
        "Cookie", "Host", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "Origin",
        "Range", "Transfer-Encoding", "X-Forwarded-Host", "X-HTTP-Method-Override", "X-Request-Id",
    ]
)  # fmt: skip
_SEGMENTS = st.sampled_from(
    [b"", b"api", b"v1", b"v4", b"tasks", b"webhook_failures", b"webhooks", b"agents", b"events", b"logs",
     b"recoveries", b"pauses", b"end", b"deliveries", b"retry", b"..", b".", b"%00", b"*", b"-", b"schema",
     b"docs"]
) | st.binary(max_size=12)  # fmt: skip
_NASTY_TEXTS = st.sampled_from(
    ["\0", "\ud800", "\uffff", "\U0001f600" * 20, "a" * 3000, "%00", "${x}", "' OR 1=1 --", "-1", "1e999",
     "NaN", "٣", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
)  # fmt: skip
_TEXTS = st.text(max_size=20) | _NASTY_TEXTS
_NUMBERS = (
    st.integers() | st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**299]) | st.floats(allow_nan=False)
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)
_NOT_JSON = st.binary(max_size=60) | st.sampled_from(
    [
        b'{"event": "call.ended", "event": "call.ended", "payload": {}}',
        b'{"payload": {"x": NaN}}',
        b"[" * 5000,
        b'{"name": "\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name": ' + b"1" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        b'{"x":' * 40 + b"1" + b"}" * 40,
        b'{"payload": "' + b"x" * 300_000 + b'"}',
        b"\xff\xfe{\0}\0",
    ]
)


def check(answer: Answer, *, documented: set[int] | None = None) -> None:
    """Check what holds for every answer of the APIs, whatever the request."""
    assert answer.status < 500, answer
    assert documented is None or answer.status in documented, answer
    assert answer.headers["Cache-Control"] == "no-store"
    assert "X-Request-Id" in answer.headers
    assert isinstance(json.loads(answer.body), dict)


def where(tenant: Tenant, operation: Documented) -> bytes:
    """Return the path of an operation, leading to the first of the tenant's rows."""
    return operation.path.format_map({name: some[0] for name, some in tenant.ids.items()}).encode()


def example(operation: Documented) -> dict[str, Any]:
    """Return a body the document shows."""
    content = operation.declared["requestBody"]["content"]["application/json"]
    shown = content["example"] if "example" in content else next(iter(content["examples"].values()))["value"]
    return dict(shown)


def authorized(tenant: Tenant, headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return headers with the key, unless they bring something in its place."""
    return {"Authorization": f"Bearer {tenant.key}", **(headers or {})}


def test_any_path_and_method_is_answered(fuzz: Fuzz, application: WSGIHandler, tenant: Tenant) -> None:
    @given(
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]),
        contract=st.sampled_from([b"/api", b"/api/v1", b"/api/v4", b"/api/v1/agents", b"/api/v4/tasks"]),
        segments=st.lists(
            _SEGMENTS | st.sampled_from([each.encode() for some in tenant.ids.values() for each in some]),
            max_size=6,
        ),
    )
    def answered(method: str, contract: bytes, segments: list[bytes]) -> None:
        path = b"/".join([contract, *segments])
        with undone():
            answer = send(application, method, path, headers=authorized(tenant))

        if method == "HEAD":
            assert answer.status < 500
        else:
            check(answer)

    fuzz(answered, SHARE)


def test_any_headers_are_answered(fuzz: Fuzz, application: WSGIHandler, tenant: Tenant) -> None:
    @given(
        operation=st.sampled_from(OPERATIONS),
        headers=st.dictionaries(_HEADER_NAMES, _HEADER_VALUES, max_size=5),
        with_key=st.booleans(),
    )
    def answered(operation: Documented, headers: dict[str, str], with_key: bool) -> None:
        body = json.dumps(example(operation)).encode() if operation in WITH_BODY else b""
        sent = {**JSON_TYPE, **(authorized(tenant, headers) if with_key else headers)}
        with undone():
            answer = send(
                application, operation.method.upper(), where(tenant, operation), body=body, headers=sent
            )

        check_or_not_modified(answer, operation)

    fuzz(answered, SHARE)


def test_any_query_is_answered(fuzz: Fuzz, application: WSGIHandler, tenant: Tenant) -> None:
    names = sorted(
        {each["name"] for operation in QUERIED for each in operation.parameters if each["in"] == "query"}
    )
    raw = st.binary(max_size=30)
    known = st.sampled_from([each.encode() for each in names])
    values = (
        raw
        | _TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
        | _NUMBERS.map(lambda n: str(n).encode())
    )

    @given(
        operation=st.sampled_from(QUERIED),
        pairs=st.lists(st.tuples(known | raw, values), max_size=4),
        separator=st.sampled_from([b"&", b"&", b"&", b";", b"&&"]),
    )
    def answered(operation: Documented, pairs: list[tuple[bytes, bytes]], separator: bytes) -> None:
        query = separator.join(name + b"=" + value for name, value in pairs)
        with undone():
            answer = send(
                application, "GET", where(tenant, operation), query=query, headers=authorized(tenant)
            )

        check(answer, documented=set(operation.responses))

    fuzz(answered, SHARE)


def test_any_body_is_answered_and_leaves_every_page_readable(
    fuzz: Fuzz, application: WSGIHandler, tenant: Tenant
) -> None:
    @given(
        operation=st.sampled_from(WITH_BODY),
        changes=st.dictionaries(st.integers(0, 12), _VALUES, max_size=3),
        instead=st.none() | _VALUES.map(lambda value: json.dumps(value).encode()) | _NOT_JSON,
    )
    def answered(operation: Documented, changes: dict[int, Any], instead: bytes | None) -> None:
        body = json.dumps(changed(operation, changes)).encode() if instead is None else instead
        with undone():
            answer = send(
                application,
                operation.method.upper(),
                where(tenant, operation),
                body=body,
                headers={**authorized(tenant), **JSON_TYPE},
            )
            check(answer, documented=set(operation.responses))
            if answer.status < 300:
                for page in QUERIED:
                    path = where(tenant, page)
                    assert send(application, "GET", path, headers=authorized(tenant)).status == 200, page

    fuzz(answered, SHARE)


def check_or_not_modified(answer: Answer, operation: Documented) -> None:
    """Check an answer that may be the one without a body."""
    if answer.status == 304:
        assert answer.body == b""
        assert 304 in operation.responses
    else:
        check(answer, documented=set(operation.responses))


def changed(operation: Documented, changes: Mapping[int, Any]) -> dict[str, Any]:
    """Return the body the document shows, with other values for some of the fields it may have."""
    content = operation.declared["requestBody"]["content"]["application/json"]
    reference = content["schema"]["$ref"].rpartition("/")[2]
    names = [*DOCUMENTS[operation.contract]["components"]["schemas"][reference]["properties"]]
    return {**example(operation), **{names[at % len(names)]: value for at, value in changes.items()}}
