"""The copy of an account's rules is as good as the rows."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from deliveries.identifiers import new_id
from deliveries.models import Account, Delivery, EventType, Pause, Webhook, WebhookHealth
from deliveries.services import circuits, matching, pausing, publishing, tending, webhooks
from tests import builders

Result = TypeVar("Result")
Somewhere = Callable[[Callable[[], object]], None]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account(transactional_db: None) -> Account:
    """An account that needs no catalogue: tests of this kind start with no rows at all."""
    return builders.an_account(open_event_types=True)


@pytest.fixture
def webhook(account: Account) -> Webhook:
    return builders.a_webhook(account, events=["call.*"])


def publish(account: Account, event_type: str = "call.ended", **changes: Any) -> publishing.Publication:
    return publishing.publish(
        account=account, event_type=event_type, payload={"n": 1}, now=builders.NOW, **changes
    )


def reached(account: Account, event_type: str = "call.ended", **changes: Any) -> list[tuple[UUID, str]]:
    """Return the webhooks an event reaches, and whether its deliveries may go."""
    publication = publish(account, event_type, **changes)
    found = list(publication.event.deliveries.order_by("pk").values_list("webhook", "status"))
    assert publication.matched == len(found)
    return found


def elsewhere(act: Callable[[], Result]) -> Result:
    """Do something on another connection."""

    def do() -> Result:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(do).result()


def in_this_process(act: Callable[[], object]) -> None:
    act()


def in_another(act: Callable[[], object]) -> None:
    """Do something, and go on as a process that has not done it."""
    copies = dict(matching.rules_kept._read)
    act()
    matching.rules_kept._read.update(copies)


@contextmanager
def reading_rules() -> Iterator[list[str]]:
    """Note the statements that read rules."""
    about: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield about
    about += [
        query["sql"] for query in captured if query["sql"].startswith("SELECT") and "webhook" in query["sql"]
    ]


@contextmanager
def counting_fails() -> Iterator[None]:
    """Nobody can count up the rules of an account."""

    def refuse(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith('UPDATE "deliveries_account"'):
            raise OperationalError
        return execute(sql, *args)

    with connection.execute_wrapper(refuse):
        yield


@pytest.fixture(params=[in_this_process, in_another])
def do(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Somewhere:
    """Does something here or in another process, and no copy gets too old meanwhile."""
    monkeypatch.setattr(matching, "FRESH", 3600.0)
    somewhere: Somewhere = request.param
    return somewhere


class TestCopy:
    def test_saves_reading_the_rules(
        self, account: Account, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(matching, "FRESH", 3600.0)
        publish(account)

        with reading_rules() as statements:
            assert publish(account).matched == 1

        assert statements == []

    def test_is_thrown_away_when_it_is_a_second_old(self, account: Account, webhook: Webhook) -> None:
        publish(account)
        Webhook.objects.update(enabled=False)  # by hand, so nobody is told

        time.sleep(matching.FRESH)

        assert publish(account).matched == 0

    def test_is_kept_of_so_many_accounts_at_once(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(matching, "MOST", 2)

        for _ in range(5):
            publish(builders.an_account(open_event_types=True))

        assert len(matching.rules_kept._read) <= 2


class TestChange:
    """Seen by the next event, whichever process made it."""

    def test_of_what_there_is(self, account: Account, webhook: Webhook, do: Somewhere) -> None:
        publish(account)
        made: list[Webhook] = []

        do(lambda: made.append(builders.a_webhook(account)))
        assert reached(account) == [(webhook.pk, "pending"), (made[0].pk, "pending")]

        do(lambda: webhooks.delete(made[0], by="a test", now=builders.NOW))
        assert reached(account) == [(webhook.pk, "pending")]

    def test_of_what_is_on(self, account: Account, webhook: Webhook, do: Somewhere) -> None:
        publish(account)

        do(lambda: webhooks.disable(webhook.pk, reason="", by="a test", now=builders.NOW))
        assert reached(account) == []

        do(lambda: webhooks.toggle(webhook, by="a test", now=builders.NOW))
        assert reached(account) == [(webhook.pk, "pending")]

    def test_of_what_is_wanted_and_how_often_it_is_tried(
        self, account: Account, webhook: Webhook, do: Somewhere
    ) -> None:
        publish(account)

        do(
            lambda: webhooks.change(
                webhook, events=["message.*"], by="a test", now=builders.NOW, max_retries=7
            )
        )

        assert (reached(account), reached(account, "message.sent")) == ([], [(webhook.pk, "pending")])
        assert {each.retries_left for each in Delivery.objects.filter(event__type="message.sent")} == {7}

    def test_of_an_agent(self, account: Account, webhook: Webhook, do: Somewhere) -> None:
        agent, other = builders.an_agent(account), builders.an_agent(account)
        publish(account, agent=agent)
        made: list[Webhook] = []

        do(lambda: made.append(builders.a_webhook(agent=agent)))

        assert reached(account, agent=agent) == [(webhook.pk, "pending"), (made[0].pk, "pending")]
        assert reached(account, agent=other) == reached(account) == [(webhook.pk, "pending")]

    @pytest.mark.parametrize("of", ["webhook", "type", "account"])
    def test_of_what_is_paused(self, of: str, account: Account, webhook: Webhook, do: Somewhere) -> None:
        publish(account)
        parts: dict[str, Any] = {
            "webhook": {"webhook_id": webhook.pk},
            "type": {"event_type": "call.ended"},
            "account": {},
        }
        until = builders.NOW + timedelta(hours=1)

        do(
            lambda: pausing.pause(
                account=account, until=until, why="?", by="a test", now=builders.NOW, **parts[of]
            )
        )
        assert reached(account) == [(webhook.pk, "held")]
        assert reached(account, "call.began") == [(webhook.pk, "pending" if of == "type" else "held")]

        do(lambda: pausing.resume(Pause.objects.get(), by="a test", now=builders.NOW))
        assert reached(account) == [(webhook.pk, "pending")]

    def test_of_a_circuit(self, account: Account, webhook: Webhook, do: Somewhere) -> None:
        publish(account)
        health = WebhookHealth.objects.get()

        do(lambda: circuits._move(health, circuits.Circuit.OPEN, now=builders.NOW, next_step_at=builders.NOW))
        assert reached(account) == [(webhook.pk, "held")]

        do(lambda: circuits.step(webhook.pk, now=builders.NOW))
        assert reached(account) == [(webhook.pk, "pending")]

    def test_that_another_transaction_takes_back_was_none(
        self, account: Account, webhook: Webhook, do: Somewhere
    ) -> None:
        publish(account)

        def change_and_think_again() -> None:
            with transaction.atomic():
                webhooks.disable(webhook.pk, reason="", by="a test", now=builders.NOW)
                assert publish(account).matched == 0
                transaction.set_rollback(True)

        do(change_and_think_again)

        assert publish(account).matched == 1

    @pytest.mark.postgresql
    def test_that_is_not_committed_is_seen_by_its_transaction_alone(
        self, account: Account, webhook: Webhook
    ) -> None:
        publish(account)

        with transaction.atomic():
            webhooks.disable(webhook.pk, reason="", by="a test", now=builders.NOW)
            assert publish(account).matched == 0
            assert elsewhere(lambda: publish(account).matched) == 1

        assert publish(account).matched == 0

    def test_that_nobody_can_be_told_of_is_seen_when_the_copy_is_old(
        self, account: Account, webhook: Webhook, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The change stands: it was committed before."""
        publish(account)

        with counting_fails():
            in_another(lambda: webhooks.disable(webhook.pk, reason="", by="a test", now=builders.NOW))

        assert not Webhook.objects.get().enabled
        assert [record.event for record in caplog.records] == ["rules.not_counted"]  # type: ignore[attr-defined]
        time.sleep(matching.FRESH)
        assert publish(account).matched == 0


