"""The receivers over HTTP."""

import json
import socket
import threading
from typing import Any

import pytest
from django.test import Client

from deliveries import signing
from deliveries.demo import views
from deliveries.demo.receivers import MAX_RECEIVERS, Behaviour, Receivers, Signature
from deliveries.services import webhooks
from tests import builders

HEALTHY = "/demo/receivers/healthy"
BODY = b'{"call_id":"c-1","duration":45}'


def sent_with(key: str, body: bytes = BODY) -> dict[str, str]:
    """Return the headers of a delivery signed with this key."""
    signature = signing.sign(message_id="message", timestamp=1_773_568_800, body=body, keys=[key])
    return {
        "webhook-id": "message",
        "webhook-timestamp": "1773568800",
        "webhook-signature": signature,
        "X-Webhook-Event": "call.ended",
        "X-Webhook-Attempt": "2",
    }


def arrived(client: Client) -> list[dict[str, Any]]:
    """Return what the page would show."""
    deliveries: list[dict[str, Any]] = client.get("/demo/state").json()["deliveries"]
    return deliveries


def deliver(client: Client, headers: dict[str, str] | None = None, path: str = HEALTHY) -> None:
    """Send a delivery."""
    client.post(path, BODY, content_type="application/json", headers=headers)


@pytest.mark.usefixtures("receivers")
class TestReceiver:
    @pytest.mark.parametrize("method", ["post", "put", "patch"])
    def test_takes_what_a_webhook_may_send(self, client: Client, db: None, method: str) -> None:
        answer = getattr(client, method)(HEALTHY, BODY, content_type="application/json")

        assert (answer.status_code, answer.json()) == (200, {"received": True})
        (delivery,) = arrived(client)
        assert delivery["method"] == method.upper()
        assert json.loads(delivery["body"]) == json.loads(BODY)
        assert "\n" in delivery["body"]

    def test_does_not_take_a_delete(self, client: Client) -> None:
        assert client.delete(HEALTHY).status_code == 405

    def test_says_how_it_answers(self, client: Client) -> None:
        assert client.get(HEALTHY).json() == {
            "name": "healthy",
            "url": "http://127.0.0.1:8000/demo/receivers/healthy",
            "behaviour": "200",
            "meaning": "Takes everything",
        }

    def test_needs_no_csrf_token(self, db: None) -> None:
        client = Client(enforce_csrf_checks=True)

        assert client.post(HEALTHY, BODY, content_type="application/json").status_code == 200

    def test_asks_to_be_tried_later(self, client: Client, receivers: Receivers) -> None:
        receivers.behave("healthy", Behaviour.BUSY)

        answer = client.post(HEALTHY, BODY, content_type="application/json")

        assert (answer.status_code, answer["Retry-After"]) == (429, "60")

    def test_redirects(self, client: Client, receivers: Receivers) -> None:
        receivers.behave("healthy", Behaviour.MOVED)

        answer = client.post(HEALTHY, BODY, content_type="application/json")

        assert (answer.status_code, answer["Location"]) == (301, HEALTHY)

    def test_takes_its_time(
        self, client: Client, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slept: list[float] = []
        monkeypatch.setattr("deliveries.demo.views.time.sleep", slept.append)
        receivers.behave("healthy", Behaviour.SLOW)

        answer = client.post(HEALTHY, BODY, content_type="application/json")

        assert (answer.status_code, slept) == (200, [3.0])

    def test_holds_on_until_the_sender_hangs_up(self, client: Client, receivers: Receivers) -> None:
        receivers.behave("healthy", Behaviour.NEVER)
        ours, theirs = socket.socketpair()
        answers: list[int] = []

        def send() -> None:
            answer = client.post(
                HEALTHY,
                BODY,
                content_type="application/json",
                **{views.SOCKET: ours},  # type: ignore[arg-type]
            )
            answers.append(answer.status_code)

        with ours:
            sender = threading.Thread(target=send)
            sender.start()
            sender.join(0.3)
            held = sender.is_alive()
            theirs.close()
            sender.join(5)

        assert held
        assert answers == [504]

    def test_exists_from_its_first_use(self, client: Client, db: None) -> None:
        deliver(client, path="/demo/receivers/brand-new")

        names = [receiver["name"] for receiver in client.get("/demo/state").json()["receivers"]]
        assert names == ["healthy", "flaky", "brand-new"]

    def test_is_not_found_where_there_are_too_many(self, client: Client, receivers: Receivers) -> None:
        for number in range(MAX_RECEIVERS - len(receivers.behaviours())):
            receivers.behaviour(f"number-{number}")

        answer = client.post("/demo/receivers/one-more", BODY, content_type="application/json")

        assert answer.status_code == 404
        assert "50 receivers" in answer.json()["error"]

    @pytest.mark.parametrize("name", ["a/b", "a b", "a" * 41, "%2e%2e"])
    def test_has_a_plain_name(self, client: Client, name: str) -> None:
        assert client.get(f"/demo/receivers/{name}").status_code == 404

    @pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"<b>no JSON</b>", b"[" * 100_000])
    def test_takes_any_body(self, client: Client, db: None, body: bytes) -> None:
        assert client.post(HEALTHY, body, content_type="text/plain").status_code == 200

        assert len(arrived(client)) == 1

    def test_shows_the_beginning_of_a_long_body(self, client: Client, db: None) -> None:
        client.post(HEALTHY, b"x" * (views.SHOWN + 1000), content_type="text/plain")

        (delivery,) = arrived(client)
        assert delivery["body"].endswith("... and 1,000 characters more")


