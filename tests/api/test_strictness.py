"""What no client should send, sent to every endpoint there is, and what no row should hold, read by each.

The endpoints are those of the URL patterns; each has an example of a good request below, and one without an
example fails a test. So whatever is added is swept as well. What a single endpoint makes of a single field is
in its own tests.
"""

import gzip
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import urlencode

import limits
import pytest
from django.apps import apps
from django.http import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver
from django.utils import timezone

from deliveries.api import parsing, throttling, urls
from deliveries.models import Account, Agent, ApiKey, Attempt, Event, Failure, Recovery, Webhook
from deliveries.models.fields import Sealed
from tests import builders

JSON = "application/json"
METHODS = [
    "GET",
    "HEAD",
    "OPTIONS",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "CONNECT",
    "BREW",
    "M" * 5000,
]


@dataclass(frozen=True)
class Example:
    """A request that is good, and its answer.

    :param body: with every field the endpoint takes; None where it reads no body.
    :param query: with every parameter the endpoint takes.
    :param may_be_empty: the body need have nothing in it.
    """

    status: int = 200
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    limits: parsing.Limits = parsing.ONE_EVENT
    may_be_empty: bool = False


_LOGS = "/api/v1/agents/{agent_id}/webhooks"
_MOMENT = "2026-03-15T10:00:00Z"
_WEBHOOK = {
    "name": "CRM",
    "webhook_url": builders.URL,
    "webhook_secret": "a secret",
    "events": ["*"],
    "timeout": 30,
    "max_retries": 3,
    "enabled": True,
    "http_method": "POST",
    "authorization_scheme": "bearer",
    "authorization_credential": "a token",
    "custom_headers": [{"key": "X-A", "value": "b"}],
}
_EVENT = {"event": "call.ended", "agent_id": None, "payload": {"a": {"b": ["c"]}}, "occurred_at": _MOMENT}
_SINCE = {"created_at[gte]": _MOMENT, "created_at[lt]": _MOMENT}
_RECOVERY = {
    "event": "call.ended",
    "reason_code": "http_status",
    "created_at": {"gte": _MOMENT},
    "dry_run": False,
    "rate": 50,
    "why": "The receiver was down.",
}
_PAUSE = {"event": "call.ended", "seconds": 60, "why": "The receiver is being moved."}

EXAMPLES = {
    "GET /api/v4/tasks/webhook_failures": Example(
        query={"limit": "1", "offset": "0", "created_at[gte]": _MOMENT, "created_at[lt]": _MOMENT}
    ),
    "GET /api/v4/tasks/webhook_failures/{failure_id}": Example(),
    "POST /api/v4/tasks/webhook_failures/{failure_id}/retrigger": Example(),
    "GET /api/v4/tasks/webhooks": Example(query={"limit": "1", "offset": "0"}),
    "GET /api/v4/tasks/webhooks/{webhook_id}": Example(),
    f"GET {_LOGS}": Example(),
    f"POST {_LOGS}": Example(201, _WEBHOOK),
    f"GET {_LOGS}/{{webhook_id}}": Example(),
    f"PUT {_LOGS}/{{webhook_id}}": Example(body=_WEBHOOK, may_be_empty=True),
    f"DELETE {_LOGS}/{{webhook_id}}": Example(),
    f"PATCH {_LOGS}/{{webhook_id}}/toggle": Example(),
    f"POST {_LOGS}/{{webhook_id}}/test": Example(),
    f"POST {_LOGS}/{{webhook_id}}/rotate_secret": Example(body={"overlap_hours": 0}, may_be_empty=True),
    f"GET {_LOGS}/{{webhook_id}}/logs": Example(query={"page": "1", "per_page": "1"}),
    f"POST {_LOGS}/{{webhook_id}}/logs/{{log_id}}/retry": Example(),
    "POST /api/v1/events": Example(202, _EVENT),
    "POST /api/v1/events/batch": Example(202, {"events": [_EVENT]}, limits=parsing.MANY_EVENTS),
    "GET /api/v1/events": Example(query={"page_size": "1", **_SINCE}),
    "GET /api/v1/events/{event_id}": Example(),
    "GET /api/v1/deliveries": Example(query={"page_size": "1", "status": "failed", **_SINCE}),
    "GET /api/v1/deliveries/{delivery_id}": Example(),
    "POST /api/v1/deliveries/{delivery_id}/retry": Example(202),
    "GET /api/v1/deliveries/{delivery_id}/attempts": Example(query={"page_size": "1"}),
    "GET /api/v1/deliveries/{delivery_id}/attempts/{attempt_id}": Example(),
    "GET /api/v1/event_types": Example(),
    "GET /api/v1/stats": Example(query={"window": "1h", "bucket": "1m", "until": _MOMENT}),
    "GET /api/v1/whoami": Example(),
    "GET /api/v1/agents": Example(query={"page_size": "1"}),
    "POST /api/v1/agents": Example(201, {"name": "Reception"}),
    "GET /api/v1/agents/{agent_id}": Example(),
    "POST /api/v1/recoveries": Example(202, _RECOVERY),
    "GET /api/v1/recoveries": Example(query={"page_size": "1", "status": "running"}),
    "GET /api/v1/recoveries/{recovery_id}": Example(),
    "POST /api/v1/recoveries/{recovery_id}/pause": Example(),
    "POST /api/v1/recoveries/{recovery_id}/resume": Example(409),
    "POST /api/v1/recoveries/{recovery_id}/cancel": Example(),
    "POST /api/v1/pauses": Example(201, _PAUSE),
    "GET /api/v1/pauses": Example(query={"page_size": "1", "in_force": "true"}),
    "GET /api/v1/pauses/{pause_id}": Example(),
    "POST /api/v1/pauses/{pause_id}/end": Example(),
}


