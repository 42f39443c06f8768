import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from rest_framework import serializers

from deliveries.api.native.serializers.deliveries import STATUS_WORDS
from deliveries.api.native.serializers.events import BatchedPublicationSerializer, PublicationSerializer
from deliveries.models import Account, Delivery, Event
from deliveries.services import matching, publishing, webhooks
from tests import builders
from tests.api.conftest import DatabaseFails

PATH = "/api/v1/events"
BODY = {"event": "call.ended", "payload": {"call_id": "c-1", "duration": 45}}


def publish(api: Client, body: Any = BODY, *, key: str | None = None) -> Any:
    """Return the answer to a publication."""
    headers = {} if key is None else {"idempotency-key": key}
    return api.post(PATH, body, content_type="application/json", headers=headers)


def errors(response: Any) -> Any:
    """Return the errors of a refused request."""
    assert response.status_code == 422, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.json()["errors"]


class TestPublish:
    def test_stores_the_event_and_its_deliveries(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(account)

        response = publish(api)

        assert response.status_code == 202
        event = Event.objects.get()
        assert list(response.json().items()) == [
            ("id", str(event.pk)),
            ("event", "call.ended"),
            ("matched", 1),
            ("created_at", event.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
        ]
        assert response.headers["Location"] == f"{PATH}/{event.pk}"
        assert bytes(event.body) == b'{"call_id":"c-1","duration":45}'
        assert event.occurred_at == event.created_at
        assert Delivery.objects.get().webhook == webhook

    def test_takes_all_there_is_to_say(self, api: Client, account: Account) -> None:
        agent = builders.an_agent(account)
        body = {**BODY, "agent_id": str(agent.pk), "occurred_at": "2026-03-15T12:00:00+02:00"}

        response = api.post(f"{PATH}/", body, content_type="application/json")

        assert response.status_code == 202
        event = Event.objects.get()
        assert (event.agent, event.occurred_at) == (agent, builders.NOW)

    def test_takes_null_for_what_is_not_there(self, api: Client) -> None:
        assert publish(api, {**BODY, "agent_id": None, "occurred_at": None}).status_code == 202

    def test_stores_an_event_nobody_wants(self, api: Client) -> None:
        assert publish(api).json()["matched"] == 0
        assert Event.objects.exists()

    def test_takes_a_payload_of_32_levels_and_256_kib(self, api: Client) -> None:
        nested: dict[str, Any] = {}
        for _ in range(31):
            nested = {"a": nested}
        large = {"text": "x" * (256 * 1024 - len('{"text":""}'))}

        assert publish(api, {**BODY, "payload": nested}).status_code == 202
        assert publish(api, {**BODY, "payload": large}).status_code == 202

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("event", None),
            ("event", ""),
            ("event", 5),
            ("event", True),
            ("event", "call.begun"),
            ("event", " "),
            ("event", " call.ended "),
            ("event", "call.ended\n"),
            ("event", "e" * 101),
            ("payload", None),
            ("payload", []),
            ("payload", "{}"),
            ("payload", {"text": "x" * 256 * 1024}),
            ("agent_id", 5),
            ("agent_id", ""),
            ("agent_id", "1"),
            ("agent_id", "0b97ce11-b6e0-49b4-8f92-68040aa324bf"),
            ("occurred_at", "2026-03-15T10:00:00"),
            ("occurred_at", "yesterday"),
            ("occurred_at", 1773568800),
            ("occurred_at", "9999-12-31T23:59:59-01:00"),
            ("colour", "red"),
        ],
    )
    def test_refuses_a_bad_field(self, api: Client, field: str, value: object) -> None:
        found = errors(publish(api, {**BODY, field: value}))

        assert list(found) == [field]
        assert [type(message) for message in found[field]] == [str]
        assert not Event.objects.exists()

    def test_says_how_deep_a_payload_may_be(self, api: Client) -> None:
        body = '{"event": "call.ended", "payload": ' + '{"a":' * 33 + "1" + "}" * 34

        response = api.post(PATH, body, content_type="application/json")

        assert response.status_code == 400
        assert response.json()["detail"] == "The payload is nested deeper than 32 levels."

    def test_refuses_the_agent_of_another_account(self, api: Client) -> None:
        stranger = builders.an_agent()

        assert list(errors(publish(api, {**BODY, "agent_id": str(stranger.pk)}))) == ["agent_id"]

    def test_lists_every_bad_field(self, api: Client) -> None:
        found = errors(publish(api, {"event": 5, "occurred_at": "x", "colour": "red"}))

        assert set(found) == {"event", "payload", "occurred_at", "colour"}

    @pytest.mark.parametrize("body", ["[]", "null", '"x"'])
    def test_wants_an_object(self, api: Client, body: str) -> None:
        assert list(errors(publish(api, body))) == ["body"]

    def test_is_never_a_success_without_a_commit(
        self, api: Client, account: Account, database_fails: DatabaseFails
    ) -> None:
        builders.a_webhook(account)
        api.get(PATH)  # notes the use of the key

        with database_fails(OperationalError("gone"), saying='INSERT INTO "deliveries_delivery"'):
            response = publish(api)

        assert response.status_code == 503
        assert response.headers["Retry-After"] == "5"
        assert not Event.objects.exists()