@pytest.mark.usefixtures("receivers")
class TestSignature:
    @pytest.fixture
    def key(self, db: None) -> str:
        """The secret of a webhook that points at the healthy receiver."""
        key = signing.new_secret()
        builders.a_webhook(url="http://127.0.0.1:8000" + HEALTHY, secret=key)
        return key

    def test_is_valid_with_the_webhooks_secret(self, client: Client, key: str) -> None:
        deliver(client, sent_with(key))

        (delivery,) = arrived(client)
        assert delivery["signature"] == "signature valid"
        assert (delivery["message_id"], delivery["event"], delivery["attempt"]) == (
            "message",
            "call.ended",
            "2",
        )

    def test_is_valid_with_the_secret_of_any_webhook_that_points_here(self, client: Client, key: str) -> None:
        other = signing.new_secret()
        builders.a_webhook(url="http://127.0.0.1:8000" + HEALTHY, secret=other)

        deliver(client, sent_with(other))

        assert arrived(client)[0]["signature"] == Signature.VALID

    def test_is_invalid_with_another_secret(self, client: Client, key: str) -> None:
        deliver(client, sent_with(signing.new_secret()))

        assert arrived(client)[0]["signature"] == Signature.INVALID

    def test_is_invalid_for_another_body(self, client: Client, key: str) -> None:
        deliver(client, sent_with(key, body=b"{}"))

        assert arrived(client)[0]["signature"] == Signature.INVALID

    def test_is_invalid_for_a_webhook_that_points_elsewhere(self, client: Client, key: str) -> None:
        deliver(client, sent_with(key), path="/demo/receivers/flaky")

        assert arrived(client)[0]["signature"] == Signature.INVALID

    @pytest.mark.parametrize("timestamp", ["", "soon", "-1", "١٢٣", "9" * 5000])
    def test_is_invalid_without_a_proper_timestamp(self, client: Client, key: str, timestamp: str) -> None:
        deliver(client, {**sent_with(key), "webhook-timestamp": timestamp})

        assert arrived(client)[0]["signature"] == Signature.INVALID

    def test_may_be_missing(self, client: Client, key: str) -> None:
        deliver(client)

        assert arrived(client)[0]["signature"] == "not signed"

    def test_is_no_longer_valid_when_the_webhook_is_deleted(self, client: Client, db: None) -> None:
        key = signing.new_secret()
        webhook = builders.a_webhook(url="http://127.0.0.1:8000" + HEALTHY, secret=key)
        webhooks.delete(webhook, by="a test", now=builders.NOW)

        deliver(client, sent_with(key))

        assert arrived(client)[0]["signature"] == Signature.INVALID