def _patterns(parts: Sequence[URLPattern | URLResolver], before: str) -> Iterator[tuple[str, str]]:
    """Return every method of every path the patterns lead to, catch-alls left out."""
    for part in parts:
        path = before + re.sub(
            r"\(\?P<(\w+)>[^)]*\)", r"{\1}", re.sub(r"^\^|/\?\$$|\(\?:/\|\$\)", "", str(part.pattern))
        )
        if isinstance(part, URLResolver):
            yield from _patterns(part.url_patterns, path.removesuffix("/") + "/")
        else:
            for method in getattr(part.callback, "actions", {}):
                if method != "head":
                    yield method.upper(), path


ENDPOINTS = sorted({f"{method} {path}" for method, path in _patterns(urls.urlpatterns, "/api/")})
READING = [each for each in ENDPOINTS if each in EXAMPLES and EXAMPLES[each].body is not None]
PATHS = sorted({each.partition(" ")[2] for each in ENDPOINTS})

every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS)
every_body = pytest.mark.parametrize("endpoint", READING)
every_path = pytest.mark.parametrize("path", PATHS)


class Bad(NamedTuple):
    """A body that is refused."""

    raw: bytes
    status: int = 400
    content_type: str = JSON


def bodies(good: bytes, limits: parsing.Limits) -> dict[str, Bad]:
    """Return what may not be sent where this may."""
    inside = good.removesuffix(b"}")
    text = good.decode()

    def with_member(value: str) -> Bad:
        return Bad(inside + b', "x": ' + value.encode() + b"}")

    return {
        "no JSON": Bad(b"call.ended"),
        "cut short": Bad(good[:-1]),
        "something behind": Bad(good + b"x"),
        "two": Bad(good + good),
        "a BOM": Bad(b"\xef\xbb\xbf" + good),
        "UTF-16": Bad(text.encode("utf-16")),
        "UTF-32": Bad(text.encode("utf-32")),
        "bytes that are no UTF-8": Bad(inside + b', "x": "\xff"}'),
        "a surrogate as UTF-8": Bad(inside + b', "x": "\xed\xa0\x80"}'),
        "overlong UTF-8": Bad(inside + b', "x": "\xc0\xaf"}'),
        "a NUL byte": Bad(good + b"\x00"),
        "a NUL in a value": with_member('"\\u0000"'),
        "a NUL in a name": Bad(inside + b', "\\u0000": 1}'),
        "a NUL deep inside": with_member('[{"y": ["\\u0000"]}]'),
        "half a pair": with_member('"\\ud800"'),
        "the other half": with_member('"\\udfff"'),
        "halves in the wrong order": with_member('"\\udc00\\ud800"'),
        "half a pair in a name": Bad(inside + b', "\\ud800": 1}'),
        "a name twice": Bad(inside + b", " + good.removeprefix(b"{")),
        "a name twice, escaped once": Bad(inside + b', "xy": 1, "x\\u0079": 1}'),
        "a name twice, deep inside": with_member('[{"y": {"z": 1, "z": 1}}]'),
        "NaN": with_member("NaN"),
        "Infinity": with_member("Infinity"),
        "-Infinity": with_member("-Infinity"),
        "1e400": with_member("1e400"),
        "-1e400": with_member("-1e400"),
        "301 digits": with_member("1" * 301),
        "10,000 digits": with_member("9" * 10_000),
        "10,000 digits behind the point": with_member("0." + "1" * 10_000),
        "a leading zero": with_member("01"),
        "a plus": with_member("+1"),
        "hexadecimal": with_member("0x1"),
        "single quotes": with_member("'x'"),
        "a comment": with_member("1 /* x */"),
        "a comma too many": Bad(inside + b",}"),
        "a raw line break in a string": with_member('"\n"'),
        "2 levels too deep": with_member("[" * (limits.levels + 1) + "]" * (limits.levels + 1)),
        "1,000 levels of arrays": with_member("[" * 1000 + "]" * 1000),
        "1,000 levels of objects": with_member('{"y":' * 1000 + "1" + "}" * 1000),
        "100,000 levels of arrays": with_member("[" * 100_000 + "]" * 100_000),
        "100,000 open arrays": Bad(b"[" * 100_000),
        "50,000 open objects": Bad(b'{"":' * 50_000),
        "as large as may be": Bad(b" " * limits.bytes),
        "a byte too large": Bad(good.ljust(limits.bytes + 1), 413),
        "3 MB too large": Bad(good.ljust(limits.bytes + 3_000_000), 413),
        "text": Bad(good, 415, "text/plain"),
        "a form": Bad(b"name=x", 415, "application/x-www-form-urlencoded"),
        "a form with files": Bad(b"--x\r\n\r\n--x--", 415, "multipart/form-data; boundary=x"),
        "a form without a boundary": Bad(good, 415, "multipart/form-data"),
        "XML": Bad(b"<a/>", 415, "application/xml"),
        "no type": Bad(good, 415, ""),
        "a type that is none": Bad(good, 415, "json"),
        "a type with NUL": Bad(good, 415, "text/\x00"),
        "two types": Bad(good, 415, "text/plain, application/json"),
        "JSON of another character set": Bad(good, 415, "application/json; charset=latin-1"),
    }  # fmt: skip


