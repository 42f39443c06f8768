"""Walking through a list of history: from page to page without numbers, a stretch of time at once."""

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
from deliveries.models import Delivery, Event
from tests import builders
from tests.admin.pages import said

EVENTS = reverse("admin:deliveries_event_changelist")
FAILURES = reverse("admin:deliveries_failure_changelist")


def rows(console: Client, link: str = "", *, url: str = EVENTS) -> list[Any]:
    """Return the rows of a page."""
    return list(walk(console, link, url=url).result_list)


def walk(console: Client, link: str = "", *, url: str = EVENTS) -> Walk:
    page = console.get(url + link)
    assert page.status_code == 200
    found: Walk = page.context["cl"]
    return found


def events_ago(*ages: timedelta, account: Any) -> list[Event]:
    return [builders.an_event(account, id=new_id_at(clock.now() - age)) for age in ages]


class TestPages:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("deliveries.admin.tables.Table.list_per_page", 2)

    def test_lead_from_the_newest_to_the_oldest_and_back(self, console: Client, account: Any) -> None:
        first, second, third, fourth, fifth = (builders.an_event(account) for _ in range(5))

        newest = walk(console)
        assert list(newest.result_list) == [fifth, fourth]
        assert newest.newer is None
        middle = walk(console, str(newest.older))
        assert list(middle.result_list) == [third, second]
        oldest = walk(console, str(middle.older))
        assert list(oldest.result_list) == [first]
        assert oldest.older is None
        back = walk(console, str(oldest.newer))
        assert list(back.result_list) == [third, second]
        assert list(walk(console, str(back.newer)).result_list) == [fifth, fourth]

    def test_have_no_way_on_where_all_is_shown(self, console: Client, account: Any) -> None:
        events_ago(timedelta(hours=1), timedelta(hours=2), account=account)

        page = walk(console)

        assert page.newer is page.older is None

    def test_show_what_came_since_then_on_the_first(self, console: Client, account: Any) -> None:
        first, second, third = (builders.an_event(account) for _ in range(3))
        oldest = walk(console, f"?before={second.pk}")
        fourth = builders.an_event(account)

        back = walk(console, f"?after={third.pk}")

        assert list(oldest.result_list) == [first]
        assert list(back.result_list) == [fourth, third]

    def test_keep_the_filter_and_filters_forget_the_page(self, console: Client, account: Any) -> None:
        webhook = builders.a_webhook(account)
        for _ in range(3):
            builders.a_failed_delivery(webhook)
        url = reverse("admin:deliveries_delivery_changelist")

        page = walk(console, "?status__exact=failed", url=url)
        second = walk(console, str(page.older), url=url)

        assert "status__exact=failed" in str(page.older)
        assert len(second.result_list) == 1
        choices = [str(link["query_string"]) for link in second.filter_specs[1].choices(second)]
        assert not any("before" in choice for choice in choices)

    def test_begin_nowhere_else(self, console: Client, account: Any) -> None:
        assert console.get(EVENTS, {"before": "x"}).status_code == 400
        assert console.get(EVENTS, {"after": "\0"}).status_code == 400

    def test_go_by_the_column_the_list_is_in_order_of(self, console: Client) -> None:
        webhook = builders.a_webhook()
        first, second, third = (builders.a_failed_delivery(webhook).failure for _ in range(3))

        page = walk(console, url=FAILURES)

        assert list(page.result_list) == [third, second]
        assert rows(console, str(page.older), url=FAILURES) == [first]

    def test_never_skip_rows_to_get_somewhere(self, console: Client, account: Any) -> None:
        first, second, _ = (builders.an_event(account) for _ in range(3))

        with CaptureQueriesContext(connection) as queries:
            walk(console, f"?before={second.pk}")

        assert not any("OFFSET" in query["sql"] for query in queries)
        assert rows(console, f"?before={second.pk}") == [first]


class TestCount:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Walk, "MOST", 3)

    def test_ends_somewhere_and_says_so(self, console: Client, account: Any) -> None:
        for _ in range(5):
            builders.an_event(account)

        page = console.get(EVENTS)

        assert page.context["cl"].counted == "3+"
        assert "3+ events in the last 24 hours" in page.content.decode()
        assert len(page.context["cl"].result_list) == 5

    def test_is_what_there_is_where_that_is_less(self, console: Client, account: Any) -> None:
        for _ in range(3):
            builders.an_event(account)

        assert walk(console).counted == "3"


class TestPage:
    def test_holds_fifty_rows(self, console: Client, account: Any) -> None:
        for _ in range(51):
            builders.an_event(account)

        page = walk(console)

        assert len(page.result_list) == 50
        assert page.older


