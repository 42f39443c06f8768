from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from deliveries.models import Account, AuditEntry, Delivery, Pause, Webhook
from deliveries.services import egress
from tests import builders
from tests.services.fakes import FakeTransport

PATH = "/api/v1/pauses"
BODY = {"event": "call.ended", "seconds": 3600, "why": "The receiver is being moved."}


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Stop the clock."""
    monkeypatch.setattr("deliveries.clock.now", lambda: now)


def ask(api: Client, body: Any = BODY) -> Any:
    """Return the answer to a request for a pause."""
    return api.post(PATH, body, content_type="application/json")


def listed(api: Client, query: str = "") -> list[str]:
    """Return the ids of a page of pauses."""
    response = api.get(f"{PATH}{query}")
    assert response.status_code == 200, response.content
    return [pause["id"] for pause in response.json()["results"]]


class TestCreate:
    def test_keeps_something_back_and_says_what(self, api: Client, account: Account, now: datetime) -> None:
        webhook = builders.a_webhook(account)

        response = ask(api, {"webhook_id": str(webhook.pk), "seconds": 90, "why": "It is being moved."})

        assert response.status_code == 201
        pause = Pause.objects.get()
        assert (pause.account, pause.webhook, pause.event_type) == (account, webhook, "")
        assert pause.until == now + timedelta(seconds=90)
        assert response.headers["Location"] == f"{PATH}/{pause.pk}"
        assert api.get(f"{PATH}/{pause.pk}/").json() == response.json()

    def test_says_who_asked(self, api: Client) -> None:
        ask(api)

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.why) == ("pause.created", BODY["why"])
        assert entry.by == Pause.objects.get().by
        assert entry.by.startswith("API key test (whk_")

    def test_is_of_the_whole_account_with_neither(self, api: Client, account: Account) -> None:
        ask(api, {"seconds": 60, "why": "A move."})

        pause = Pause.objects.get()
        assert (pause.account, pause.webhook, pause.event_type) == (account, None, "")

    @pytest.mark.parametrize("lost", ["webhook_id", "event"])
    def test_takes_null_for_a_mistake(self, api: Client, lost: str) -> None:
        """A program that has lost an id must not stop the whole account."""
        response = ask(api, {"seconds": 60, "why": "A move.", lost: None})

        assert (response.status_code, list(response.json()["errors"])) == (422, [lost])
        assert not Pause.objects.exists()

    def test_knows_no_webhook_of_another_account(self, api: Client) -> None:
        elsewhere = builders.a_webhook()

        response = ask(api, {"webhook_id": str(elsewhere.pk), "seconds": 60, "why": "A move."})

        assert (response.status_code, list(response.json()["errors"])) == (422, ["webhook_id"])
        assert not Pause.objects.exists()

    @pytest.mark.parametrize("both", [{}, {"seconds": 60, "until": "2026-03-15T11:00:00Z"}], ids=len)
    def test_wants_one_end(self, api: Client, both: dict[str, Any]) -> None:
        response = ask(api, {"event": "call.ended", "why": "A move.", **both})

        assert response.json()["errors"] == {"until": ["Give either until or seconds."]}


class TestList:
    def test_shows_ours_newest_first(self, api: Client, account: Account) -> None:
        older, newer = (builders.a_pause(account) for _ in range(2))
        builders.a_pause()

        assert listed(api) == [str(newer.pk), str(older.pk)]

    def test_is_filtered_by_whether_they_hold_something_back(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        in_force = builders.a_pause(account)
        ended = builders.a_pause(account, ended_at=now, ended_by="ada")
        run_out = builders.a_pause(account, until=now)

        assert listed(api, "?in_force=true") == [str(in_force.pk)]
        assert listed(api, "?in_force=false") == [str(run_out.pk), str(ended.pk)]


class TestEnd:
    def test_ends_a_pause(self, api: Client, account: Account, now: datetime) -> None:
        pause = builders.a_pause(account)

        response = api.post(f"{PATH}/{pause.pk}/end")

        assert response.status_code == 200
        pause.refresh_from_db()
        assert pause.ended_at == now
        assert response.json()["ended_by"] == pause.ended_by
        assert response.json()["in_force"] is False

    def test_says_that_it_was_ended_before(self, api: Client, account: Account) -> None:
        pause = builders.a_pause(account)
        api.post(f"{PATH}/{pause.pk}/end")

        response = api.post(f"{PATH}/{pause.pk}/end")

        assert (response.status_code, response.json()["code"]) == (409, "pause_ended")
        assert response.json()["detail"].startswith("The pause was ended at 2026-03-15 10:00:00 UTC by API k")
        assert AuditEntry.objects.count() == 1

    def test_says_that_it_has_run_out(self, api: Client, account: Account, now: datetime) -> None:
        pause = builders.a_pause(account, until=now)

        response = api.post(f"{PATH}/{pause.pk}/end")

        assert (response.status_code, response.json()["code"]) == (409, "pause_ended")
        assert response.json()["detail"] == "The pause ran out at 2026-03-15 10:00:00 UTC."


@pytest.mark.parametrize("of", ["webhook", "event type", "account"])
class TestMeanwhile:
    """What a publisher, and the one who tries a webhook out, see of a pause."""

    def pause(self, api: Client, webhook: Webhook, of: str) -> None:
        named = {"webhook": {"webhook_id": str(webhook.pk)}, "event type": {"event": "call.ended"}}
        assert ask(api, {**named.get(of, {}), "seconds": 3600, "why": "A move."}).status_code == 201

    @pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/events/batch"], ids=["one", "a batch"])
    def test_events_are_accepted_and_their_deliveries_held(
        self, api: Client, account: Account, of: str, path: str
    ) -> None:
        webhook = builders.a_webhook(account)
        self.pause(api, webhook, of)
        event = {"event": "call.ended", "payload": {"call_id": "c-1"}}

        body = {"events": [event]} if path.endswith("batch") else event
        response = api.post(path, body, content_type="application/json")

        assert response.status_code == 202, response.content
        delivery = Delivery.objects.get()
        assert (delivery.webhook, delivery.status) == (webhook, "held")
        assert api.get(f"/api/v1/deliveries/{delivery.pk}").json()["status"] == "held"

    def test_a_test_call_goes_through(
        self, api: Client, account: Account, of: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account))
        self.pause(api, webhook, of)
        transport = FakeTransport()
        monkeypatch.setattr(egress, "transport", lambda slots: transport)

        response = api.post(f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}/test")

        assert response.json()["success"], response.content
        assert len(transport.sent) == 1
