"""Every list costs as many statements for a hundred rows as for one."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deliveries.models import Account, ApiKey, Event, EventType, Webhook
from tests import builders
from tests.api import routes, worlds

MANY = 100


def _failures(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_failed_delivery(builders.a_webhook(account))


def _webhooks(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_webhook(account)


def _webhooks_of_the_agent(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_webhook(agent=account.agents.get(pk=ids["agent_id"]))


def _logs(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_failed_delivery(Webhook.objects.get(pk=ids["webhook_id"]))


def _queued_logs(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_delivery(Webhook.objects.get(pk=ids["webhook_id"]))


def _agents(account: Account, ids: dict[str, str], number: int) -> None:
    builders.an_agent(account)


def _events(account: Account, ids: dict[str, str], number: int) -> None:
    builders.an_event(account, agent=builders.an_agent(account))


def _deliveries_of_the_event(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_delivery(builders.a_webhook(account), event=Event.objects.get(pk=ids["event_id"]))


def _skipped_webhooks(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_webhook(account, agent=builders.an_agent(account))


def _attempts(account: Account, ids: dict[str, str], number: int) -> None:
    delivery = account.deliveries.get(pk=ids["delivery_id"])
    builders.an_attempt(delivery, number=number + 2)


def _event_types(account: Account, ids: dict[str, str], number: int) -> None:
    EventType.objects.create(code=f"type.{number}", label="A type")


def _recoveries(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_recovery(account)


def _pauses(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_pause(account, webhook=builders.a_webhook(account))


def _traffic(account: Account, ids: dict[str, str], number: int) -> None:
    builders.a_minute_of_traffic(builders.a_webhook(account))


Growing = Callable[[Account, dict[str, str], int], None]
# Every list, the query that asks for as much as there can be on a page, and what adds a row to it.
LISTS: list[tuple[str, str, Growing]] = [
    ("GET /api/v4/tasks/webhook_failures", "?limit=100", _failures),
    ("GET /api/v4/tasks/webhooks", "?limit=100", _webhooks),
    ("GET /api/v1/agents/{agent_id}/webhooks", "", _webhooks_of_the_agent),
    ("GET /api/v1/agents/{agent_id}/webhooks/{webhook_id}/logs", "?per_page=100", _logs),
    ("GET /api/v1/agents/{agent_id}/webhooks/{webhook_id}/logs", "?per_page=100", _queued_logs),
    ("GET /api/v1/agents", "?page_size=100", _agents),
    ("GET /api/v1/events", "?page_size=100", _events),
    ("GET /api/v1/events/{event_id}", "", _deliveries_of_the_event),
    ("GET /api/v1/events/{event_id}", "", _skipped_webhooks),
    ("GET /api/v1/event_types", "", _event_types),
    ("GET /api/v1/deliveries", "?page_size=100", _failures),
    ("GET /api/v1/deliveries/{delivery_id}/attempts", "?page_size=100", _attempts),
    ("GET /api/v1/recoveries", "?page_size=100", _recoveries),
    ("GET /api/v1/pauses", "?page_size=100", _pauses),
    ("GET /api/v1/stats", "?window=1h&bucket=1h&group_by=webhook", _traffic),
]
# What answers with one thing, whatever there is.
SINGLE = {
    "GET /api/v4/tasks/webhook_failures/{failure_id}",
    "GET /api/v4/tasks/webhooks/{webhook_id}",
    "GET /api/v1/agents/{agent_id}",
    "GET /api/v1/agents/{agent_id}/webhooks/{webhook_id}",
    "GET /api/v1/deliveries/{delivery_id}",
    "GET /api/v1/deliveries/{delivery_id}/attempts/{attempt_id}",
    "GET /api/v1/recoveries/{recovery_id}",
    "GET /api/v1/pauses/{pause_id}",
    "GET /api/v1/whoami",
}


def longest(value: Any) -> int:
    """Return the length of the longest list in a JSON value."""
    if isinstance(value, dict):
        return max((longest(child) for child in value.values()), default=0)
    if isinstance(value, list):
        return max(len(value), *(longest(child) for child in value), 0)
    return 0


def test_every_list_is_named() -> None:
    listed = {endpoint for endpoint, _, _ in LISTS}

    assert sorted(listed | SINGLE) == [each for each in routes.endpoints() if each.startswith("GET ")]
    assert not listed & SINGLE


@pytest.mark.parametrize(
    ("endpoint", "query", "grow"),
    [pytest.param(*each, id=f"{each[0]} {each[2].__name__.strip('_')}") for each in LISTS],
)
def test_costs_the_same_for_one_row_as_for_a_hundred(
    account: Account,
    api: Client,
    monkeypatch: pytest.MonkeyPatch,
    now: datetime,
    endpoint: str,
    query: str,
    grow: Growing,
) -> None:
    # So that the key's last use is noted by neither request.
    monkeypatch.setattr("deliveries.clock.now", lambda: now)
    ApiKey.objects.update(last_used_at=now)
    EventType.objects.exclude(code="call.ended").delete()
    ids = dict(worlds.a_world(account).ids)

    def cost() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as captured:
            response = worlds.ask(api, endpoint, ids, query=query)
        assert response.status_code == 200
        return longest(response.json()), len(captured)

    rows, statements = cost()
    for number in range(MANY - 1):
        grow(account, ids, number)

    more_rows, more_statements = cost()
    assert (rows, more_rows >= MANY - 1) == (min(rows, 2), True)
    assert more_statements == statements
