import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from deliveries.models import Account, Delivery, Event, IdempotencyKey
from deliveries.models.databases import publications
from deliveries.services import publishing, webhooks
from deliveries.services.publishing import Draft, Publication
from tests import builders

PAYLOAD = {"call_id": "c-1", "duration": 45}


def publish(account: Account, **changes: object) -> Publication:
    return publishing.publish(
        **{"account": account, "event_type": "call.ended", "payload": PAYLOAD, "now": builders.NOW, **changes}  # type: ignore[arg-type]
    )


@pytest.mark.django_db
class TestPublish:
    def test_queues_a_delivery_for_every_webhook_that_matches(self, account: Account, now: datetime) -> None:
        agent, other_agent = builders.an_agent(account), builders.an_agent(account)
        matching = {
            builders.a_webhook(account, events=["*"]).pk,
            builders.a_webhook(account, events=["call.ended", "message.sent"]).pk,
            builders.a_webhook(account, agent=agent, events=["call.*"]).pk,
        }
        builders.a_webhook(account, events=["message.sent"])
        builders.a_webhook(account, events=["inbound.*"])
        builders.a_webhook(account, agent=other_agent)
        builders.a_webhook(account, enabled=False)
        webhooks.delete(builders.a_webhook(account), by="a test", now=now)
        builders.a_webhook(builders.an_account())

        publication = publish(account, agent=agent)

        deliveries = Delivery.objects.filter(event=publication.event)
        assert {delivery.webhook_id for delivery in deliveries} == matching
        assert publication.matched == 3

    def test_reaches_only_webhooks_without_an_agent_when_it_names_none(self, account: Account) -> None:
        builders.a_webhook(account, agent=builders.an_agent(account))

        assert publish(account).matched == 0

    def test_queues_for_now_with_the_retries_of_the_webhook(self, account: Account, now: datetime) -> None:
        builders.a_webhook(account, max_retries=7)

        delivery = publish(account).event.deliveries.get()

        assert (delivery.due_at, delivery.scheduled_at, delivery.retries_left) == (now, now, 7)
        assert builders.is_id_of(now, delivery.next_attempt_id)

    def test_stores_the_bytes_that_will_be_sent(self, account: Account, now: datetime) -> None:
        event = publish(account, payload={"name": "Zoë", "n": [1, 2.5, None]}).event

        stored = Event.objects.get(pk=event.pk)
        assert bytes(stored.body) == '{"name":"Zoë","n":[1,2.5,null]}'.encode()
        assert (stored.created_at, stored.occurred_at) == (now, now)

    def test_stores_an_event_that_matches_nothing(
        self, account: Account, doorbell_rings: list[str], django_capture_on_commit_callbacks: object
    ) -> None:
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            publication = publish(account)

        assert publication.matched == 0
        assert Event.objects.filter(pk=publication.event.pk).exists()
        assert doorbell_rings == []

    def test_keeps_to_the_catalogue_unless_the_account_is_open(self, account: Account) -> None:
        with pytest.raises(publishing.InvalidEvents) as caught:
            publish(account, event_type="my.own")
        assert caught.value.problems == {
            0: {"event": ["This is not a known event type; GET /api/v1/event_types lists those that are."]}
        }

        account.open_event_types = True
        assert publish(account, event_type="my.own").event.type == "my.own"
        with pytest.raises(publishing.InvalidEvents):
            publish(account, event_type="My own")

    def test_refuses_an_agent_of_another_account(self, account: Account) -> None:
        with pytest.raises(publishing.InvalidEvents):
            publish(account, agent=builders.an_agent())

    def test_costs_the_same_for_many_webhooks_as_for_one(self, account: Account) -> None:
        def cost(webhooks: int) -> int:
            for _ in range(webhooks):
                builders.a_webhook(account)
            with CaptureQueriesContext(connection) as queries:
                publish(account)
            return len(queries)

        few, more, many = cost(1), cost(publications.MANY), cost(20)

        # From so many on there is one more: events and deliveries are written one after the other.
        assert (more - few, many) in ((0, few), (1, more))


@pytest.mark.django_db
class TestPublishMany:
    def test_stores_all_or_none(self, account: Account, now: datetime) -> None:
        good = Draft(event_type="call.ended", payload=PAYLOAD)
        bad = Draft(event_type="call.exploded", payload={"a": float("nan")})

        with pytest.raises(publishing.InvalidEvents) as caught:
            publishing.publish_many(account=account, drafts=[good, bad, good], now=now)

        assert list(caught.value.problems) == [1]
        assert set(caught.value.problems[1]) == {"event", "payload"}
        assert not Event.objects.exists()

    def test_answers_in_the_order_of_the_drafts(self, account: Account, now: datetime) -> None:
        types = ["call.ended", "message.sent", "call.ended"]
        drafts = [Draft(event_type=event_type, payload=PAYLOAD) for event_type in types]

        publications = publishing.publish_many(account=account, drafts=drafts, now=now)

        assert [publication.event.type for publication in publications] == types


