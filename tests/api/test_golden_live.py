"""Against a service as `make run` starts it: the vendors' printed requests, and two consumers.

The consumers know what the contracts promise, a base URL and a key, and nothing else.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.api.test_seed_documents import Command, page, shape
from tests.up.service import Service, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

PATIENCE = 20.0
FAILURES = "/api/v4/tasks/webhook_failures"
FAILURE = "aabbccddeeff001122334455"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service after its first start."""
    with running(tmp_path_factory.mktemp("live") / "var") as service:
        yield service


class Consumer:
    """A program with a base URL and a key."""

    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the shell's would only be in the way
        self._session.headers["Authorization"] = f"Bearer {key}"

    def call(self, method: str, path: str, *, status: int = 200, **sent: Any) -> Any:
        """Return the JSON an endpoint answers with, which must have this status."""
        answer = self._session.request(method, f"{self._base_url}{path}", timeout=PATIENCE, **sent)
        assert answer.status_code == status, answer.text
        return answer.json()


class FailuresConsumer(Consumer):
    """Looks after the failures of a contact center, by the pages of the failures API."""

    PAGE = 2

    def failures(self, *, since: datetime, until: datetime) -> list[dict[str, Any]]:
        """Return all failures of a time, page by page."""
        found: list[dict[str, Any]] = []
        while True:
            window = {"created_at[gte]": since.isoformat(), "created_at[lt]": until.isoformat()}
            query = {**window, "limit": self.PAGE, "offset": len(found)}
            answer = self.call("GET", FAILURES, params=query)
            found += answer["webhook_failures"]
            if not answer["webhook_failures"]:
                assert len(found) == answer["metadata"]["total"]
                return found

    def failure(self, failure_id: str) -> Mapping[str, Any]:
        """Return one failure."""
        answer = self.call("GET", f"{FAILURES}/{failure_id}")
        failure: dict[str, Any] = answer["webhook_failure"]
        return failure

    def retrigger(self, failure_id: str, *, status: int = 200) -> Any:
        """Send a failure again."""
        return self.call("POST", f"{FAILURES}/{failure_id}/retrigger", status=status)

    def webhook(self, webhook_id: str) -> Mapping[str, Any]:
        """Return a webhook."""
        answer = self.call("GET", f"/api/v4/tasks/webhooks/{webhook_id}")
        webhook: dict[str, Any] = answer["webhook"]
        return webhook


class LogsConsumer(Consumer):
    """Sets up the webhook of an agent and looks after its logs, by the pages of the logs API."""

    def __init__(self, base_url: str, key: str) -> None:
        super().__init__(base_url, key)
        agent = self.call("POST", "/api/v1/agents", json={"name": "Night desk"}, status=201)
        self.agent_id = agent["id"]
        self._webhooks = f"/api/v1/agents/{self.agent_id}/webhooks"

    def create(self, url: str) -> str:
        """Make a webhook and return its id."""
        listed = self.call("GET", self._webhooks)["data"]
        assert "event_phone_call_ended" in listed["available_events"]
        fields = {"name": "CRM", "webhook_url": url, "events": ["event_phone_call_ended"], "max_retries": 0}
        answer = self.call("POST", self._webhooks, json=fields, status=201)
        assert (answer["success"], answer["message"]) == (True, "Webhook created successfully")
        return str(answer["data"]["id"])

    def publish(self, **payload: object) -> Any:
        """Publish an event of the agent."""
        event = {"event": "event_phone_call_ended", "agent_id": self.agent_id, "payload": payload}
        return self.call("POST", "/api/v1/events", json=event, status=202)

    def logs(self, webhook_id: str) -> list[dict[str, Any]]:
        """Return all logs of a webhook, page by page."""
        found: list[dict[str, Any]] = []
        number, last = 1, 1
        while number <= last:
            query = {"page": number, "per_page": 2}
            answer = self.call("GET", f"{self._webhooks}/{webhook_id}/logs", params=query)
            found += answer["data"]
            number, last = number + 1, answer["pagination"]["last_page"]
        return found

    def statuses(self, webhook_id: str) -> dict[str, str]:
        """Return the status of each log."""
        return {log["id"]: log["status"] for log in self.logs(webhook_id)}

    def retry(self, webhook_id: str, log_id: str, *, status: int = 200) -> Any:
        """Retry a log."""
        return self.call("POST", f"{self._webhooks}/{webhook_id}/logs/{log_id}/retry", status=status)

    def act(self, method: str, webhook_id: str, act: str = "", *, status: int = 200, **sent: Any) -> Any:
        """Do something with a webhook."""
        return self.call(method, f"{self._webhooks}/{webhook_id}{act}", status=status, **sent)


