import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from deliveries import clock
from deliveries.identifiers import new_id
from deliveries.models import Account, Delivery, Webhook, WebhookHealth, databases
from deliveries.models.databases import claims
from tests import builders
from tests.somebody_else import holding

GRACE = timedelta(seconds=30)
START = UUID(int=0)


def claim(now: datetime, *, limit: int = 100, after: UUID = START) -> list[Delivery]:
    return Delivery.objects.claim_due(
        now=now, limit=limit, grace=GRACE, after=after, share=limit, taken={}, token=new_id()
    ).deliveries


@pytest.mark.django_db
class TestClaim:
    def test_takes_what_is_due_for_the_timeout_and_a_grace(self, now: datetime) -> None:
        delivery = builders.a_delivery(builders.a_webhook(timeout=7))

        (claimed,) = claim(now)

        assert claimed == delivery
        assert claimed.due_at == now + timedelta(seconds=37)
        assert claimed.lease_token is not None
        assert claimed.claims == 1

    def test_leaves_what_is_not_due(self, now: datetime) -> None:
        builders.a_delivery(due_at=now + timedelta(milliseconds=1))

        assert claim(now) == []

    @pytest.mark.parametrize("status", [status for status in Delivery.Status if status != "pending"])
    def test_leaves_every_other_state(self, status: Delivery.Status, now: datetime) -> None:
        if status in Delivery.UNFINISHED:
            builders.a_delivery(status=status)
        else:
            builders.a_failed_delivery(status=status)

        assert claim(now) == []

    def test_leaves_the_deliveries_of_a_disabled_webhook(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook)
        Webhook.objects.filter(pk=webhook.pk).update(enabled=False)

        assert claim(now) == []

    def test_hands_nothing_out_twice_while_the_lease_lasts(self, now: datetime) -> None:
        builders.a_delivery()

        assert len(claim(now)) == 1
        assert claim(now + timedelta(seconds=59)) == []

    def test_takes_a_delivery_again_whose_lease_has_run_out(self, now: datetime) -> None:
        builders.a_delivery()
        (first,) = claim(now)

        (second,) = claim(now + timedelta(seconds=60))

        assert second.lease_token != first.lease_token
        assert second.claims == 2

    def test_takes_no_more_than_asked(self, now: datetime) -> None:
        builders.a_backlog(builders.a_webhook(), 5)

        assert len(claim(now, limit=3)) == 3

    def test_takes_the_oldest_due_first(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook, due_at=now - timedelta(seconds=1))
        oldest = builders.a_delivery(webhook, due_at=now - timedelta(seconds=2))

        assert claim(now, limit=1) == [oldest]

    def test_comes_with_event_and_webhook(self, now: datetime) -> None:
        for _ in range(3):
            builders.a_delivery()
        claimed = claim(now)

        with CaptureQueriesContext(connection) as queries:
            for delivery in claimed:
                assert delivery.event.body
                assert delivery.webhook.url
        assert len(queries) == 0

    def test_counts_what_is_under_way_against_the_cap(self, now: datetime) -> None:
        builders.a_backlog(builders.a_webhook(max_in_flight=4), 10)

        assert len(claim(now, limit=3)) == 3
        assert len(claim(now)) == 1
        assert claim(now) == []

    def test_does_not_count_leases_that_have_run_out(self, now: datetime) -> None:
        builders.a_backlog(builders.a_webhook(max_in_flight=4), 10)
        claim(now)

        assert len(claim(now + timedelta(minutes=5))) == 4

    def test_lets_a_backlog_take_nothing_from_other_webhooks(self, now: datetime) -> None:
        builders.a_backlog(builders.a_webhook(max_in_flight=4), 50, due_at=now - timedelta(hours=1))
        other = builders.a_delivery()

        claimed = claim(now, limit=10)

        assert len(claimed) == 5
        assert other in claimed

    def test_goes_round_the_webhooks_whatever_the_planner_knows(self, now: datetime) -> None:
        builders.a_backlog(builders.a_webhook(), 5)
        with connection.cursor() as cursor:
            # Told of one webhook only, PostgreSQL would like to begin with the webhooks, not with the walk.
            cursor.execute("ANALYZE")
        for _ in range(2):
            builders.a_backlog(builders.a_webhook(), 5)
        after = START
        order = []
        for _ in range(6):
            claimed = Delivery.objects.claim_due(
                now=now, limit=1, grace=GRACE, after=after, share=1, taken={}, token=new_id()
            )
            after = claimed.last
            order += [delivery.webhook_id for delivery in claimed.deliveries]

        assert order[:3] == order[3:]
        assert len(set(order)) == 3

    def test_costs_the_same_queries_for_one_as_for_many(self, now: datetime) -> None:
        builders.a_backlog(builders.a_webhook(max_in_flight=60), 60)

        def queries(limit: int) -> int:
            with CaptureQueriesContext(connection) as captured:
                claim(now, limit=limit)
            return len(captured)

        assert queries(1) == queries(50)