@pytest.mark.parametrize("serializer", [PublicationSerializer, BatchedPublicationSerializer])
@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_answers_what_the_fields_would(
    serializer: type[PublicationSerializer], zone: timezone, account: Account
) -> None:
    event = builders.an_event(account, created_at=datetime(2026, 3, 15, 1, 2, 3, 456, zone))
    publication = publishing.Publication(event=event, matched=3, replayed=True)

    by_fields = serializers.Serializer.to_representation(serializer(), publication)

    assert json.dumps(serializer(publication).data) == json.dumps(by_fields)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", [{}, {"key": "k-2"}])
def test_asks_twice_for_the_key_with_its_account_and_to_write(
    transactional_db: None,
    key: dict[str, str],
    django_assert_num_queries: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matching, "FRESH", 3600.0)
    account = builders.an_account(open_event_types=True)
    builders.a_webhook(account)
    agent = builders.an_agent(account)
    api = Client(headers={"authorization": f"Bearer {builders.a_key(account)}"})
    body = {**BODY, "agent_id": str(agent.pk)}
    publish(api, body)

    with django_assert_num_queries(2):
        assert publish(api, body, **key).json()["matched"] == 1


class TestIdempotencyKey:
    def test_gives_the_same_answer_again(self, api: Client, account: Account) -> None:
        builders.a_webhook(account)
        first = publish(api, key="k-1")

        again = publish(api, key="k-1")

        assert "Idempotency-Replayed" not in first.headers
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (again.status_code, again.content) == (202, first.content)
        assert Event.objects.count() == 1

    def test_stands_for_one_body(self, api: Client) -> None:
        publish(api, key="k-1")

        response = publish(api, {**BODY, "payload": {}}, key="k-1")

        assert response.status_code == 409
        assert response.json()["code"] == "idempotency_conflict"
        assert response.headers["Content-Type"] == "application/problem+json"

    def test_belongs_to_one_account(self, api: Client, stranger: Client) -> None:
        publish(api, key="k-1")

        assert "Idempotency-Replayed" not in publish(stranger, key="k-1").headers

    @pytest.mark.parametrize("key", ["a", "k" * 128, "!~"])
    def test_takes_visible_ascii(self, api: Client, key: str) -> None:
        assert publish(api, key=key).status_code == 202

    @pytest.mark.parametrize("key", ["", "k" * 129, "a b", "k\xe9", "k\x00", "k\x7f"])
    def test_takes_nothing_else(self, api: Client, key: str) -> None:
        response = publish(api, key=key)

        assert list(errors(response)) == ["Idempotency-Key"]
        assert response.json()["code"] == "invalid_idempotency_key"