class TestEndOfAPause:
    def test_needs_nobody_to_say_so(self, account: Account, webhook: Webhook, now: datetime) -> None:
        until = now + timedelta(hours=1)
        pausing.pause(account=account, until=until, why="?", by="a test", now=now)
        assert reached(account) == [(webhook.pk, "held")]

        later = publishing.publish(account=account, event_type="call.ended", payload={}, now=until)

        assert later.event.deliveries.get().status == "pending"


class TestLateDelivery:
    """One that was made by rules which had just changed: it goes nowhere, and ends as it should."""

    @pytest.fixture
    def late(self, account: Account, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
        """Publishes by the rules of before a change, and returns what becomes of the delivery."""

        def publish_late(change: Callable[[], object]) -> str:
            rules = matching.rules(account.pk, now=builders.NOW)
            change()
            with monkeypatch.context() as patch:
                patch.setattr(matching, "rules", lambda *args, **kwargs: rules)
                delivery = publish(account).event.deliveries.get()
            claimed = Delivery.objects.claim_due(
                now=builders.NOW,
                limit=10,
                grace=timedelta(seconds=30),
                after=UUID(int=0),
                share=10,
                taken={},
                token=new_id(),
            )
            assert (delivery.status, claimed.deliveries) == ("pending", [])
            tending.sweep(now=builders.NOW)
            delivery.refresh_from_db()
            return delivery.status

        return publish_late

    def test_of_a_deleted_webhook_is_cancelled(self, webhook: Webhook, late: Callable[..., str]) -> None:
        assert late(lambda: webhooks.delete(webhook, by="a test", now=builders.NOW)) == "cancelled"

    def test_of_a_disabled_webhook_is_held(self, webhook: Webhook, late: Callable[..., str]) -> None:
        assert late(lambda: webhooks.toggle(webhook, by="a test", now=builders.NOW)) == "held"

    @pytest.mark.parametrize("event_type", ["", "call.ended"])
    def test_of_what_is_paused_is_held(
        self, event_type: str, account: Account, late: Callable[..., str]
    ) -> None:
        assert late(lambda: builders.a_pause(account, event_type=event_type)) == "held"

    def test_of_an_open_circuit_is_held(self, late: Callable[..., str]) -> None:
        later = builders.NOW + timedelta(minutes=1)
        opened = {"circuit": "open", "circuit_since": builders.NOW, "next_step_at": later}
        assert late(lambda: WebhookHealth.objects.update(**opened)) == "held"


class TestCatalogue:
    @pytest.fixture
    def account(self, transactional_db: None) -> Account:
        """An account that keeps to the catalogue."""
        EventType.objects.create(code="call.ended", label="Call ended")
        return builders.an_account()

    def test_is_not_read_for_every_event(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(matching, "FRESH", 3600.0)
        publish(account)

        with CaptureQueriesContext(connection) as captured:
            publish(account)

        assert not [query for query in captured if "deliveries_eventtype" in query["sql"]]

    def test_is_read_by_who_has_just_changed_it(self, account: Account) -> None:
        publish(account)

        with transaction.atomic():
            EventType.objects.all().delete()
            with pytest.raises(publishing.InvalidEvents):
                publish(account)
            EventType.objects.create(code="call.began", label="Call began")
            publish(account, "call.began")
            transaction.set_rollback(True)

        publish(account)
        with pytest.raises(publishing.InvalidEvents):
            publish(account, "call.began")

    def test_has_a_new_type_at_once(self, account: Account) -> None:
        with pytest.raises(publishing.InvalidEvents):
            publish(account, "call.began")

        EventType.objects.create(code="call.began", label="Call began")

        publish(account, "call.began")

    def test_loses_a_type_at_once_where_it_is_deleted(self, account: Account) -> None:
        publish(account)

        with transaction.atomic():
            EventType.objects.all().delete()
            matching.types_changed()

        with pytest.raises(publishing.InvalidEvents):
            publish(account)

    def test_loses_a_type_that_was_deleted_elsewhere_within_a_second(self, account: Account) -> None:
        publish(account)
        EventType.objects.all().delete()

        time.sleep(matching.FRESH)

        with pytest.raises(publishing.InvalidEvents):
            publish(account)
