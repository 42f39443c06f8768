"""Every endpoint and another account's ids: told from an id that nobody has by nothing at all.

Not by the answer, and not by the time it takes: both put the same statements to the database, one by one.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from deliveries.api.native.serializers.fields import StrictSerializer
from deliveries.api.native.views.base import NativeViewSet
from deliveries.models import Account, ApiKey
from tests import builders
from tests.api import routes, worlds
from tests.api.worlds import World

Class = TypeVar("Class")

# Differ from request to request, whatever is asked.
OWN_HEADERS = {"Date", "X-RateLimit-Remaining", "RateLimit"}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SAVEPOINT = re.compile(r'"s[0-9]+_x[0-9]+"')

# Where else than in its path an endpoint takes an id: its query, or its body.
FIELDS: dict[tuple[str, str], Any] = {
    ("GET /api/v1/events", "agent_id"): None,
    ("GET /api/v1/deliveries", "event_id"): None,
    ("GET /api/v1/deliveries", "webhook_id"): None,
    ("GET /api/v1/stats", "webhook_id"): None,
    ("POST /api/v1/events", "agent_id"): lambda agent_id: {**worlds.EVENT, "agent_id": agent_id},
    ("POST /api/v1/events/batch", "agent_id"): lambda agent_id: {
        "events": [worlds.EVENT, {**worlds.EVENT, "agent_id": agent_id}]
    },
    ("POST /api/v1/recoveries", "webhook_id"): lambda webhook_id: {
        **worlds.RECOVERY,
        "webhook_id": webhook_id,
    },
    ("POST /api/v1/pauses", "webhook_id"): lambda webhook_id: {
        "seconds": 60,
        "why": "The receiver is being moved.",
        "webhook_id": webhook_id,
    },
}


def places() -> list[tuple[str, int]]:
    """Return every endpoint with every place in its path that takes an id."""
    return [
        (endpoint, place)
        for endpoint in routes.endpoints()
        for place in range(len(routes.parameters(endpoint)))
    ]


def subclasses(of: type[Class]) -> Iterator[type[Class]]:
    """Return the classes below a class, however deep."""
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)


class Asked:
    """What came of a request: the answer, and the statements it took."""

    def __init__(self, client: Client, endpoint: str, ids: Mapping[str, str], **sent: Any) -> None:
        self.statements: list[str] = []
        with connection.execute_wrapper(self._note):
            self.response = worlds.ask(client, endpoint, ids, **sent)

    def _note(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        # As it is before the parameters are put in.
        self.statements.append(_SAVEPOINT.sub("savepoint", sql))
        return execute(sql, params, many, context)

    @property
    def answer(self) -> tuple[int, str, dict[str, str]]:
        """All that is seen of the answer, but for ids that were sent or have just been made."""
        headers = {
            name: _UUID.sub("<uuid>", value)
            for name, value in self.response.headers.items()
            if name not in OWN_HEADERS
        }
        return self.response.status_code, _UUID.sub("<uuid>", self.response.content.decode()), headers


def asked_about(client: Client, endpoint: str, field: str, row_id: str) -> Asked:
    """Ask an endpoint with an id in one of its fields."""
    body = FIELDS[endpoint, field]
    if body is None:
        return Asked(client, endpoint, {}, query=f"?{field}={row_id}")
    return Asked(client, endpoint, {}, body=body(row_id))


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Stop the clock, so that neither a key's last use nor a time in an answer makes a difference."""
    monkeypatch.setattr("deliveries.clock.now", lambda: now)


@pytest.fixture
def ours(account: Account) -> World:
    """What we have."""
    return worlds.a_world(account)


@pytest.fixture
def theirs(db: None) -> World:
    """What somebody else has, of everything one."""
    return worlds.a_world(builders.an_account(name="Elsewhere"))


@pytest.fixture
def us(api: Client, now: datetime) -> Client:
    """A client of ours, whose key has been used within the minute."""
    ApiKey.objects.update(last_used_at=now)
    return api


def rows(of: Account) -> dict[str, Any]:
    """Return everything an account has, and itself."""
    paths = {
        "Account": "pk",
        "Attempt": "delivery__account",
        "WebhookHealth": "webhook__account",
        "WebhookRevision": "webhook__account",
    }
    return {
        model.__name__: list(model._default_manager.filter(**{path: of.pk}).order_by("pk").values())
        for model in apps.get_app_config("deliveries").get_models()
        if model.__name__ not in ("Chore", "EventType", "QueueMinute", "Worker")
        for path in [paths.get(model.__name__, "account")]
    }


@pytest.mark.parametrize(("endpoint", "place"), places())
def test_their_ids_are_unknown_in_every_path(
    us: Client, ours: World, theirs: World, endpoint: str, place: int
) -> None:
    above = {name: ours.ids[name] for name in routes.parameters(endpoint)[:place]}
    before = rows(theirs.account)

    unknown = Asked(us, endpoint, {**worlds.unknown_ids(), **above})
    foreign = Asked(us, endpoint, {**theirs.ids, **above})

    assert foreign.response.status_code == 404
    assert foreign.answer == unknown.answer
    assert foreign.statements == unknown.statements
    assert rows(theirs.account) == before


@pytest.mark.parametrize(("endpoint", "field"), FIELDS)
def test_their_ids_are_unknown_in_every_field(
    us: Client, ours: World, theirs: World, endpoint: str, field: str
) -> None:
    before = rows(theirs.account)

    unknown = asked_about(us, endpoint, field, worlds.unknown_ids()[field])
    foreign = asked_about(us, endpoint, field, theirs.ids[field])

    assert foreign.answer == unknown.answer
    assert foreign.statements == unknown.statements
    assert rows(theirs.account) == before


@pytest.mark.parametrize(("endpoint", "field"), FIELDS)
def test_our_own_ids_are_known_in_every_field(us: Client, ours: World, endpoint: str, field: str) -> None:
    """Otherwise the test before would be content with a field that nobody reads."""
    known = asked_about(us, endpoint, field, ours.ids[field])
    unknown = asked_about(us, endpoint, field, worlds.unknown_ids()[field])

    assert known.answer != unknown.answer


class TestFields:
    def test_name_every_id_in_a_query(self) -> None:
        declared = {
            (view.__name__, name)
            for view in subclasses(NativeViewSet)
            for names in view.parameters.values()
            for name in names
            if name.endswith("_id")
        }

        assert len(declared) == sum(body is None for body in FIELDS.values()), declared

    def test_name_every_id_in_a_body(self) -> None:
        declared = {
            (serializer.__name__, name)
            for serializer in subclasses(StrictSerializer)
            for name in serializer._declared_fields
            if name.endswith("_id")
        }

        assert len(declared) == sum(body is not None for body in FIELDS.values()), declared

    def test_are_of_endpoints_there_are(self) -> None:
        assert {endpoint for endpoint, _ in FIELDS} <= set(routes.endpoints())
