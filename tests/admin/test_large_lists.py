"""Lists of much: what is rare is found by an index, wherever in the list it is."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries import clock
from deliveries.admin.walking import Walk
from deliveries.identifiers import new_id_at
from deliveries.models import Attempt, Delivery, Webhook
from deliveries.reasons import Reason
from tests import builders
from tests.admin.plans import plans

ATTEMPTS = reverse("admin:deliveries_attempt_changelist")
DELIVERIES = reverse("admin:deliveries_delivery_changelist")
# So many that to read them all is seen; and of one webhook, long ago, more than a list counts.
MANY, OLDER = 30_000, 10_500
# Pages of 8 KB that a question may touch; all rows are on many more.
FEW = 150
MINUTE = timedelta(minutes=1)
# The one in which everything of these tests is made.
THAT_DAY = {
    "since": f"{builders.NOW - timedelta(hours=12):%Y-%m-%dT%H:%M}",
    "until": f"{builders.NOW + timedelta(hours=12):%Y-%m-%dT%H:%M}",
}


def found(console: Client, url: str, asked: Mapping[str, str]) -> list[Any]:
    page = console.get(url, {**asked, "since": "all"})
    assert page.status_code == 200
    return list(page.context["cl"].result_list)


class TestOrder:
    """Of a webhook's attempts: along an index with their moments where they are many, or sorted where few."""

    @pytest.fixture(autouse=True, params=[1, 100])
    def _many_or_few(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Walk, "MOST", request.param)
        monkeypatch.setattr("deliveries.admin.tables.Table.list_per_page", 2)

    @pytest.fixture
    def attempts(self, db: None) -> list[Attempt]:
        """Five, the newest first; three of them of one moment."""
        delivery = builders.a_failed_delivery()
        now = clock.now()
        Attempt.objects.all().delete()
        ages = (3, 2, 2, 2, 1)
        made = [
            builders.an_attempt(
                delivery, number=number, id=new_id_at(now - age * MINUTE), created_at=now - age * MINUTE
            )
            for number, age in enumerate(ages, 1)
        ]
        return made[::-1]

    def test_is_that_of_time_from_page_to_page_and_back(
        self, console: Client, attempts: list[Attempt]
    ) -> None:
        asked = {"webhook__id__exact": str(attempts[0].webhook_id), "since": "all"}
        seen, link = [], ""
        for _ in range(3):
            walk = console.get(ATTEMPTS + link, asked if not link else None).context["cl"]
            seen += list(walk.result_list)
            newer, link = walk.newer, walk.older or link
        assert seen == attempts
        assert walk.older is None
        back = console.get(ATTEMPTS + newer).context["cl"]
        assert list(back.result_list) == attempts[2:4]
        assert list(console.get(ATTEMPTS + back.newer).context["cl"].result_list) == attempts[:2]

    def test_goes_on_where_the_attempt_a_page_ended_with_is_gone(
        self, console: Client, attempts: list[Attempt]
    ) -> None:
        asked = {"webhook__id__exact": str(attempts[0].webhook_id), "before": str(attempts[0].pk)}
        attempts[0].delete()

        assert found(console, ATTEMPTS, asked) == attempts[1:3]

    def test_does_not_begin_at_what_no_attempt_can_be_called(
        self, console: Client, attempts: list[Attempt]
    ) -> None:
        asked = {"webhook__id__exact": str(attempts[0].webhook_id), "before": "f" * 32}

        answer = console.get(ATTEMPTS, {**asked, "since": "all"})

        # Its moment would be in the year 10889; where keys alone are compared, all is older.
        assert answer.status_code == (400 if Walk.MOST == 1 else 200)