def test_a_consumer_of_the_failures_api_works_unchanged(service: Service) -> None:
    consumer = FailuresConsumer(service.papers["url"], service.papers["api_key"])
    begun = datetime.now(UTC)
    service.behave("failing", "500")

    def failures() -> list[dict[str, Any]]:
        return consumer.failures(since=begun, until=datetime.now(UTC) + timedelta(minutes=1))

    for number in range(5):
        service.publish(call_id=f"c-{number}")
    wait_until(lambda: len(failures()) == 5, timeout=PATIENCE, what="five failures")
    listed = failures()

    assert len({failure["id"] for failure in listed}) == 5
    moments = [failure["created_at"] for failure in listed]
    assert moments == sorted(moments, reverse=True)
    for failure in listed:
        assert consumer.failure(failure["id"]) == failure
        assert failure["reason"] == "HTTP 500"
        assert consumer.webhook(failure["webhook"]["id"])["name"] == failure["webhook"]["name"]

    service.behave("failing", "200")
    for failure in listed:
        again = consumer.retrigger(failure["id"])["webhook_failure"]
        assert (again["id"], again["status"], again["reason"]) == (failure["id"], "pending", None)
    wait_until(lambda: not failures(), timeout=PATIENCE, what="an empty list")

    assert {consumer.failure(failure["id"])["status"] for failure in listed} <= {"pending", "delivered"}
    wait_until(
        lambda: {consumer.failure(failure["id"])["status"] for failure in listed} == {"delivered"},
        timeout=PATIENCE,
        what="all delivered",
    )
    assert "status" in consumer.retrigger(listed[0]["id"], status=409)["errors"]


def test_a_consumer_of_the_logs_api_works_unchanged(service: Service) -> None:
    consumer = LogsConsumer(service.papers["url"], service.papers["api_key"])
    webhook_id = consumer.create(f"{service.papers['url']}/demo/receivers/crm")
    service.behave("crm", "500")

    for number in range(3):
        assert consumer.publish(call_id=f"c-{number}")["matched"] == 1
    wait_until(
        lambda: list(consumer.statuses(webhook_id).values()) == ["failed"] * 3,
        timeout=PATIENCE,
        what="three failed logs",
    )
    failed = consumer.logs(webhook_id)[-1]
    assert (failed["http_status"], failed["error"]) == (500, "Internal Server Error")

    service.behave("crm", "200")
    retried = consumer.retry(webhook_id, failed["id"])["data"]
    assert retried["original_log_id"] == failed["id"]
    wait_until(
        lambda: consumer.statuses(webhook_id)[retried["log_id"]] == "success",
        timeout=PATIENCE,
        what="the retried log",
    )
    again = next(log for log in consumer.logs(webhook_id) if log["id"] == retried["log_id"])
    assert (again["attempt"], again["request_payload"]) == (2, failed["request_payload"])
    assert consumer.statuses(webhook_id)[failed["id"]] == "failed"
    refused = consumer.retry(webhook_id, retried["log_id"], status=422)
    assert refused["code"] == "LOG_NOT_RETRIABLE"

    tested = consumer.act("POST", webhook_id, "/test")
    assert (tested["success"], tested["data"]["status_code"]) == (True, 200)
    assert len(consumer.logs(webhook_id)) == 4

    assert consumer.act("PATCH", webhook_id, "/toggle")["message"] == "Webhook disabled"
    assert consumer.publish(call_id="c-3")["matched"] == 0
    assert consumer.act("PATCH", webhook_id, "/toggle")["message"] == "Webhook enabled"
    assert consumer.act("PUT", webhook_id, json={"name": "Renamed"})["data"]["name"] == "Renamed"
    assert consumer.act("DELETE", webhook_id)["message"] == "Webhook deleted successfully"
    assert consumer.act("GET", webhook_id, status=404)["message"] == "Webhook not found."