@pytest.mark.usefixtures("receivers")
class TestBehaviour:
    @pytest.mark.parametrize("word", list(Behaviour))
    def test_is_chosen_in_json(self, client: Client, receivers: Receivers, word: Behaviour) -> None:
        answer = client.post(f"{HEALTHY}/behaviour", {"behaviour": word}, content_type="application/json")

        assert (answer.status_code, answer.json()["behaviour"]) == (200, word)
        assert receivers.behaviour("healthy") is word

    def test_is_chosen_by_a_form(self, client: Client, receivers: Receivers) -> None:
        answer = client.post(f"{HEALTHY}/behaviour", {"behaviour": "500"})

        assert answer.status_code == 200
        assert receivers.behaviour("healthy") is Behaviour.ERROR

    @pytest.mark.parametrize(
        "body", [b"", b"500", b'{"behaviour": 418}', b'{"behaviour": null}', b"{}", b"{", b'["500"]']
    )
    def test_is_one_of_a_list_of_words(self, client: Client, receivers: Receivers, body: bytes) -> None:
        answer = client.post(f"{HEALTHY}/behaviour", body, content_type="application/json")

        assert answer.status_code == 400
        assert answer.json()["words"] == [
            "200",
            "500",
            "500-twice-then-200",
            "slow",
            "never",
            "429",
            "410",
            "301",
        ]
        assert receivers.behaviour("healthy") is Behaviour.OK

    def test_can_be_asked_for(self, client: Client) -> None:
        assert client.get("/demo/receivers/flaky/behaviour").json()["behaviour"] == "500-twice-then-200"


@pytest.mark.usefixtures("receivers")
class TestState:
    def test_lists_only_what_is_new(self, client: Client, db: None) -> None:
        deliver(client)
        last = client.get("/demo/state").json()["last"]
        deliver(client, path="/demo/receivers/flaky")

        state = client.get("/demo/state", {"after": last}).json()

        assert [delivery["receiver"] for delivery in state["deliveries"]] == ["flaky"]

    @pytest.mark.parametrize("after", ["", "x", "-1", "9" * 5000])
    def test_starts_from_the_beginning_where_the_number_is_none(
        self, client: Client, db: None, after: str
    ) -> None:
        deliver(client)

        assert len(client.get("/demo/state", {"after": after}).json()["deliveries"]) == 1

    def test_is_never_cached(self, client: Client) -> None:
        assert "no-store" in client.get("/demo/state")["Cache-Control"]


@pytest.mark.usefixtures("receivers")
class TestPage:
    def test_has_no_script_of_its_own(self, client: Client) -> None:
        page = client.get("/demo/").content.decode()

        assert page.count("<h1>") == 1
        assert "<script>" not in page
        assert "//" not in page.replace("https://", "")
        assert 'src="/static/demo/demo.js"' in page

    def test_can_be_asked_for_without_its_body(self, client: Client) -> None:
        assert client.head("/demo/").status_code == 200
        assert client.head("/demo/state").status_code == 200

    def test_says_what_publishes_an_event_to_this_service(self, client: Client) -> None:
        page = client.get("/demo/", **{views.HELLO: "make hello DATA='my <data>'"})  # type: ignore[arg-type]

        assert "<code>make hello DATA=&#x27;my &lt;data&gt;&#x27;</code>" in page.content.decode()


class TestRouting:
    def test_is_not_there_without_manage_py_up(self, client: Client) -> None:
        assert client.get("/demo/").status_code == 404
        assert client.get("/demo/state").status_code == 404
        assert client.get("/demo").status_code == 404

    @pytest.mark.parametrize("typed", ["/", "/admin"])
    def test_leads_to_the_console(self, client: Client, typed: str) -> None:
        answers = client.get(typed, secure=True), client.head(typed, secure=True)

        assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [
            (302, "/admin/"),
            (302, "/admin/"),
        ]
        assert client.post(typed, secure=True).status_code == 405
