"""The test call: `POST /{webhook_id}/test` of the logs API, against real sockets."""

import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from standardwebhooks.webhooks import Webhook as Oracle

from deliveries.models import Account, Attempt, AuditEntry, Delivery, Event, Failure, Sealed, Webhook
from deliveries.services import egress, rehearsing
from deliveries.transport import Reply, Request
from tests import builders
from tests.services.fakes import FakeTransport, Outcome, a_reply
from tests.transport import hostile

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="
KEYS = ["event", "agent_id", "agent_name", "webhook_id", "webhook_name", "timestamp", "test"]


@pytest.fixture
def this_machine_allowed(settings: Any) -> None:
    """Let webhooks point at receivers on this machine."""
    settings.WEBHOOKS_ALLOWED_NETWORKS = (ip_network("127.0.0.0/8"),)
    settings.WEBHOOKS_REQUIRE_HTTPS = False


def a_webhook(account: Account, url: str, **fields: Any) -> Webhook:
    return builders.a_webhook(agent=builders.an_agent(account), url=url, **fields)


def try_out(api: Client, webhook: Webhook, slash: str = "") -> Any:
    """Make the test call and return its answer, which is never anything but 200."""
    path = f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}/test{slash}"
    response = api.generic("POST", path)
    assert response.status_code == 200, response.content
    assert response.headers["Cache-Control"] == "no-store"
    answer = response.json()
    assert list(answer) == ["success", "message", "data"]
    assert list(answer["data"]) == ["status_code", "response_time"]
    assert type(answer["data"]["response_time"]) is int
    return answer


def outcome(answer: Any) -> tuple[bool, str, int | None]:
    return answer["success"], answer["message"], answer["data"]["status_code"]


def status_line(code: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} x", "Content-Length: 0", *headers, "", ""]).encode()