class TestGet:
    def test_shows_the_event_and_its_deliveries(self, api: Client, account: Account, now: datetime) -> None:
        webhook = builders.a_webhook(account)
        delivery = builders.a_delivery(webhook)

        answer = api.get(f"{PATH}/{delivery.event_id}/").json()

        assert list(answer.items()) == [
            ("id", str(delivery.event_id)),
            ("event", "call.ended"),
            ("agent_id", None),
            ("payload", {"call_id": "call-uuid", "duration": 45}),
            ("occurred_at", "2026-03-15T10:00:00.000000Z"),
            ("created_at", "2026-03-15T10:00:00.000000Z"),
            (
                "deliveries",
                [
                    {
                        "id": str(delivery.pk),
                        "webhook": {"id": str(webhook.pk), "name": "CRM call events"},
                        "status": "pending",
                        "attempts_made": 0,
                        "next_attempt_at": "2026-03-15T10:00:00.000000Z",
                        "created_at": "2026-03-15T10:00:00.000000Z",
                        "finished_at": None,
                    }
                ],
            ),
            ("skipped", []),
        ]

    @pytest.mark.parametrize("status", Delivery.Status)
    def test_has_a_word_for_every_state(self, status: Delivery.Status) -> None:
        assert status in STATUS_WORDS

    def test_costs_the_same_for_one_webhook_as_for_a_hundred(
        self, api: Client, account: Account, django_assert_num_queries: Any
    ) -> None:
        event = builders.an_event(account)
        builders.a_delivery(builders.a_webhook(account), event=event)
        builders.a_webhook(account)
        api.get(f"{PATH}/{event.pk}")  # notes the use of the key

        with django_assert_num_queries(5):
            api.get(f"{PATH}/{event.pk}")
        for _ in range(50):
            builders.a_delivery(builders.a_webhook(account), event=event)
            builders.a_webhook(account)
        with django_assert_num_queries(5):
            answer = api.get(f"{PATH}/{event.pk}").json()
        assert (len(answer["deliveries"]), len(answer["skipped"])) == (51, 51)