# Not objects, and empty ones where something is required: read, and then refused.
NO_OBJECTS = [b"[]", b"null", b"true", b"0", b'"x"', b"[{}]", b"", b"{}"]
# One of each kind JSON knows.
VALUES: list[Any] = [True, 1, 1.5, "text", [], {}]
# More than anybody means.
ODD_VALUES: list[Any] = [
    None, -1, 0, 10**20, -(10**299), 1e308, 5e-324, -0.0, " ", "x" * 300, "x" * 100_000, "\U0001f4a9",
    "\u202e", "*.*",
    "../../etc/passwd", "{{ 7*7 }}", "%s", "'--", "0", "true", "null", "2026-02-30T00:00:00Z",
    "http://[::1", "\x7f",
    ["x"] * 10_000, [None], [[]], [{}], ["*"] * 2, {"x": "y"}, {str(n): n for n in range(1000)},
    {"gte": 1}, {"lt": []},
]  # fmt: skip
# What a consumer must not set, and what nobody knows.
UNKNOWN = [
    "id",
    "account",
    "account_id",
    "created_at",
    "status",
    "secret_hash",
    "nonsense",
    "__proto__",
    "",
    "ü",
]

BAD_IDS = [
    "abc", "0", "-1", "1" * 22, "9" * 5000, "x" * 10_000, "%00", "%20", "%0a", "%ff", "%ED%A0%80", "%zz", "%",
    "%C3%BC", "%F0%9F%92%A9", "%D9%A3", "..", "%2e%2e", "a;b=1", ";", "a%2Fb", "{x}", "'--", "$(x)", "*",
    "0b97ce11-b6e0-49b4-8f92-68040aa324bf%00", "0b97ce11-b6e0-49b4-8f92-68040aa324bf%0a",
    "aabbccddeeff001122334455%00", "AABBCCDDEEFF001122334455", "0b97ce11b6e049b48f9268040aa324bf",
    "%7B0b97ce11-b6e0-49b4-8f92-68040aa324bf%7D",
]  # fmt: skip
# Bad whatever the parameter is.
BAD_VALUES = [
    "-1", "+1", "1.0", "1e3", "0x1", "1_000", "٣", "²", "١٠", " 1", "1 ", "1\n", "abc", "\x00", "1\x00",
    "\ud800",
    "null", "NaN", "1,2", "x" * 10_000,
]  # fmt: skip
HUGE = ["9" * 20, "9" * 101, "9" * 5000]
KEYS = [
    "", "Bearer", "Bearer ", "bearer  ", "Basic eDp5", "Bearer nobody", "Bearer \x00", "Bearer ü",
    "Bearer \udcff", "Bearer a b", "Bearer nobody, Bearer nobody", "Bearer " + "x" * 100_000,
    "Bearer\tx", "\x00",
]  # fmt: skip
ODD_QUERIES = [
    "format=api", "format=json", "format=%00", "_method=DELETE", "x=1;y=2", ";", "&", "&&&=&=", "=", "%",
    "%zz=%zz", "%00",
    "%00=%00", "%ff=%ff", "%ED%A0%80=1", "%F0%9F%92%A9=1", "a[]=1", "a[b]=c", "ordering=password",
    "account_id=1",
    "filter[account]=1", "account__id=1", "cursor=%00", "x" * 10_000, "x=" + "y" * 10_000,
    "&".join(["a=1"] * 1000),
    "&".join(["a=1"] * 1001), "&".join(f"a{n}={n}" for n in range(5000)), "&" * 100_000, "x" * 1_000_000,
]  # fmt: skip
ODD_HEADERS: list[dict[str, str]] = [
    {"Accept": "*"}, {"Accept": "/"}, {"Accept": ",,;q=;"}, {"Accept": "x" * 100_000}, {"Accept": "\x00\xff"},
    {"Accept": "text/html"}, {"Accept": "application/json;q=abc;indent=9999999"}, {"Accept": "*/*;indent=x"},
    {"X-Request-Id": "x" * 10_000}, {"X-Request-Id": "\x00\r\n"}, {"Idempotency-Key": "\x00"},
    {"If-None-Match": '"'}, {"If-None-Match": "x" * 10_000}, {"If-Match": "\x00, *"}, {"Range": "bytes=9-1"},
    {"If-Modified-Since": "yesterday"}, {"Cookie": "=;\x00;" * 1000}, {"X-Forwarded-For": "::"},
    {"X-Forwarded-Proto": "gopher"}, {"Accept-Language": "x" * 100_000}, {"Origin": "null"},
    {"Expect": "miracles"}, {"Upgrade": "h2c"}, {"X-Junk": "x" * 100_000},
]  # fmt: skip