@pytest.mark.django_db(transaction=True)
class TestClaimByManyAtOnce:
    def test_hands_no_row_out_twice_and_keeps_to_the_cap(self, now: datetime) -> None:
        capped = builders.a_webhook(max_in_flight=7)
        builders.a_backlog(capped, 100)
        for _ in range(4):
            builders.a_backlog(builders.a_webhook(max_in_flight=100), 40)
        together = threading.Barrier(4)

        def work(number: int) -> list[tuple[UUID, UUID]]:
            taken: list[tuple[UUID, UUID]] = []
            together.wait()
            try:
                for _ in range(10):
                    taken += [(d.pk, d.webhook_id) for d in claim(now, limit=5, after=new_id())]
            finally:
                connection.close()
            return taken

        with ThreadPoolExecutor(4) as pool:
            taken = [pair for each in pool.map(work, range(4)) for pair in each]

        assert max(Counter(pk for pk, _ in taken).values()) == 1
        assert Counter(webhook_id for _, webhook_id in taken)[capped.pk] == 7
        assert len(taken) == 4 * 40 + 7


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestClaimBesideALock:
    def test_does_not_wait_for_a_row_somebody_else_holds(self, now: datetime) -> None:
        held, free = builders.a_delivery(), builders.a_delivery()

        with holding(held):
            claimed = claim(now)

        assert claimed == [free]