class TestSkipped:
    def reasons(self, api: Client, event: Event) -> dict[str, str]:
        """Return why each webhook was skipped, by its name."""
        skipped = api.get(f"{PATH}/{event.pk}").json()["skipped"]
        assert all(list(each) == ["webhook", "reason"] for each in skipped)
        return {each["webhook"]["name"]: each["reason"] for each in skipped}

    def test_says_why(self, api: Client, account: Account) -> None:
        agent, other = builders.an_agent(account), builders.an_agent(account)
        builders.a_webhook(account, name="off", enabled=False)
        builders.a_webhook(account, name="deaf", events=["message.*"])
        builders.a_webhook(agent=other, name="other's")
        builders.a_webhook(agent=other, name="other's, off", enabled=False)
        builders.a_webhook(account, name="off and deaf", enabled=False, events=["message.*"])

        event = builders.an_event(account, agent=agent)

        assert self.reasons(api, event) == {
            "off": "disabled",
            "deaf": "not_subscribed",
            "other's": "other_agent",
            "other's, off": "other_agent",
            "off and deaf": "not_subscribed",
        }

    def test_counts_every_agents_webhook_as_another_agents_when_the_event_has_none(
        self, api: Client, account: Account
    ) -> None:
        builders.a_webhook(agent=builders.an_agent(account), name="agent's")

        assert self.reasons(api, builders.an_event(account)) == {"agent's": "other_agent"}

    def test_judges_a_webhook_by_what_it_was_when_the_event_was_published(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        deaf = builders.a_webhook(account, name="subscribed since", events=["message.*"])
        off = builders.a_webhook(account, name="enabled since", enabled=False)
        off_and_deaf_since = builders.a_webhook(account, name="enabled and unsubscribed since", enabled=False)
        event = builders.an_event(account)

        later = now + timedelta(microseconds=1)
        webhooks.change(deaf, by="a test", now=later, events=["call.*"])
        webhooks.toggle(off, by="a test", now=later)
        webhooks.change(off_and_deaf_since, by="a test", now=later, enabled=True, events=["message.*"])

        assert self.reasons(api, event) == {
            "subscribed since": "not_subscribed",
            "enabled since": "disabled",
            "enabled and unsubscribed since": "disabled",
        }

    def test_takes_the_last_of_many_changes_before_the_event(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        restless = builders.a_webhook(account, name="restless", enabled=False, now=now - timedelta(hours=1))
        subscriptions = [["message.*"], ["call.*"], ["message.*"], ["message.*", "call.*"]]
        for minutes, events in enumerate(subscriptions):
            at = now + timedelta(minutes=minutes)
            webhooks.toggle(restless, by="a test", now=at)
            webhooks.change(restless, by="a test", now=at, events=events)

        found = [
            self.reasons(api, builders.an_event(account, created_at=now + timedelta(minutes=minutes)))
            for minutes in range(len(subscriptions))
        ]

        assert [each["restless"] for each in found] == [
            "not_subscribed",
            "disabled",
            "not_subscribed",
            "disabled",
        ]

    def test_leaves_out_what_was_not_there(self, api: Client, account: Account, now: datetime) -> None:
        builders.a_webhook(account, name="made since", now=now + timedelta(microseconds=1))
        gone = builders.a_webhook(account, name="gone before", enabled=False)
        webhooks.delete(gone, by="a test", now=now)
        builders.a_webhook(name="another account's")

        assert self.reasons(api, builders.an_event(account)) == {}

    def test_keeps_what_was_deleted_since(self, api: Client, account: Account, now: datetime) -> None:
        deaf = builders.a_webhook(account, name="gone since", events=["message.*"])
        event = builders.an_event(account)

        webhooks.delete(deaf, by="a test", now=now + timedelta(microseconds=1))

        assert self.reasons(api, event) == {"gone since": "not_subscribed"}

    def test_leaves_out_who_got_it_whatever_became_of_it(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        delivery = builders.a_delivery(builders.a_webhook(account))

        webhooks.delete(delivery.webhook, by="a test", now=now + timedelta(hours=1))

        assert self.reasons(api, delivery.event) == {}

    def test_calls_disabled_what_a_race_left_without_the_event(self, api: Client, account: Account) -> None:
        builders.a_webhook(account, name="matches")

        assert self.reasons(api, builders.an_event(account)) == {"matches": "disabled"}

    def test_judges_a_webhook_without_revisions_as_it_is(self, api: Client, account: Account) -> None:
        builders.a_webhook(account, name="deaf", events=["message.*"]).revisions.all().delete()

        assert self.reasons(api, builders.an_event(account)) == {"deaf": "not_subscribed"}


class TestList:
    def ids(self, api: Client, query: str) -> list[str]:
        """Return the ids on the first page."""
        response = api.get(f"{PATH}?{query}")
        assert response.status_code == 200, response.content
        return [event["id"] for event in response.json()["results"]]

    def test_shows_events_without_payloads_newest_first(
        self, api: Client, account: Account, now: datetime
    ) -> None:
        older = builders.an_event(account)
        newer = builders.an_event(account, created_at=now + timedelta(seconds=1))
        builders.an_event()

        answer = api.get(PATH).json()

        assert [event["id"] for event in answer["results"]] == [str(newer.pk), str(older.pk)]
        assert list(answer["results"][1].items()) == [
            ("id", str(older.pk)),
            ("event", "call.ended"),
            ("agent_id", None),
            ("occurred_at", "2026-03-15T10:00:00.000000Z"),
            ("created_at", "2026-03-15T10:00:00.000000Z"),
        ]

    def test_is_filtered_by_type_agent_and_time(self, api: Client, account: Account, now: datetime) -> None:
        agent = builders.an_agent(account)
        plain = str(builders.an_event(account).pk)
        message = str(builders.an_event(account, type="message.sent").pk)
        agents = str(builders.an_event(account, agent=agent).pk)
        later = str(builders.an_event(account, created_at=now + timedelta(hours=1)).pk)

        assert self.ids(api, "event=message.sent") == [message]
        assert self.ids(api, f"agent_id={agent.pk}") == [agents]
        assert self.ids(api, "created_at[gte]=2026-03-15T10:00:01Z") == [later]
        assert self.ids(api, "created_at%5Blt%5D=2026-03-15T10:00:01Z&event=call.ended") == [agents, plain]
        assert self.ids(api, "event=never.heard.of") == []
        assert self.ids(api, f"agent_id={builders.an_agent().pk}") == []

    def test_keeps_its_filters_in_its_links(self, api: Client, account: Account, now: datetime) -> None:
        for second in range(5):
            builders.an_event(account, created_at=now + timedelta(seconds=second), type="message.sent")
            builders.an_event(account, created_at=now + timedelta(seconds=second))
        query = "page_size=2&event=message.sent&created_at[gte]=2026-03-15T10:00:01Z"

        first = api.get(f"{PATH}?{query}").json()
        second = api.get(first["next"]).json()

        assert [len(page["results"]) for page in (first, second)] == [2, 2]
        assert {event["event"] for event in first["results"] + second["results"]} == {"message.sent"}
        assert second["next"] is None

    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("event=Call+ended", ["event"]),
            ("event=", ["event"]),
            ("event=%00", ["event"]),
            ("agent_id=1", ["agent_id"]),
            ("agent_id=", ["agent_id"]),
            ("created_at[gte]=yesterday", ["created_at[gte]"]),
            ("created_at[lt]=2026-03-15T10:00:00", ["created_at[lt]"]),
            ("created_at=2026-03-15T10:00:00Z", ["created_at"]),
            ("created_at[gt]=2026-03-15T10:00:00Z", ["created_at[gt]"]),
            ("event=%00&agent_id=x&page_size=0&cursor=x", ["event", "agent_id", "cursor", "page_size"]),
        ],
    )
    def test_refuses_bad_values(self, api: Client, query: str, fields: list[str]) -> None:
        found = errors(api.get(f"{PATH}?{query}"))

        assert list(found) == fields
        assert all(isinstance(message, str) for messages in found.values() for message in messages)

    def test_names_the_parameter_that_was_meant(self, api: Client) -> None:
        assert errors(api.get(f"{PATH}?created_at[gte=x&type=y")) == {
            "created_at[gte": ['Unknown parameter. Did you mean "created_at[gte]"?'],
            "type": [
                "Unknown parameter. Known are: "
                "agent_id, created_at[gte], created_at[lt], cursor, event, page_size."
            ],
        }

    def test_costs_the_same_for_one_as_for_a_hundred(
        self, api: Client, account: Account, django_assert_num_queries: Any
    ) -> None:
        builders.an_event(account, agent=builders.an_agent(account))
        api.get(PATH)  # notes the use of the key

        with django_assert_num_queries(2) as queries:
            api.get(PATH)
        assert not any('"body"' in query["sql"] for query in queries.captured_queries)
        for _ in range(100):
            builders.an_event(account, agent=builders.an_agent(account))
        with django_assert_num_queries(2):
            assert len(api.get(PATH).json()["results"]) == 100


@pytest.mark.django_db(transaction=True)
class TestOneKeyManyTimes:
    def test_a_hundred_at_once_make_one_event(self) -> None:
        account = builders.an_account(open_event_types=True)
        builders.a_webhook(account)
        key = builders.a_key(account)
        workers = 25
        together = threading.Barrier(workers)

        def publish_some(worker: int) -> list[Any]:
            client = Client(headers={"authorization": f"Bearer {key}"})
            together.wait(20)
            try:
                return [publish(client, key="k-1") for _ in range(4)]
            finally:
                connection.close()

        with ThreadPoolExecutor(workers) as pool:
            answers = sum(pool.map(publish_some, range(workers)), [])

        assert [answer.status_code for answer in answers] == [202] * 100
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
        assert (Event.objects.count(), Delivery.objects.count()) == (1, 1)