@pytest.mark.django_db
class TestIdempotencyKey:
    def test_gives_the_same_event_again(self, account: Account) -> None:
        builders.a_webhook(account)
        first = publish(account, idempotency_key="k-1")

        second = publish(account, idempotency_key="k-1")

        assert (second.event, second.matched, second.replayed) == (first.event, 1, True)
        assert Event.objects.count() == Delivery.objects.count() == 1

    @pytest.mark.parametrize(
        "changes",
        [{"payload": {"other": 1}}, {"event_type": "message.sent"}, {"occurred_at": builders.NOW}],
    )
    def test_stands_for_one_publication_only(self, changes: dict[str, object], account: Account) -> None:
        publish(account, idempotency_key="k-1")

        with pytest.raises(publishing.IdempotencyConflict):
            publish(account, idempotency_key="k-1", **changes)

    @pytest.mark.parametrize("key", ["", "x" * 129, "a b", "\x00", "é"])
    def test_is_visible_ascii(self, key: str, account: Account) -> None:
        with pytest.raises(publishing.InvalidEvents) as caught:
            publish(account, idempotency_key=key)
        assert list(caught.value.problems[0]) == ["idempotency_key"]

    def test_belongs_to_its_account(self, account: Account) -> None:
        publish(account, idempotency_key="k-1")

        assert not publish(builders.an_account(), idempotency_key="k-1").replayed

    def test_is_free_again_after_72_hours(self, account: Account, now: datetime) -> None:
        first = publish(account, idempotency_key="k-1")
        later = now + timedelta(hours=72)

        assert publish(account, idempotency_key="k-1", now=later - timedelta(seconds=1)).replayed
        again = publish(account, idempotency_key="k-1", now=later)

        assert not again.replayed
        assert again.event != first.event

    def test_makes_one_event_of_two_alike_in_a_call(self, account: Account, now: datetime) -> None:
        builders.a_webhook(account)
        draft = Draft(event_type="call.ended", payload=PAYLOAD, idempotency_key="k-1")

        first, second = publishing.publish_many(account=account, drafts=[draft, draft], now=now)

        assert (first.event, first.matched, first.replayed) == (second.event, 1, False)
        assert (second.matched, second.replayed) == (1, True)
        assert Event.objects.count() == Delivery.objects.count() == IdempotencyKey.objects.count() == 1

    def test_serves_no_two_different_events_of_a_call(self, account: Account, now: datetime) -> None:
        drafts = [
            Draft(event_type="call.ended", payload={"n": n}, idempotency_key="k-1") for n in (1, 1, 2, 1, 3)
        ]

        with pytest.raises(publishing.IdempotencyConflict) as caught:
            publishing.publish_many(account=account, drafts=drafts, now=now)
        assert caught.value.places == [2, 4]

    @pytest.mark.postgresql
    def test_locks_those_expired_in_one_order(self, account: Account, now: datetime) -> None:
        """Two calls that each wait for a key the other deletes would stop for good."""
        publish(account, idempotency_key="k-1")

        with CaptureQueriesContext(connection) as queries:
            publish(account, idempotency_key="k-1", now=now + timedelta(hours=72))

        about = [query["sql"] for query in queries if "deliveries_idempotencykey" in query["sql"]]
        assert 'ORDER BY "deliveries_idempotencykey"."key" ASC FOR UPDATE' in about[1]
        assert about[2].startswith('DELETE FROM "deliveries_idempotencykey"')


@pytest.mark.django_db(transaction=True)
class TestPublishInATransaction:
    @pytest.fixture
    def account(self, transactional_db: None) -> Account:
        """An account that needs no catalogue: tests of this kind start with no rows at all."""
        return builders.an_account(open_event_types=True)

    def test_leaves_nothing_behind_a_rollback(self, account: Account, doorbell_rings: list[str]) -> None:
        builders.a_webhook(account)

        with transaction.atomic():
            publish(account, idempotency_key="k-1")
            transaction.set_rollback(True)

        assert not Event.objects.exists()
        assert not Delivery.objects.exists()
        assert not IdempotencyKey.objects.exists()
        assert doorbell_rings == []

    def test_rings_once_the_caller_has_committed(self, account: Account, doorbell_rings: list[str]) -> None:
        builders.a_webhook(account)

        with transaction.atomic():
            publish(account)
            assert doorbell_rings == []

        assert doorbell_rings == ["ring"]

    def test_makes_one_event_of_many_at_once_under_one_key(self, account: Account) -> None:
        builders.a_webhook(account)
        together = threading.Barrier(8)

        def publish_together(number: int) -> Publication:
            together.wait()
            try:
                return publish(account, idempotency_key="k-1")
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            publications = list(pool.map(publish_together, range(8)))

        assert len({publication.event.pk for publication in publications}) == 1
        assert sum(not publication.replayed for publication in publications) == 1
        assert Delivery.objects.count() == 1


class TestFingerprint:
    def test_tells_apart_what_could_run_together(self) -> None:
        """A separator keeps the parts from making one text in two ways."""
        one = publishing._fingerprint(Draft(event_type="call", payload={}), b"x\n")
        other = publishing._fingerprint(Draft(event_type="call\n", payload={}), b"x")

        assert one != other
        assert len(one) == hashlib.sha256().digest_size * 2