@pytest.mark.usefixtures("this_machine_allowed")
class TestWhatIsSent:
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_is_the_test_payload_like_any_delivery(self, api: Client, account: Account, slash: str) -> None:
        with hostile.receiver(hostile.answering(status_line(200))) as receiver:
            webhook = a_webhook(
                account,
                receiver.url(),
                http_method="PUT",
                secret=SECRET,
                authorization_scheme="bearer",
                authorization_credential="c-1",
                custom_headers={"X-Team": "blue"},
            )
            before = datetime.now(UTC) - timedelta(milliseconds=1)
            answer = try_out(api, webhook, slash)
            (raw,) = receiver.requests

        assert outcome(answer) == (True, "Test webhook sent successfully", 200)
        head, _, body = raw.partition(hostile.HEAD_END)
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert first == "PUT /hook HTTP/1.1"
        payload = json.loads(body)
        assert list(payload) == KEYS
        sent_at = datetime.strptime(payload.pop("timestamp"), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        assert before <= sent_at <= datetime.now(UTC)
        assert payload == {
            "event": "webhook.test",
            "agent_id": str(webhook.agent_id),
            "agent_name": "Reception",
            "webhook_id": str(webhook.pk),
            "webhook_name": "CRM call events",
            "test": True,
        }
        assert Oracle(SECRET).verify(body, headers)["test"] is True
        assert headers["Authorization"] == "Bearer c-1"
        assert headers["X-Team"] == "blue"
        assert (headers["X-Webhook-Event"], headers["X-Webhook-Attempt"]) == ("webhook.test", "1")

    def test_says_the_time_to_the_millisecond(self, account: Account, now: datetime) -> None:
        transport = FakeTransport()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(egress, "transport", lambda slots: transport)
            rehearsing.rehearse(
                a_webhook(account, "http://127.0.0.1/"), by="a test", now=now + timedelta(microseconds=999)
            )

        assert json.loads(transport.sent[0].body)["timestamp"] == "2026-03-15T10:00:00.000Z"

    def test_has_another_id_each_time(self, api: Client, account: Account) -> None:
        with hostile.receiver(hostile.answering(status_line(200))) as receiver:
            webhook = a_webhook(account, receiver.url())
            for _ in range(2):
                try_out(api, webhook)
            ids = {
                line
                for raw in receiver.requests
                for line in raw.decode().split("\r\n")
                if line.startswith("webhook-id: ")
            }

        assert len(ids) == 2

    def test_goes_to_a_disabled_webhook_too(self, api: Client, account: Account) -> None:
        with hostile.receiver(hostile.answering(status_line(204))) as receiver:
            answer = try_out(api, a_webhook(account, receiver.url(), enabled=False))

        assert outcome(answer) == (True, "Test webhook sent successfully", 204)

    @pytest.mark.parametrize("code", [200, 410, 500])
    def test_leaves_only_a_note_of_it_behind(self, api: Client, account: Account, code: int) -> None:
        with hostile.receiver(hostile.answering(status_line(code))) as receiver:
            webhook = a_webhook(account, receiver.url())
            before = Webhook.objects.values().get(), webhook.health.__class__.objects.values().get()
            try_out(api, webhook)

        assert (Webhook.objects.values().get(), webhook.health.__class__.objects.values().get()) == before
        for model in (Event, Delivery, Attempt, Failure):
            assert not model._default_manager.exists()
        entry = AuditEntry.objects.get(action="webhook.tested")
        assert entry.by.startswith("API key test")
        assert (entry.account, entry.subject_id) == (account, str(webhook.pk))
        assert (entry.details["succeeded"], entry.details["http_status"]) == (code == 200, code)

    def test_is_noted_before_it_is_sent(self, account: Account, now: datetime) -> None:
        """Whatever becomes of this process, a receiver gets nothing that nobody has a note of."""
        noted: list[Any] = []

        def reply(request: Request) -> Reply:
            noted.extend(AuditEntry.objects.filter(action="webhook.tested").values("by", "details"))
            return a_reply(204)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(egress, "transport", lambda slots: FakeTransport(reply))
            rehearsing.rehearse(a_webhook(account, "http://127.0.0.1/"), by="ada", now=now)

        assert noted == [{"by": "ada", "details": {}}]

    def test_leaves_no_note_where_it_is_refused(
        self, account: Account, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rehearsing, "_room", threading.BoundedSemaphore(1))
        rehearsing._room.acquire()

        with pytest.raises(rehearsing.Busy):
            rehearsing.rehearse(a_webhook(account, "http://127.0.0.1/"), by="ada", now=now)

        assert not AuditEntry.objects.filter(action="webhook.tested").exists()


@pytest.mark.usefixtures("this_machine_allowed")
class TestWhatCameOfIt:
    @pytest.mark.parametrize("code", [300, 302, 400, 404, 410, 429, 500, 503, 599])
    def test_is_a_failure_unless_it_is_2xx(self, api: Client, account: Account, code: int) -> None:
        with hostile.receiver(hostile.answering(status_line(code))) as receiver:
            answer = try_out(api, a_webhook(account, receiver.url()))

        assert outcome(answer) == (False, f"HTTP {code}", code)

    def test_follows_no_redirect(self, api: Client, account: Account) -> None:
        with hostile.receiver(hostile.answering(status_line(200))) as elsewhere:
            moved = status_line(302, f"Location: {elsewhere.url()}")
            with hostile.receiver(hostile.answering(moved)) as receiver:
                answer = try_out(api, a_webhook(account, receiver.url()))
            assert elsewhere.accepted == 0

        assert outcome(answer) == (False, "HTTP 302", 302)

    def test_says_that_nobody_listens(self, api: Client, account: Account) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

        answer = try_out(api, a_webhook(account, f"http://127.0.0.1:{port}/"))

        assert outcome(answer) == (False, "Connection refused", None)

    @pytest.mark.parametrize(
        ("behaviour", "reason"),
        [
            (hostile.hanging_up, "Connection closed"),
            (hostile.resetting, "Connection closed"),
            (hostile.answering_once(b"nonsense\r\n\r\n"), "Invalid response"),
            (
                hostile.flooding(b"HTTP/1.1 200 OK\r\n", [b"X: " + b"x" * 60_000 + b"\r\n"] * 3),
                "Invalid response",
            ),
        ],
        ids=["hanging up", "resetting", "nonsense", "endless headers"],
    )
    def test_is_told_in_the_words_of_the_logs(
        self, api: Client, account: Account, behaviour: hostile.Behaviour, reason: str
    ) -> None:
        with hostile.receiver(behaviour) as receiver:
            answer = try_out(api, a_webhook(account, receiver.url()))

        assert outcome(answer) == (False, reason, None)

    @pytest.mark.parametrize(
        "behaviour",
        [
            hostile.silent,
            hostile.trickling(b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n"),
            hostile.trickling(hostile.HUGE, b"x"),
        ],
        ids=["silent", "trickling headers", "trickling body"],
    )
    def test_is_awaited_as_long_as_the_webhook_says(
        self, api: Client, account: Account, behaviour: hostile.Behaviour
    ) -> None:
        with hostile.receiver(behaviour) as receiver:
            webhook = a_webhook(account, receiver.url(), timeout=1)
            begun = time.monotonic()
            answer = try_out(api, webhook)
            took = time.monotonic() - begun

        assert outcome(answer) == (False, "Response too slow", None)
        assert 1000 <= answer["data"]["response_time"] <= took * 1000
        assert took < 10  # the receiver never ends it

    def test_is_awaited_no_longer_than_thirty_seconds(
        self, api: Client, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert timedelta(seconds=30) == rehearsing.LONGEST
        monkeypatch.setattr(rehearsing, "LONGEST", timedelta(seconds=0.3))
        with hostile.receiver(hostile.silent) as receiver:
            answer = try_out(api, a_webhook(account, receiver.url(), timeout=120))

        assert outcome(answer) == (False, "Response too slow", None)
        assert 300 <= answer["data"]["response_time"] < 20_000

    def test_is_given_up_when_the_engine_does_not_end_it(
        self, api: Client, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        transport = FakeTransport(lambda request: None)
        monkeypatch.setattr(egress, "transport", lambda slots: transport)

        answer = try_out(api, a_webhook(account, "http://127.0.0.1/", timeout=7))

        assert answer == {
            "success": False,
            "message": "Response too slow",
            "data": {"status_code": None, "response_time": 7000},
        }
        assert transport.closed

    def test_is_a_blocked_address_whether_anything_listens_there_or_not(
        self, api: Client, account: Account, settings: Any
    ) -> None:
        with hostile.receiver(hostile.answering(status_line(200))) as receiver:
            with socket.create_server(("127.0.0.1", 0)) as server:
                closed = server.getsockname()[1]
            webhooks = [
                a_webhook(account, url)
                for url in (receiver.url(), f"http://127.0.0.1:{closed}/", "http://127.0.0.1:1024/")
            ]
            settings.WEBHOOKS_ALLOWED_NETWORKS = ()
            answers = [try_out(api, webhook) for webhook in webhooks]
            assert receiver.accepted == 0

        assert [outcome(answer) for answer in answers] == [(False, "Blocked address", None)] * 3

    @pytest.mark.parametrize("column", ["secret", "previous_secrets", "custom_headers"])
    def test_is_a_failure_when_no_key_opens_what_the_webhook_keeps(
        self, api: Client, account: Account, column: str
    ) -> None:
        with hostile.receiver(hostile.answering(status_line(200))) as receiver:
            webhook = a_webhook(account, receiver.url())
            Webhook.objects.update(**{column: Sealed("nonsense")})
            answer = try_out(api, webhook)
            assert receiver.accepted == 0

        assert answer == {
            "success": False,
            "message": "Request could not be built",
            "data": {"status_code": None, "response_time": 0},
        }


class TestHowOften:
    def test_is_ten_times_a_minute_for_an_account(
        self, api: Client, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(egress, "transport", lambda slots: FakeTransport())
        webhooks = [a_webhook(account, builders.URL) for _ in range(2)]
        for number in range(10):
            try_out(api, webhooks[number % 2])

        refused = api.post(f"/api/v1/agents/{webhooks[0].agent_id}/webhooks/{webhooks[0].pk}/test")

        assert refused.status_code == 429
        assert refused.json() == {"success": False, "message": "Too many requests."}

    def test_is_twice_at_once_in_a_process(
        self, api: Client, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = []
        webhook = a_webhook(account, builders.URL)

        def another(request: Request) -> Outcome:
            # While one waits for its receiver the next one comes.
            answers.append(api.post(f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}/test"))
            return a_reply()

        monkeypatch.setattr(egress, "transport", lambda slots: FakeTransport(another))
        first = api.post(f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}/test")

        assert first.json()["success"]
        third, second = answers
        assert second.json()["success"]
        assert third.status_code == 429
        assert third.json() == {"success": False, "message": "Too many requests."}
        assert int(third.headers["Retry-After"]) > 0


class TestTheDatabase:
    def test_has_no_transaction_open_meanwhile(
        self, api: Client, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outside = len(connection.savepoint_ids)
        depths: list[int] = []

        def answer(request: Request) -> Outcome:
            depths.append(len(connection.savepoint_ids))
            return a_reply()

        monkeypatch.setattr(egress, "transport", lambda slots: FakeTransport(answer))
        try_out(api, a_webhook(account, builders.URL))

        assert depths == [outside]