@pytest.mark.postgresql
@pytest.mark.django_db
class TestPlans:
    @pytest.fixture
    def rare(self, console: Client) -> Delivery:
        """One that failed for a reason of its own, at a webhook that has no other; older than all others."""
        delivery = builders.a_failed_delivery()
        Attempt.objects.update(reason_code=Reason.TLS_FAILED)
        many(delivery, older=builders.a_webhook(delivery.account), newer=builders.a_webhook(delivery.account))
        return delivery

    @pytest.mark.parametrize(
        ("asked", "index"),
        [
            ({"reason_code__exact": "tls_failed"}, "attempts_by_reason"),
            ({"succeeded__exact": "0"}, "attempts_that_failed|attempts_by_reason"),
            ({"webhook__id__exact": "{webhook}"}, "attempts_of_webhook"),
            ({"webhook__id__exact": "{webhook}", "reason_code__exact": "tls_failed"}, "attempts_"),
        ],
    )
    def test_of_a_rare_attempt_read_its_index(
        self, console: Client, rare: Delivery, asked: dict[str, str], index: str
    ) -> None:
        chosen = {name: value.format(webhook=rare.webhook_id) for name, value in asked.items()}

        with CaptureQueriesContext(connection) as queries:
            (attempt,) = found(console, ATTEMPTS, chosen)

        assert attempt.delivery_id == rare.pk
        for plan, pages in plans(queries, "deliveries_attempt"):
            assert re.search(index, plan) or "_pkey" in plan, plan
            assert pages < FEW, plan

    @pytest.mark.parametrize("url", [ATTEMPTS, DELIVERIES])
    def test_of_a_webhook_with_much_of_long_ago_read_its_index(
        self, console: Client, rare: Delivery, url: str
    ) -> None:
        """What has gone to others since is not gone through to find the first of it."""
        _, older, _ = Webhook.objects.order_by("pk")
        table = "deliveries_attempt" if url == ATTEMPTS else "deliveries_delivery"

        with CaptureQueriesContext(connection) as queries:
            found(console, url, {"webhook__id__exact": str(older.pk)})

        _, *pages_of_rows = plans(queries, table)
        assert pages_of_rows
        for plan, pages in pages_of_rows:
            assert "of_webhook" in plan or "_pkey" in plan, plan
            # The few webhooks there are may be gone through.
            assert all(int(rows) < FEW for rows in re.findall(r"Rows Removed by .*: (\d+)", plan)), plan
            # With what hangs on each row of the page.
            assert pages < 3 * FEW, plan

    def test_of_deliveries_to_a_webhook_leave_out_what_is_older_than_is_asked_for(
        self, console: Client, rare: Delivery
    ) -> None:
        """They do not begin with the first that has ever gone to it."""
        webhook = Webhook.objects.get(pk=rare.webhook_id)
        delivery = builders.a_failed_delivery(webhook, created_at=clock.now())

        with CaptureQueriesContext(connection) as queries:
            page = console.get(DELIVERIES, {"webhook__id__exact": str(webhook.pk), "since": "7d"})

        assert list(page.context["cl"].result_list) == [delivery]
        (of_count, _), *_ = plans(queries, "deliveries_delivery")
        conditions = re.findall(r"Index Cond: .*webhook_id = .*", of_count)
        assert conditions
        assert all("created_at >= " in each for each in conditions), of_count

    @pytest.mark.parametrize("status", ["failed", "cancelled", "held"])
    def test_of_deliveries_to_a_quiet_webhook_read_its_index(
        self, console: Client, rare: Delivery, status: str
    ) -> None:
        for asked in ({}, {"status__exact": status}):
            with CaptureQueriesContext(connection) as queries:
                found(console, DELIVERIES, {"webhook__id__exact": str(rare.webhook_id), **asked})

            for plan, pages in plans(queries, "deliveries_delivery"):
                assert "Seq Scan on deliveries_delivery" not in plan, plan
                assert pages < FEW, plan

    def test_of_an_account_read_the_index_of_its_webhooks(self, console: Client, rare: Delivery) -> None:
        other = builders.a_failed_delivery()

        with CaptureQueriesContext(connection) as queries:
            page = console.get(ATTEMPTS, {"account": str(other.account_id), **THAT_DAY})

        assert [each.delivery_id for each in page.context["cl"].result_list] == [other.pk]
        for plan, pages in plans(queries, "deliveries_attempt"):
            assert "attempts_of_webhook" in plan or "_pkey" in plan, plan
            assert pages < FEW, plan

    @pytest.mark.parametrize("typed", ["418", "4xx"])
    def test_of_a_status_read_what_failed(self, console: Client, rare: Delivery, typed: str) -> None:
        rare.attempts.update(http_status=418)

        with CaptureQueriesContext(connection) as queries:
            page = console.get(ATTEMPTS, {"http_status": typed, **THAT_DAY})

        assert [each.delivery_id for each in page.context["cl"].result_list] == [rare.pk]
        for plan, pages in plans(queries, "deliveries_attempt"):
            assert "attempts_that_failed" in plan or "_pkey" in plan, plan
            assert pages < FEW, plan

    def test_of_an_account_with_many_deliveries_of_long_ago_read_its_index(self, console: Client) -> None:
        """What has gone to others since is not gone through to find the first of it."""
        first = builders.a_failed_delivery()
        many(first, older=builders.a_webhook(first.account), newer=builders.a_webhook())

        with CaptureQueriesContext(connection) as queries:
            assert found(console, DELIVERIES, {"account__id__exact": str(first.account_id)})

        _, *pages_of_rows = plans(queries, "deliveries_delivery")
        assert pages_of_rows
        for plan, pages in pages_of_rows:
            assert "of_account" in plan or "_pkey" in plan, plan
            assert pages < 3 * FEW, plan

    def test_of_what_waits_for_a_webhook_read_nothing_else(self, console: Client, rare: Delivery) -> None:
        _, older, _ = Webhook.objects.order_by("pk")

        with CaptureQueriesContext(connection) as queries:
            page = console.get(reverse("admin:deliveries_webhook_delete", args=[older.pk]))

        assert "Nothing waits for it." in page.content.decode()
        counts = list(plans(queries, "deliveries_delivery"))
        assert counts
        for plan, pages in counts:
            assert pages < FEW, plan


def many(like: Delivery, *, older: Webhook, newer: Webhook) -> None:
    """Make deliveries, each with an attempt that succeeded: to one webhook, then to another. Of no event."""
    of_two = f"CASE WHEN n <= {OLDER} THEN %(older{{0}})s::uuid ELSE %(newer{{0}})s::uuid END"
    whose = {"webhook_id": of_two.format(""), "account_id": of_two.format("_account")}
    template = like.attempts.get()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # looks for no event
        for row, changes in (
            (like, {"event_id": "gen_random_uuid()", "status": "'succeeded'"}),
            (template, {"delivery_id": _ID, "succeeded": "true", "reason_code": "''"}),
        ):
            table = row._meta.db_table
            columns = [str(field.column) for field in row._meta.concrete_fields]
            changes = {"id": _ID, **whose, **changes}
            values = ", ".join(changes.get(column, column) for column in columns)
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values}"  # noqa: S608 - names of ours
                f" FROM {table}, generate_series(1, {MANY}) AS n WHERE id = %(like)s",
                {
                    "older": older.pk,
                    "newer": newer.pk,
                    "older_account": older.account_id,
                    "newer_account": newer.account_id,
                    "like": row.pk,
                },
            )
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("ANALYZE deliveries_attempt, deliveries_delivery")


# After every id that is there; in the order of the numbers.
_ID = f"overlay('{new_id_at(builders.NOW + MINUTE)}' placing lpad(to_hex(n), 12, '0') from 25)::uuid"
