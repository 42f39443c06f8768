"""From an event to its deliveries, retries, logs, failure and redelivery, through real processes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Oracle

from deliveries import signing
from tests.e2e.stack import Stack, installation
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgresql, pytest.mark.slow]

SECRET = signing.new_secret()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The whole service, with a schedule of retries that takes no hours."""
    with installation(WEBHOOKS_RETRY_DELAYS="0.3,0.4,0.5") as stack:
        stack.make_account()
        stack.start_web()
        stack.start_worker()
        stack.start_beat()
        yield stack


@pytest.fixture(scope="module")
def agent_id(stack: Stack) -> str:
    answer = stack.call("POST", "/api/v1/agents", {"name": "Reception"})
    assert answer.status == 201, answer
    return str(answer.json["id"])


def a_webhook(stack: Stack, agent_id: str, path: str, **fields: object) -> str:
    body = {
        "name": path.strip("/"),
        "webhook_url": stack.receiver.url(path),
        "webhook_secret": SECRET,
        "events": ["call.ended"],
        **fields,
    }
    answer = stack.call("POST", f"/api/v1/agents/{agent_id}/webhooks", body)
    assert answer.status == 201, answer
    return str(answer.json["data"]["id"])


class TestJourney:
    def test_is_told_alike_by_the_receiver_both_apis_and_the_console(
        self, stack: Stack, agent_id: str
    ) -> None:
        receiver = stack.receiver
        receiver.behaviours = {
            "/flaky": lambda nth: 200 if nth > 2 else 500,
            "/failing": lambda nth: 200 if nth > 4 else 500,
        }
        paths = ("/healthy", "/flaky", "/failing")
        webhooks = {path: a_webhook(stack, agent_id, path, max_retries=3) for path in paths}
        payload = {"call_id": "c-1", "duration": 45}

        answer = stack.call(
            "POST", "/api/v1/events", {"event": "call.ended", "agent_id": agent_id, "payload": payload}
        )

        assert (answer.status, answer.json["matched"]) == (202, 3)
        wait_until(lambda: len(receiver.at("/failing")) == 4, timeout=20, what="four attempts")
        wait_until(lambda: failures(stack), timeout=5, what="a failure in the list")

        expected = {"/healthy": [200], "/flaky": [500, 500, 200], "/failing": [500] * 4}
        for path, statuses in expected.items():
            arrivals = receiver.at(path)
            assert [arrival.attempt for arrival in arrivals] == list(range(1, len(statuses) + 1))
            for arrival in arrivals:
                assert arrival.event_id == answer.json["id"]
                assert Oracle(SECRET).verify(arrival.body, dict(arrival.headers)) == payload
            logs = logs_of(stack, agent_id, webhooks[path])
            assert [(log["attempt"], log["http_status"]) for log in reversed(logs)] == list(
                enumerate(statuses, 1)
            )
            assert {log["status"] for log in logs} <= {"success", "failed"}
            assert all(log["request_payload"] == payload for log in logs)

        (failure,) = failures(stack)
        assert (failure["status"], failure["reason"]) == ("inactive", "HTTP 500")
        assert failure["webhook"] == {"id": webhooks["/failing"], "name": "failing"}
        # Six attempts failed, and whoever watches the worker's log has seen each.
        assert stack.log("worker").count('"delivery.attempted"') == 6
        self.check_console(stack, attempts=8)
        self.check_retrigger(stack, agent_id, webhooks["/failing"], failure["id"])

    def check_console(self, stack: Stack, *, attempts: int) -> None:
        """The console counts the same attempts and deliveries."""
        with stack.sign_in() as session:
            page = session.get(f"http://127.0.0.1:{stack.port}/admin/deliveries/attempt/").text
            assert re.search(rf"\b{attempts} attempts\b", page)
            for status, count in (("succeeded", 2), ("failed", 1)):
                url = f"http://127.0.0.1:{stack.port}/admin/deliveries/delivery/?status__exact={status}"
                assert re.search(rf"\b{count} deliver(y|ies)\b", session.get(url).text)

    def check_retrigger(self, stack: Stack, agent_id: str, webhook_id: str, failure_id: str) -> None:
        """Sent again by a person, it arrives, and needs nobody any more."""
        answer = stack.call("POST", f"/api/v4/tasks/webhook_failures/{failure_id}/retrigger")
        assert (answer.status, answer.json["webhook_failure"]["status"]) == (200, "pending")

        wait_until(lambda: len(stack.receiver.at("/failing")) == 5, timeout=10, what="the fifth attempt")
        wait_until(
            lambda: logs_of(stack, agent_id, webhook_id)[0]["status"] == "success", timeout=5, what="its log"
        )

        assert failures(stack) == []
        assert stack.call("GET", f"/api/v4/tasks/webhook_failures/{failure_id}").json["webhook_failure"][
            "status"
        ] == ("delivered")
        first, *_, last = stack.receiver.at("/failing")
        assert first.body == last.body
        assert first.headers["webhook-signature"] != last.headers["webhook-signature"]


def failures(stack: Stack) -> list[dict[str, Any]]:
    answer = stack.call("GET", "/api/v4/tasks/webhook_failures")
    assert answer.status == 200
    listed: list[dict[str, Any]] = answer.json["webhook_failures"]
    return listed


def logs_of(stack: Stack, agent_id: str, webhook_id: str) -> list[dict[str, Any]]:
    answer = stack.call("GET", f"/api/v1/agents/{agent_id}/webhooks/{webhook_id}/logs?per_page=100")
    assert answer.status == 200
    logs: list[dict[str, Any]] = answer.json["data"]
    return logs