class TestWindow:
    def test_is_the_last_day_where_nobody_chose(self, console: Client, account: Any) -> None:
        new, old = events_ago(timedelta(hours=23), timedelta(hours=25), account=account)

        assert rows(console) == [new]
        assert rows(console, "?since=7d") == [new, old]

    def test_can_be_chosen(self, console: Client, account: Any) -> None:
        ages = [timedelta(minutes=10), timedelta(minutes=50), timedelta(days=6), timedelta(days=8)]
        a, b, c, d = events_ago(*ages, account=account)

        assert rows(console, "?since=15m") == [a]
        assert rows(console, "?since=1h") == [a, b]
        assert rows(console, "?since=7d") == [a, b, c]
        assert rows(console, "?since=all") == [a, b, c, d]

    def test_can_be_from_one_moment_to_another(self, console: Client, account: Any) -> None:
        now = clock.now()
        _, b, c, _ = events_ago(*(timedelta(hours=hours) for hours in (1, 2, 3, 4)), account=account)
        start, end = now - timedelta(hours=3, minutes=30), now - timedelta(hours=1, minutes=30)

        link = f"?since={start:%Y-%m-%dT%H:%M}&until={end:%Y-%m-%dT%H:%M}"

        assert rows(console, link) == [b, c]
        page = console.get(EVENTS + link).content.decode()
        assert f"from {start:%Y-%m-%d %H:%M}:00 UTC to {end:%Y-%m-%d %H:%M}:00 UTC" in page

    def test_that_only_ends_begins_with_the_oldest(self, console: Client, account: Any) -> None:
        _, old = events_ago(timedelta(hours=1), timedelta(days=9), account=account)

        assert rows(console, f"?until={clock.now() - timedelta(days=8):%Y-%m-%dT%H:%M}") == [old]

    @pytest.mark.parametrize(
        "link",
        [
            "?since=0001-01-01T00:00%2B14:00",
            "?until=9999-12-31T23:59-14:00",
            "?account__id__exact=x",
        ],
    )
    def test_that_no_calendar_has_is_a_mistake(self, console: Client, account: Any, link: str) -> None:
        assert console.get(EVENTS + link).status_code == 400

    @pytest.mark.parametrize(
        "link", ["since=0001-01-01T00:00", "until=9999-12-31T23:59", "since=0001-01-01&until=9999-12-31"]
    )
    def test_may_be_as_long_as_the_calendar(self, console: Client, link: str) -> None:
        delivery = builders.a_delivery()
        url = f"{reverse('admin:deliveries_delivery_changelist')}?webhook__id__exact={delivery.webhook_id}"

        assert rows(console, f"&{link}", url=url) == [delivery]

    @pytest.mark.parametrize("link", ["?since=x", "?since=2026-13-01", "?until=\0", "?until=tomorrow"])
    def test_that_is_none_is_a_mistake(self, console: Client, account: Any, link: str) -> None:
        assert console.get(EVENTS + link).status_code == 400

    def test_is_all_time_where_a_link_leads_to_few(self, console: Client) -> None:
        event = builders.an_event()
        old = new_id_at(clock.now() - timedelta(days=3))
        delivery = builders.a_delivery(builders.a_webhook(event.account), event=event, id=old)
        url = reverse("admin:deliveries_delivery_changelist")

        assert rows(console, url=url) == []
        assert rows(console, f"?event__id__exact={event.pk}", url=url) == [delivery]
        assert rows(console, f"?q={delivery.pk}", url=url) == [delivery]

    def test_says_what_to_do_where_it_is_empty(self, console: Client, account: Any) -> None:
        events_ago(timedelta(days=3), account=account)

        page = console.get(EVENTS).content.decode()

        assert "No events in the last 24 hours" in page
        assert 'href="?since=all"' in page

    def test_loses_nothing_that_was_chosen_a_moment_ago(self, console: Client) -> None:
        delivery = builders.a_failed_delivery(id=new_id_at(clock.now() - timedelta(hours=24, seconds=5)))

        page = console.post(
            reverse("admin:deliveries_delivery_changelist"),
            {"action": "send_again", "_selected_action": [str(delivery.pk)]},
            follow=True,
        )

        assert said(page) == ["Queued 1 delivery."]
        assert Delivery.objects.get().status == Delivery.Status.PENDING


class TestEventType:
    def test_keeps_what_is_exactly_that(self, console: Client, account: Any) -> None:
        ended, _ = builders.an_event(account), builders.an_event(account, type="call.started")
        own = builders.an_event(account, type="of.their.own")

        assert rows(console, "?type=call.ended") == [ended]
        assert rows(console, "?type=of.their.own") == [own]
        assert rows(console, "?type=call") == []
        assert rows(console, "?type=") == rows(console)

    def test_keeps_nothing_of_what_can_be_no_type(self, console: Client, account: Any) -> None:
        builders.an_event(account)

        assert rows(console, "?type=NO%20TYPE") == []
        assert rows(console, "?type=%00") == []

    def test_keeps_the_rest_of_the_filter(self, console: Client, account: Any) -> None:
        page = console.get(f"{EVENTS}?since=7d&type=call.ended&before=01998ad5-0000-7000-8000-000000000000")

        assert '<input type="hidden" name="since" value="7d">' in page.content.decode()
        assert 'name="before"' not in page.content.decode()

    def test_is_one_of_failures_too(self, console: Client) -> None:
        failure = builders.a_failed_delivery().failure

        assert rows(console, "?event_type=call.ended", url=FAILURES) == [failure]
        assert rows(console, "?event_type=call.started", url=FAILURES) == []