@pytest.mark.postgresql
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestClaimBehindABacklog:
    WEBHOOKS = 2_000
    BACKLOG = 1_000_000

    def test_reads_as_much_behind_a_million_as_behind_none(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dead = builders.a_webhook(max_in_flight=1)
        many_webhooks(dead.account, self.WEBHOOKS)
        many_due(Webhook.objects.exclude(pk=dead.pk), each=3)
        analyse()
        without, _ = explained_claim(now, monkeypatch)

        many_due(Webhook.objects.filter(pk=dead.pk), each=self.BACKLOG)

        for statistics in ("old", "new"):
            behind, plan = explained_claim(now, monkeypatch)
            assert "Seq Scan on deliveries_delivery" not in plan, statistics
            assert plan.count("deliveries_queue") >= 5  # four steps of the walk, and the rows themselves
            assert "deliveries_leased" in plan
            # A deeper index is a page more for each look into it.
            assert behind < 1.5 * without, (statistics, behind, without)
            analyse()


def many_webhooks(account: Account, count: int) -> None:
    """Make webhooks with their health; without the services, which take milliseconds for each."""
    webhooks = [
        Webhook(account=account, name="One of many", url=builders.URL, events=["*"], created_at=builders.NOW)
        for _ in range(count)
    ]
    for webhook in webhooks:
        webhook.updated_at = webhook.created_at
    Webhook.objects.bulk_create(webhooks)
    WebhookHealth.objects.bulk_create(WebhookHealth(webhook=webhook) for webhook in webhooks)


def many_due(webhooks: QuerySet[Webhook], *, each: int) -> None:
    """Queue deliveries that were due yesterday to each webhook; of no event, as nobody sends them."""
    due = builders.NOW - timedelta(days=1)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # looks for no event, nor for anything else
        cursor.execute("CREATE TEMPORARY SEQUENCE IF NOT EXISTS ids")
        for pk, account in webhooks.values_list("pk", "account"):
            # In parts that no slow machine takes too long for.
            for start in range(0, each, 50_000):
                cursor.execute(
                    """
                    INSERT INTO deliveries_delivery
                        (id, account_id, event_id, webhook_id, status, created_at, due_at, claims, round,
                         attempts_made, retries_left, next_attempt_id, scheduled_at)
                    SELECT id, %(account)s, id, %(webhook)s, 'pending', %(due)s, %(due)s, 0, 1,
                           0, 3, id, %(due)s
                      FROM (SELECT lpad(to_hex(nextval('ids')), 32, '0')::uuid AS id
                              FROM generate_series(1, %(count)s)) AS new
                    """,
                    {"account": account, "webhook": pk, "due": due, "count": min(50_000, each - start)},
                )
        cursor.execute("RESET session_replication_role")


def analyse() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE deliveries_delivery, deliveries_webhook, deliveries_webhookhealth")


def explained_claim(now: datetime, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Return how many pages the claim touches, and its plan, under its own settings. It is undone."""
    with monkeypatch.context() as patch, transaction.atomic():
        explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {claims._CLAIM_POSTGRESQL}"
        patch.setattr(claims, "_CLAIM_POSTGRESQL", explain)
        rows = databases.claim_due(
            now=now, limit=500, grace=GRACE, after=new_id(), share=200, taken={}, token=new_id()
        )
        transaction.set_rollback(True)
    plan = "\n".join(str(row[0]) for row in rows)
    pages = re.search(r"Buffers: shared((?: (?:hit|read|dirtied|written)=\d+)+)", plan)
    assert pages, plan
    counted = dict(pair.split("=") for pair in pages[1].split())
    return int(counted.get("hit", 0)) + int(counted.get("read", 0)), plan


@pytest.mark.django_db
class TestChangesMeanwhile:
    @pytest.mark.parametrize(("timeout", "claimed"), [(4, 1), (5, 1), (6, 0), (120, 0)])
    def test_of_a_timeout_never_make_a_request_last_longer_than_its_lease(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch, timeout: int, claimed: int
    ) -> None:
        """Between the statement that claims and the one that reads what is to be sent."""
        webhook = builders.a_webhook(timeout=5)
        delivery = builders.a_delivery(webhook)
        claim_due = databases.claim_due

        def changing(**arguments: Any) -> Any:
            rows = claim_due(**arguments)
            Webhook.objects.update(timeout=timeout)
            return rows

        monkeypatch.setattr(databases, "claim_due", changing)

        assert len(claim(now)) == claimed

        delivery.refresh_from_db()
        assert (delivery.claims, delivery.lease_token is None) == (claimed, not claimed)
        monkeypatch.undo()
        assert len(claim(now)) == 1 - claimed


@pytest.mark.postgresql
@pytest.mark.django_db
class TestAClockThatStoodStill:
    """As that of a virtual machine that was paused: nothing in it can know."""

    @pytest.mark.parametrize("off", [timedelta(minutes=-5), timedelta(minutes=5)])
    def test_is_set_before_anything_is_leased_by_it(
        self, monkeypatch: pytest.MonkeyPatch, off: timedelta
    ) -> None:
        databases.ask_the_time(connection)
        right = clock._offset
        assert right is not None
        builders.a_delivery(due_at=clock.now() - timedelta(minutes=10))
        monkeypatch.setattr(clock, "_offset", right + off.total_seconds())

        first, second = (
            Delivery.objects.claim_due(
                now=clock.now(), limit=1, grace=GRACE, after=START, share=1, taken={}, token=new_id()
            )
            for _ in range(2)
        )

        assert (first.deliveries, first.again) == ([], True)
        (delivery,) = second.deliveries
        lease = timedelta(seconds=delivery.webhook.timeout) + GRACE
        assert delivery.due_at is not None
        assert abs(delivery.due_at - lease - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.django_db
class TestShare:
    def test_one_webhook_gets_no_more_than_its_share(self, now: datetime) -> None:
        hanging, other = builders.a_webhook(max_in_flight=100), builders.a_webhook()
        builders.a_backlog(hanging, 20)
        builders.a_backlog(other, 2)

        claimed = Delivery.objects.claim_due(
            now=now, limit=32, grace=GRACE, after=START, share=8, taken={hanging.pk: 5}, token=new_id()
        )

        assert Counter(delivery.webhook_id for delivery in claimed.deliveries) == {hanging.pk: 3, other.pk: 2}

    def test_a_webhook_with_its_share_gets_nothing(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 2)

        claimed = Delivery.objects.claim_due(
            now=now, limit=32, grace=GRACE, after=START, share=8, taken={webhook.pk: 9}, token=new_id()
        )

        assert claimed.deliveries == []


@pytest.mark.django_db
class TestCircuit:
    @pytest.mark.parametrize(
        ("circuit", "taken"), [("closed", 3), ("open", 0), ("probing", 1), ("recovering", 3)]
    )
    def test_says_how_many_go_out(self, circuit: str, taken: int, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 3)
        step = None if circuit == "closed" else now
        WebhookHealth.objects.update(circuit=circuit, circuit_since=now, next_step_at=step)

        assert len(claim(now)) == taken

    def test_a_probe_under_way_is_the_only_one(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 3)
        WebhookHealth.objects.update(circuit="probing", circuit_since=now, next_step_at=now)
        claim(now)

        assert claim(now) == []

    def test_a_webhook_without_a_health_row_is_served(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook)
        webhook.health.delete()

        assert len(claim(now)) == 1


@pytest.mark.django_db
class TestPause:
    def test_of_a_webhook_keeps_its_own(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        other = builders.a_webhook(webhook.account)
        builders.a_delivery(webhook)
        theirs = builders.a_delivery(other)
        builders.a_pause(webhook.account, webhook=webhook)

        assert claim(now) == [theirs]

    def test_of_an_account_keeps_all_of_it(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook)
        theirs = builders.a_delivery()
        builders.a_pause(webhook.account)

        assert claim(now) == [theirs]

    def test_of_an_event_type_keeps_that_and_holds_it(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        paused = builders.a_delivery(webhook)
        other = builders.a_delivery(webhook, event=builders.an_event(webhook.account, type="call.started"))
        elsewhere = builders.a_delivery()
        builders.a_pause(webhook.account, event_type="call.ended")

        assert {delivery.pk for delivery in claim(now)} == {other.pk, elsewhere.pk}
        paused.refresh_from_db()
        assert (paused.status, paused.claims, paused.lease_token) == ("held", 0, None)

    @pytest.mark.parametrize("over", [{"ended_at": builders.NOW}, {"until": builders.NOW}])
    def test_that_is_over_keeps_nothing(self, over: dict[str, datetime], now: datetime) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook)
        builders.a_pause(webhook.account, **over)

        assert len(claim(now)) == 1