@pytest.fixture(scope="module")
def published(service: Service) -> None:
    """An event that has arrived at one receiver, and failed for good at another.

    The failure has the id and the time of the printed one.
    """
    consumer = Consumer(service.papers["url"], service.papers["api_key"])
    service.behave("failing", "500")
    service.publish(call_id="printed")
    service.wait_for_arrival("healthy")

    def failures() -> list[dict[str, Any]]:
        listed = consumer.call("GET", FAILURES)["webhook_failures"]
        # Other tests leave failures of webhooks that are deleted.
        return [failure for failure in listed if failure["webhook"]["name"] == "Failing receiver"]

    wait_until(failures, timeout=PATIENCE, what="a failure")
    with closing(sqlite3.connect(service.data_dir / "webhooks.sqlite3", timeout=PATIENCE)) as database:
        values = [FAILURE, "2026-03-15 10:00:00", failures()[0]["id"]]
        database.execute("UPDATE deliveries_failure SET id = ?, created_at = ? WHERE id = ?", values)
        database.commit()


class TestPrintedRequests:
    """Sent as they are printed, with another base URL and another key."""

    @pytest.mark.parametrize("command", page("list_webhook_failures").commands, ids=["minimal", "filtered"])
    def test_list_webhook_failures(self, service: Service, published: None, command: Command) -> None:
        (printed,) = page("list_webhook_failures").answers

        def rows() -> list[dict[str, Any]]:
            return [row for row in play(service, command)["webhook_failures"] if row["id"] == FAILURE]

        wait_until(rows, timeout=PATIENCE, what="the failure, where it has just been retriggered")
        assert shape(rows()) == shape(printed["webhook_failures"])
        answer = play(service, command)
        assert list(answer) == list(printed)
        assert shape(answer["metadata"]) == shape(printed["metadata"])

    def test_retrigger_webhook_failure(self, service: Service, published: None) -> None:
        seed = page("retrigger_webhook_failure")
        service.behave("failing", "500")

        assert shape(play(service, seed.commands[0])) == shape(seed.answers[0])

    @pytest.mark.parametrize(("name", "place"), [("Healthy receiver", 0), ("Failing receiver", 1)])
    def test_list_webhook_delivery_logs(
        self, service: Service, published: None, name: str, place: int
    ) -> None:
        seed = page("list_webhook_delivery_logs")
        printed = seed.answers[0]["data"][place]
        ids = {"agent_uuid": service.papers["agent_id"], "webhook_uuid": webhook_named(service, name)}

        def logs() -> list[dict[str, Any]]:
            listed = play(service, seed.commands[0], **ids)["data"]
            return [log for log in listed if log["status"] == printed["status"]]

        wait_until(logs, timeout=PATIENCE, what=f"a log with the status {printed['status']}")
        answer = play(service, seed.commands[0], **ids)
        assert list(answer) == list(seed.answers[0])
        assert shape(answer["pagination"]) == shape(seed.answers[0]["pagination"])
        # Every key is always there with us; the page leaves some out. What is in the payload and in the
        # receiver's headers is theirs.
        ours = [(name, type(value)) for name, value in logs()[0].items() if name in printed]
        assert ours == [(name, type(value)) for name, value in printed.items()]


def play(service: Service, command: Command, **ids: str) -> Any:
    """Send a printed request, and return what a 200 holds."""
    path = command.path
    for example, ours in ids.items():
        path = path.replace(example.replace("_", "-"), ours)
    headers = {name: value for name, value in command.headers.items() if name != "authorization"}
    consumer = Consumer(service.papers["url"], service.papers["api_key"])
    return consumer.call(command.method, path, headers=headers)


def webhook_named(service: Service, name: str) -> str:
    """Return the id of the demo agent's webhook of this name."""
    consumer = Consumer(service.papers["url"], service.papers["api_key"])
    listed = consumer.call("GET", f"/api/v1/agents/{service.papers['agent_id']}/webhooks")
    (webhook_id,) = (webhook["id"] for webhook in listed["data"]["webhooks"] if webhook["name"] == name)
    return str(webhook_id)