@dataclass
class World:
    """An account with one of everything, and a client of it."""

    api: Client
    ids: Mapping[str, str]

    def ask(
        self,
        endpoint: str,
        *,
        ids: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        content_type: str = JSON,
        query: str | None = None,
        headers: Mapping[str, str] | None = None,
        **environ: str,
    ) -> HttpResponseBase:
        """Send the endpoint's good request, except for what is given."""
        method, _, path = endpoint.partition(" ")
        example = EXAMPLES.get(endpoint, Example())
        if raw is None:
            raw = b"" if example.body is None else json.dumps(example.body).encode()
        if query is None:
            query = urlencode(example.query)
        url = path.format(**{**self.ids, **(ids or {})}) + (f"?{query}" if query else "")
        # As a server hands them on, whatever they hold.
        sent = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
        given: dict[str, Any] = {"wsgi.input": BytesIO(raw), **sent, **environ}
        return self.api.generic(method, url, raw, content_type=content_type, **given)


def stored() -> dict[str, list[Any]]:
    """Return every row there is, except for what a request leaves behind by having come."""
    models = [model for model in apps.get_app_config("deliveries").get_models() if model is not ApiKey]
    return {model.__name__: list(model._default_manager.order_by("pk").values_list()) for model in models}


@pytest.fixture(autouse=True)
def as_many_tests_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep calls `test` more often than anybody may in a minute."""
    monkeypatch.setattr(throttling, "_TESTS", limits.parse("100000/minute"))


@pytest.fixture
def world(account: Account, api: Client) -> World:
    """An account with one of everything."""
    # Of now, so that nothing is past its time.
    now = timezone.now() - timedelta(minutes=5)
    agent = builders.an_agent(account)
    delivery = builders.a_failed_delivery(builders.a_webhook(agent=agent, now=now), created_at=now)
    Attempt.objects.update(created_at=now, started_at=now)
    failure = delivery.failure
    return World(
        api,
        {
            "agent_id": str(agent.pk),
            "webhook_id": str(delivery.webhook_id),
            "event_id": str(delivery.event_id),
            "delivery_id": str(delivery.pk),
            "log_id": str(delivery.attempts.get().pk),
            "attempt_id": str(delivery.attempts.get().pk),
            "failure_id": str(failure.pk),
            "recovery_id": str(builders.a_recovery(account, created_at=now, next_slot_at=now).pk),
            "pause_id": str(
                builders.a_pause(account, event_type="message.sent", until=now + timedelta(days=1)).pk
            ),
        },
    )


@pytest.mark.django_db
class TestExamples:
    def test_there_is_one_for_every_endpoint(self) -> None:
        missing = "give each endpoint an example in EXAMPLES, and take those of no endpoint out"

        assert set(ENDPOINTS) == set(EXAMPLES), missing

    @every_endpoint
    def test_are_good(self, world: World, endpoint: str) -> None:
        assert world.ask(endpoint).status_code == EXAMPLES[endpoint].status


@pytest.mark.django_db
class TestBodies:
    @every_body
    def test_are_refused_before_anything_is_done(self, world: World, endpoint: str) -> None:
        good = json.dumps(EXAMPLES[endpoint].body).encode()
        before = stored()

        wrong = {}
        for name, bad in bodies(good, EXAMPLES[endpoint].limits).items():
            status = world.ask(endpoint, raw=bad.raw, content_type=bad.content_type).status_code
            if status != bad.status:
                wrong[name] = (status, bad.status)
        assert wrong == {}
        assert stored() == before

    @every_body
    def test_are_objects(self, world: World, endpoint: str) -> None:
        before = stored()

        empty = (b"", b"{}") if EXAMPLES[endpoint].may_be_empty else ()
        refused = [raw for raw in NO_OBJECTS if raw not in empty]
        statuses = {raw: world.ask(endpoint, raw=raw).status_code for raw in refused}

        assert statuses == {raw: statuses[raw] if statuses[raw] == 400 else 422 for raw in refused}
        assert stored() == before

    @every_body
    def test_hold_no_unknown_names(self, world: World, endpoint: str) -> None:
        body = EXAMPLES[endpoint].body or {}
        before = stored()

        statuses = {
            name: world.ask(endpoint, raw=json.dumps({**body, name: None}).encode()).status_code
            for name in UNKNOWN
            if name not in body
        }

        assert statuses == dict.fromkeys(statuses, 422)
        assert stored() == before

    @every_body
    def test_have_strict_types(self, world: World, endpoint: str) -> None:
        body = EXAMPLES[endpoint].body or {}
        before = stored()

        wrong = {}
        for name, good in body.items():
            for value in VALUES:
                # Where the example has null there is no telling what else there may be.
                if good is None or type(value) is type(good):
                    continue
                raw = json.dumps({**body, name: value}).encode()
                status = world.ask(endpoint, raw=raw).status_code
                if status != 422:
                    wrong[name, str(value)] = status
        assert wrong == {}
        assert stored() == before

    @every_body
    def test_are_never_too_much(self, world: World, endpoint: str) -> None:
        """What no field was made for is refused, or taken; it is no reason to fail."""
        body = EXAMPLES[endpoint].body or {}

        wrong = {}
        for name, value in itertools.product(body, ODD_VALUES):
            raw = json.dumps({**body, name: value}).encode()
            status = world.ask(endpoint, raw=raw).status_code
            if not (200 <= status < 300 or status in (400, 404, 409, 413, 422)):
                wrong[name, repr(value)[:40]] = status
        assert wrong == {}
        assert pages(world) == {}

    @every_body
    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x" * 1000])
    def test_are_sent_as_they_are(self, world: World, endpoint: str, encoding: str) -> None:
        before = stored()
        raw = gzip.compress(json.dumps(EXAMPLES[endpoint].body).encode())

        assert world.ask(endpoint, raw=raw, headers={"Content-Encoding": encoding}).status_code == 415
        assert stored() == before

    @every_body
    def test_may_say_that_they_are_as_they_are(self, world: World, endpoint: str) -> None:
        content_type = "Application/JSON; charset=UTF-8"

        answer = world.ask(endpoint, headers={"Content-Encoding": "identity"}, content_type=content_type)

        assert answer.status_code == EXAMPLES[endpoint].status

    @every_body
    @pytest.mark.parametrize(
        "length", ["-1", "abc", "1e3", "999999999999999999999", "9" * 5000, "٣", "10000"]
    )
    def test_are_as_long_as_they_say(self, world: World, endpoint: str, length: str) -> None:
        before = stored()

        status = world.ask(endpoint, CONTENT_LENGTH=length).status_code

        if EXAMPLES[endpoint].may_be_empty and status == 200:
            return  # no length is none, and a body without one is empty
        assert status in (400, 413, 422)
        assert stored() == before

    @pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each not in READING])
    def test_are_ignored_where_none_is_wanted(self, world: World, endpoint: str) -> None:
        for bad in (b"[" * 100_000, b"\xff\x00", b"{}x"):
            assert world.ask(endpoint, raw=bad).status_code < 500


@pytest.mark.django_db
class TestPaths:
    @pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if "{" in each])
    def test_answer_404_to_what_is_no_id(self, world: World, endpoint: str) -> None:
        before = stored()

        wrong = {}
        for name in re.findall(r"{(\w+)}", endpoint):
            for bad in BAD_IDS:
                answer = world.ask(endpoint, ids={name: bad})
                if answer.status_code != 404 or "json" not in answer.headers["Content-Type"]:
                    wrong[name, bad[:40]] = answer.status_code
        assert wrong == {}
        assert stored() == before

    @every_endpoint
    @pytest.mark.parametrize("change", [("/", "//"), ("/api/", "/api/x/../"), ("/api/", "/api/./")])
    def test_are_not_tidied_up(self, world: World, endpoint: str, change: tuple[str, str]) -> None:
        method, _, path = endpoint.partition(" ")
        odd = path.format(**world.ids).replace(*change)

        # Django's test client would take the beginning of `//api` for a host.
        answer = world.api.generic(method, "/api", content_type=JSON, PATH_INFO=odd)

        assert answer.status_code == 404

    @every_path
    def test_have_no_other_methods(self, world: World, path: str) -> None:
        own = {each.partition(" ")[0] for each in ENDPOINTS if each.partition(" ")[2] == path}
        own |= {"HEAD"} if "GET" in own else set()
        before = stored()

        wrong = {}
        for method in METHODS:
            if method in own:
                continue
            answer = world.api.generic(method, path.format(**world.ids), content_type=JSON)
            allowed = set(answer.headers.get("Allow", "").split(", "))
            if answer.status_code != 405 or allowed != own:
                wrong[method[:40]] = (answer.status_code, allowed)
        assert wrong == {}
        assert stored() == before

    @every_path
    def test_know_no_other_method_by_a_header(self, world: World, path: str) -> None:
        before = stored()
        url = path.format(**world.ids)
        getting = f"GET {path}" in ENDPOINTS

        for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
            for method in ("DELETE", "POST", "PUT"):
                answer = world.api.get(url, headers={header: method})
                assert answer.status_code == (200 if getting else 405)
        assert stored() == before


@pytest.mark.django_db
class TestQueries:
    @pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if EXAMPLES.get(each, Example()).query])
    def test_refuse_what_no_parameter_means(self, world: World, endpoint: str) -> None:
        wrong = {}
        query = EXAMPLES[endpoint].query
        for name, bad in itertools.product(query, BAD_VALUES):
            asked = urlencode({**query, name: bad}, errors="surrogatepass")
            status = world.ask(endpoint, query=asked).status_code
            if status != 422:
                wrong[name, bad[:20]] = status
        assert wrong == {}

    @pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if EXAMPLES.get(each, Example()).query])
    def test_take_numbers_of_any_size(self, world: World, endpoint: str) -> None:
        query = EXAMPLES[endpoint].query
        for name, huge in itertools.product(query, HUGE):
            answer = world.ask(endpoint, query=urlencode({**query, name: huge}))
            assert answer.status_code in ((200,) if name in ("offset", "page") else (422,)), (name, huge[:30])

    @pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if EXAMPLES.get(each, Example()).query])
    def test_count_the_last_of_two_values(self, world: World, endpoint: str) -> None:
        query = EXAMPLES[endpoint].query
        for name, good in query.items():
            first, last = ((name, "bad"), (name, good)), ((name, good), (name, "bad"))

            assert world.ask(endpoint, query=urlencode(first)).status_code == 200
            assert world.ask(endpoint, query=urlencode(last)).status_code == 422

    @every_endpoint
    def test_harm_nobody(self, world: World, endpoint: str) -> None:
        wrong: dict[str, object] = {}
        for query in ODD_QUERIES:
            answer = world.ask(endpoint, query=query)
            # Behind the first of them, what can be done only once has been done.
            if answer.status_code not in (EXAMPLES[endpoint].status, *_done(endpoint), 400, 409, 422):
                wrong[query[:40]] = answer.status_code
            if "json" not in answer.headers["Content-Type"]:
                wrong[query[:40]] = answer.headers["Content-Type"]
        assert wrong == {}
        assert pages(world) == {}


@pytest.mark.django_db
class TestHeaders:
    @every_endpoint
    def test_without_a_good_key_are_answered_with_401(self, world: World, endpoint: str) -> None:
        world.api.defaults.pop("HTTP_AUTHORIZATION", None)
        before = stored()

        answers = {}
        for key in KEYS:
            answer = Client().generic(
                endpoint.partition(" ")[0],
                endpoint.partition(" ")[2].format(**world.ids),
                b"[" * 1000,
                content_type=JSON,
                HTTP_AUTHORIZATION=key,
            )
            answers[key[:40]] = (answer.status_code, answer.headers["WWW-Authenticate"].split(" ")[0])
        assert answers == dict.fromkeys(answers, (401, "Bearer"))
        assert stored() == before

    @every_endpoint
    def test_harm_nobody(self, world: World, endpoint: str) -> None:
        wrong = {}
        for headers in ODD_HEADERS:
            answer = world.ask(endpoint, headers=headers)
            expected = (EXAMPLES[endpoint].status, *_done(endpoint), 400, 406, 409, 412, 422)
            if answer.status_code not in expected:
                wrong[str(headers)[:40]] = answer.status_code
        assert wrong == {}
        assert pages(world) == {}

    @every_endpoint
    @pytest.mark.parametrize("host", ["", "\x00", "a b", "ü.example", "[", "x" * 10_000, "a/b"])
    def test_name_a_host_of_this_service(self, world: World, endpoint: str, host: str) -> None:
        before = stored()

        answer = world.ask(endpoint, HTTP_HOST=host)

        assert answer.status_code in (400, EXAMPLES[endpoint].status) if host == "" else (400,)
        assert host == "" or stored() == before


def pages(world: World) -> dict[str, int]:
    """Return what is wrong with the answers to every GET: nothing, unless a row spoils them."""
    statuses = {
        endpoint: world.ask(endpoint).status_code for endpoint in ENDPOINTS if endpoint.startswith("GET ")
    }
    there = Webhook.objects.existing().exists()
    return {
        endpoint: status
        for endpoint, status in statuses.items()
        if status != (200 if there or "{webhook_id}" not in endpoint else 404)
    }


def _done(endpoint: str) -> tuple[int, ...]:
    """Return what else an endpoint answers once it has done its work: what is deleted is not found."""
    return (404,) if endpoint.startswith("DELETE ") else ()


# As a version with fewer scruples might have stored them.
ODD_TEXTS = [
    "\u202eright to left\u202c", "\ufeff", "\u2028\u2029", "\x01\x1b[31m\x7f",
    "<script>alert(1)</script>", "{{ 7*7 }}",
    "\U0001f4a9" * 255, "e" + "\u0301" * 250, "\ufffe\uffff", " ", "%s%n{0}",
    "'; DROP TABLE deliveries_event; --",
]  # fmt: skip
ODD_BODIES = [
    b"", b"\x00", b"\xff\xfe", b"not json", b"[]", b"null", b"NaN", b'{"a": NaN}', b'{"a": 1e400}',
    b'{"a": "\\u0000"}',
    b'{"a": "\\ud800"}', b'{"\\udfff": 1}', b'{"a": 1, "a": 2}', b"9" * 10_000, b"[" * 100_000,
    b"[" * 900 + b"]" * 900,
    b'{"a":' * 5000 + b"1" + b"}" * 5000, b"\xef\xbb\xbf{}",
]  # fmt: skip


@pytest.mark.django_db
class TestRows:
    """A row written past every check spoils no page."""

    @pytest.mark.parametrize("number", range(len(ODD_TEXTS)))
    def test_may_hold_any_text(self, world: World, number: int) -> None:
        text = ODD_TEXTS[number]
        headers = Webhook.seal_headers({"X-A": text, text: "b"})
        Agent.objects.update(name=text[:255])
        Webhook.objects.update(
            name=text[:255],
            url=text,
            events=[text],
            disabled_reason=text[:255],
            enabled=False,
            custom_headers=headers,
        )
        Event.objects.update(type=text[:100])
        Failure.objects.update(reason=text[:255], webhook_name=text[:255], event_type=text[:100])
        Attempt.objects.update(
            error=text[:255],
            url=text,
            request_headers={text: text},
            response_headers={text: text * 300},
            response_body=text.encode() * 300,
        )
        Recovery.objects.update(by=text[:200], why=text[:255], event_type=text[:100])

        assert pages(world) == {}

    @pytest.mark.parametrize("number", range(len(ODD_BODIES)))
    def test_may_hold_any_bytes(self, world: World, number: int) -> None:
        Event.objects.update(body=ODD_BODIES[number])
        Attempt.objects.update(response_body=ODD_BODIES[number])

        assert pages(world) == {}

    @pytest.mark.parametrize(
        "headers",
        [None, {}, {"a": "x" * 64 * 1024}, {f"x-{n}": "y" for n in range(5000)}, {"a": None}, [], "x"],
    )
    def test_may_hold_any_headers(self, world: World, headers: object) -> None:
        Attempt.objects.update(response_headers=headers)

        assert pages(world) == {}

    def test_may_hold_what_no_key_opens(self, world: World) -> None:
        lost = Sealed("gAAAAAB-of-another-installation")
        Webhook.objects.update(
            secret=lost, previous_secrets=lost, authorization_credential=lost, custom_headers=lost
        )

        assert pages(world) == {}
