from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deliveries.api import parsing
from deliveries.models import Account, Delivery, Event, IdempotencyKey
from tests import builders
from tests.api.conftest import DatabaseFails

PATH = "/api/v1/events/batch"
ITEM = {"event": "call.ended", "payload": {"call_id": "c-1"}}


def publish(api: Client, events: Any, **headers: str) -> Any:
    """Return the answer to a batch."""
    return api.post(PATH, {"events": events}, content_type="application/json", headers=headers)


def errors(response: Any, status: int = 422) -> Any:
    """Return the errors of a refused request."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.json()["errors"]


class TestPublish:
    def test_stores_all_and_answers_in_their_order(self, api: Client, account: Account) -> None:
        builders.a_webhook(account, events=["call.*"])
        agent = builders.an_agent(account)

        response = publish(api, [{**ITEM, "event": "message.sent"}, {**ITEM, "agent_id": str(agent.pk)}])

        assert response.status_code == 202
        message, call = Event.objects.order_by("pk")
        created_at = message.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        assert [list(each.items()) for each in response.json()["events"]] == [
            [
                ("id", str(message.pk)),
                ("event", "message.sent"),
                ("matched", 0),
                ("created_at", created_at),
                ("replayed", False),
            ],
            [
                ("id", str(call.pk)),
                ("event", "call.ended"),
                ("matched", 1),
                ("created_at", created_at),
                ("replayed", False),
            ],
        ]
        assert list(response.json()) == ["events"]
        assert call.agent == agent
        assert "Idempotency-Replayed" not in response.headers

    def test_takes_500(self, api: Client, account: Account, within: Any) -> None:
        builders.a_webhook(account)

        response = publish(api, [{**ITEM, "idempotency_key": f"k-{number}"} for number in range(500)])

        assert response.status_code == 202
        assert (Event.objects.count(), Delivery.objects.count(), IdempotencyKey.objects.count()) == (500,) * 3
        within(10)

    def test_takes_what_would_be_too_much_for_one_event(self, api: Client) -> None:
        large = {**ITEM, "payload": {"text": "x" * (256 * 1024 - len('{"text":""}'))}}

        assert publish(api, [large] * 4).status_code == 202

    def test_takes_a_payload_of_32_levels(self, api: Client) -> None:
        nested: dict[str, Any] = {}
        for _ in range(31):
            nested = {"a": nested}

        assert publish(api, [{**ITEM, "payload": nested}]).status_code == 202
        assert publish(api, [{**ITEM, "payload": {"a": nested}}]).status_code == 400

    def test_reads_no_more_than_4_mib(self, api: Client) -> None:
        response = publish(api, ["x" * parsing.MANY_EVENTS.bytes])

        assert response.status_code == 413
        assert response.json()["detail"] == "The body takes more than 4,194,304 bytes."

    def test_keeps_numbers_no_float_keeps(self, api: Client) -> None:
        body = '{"pi":3.14159265358979323846,"tiny":[1e-400]}'
        item = f'{{"event": "call.ended", "payload": {body}}}'

        response = api.post(PATH, f'{{"events": [{item}]}}', content_type="application/json")

        assert response.status_code == 202
        event = Event.objects.get()
        assert bytes(event.body) == body.encode()
        shown = api.get(f"/api/v1/events/{event.pk}").json()
        assert shown["payload"] == {"pi": 3.141592653589793, "tiny": [0.0]}

    def test_stores_nothing_without_a_commit(
        self, api: Client, account: Account, database_fails: DatabaseFails
    ) -> None:
        builders.a_webhook(account)
        api.get(PATH)  # notes the use of the key

        with database_fails(OperationalError("gone"), saying='INSERT INTO "deliveries_delivery"'):
            assert publish(api, [ITEM, ITEM]).status_code == 503

        assert not Event.objects.exists()

    def test_costs_no_query_for_each_event(self, api: Client, account: Account) -> None:
        builders.a_webhook(account)
        agents = [builders.an_agent(account) for _ in range(30)]
        drafts = [{**ITEM, "agent_id": str(agent.pk), "idempotency_key": str(agent.pk)} for agent in agents]
        publish(api, drafts[:1])  # notes the use of the key

        with CaptureQueriesContext(connection) as few:
            publish(api, drafts[:12])
        with CaptureQueriesContext(connection) as many:
            publish(api, drafts)

        assert len(many) == len(few)
        assert Event.objects.count() == 30


class TestBadItems:
    def test_are_named_all_with_all_that_is_wrong(self, api: Client) -> None:
        response = publish(
            api,
            [
                ITEM,
                {"event": 5, "colour": "red"},
                "x",
                {**ITEM, "event": "call.exploded"},
                {**ITEM, "agent_id": str(builders.an_agent().pk)},
                {**ITEM, "payload": {"text": "x" * 256 * 1024}},
                {**ITEM, "idempotency_key": "a b"},
                {**ITEM, "occurred_at": "yesterday"},
                None,
            ],
        )

        found = errors(response)
        assert list(found) == [
            "events[1].event",
            "events[1].payload",
            "events[1].colour",
            "events[2]",
            "events[3].event",
            "events[4].agent_id",
            "events[5].payload",
            "events[6].idempotency_key",
            "events[7].occurred_at",
            "events[8]",
        ]
        assert all(isinstance(message, str) for messages in found.values() for message in messages)
        assert not Event.objects.exists()

    def test_with_many_unknown_fields_tell_the_first_ten_and_count_the_rest(self, api: Client) -> None:
        found = errors(publish(api, [{**ITEM, **{f"k{number}": 1 for number in range(5000)}}]))

        assert list(found) == [*(f"events[0].k{number}" for number in range(10)), "events[0]"]
        assert found["events[0]"] == ["4,990 more fields are unknown."]

    @pytest.mark.parametrize(
        "item",
        [
            {"event": 5, "agent_id": 5, "occurred_at": 5, "idempotency_key": 5},
            {f"{number}" + "\x01" * 60: 1 for number in range(12)},
            {**ITEM, "event": "call.exploded"},
            5,
        ],
        ids=["fields", "unknown fields", "event", "number"],
    )
    def test_are_named_all_in_a_short_answer(self, item: Any, api: Client) -> None:
        response = publish(api, [item] * 500)

        assert {name.split(".")[0] for name in errors(response)} == {f"events[{n}]" for n in range(500)}
        assert len(response.content) < 100_000

    def test_are_named_also_where_only_the_service_finds_them(self, api: Client) -> None:
        assert list(errors(publish(api, [ITEM, {**ITEM, "event": "call.exploded"}]))) == ["events[1].event"]
        assert not Event.objects.exists()

    @pytest.mark.parametrize(
        "events", [[], None, {}, "x", 5, [ITEM] * 501], ids=["none", "null", "object", "text", "5", "501"]
    )
    def test_must_be_a_list_of_1_to_500(self, api: Client, events: Any) -> None:
        assert list(errors(publish(api, events))) == ["events"]

    @pytest.mark.parametrize(
        ("body", "fields"),
        [("[]", ["body"]), ("{}", ["events"]), ('{"events": [], "dry_run": true}', ["events", "dry_run"])],
        ids=["list", "empty", "unknown"],
    )
    def test_must_be_in_an_object_with_nothing_else(self, api: Client, body: str, fields: list[str]) -> None:
        assert list(errors(api.post(PATH, body, content_type="application/json"))) == fields


class TestIdempotencyKeys:
    def test_give_the_same_events_again(self, api: Client, account: Account) -> None:
        builders.a_webhook(account)
        drafts = [{**ITEM, "idempotency_key": key} for key in ("k-1", "k-2")]
        first = publish(api, drafts).json()["events"]

        again = publish(api, drafts)

        assert again.json()["events"] == [{**each, "replayed": True} for each in first]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert Event.objects.count() == 2

    def test_say_which_events_were_there_before(self, api: Client) -> None:
        publish(api, [{**ITEM, "idempotency_key": "k-1"}])

        response = publish(
            api, [{**ITEM, "idempotency_key": "k-2"}, {**ITEM, "idempotency_key": "k-1"}, ITEM]
        )

        assert [each["replayed"] for each in response.json()["events"]] == [False, True, False]
        assert "Idempotency-Replayed" not in response.headers

    def test_conflict_with_other_events_and_say_which(self, api: Client) -> None:
        publish(api, [{**ITEM, "idempotency_key": "k-1"}])
        other = {**ITEM, "payload": {}}

        response = publish(api, [other, {**other, "idempotency_key": "k-1"}])

        assert list(errors(response, 409)) == ["events[1].idempotency_key"]
        assert response.json()["code"] == "idempotency_conflict"
        assert Event.objects.count() == 1

    def test_make_one_event_of_two_alike(self, api: Client) -> None:
        keyed = {**ITEM, "idempotency_key": "k-1"}

        first, second = publish(api, [keyed, keyed]).json()["events"]

        assert second == {**first, "replayed": True}
        assert Event.objects.count() == 1

    def test_may_not_stand_for_two_events(self, api: Client) -> None:
        keyed = {**ITEM, "idempotency_key": "k-1"}
        other = {**keyed, "payload": {}}

        assert list(errors(publish(api, [keyed, ITEM, other, other]), 409)) == [
            "events[2].idempotency_key",
            "events[3].idempotency_key",
        ]
        assert not Event.objects.exists()

    def test_belong_to_events_and_not_to_the_batch(self, api: Client) -> None:
        response = publish(api, [ITEM], **{"idempotency-key": "k-1"})

        assert list(errors(response)) == ["Idempotency-Key"]
        assert response.json()["code"] == "invalid_idempotency_key"
