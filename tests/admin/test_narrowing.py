"""Narrowing a list from its own page: by webhook, by account and by HTTP status, each typed exactly."""

import re
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from deliveries import clock
from deliveries.identifiers import new_id_at
from deliveries.models import Attempt, Delivery, Failure, Webhook
from deliveries.reasons import Reason, describe
from tests import builders
from tests.admin.pages import read

FAILURES = reverse("admin:deliveries_failure_changelist")
DELIVERIES = reverse("admin:deliveries_delivery_changelist")
ATTEMPTS = reverse("admin:deliveries_attempt_changelist")
# What the boxes are called in the address of each list.
WEBHOOK = {
    FAILURES: "webhook_id__exact",
    DELIVERIES: "webhook__id__exact",
    ATTEMPTS: "webhook__id__exact",
}
ACCOUNT = {FAILURES: "account__id__exact", DELIVERIES: "account__id__exact", ATTEMPTS: "account"}
of_every_list = pytest.mark.parametrize("url", [FAILURES, DELIVERIES, ATTEMPTS])
of_what_can_be_sent = pytest.mark.parametrize("url", [FAILURES, DELIVERIES])
NOBODY = "01998ad5-0000-7000-8000-000000000000"


def a_failed_delivery(webhook: Webhook, *, status: int = 500) -> Delivery:
    """Return one of a moment ago, whose attempt and failure say the status."""
    delivery = builders.a_failed_delivery(webhook, created_at=clock.now())
    delivery.attempts.update(
        http_status=status,
        reason_code=Reason.HTTP_STATUS,
        error=describe(Reason.HTTP_STATUS, status),
    )
    Failure.objects.filter(delivery=delivery).update(
        reason=describe(Reason.HTTP_STATUS, status), reason_code=Reason.HTTP_STATUS
    )
    return delivery


@pytest.fixture
def orders(db: None) -> Webhook:
    """One with a failure, beside another account's webhook that has one, too."""
    webhook = builders.a_webhook(
        builders.an_account(name="Harbour Calls"), name="Orders", url="https://example.com/orders"
    )
    a_failed_delivery(webhook, status=503)
    a_failed_delivery(builders.a_webhook(builders.an_account(name="Another"), name="Invoices"))
    return webhook


def found(console: Client, url: str, **asked: str) -> set[UUID]:
    """Return which deliveries the rows of a list are, or are of."""
    page = console.get(url, asked)
    assert page.status_code == 200
    rows = page.context["cl"].result_list
    return {row.pk if isinstance(row, Delivery) else row.delivery_id for row in rows}


def failed_of(webhook: Webhook) -> set[UUID]:
    return set(webhook.deliveries.values_list("pk", flat=True))


def link_of(console: Client, url: str, **asked: str) -> dict[str, str] | None:
    """Return the filter that a list's link to a recovery carries, but for time; None without a link."""
    link: str = console.get(url, {**asked, "since": "all"}).context["cl"].recovery_link
    return dict(parse_qsl(urlsplit(link).query)) if link else None


@of_every_list
class TestWebhook:
    def test_is_found_by_its_id_its_name_and_its_url(
        self, console: Client, orders: Webhook, url: str
    ) -> None:
        for typed in (str(orders.pk), orders.pk.hex, "Orders", " Orders ", "https://example.com/orders"):
            assert found(console, url, **{WEBHOOK[url]: typed}) == failed_of(orders), typed

    @pytest.mark.parametrize("typed", ["Order", "orders", "order%", "https://example.com", NOBODY])
    def test_that_is_none_is_said_in_a_sentence_and_nothing_is_lost(
        self, console: Client, orders: Webhook, url: str, typed: str
    ) -> None:
        page = console.get(url, {WEBHOOK[url]: typed, "since": "7d"})

        assert not page.context["cl"].result_list
        assert "No webhook has this id, name or URL" in read(page)
        source = page.content.decode()
        box = re.findall(rf'<input name="{WEBHOOK[url]}"[^>]*>', source)
        assert len(box) == 1
        assert f'value="{typed}"' in box[0]
        assert 'aria-invalid="true"' in box[0]
        assert '<input type="hidden" name="since" value="7d">' in source

    def test_of_several_wants_one_of_them_chosen(self, console: Client, orders: Webhook, url: str) -> None:
        other = builders.a_webhook(builders.an_account(name="Third"), name="Orders")
        a_failed_delivery(other)

        page = console.get(url, {WEBHOOK[url]: "Orders", "since": "all"})

        assert not page.context["cl"].result_list
        assert "2 webhooks are called that. Choose one" in read(page)
        assert "Orders of Third" in read(page)
        links = [
            link.replace("&amp;", "&") for link in re.findall(r'href="(\?[^"]+)"', page.content.decode())
        ]
        (link,) = {link for link in links if str(other.pk) in link}
        assert dict(parse_qsl(link[1:])) == {"since": "all", WEBHOOK[url]: str(other.pk)}
        assert found(console, url + link) == failed_of(other)

    def test_is_shown_and_can_be_taken_back(self, console: Client, orders: Webhook, url: str) -> None:
        page = console.get(url, {WEBHOOK[url]: str(orders.pk), "since": "7d"})

        assert "in the last 7 days of the webhook Orders" in read(page)
        beside = page.content.decode().partition('data-filter-title="webhook"')[2].partition("</details>")[0]
        assert re.search(r'<li><a href="\?since=7d">All</a></li>', beside)
        assert re.search(r'<li class="selected"><a [^>]*aria-current="true"[^>]*>Orders</a></li>', beside)

    def test_has_a_box_with_a_label(self, console: Client, orders: Webhook, url: str) -> None:
        source = console.get(url).content.decode()

        assert f'<label>Webhook&#x27;s id, exact name or URL <input name="{WEBHOOK[url]}"' in source
        assert "<select" not in source.partition('id="changelist-filter"')[2]

    def test_goes_on_from_page_to_page(
        self, console: Client, orders: Webhook, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deliveries.admin.tables.Table.list_per_page", 1)
        a_failed_delivery(orders)

        first = console.get(url, {WEBHOOK[url]: "Orders"}).context["cl"]
        second = console.get(url + first.older).context["cl"]

        rows = [*first.result_list, *second.result_list]
        assert len(rows) == 2
        assert {getattr(row, "delivery_id", row.pk) for row in rows} == failed_of(orders)
        assert list(console.get(url + second.newer).context["cl"].result_list) == list(first.result_list)


@of_every_list
def test_a_nul_is_in_no_text(console: Client, orders: Webhook, url: str) -> None:
    for box in (WEBHOOK[url], ACCOUNT[url]):
        page = console.get(url, {box: "Orders\0"})
        assert "There is a character in it that no text has." in read(page)
        assert not page.context["cl"].result_list
        assert not page.context["cl"].recovery_link


@of_every_list
class TestAccount:
    def test_is_found_by_its_id_and_its_name(self, console: Client, orders: Webhook, url: str) -> None:
        for typed in (str(orders.account_id), "Harbour Calls"):
            assert found(console, url, **{ACCOUNT[url]: typed}) == failed_of(orders), typed
        page = console.get(url, {ACCOUNT[url]: "Harbour Calls", "since": "24h"})
        assert "of the account Harbour Calls" in read(page)

    def test_that_is_none_or_several_is_said(self, console: Client, orders: Webhook, url: str) -> None:
        assert "No account has this id or name" in read(console.get(url, {ACCOUNT[url]: "Harbour"}))
        builders.an_account(name="Harbour Calls")
        page = console.get(url, {ACCOUNT[url]: "Harbour Calls"})
        assert "2 accounts are called that. Choose one" in read(page)
        assert not page.context["cl"].result_list

    def test_goes_together_with_a_webhook(self, console: Client, orders: Webhook, url: str) -> None:
        assert found(console, url, **{ACCOUNT[url]: "Harbour Calls", WEBHOOK[url]: "Orders"})
        assert not found(console, url, **{ACCOUNT[url]: "Another", WEBHOOK[url]: "Orders"})


@pytest.mark.parametrize("url", [FAILURES, ATTEMPTS])
class TestHttpStatus:
    def test_is_three_digits_or_a_class(self, console: Client, orders: Webhook, url: str) -> None:
        (other,) = set(Delivery.objects.values_list("pk", flat=True)) - failed_of(orders)

        assert found(console, url, http_status="503") == failed_of(orders)
        assert found(console, url, http_status="500") == {other}
        assert found(console, url, http_status="5xx") == {other, *failed_of(orders)}
        assert found(console, url, http_status="5XX") == {other, *failed_of(orders)}
        assert not found(console, url, http_status="50x")
        assert not found(console, url, http_status="4xx")
        assert "with HTTP 503" in read(console.get(url, {"http_status": "503"}))

    def test_of_no_failure_is_said_to_be_none(self, console: Client, orders: Webhook, url: str) -> None:
        for typed in ("5", "5033", "x", "-50", "99", "٥٠٣"):
            page = console.get(url, {"http_status": typed})
            assert "An HTTP status is three digits, such as 503, or 5xx for all that begin so" in read(page)
            assert not page.context["cl"].result_list
        for typed in ("200", "2xx"):
            assert "succeeded" in read(console.get(url, {"http_status": typed}))
            assert not found(console, url, http_status=typed)

    def test_goes_together_with_all_others(self, console: Client, orders: Webhook, url: str) -> None:
        asked = {WEBHOOK[url]: "Orders", ACCOUNT[url]: "Harbour Calls", "reason_code__exact": "http_status"}

        assert found(console, url, **asked, http_status="503") == failed_of(orders)
        assert not found(console, url, **asked, http_status="500")


class TestAttempts:
    """Their account and their HTTP status have no index: they are looked for in a day at most."""

    @pytest.mark.parametrize("asked", [{"account": "Harbour Calls"}, {"http_status": "503"}])
    @pytest.mark.parametrize("since", ["7d", "all", "2026-03-15T10:00"])
    def test_are_not_looked_for_in_more_than_a_day(
        self, console: Client, orders: Webhook, asked: dict[str, str], since: str
    ) -> None:
        page = console.get(ATTEMPTS, {**asked, "since": since})

        assert not page.context["cl"].result_list
        assert "is looked for in a day at most" in read(page)
        (back,) = re.findall(r'href="(\?[^"]*)">Look in the last 24 hours', page.content.decode())
        assert found(console, ATTEMPTS + back) == failed_of(orders)

    @pytest.mark.parametrize("asked", [{"account": "Harbour Calls"}, {"http_status": "503"}])
    def test_are_looked_for_in_any_day(self, console: Client, orders: Webhook, asked: dict[str, str]) -> None:
        long_ago = clock.now() - timedelta(days=5)
        orders.attempts.update(id=new_id_at(long_ago))
        stretch = {
            "since": f"{long_ago - timedelta(hours=12):%Y-%m-%dT%H:%M}",
            "until": f"{long_ago + timedelta(hours=12):%Y-%m-%dT%H:%M}",
        }

        assert found(console, ATTEMPTS, **asked, **stretch)
        assert not found(console, ATTEMPTS, **asked)

    def test_of_one_delivery_are_few_at_any_time(self, console: Client, orders: Webhook) -> None:
        delivery = orders.deliveries.get()
        Attempt.objects.filter(delivery=delivery).update(id=new_id_at(builders.NOW))

        assert found(console, ATTEMPTS, delivery__id__exact=str(delivery.pk), http_status="503")
        assert not found(console, ATTEMPTS, delivery__id__exact=str(delivery.pk), http_status="500")

    def test_of_an_account_with_too_many_webhooks_are_those_of_one(
        self, console: Client, orders: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deliveries.admin.owners.MOST", 1)
        builders.a_webhook(orders.account)

        page = console.get(ATTEMPTS, {"account": "Harbour Calls"})

        assert "Harbour Calls has more than 1 webhook" in read(page)
        assert not page.context["cl"].result_list


class TestRecovery:
    @of_what_can_be_sent
    def test_is_of_what_was_typed(self, console: Client, orders: Webhook, url: str) -> None:
        webhook, account = str(orders.pk), str(orders.account_id)

        assert link_of(console, url, **{WEBHOOK[url]: "Orders"}) == {"webhook_id": webhook}
        assert link_of(console, url, **{ACCOUNT[url]: "Harbour Calls"}) == {"account": account}
        assert link_of(console, url, **{ACCOUNT[url]: "Harbour Calls", WEBHOOK[url]: orders.url}) == {
            "account": account,
            "webhook_id": webhook,
        }

    @of_what_can_be_sent
    def test_is_of_nothing_where_that_is_not_understood(
        self, console: Client, orders: Webhook, url: str
    ) -> None:
        builders.a_webhook(name="Orders")
        builders.an_account(name="Harbour Calls")

        for asked in ({WEBHOOK[url]: "Orders"}, {WEBHOOK[url]: "x"}, {ACCOUNT[url]: "Harbour Calls"}):
            assert link_of(console, url, **asked) is None

    def test_is_of_a_status_by_its_reason(self, console: Client, orders: Webhook) -> None:
        assert link_of(console, FAILURES, http_status="503") == {"reason": "HTTP 503"}
        both = {"http_status": "503", "reason__exact": "HTTP 503"}
        assert link_of(console, FAILURES, **both) == {"reason": "HTTP 503"}

    @pytest.mark.parametrize(
        "asked",
        [
            {"http_status": "5xx"},
            {"http_status": "x"},
            {"http_status": "503", "reason__exact": "HTTP 500"},
            {"event_type": "NO TYPE"},
        ],
    )
    def test_is_missing_where_it_would_send_something_else(
        self, console: Client, orders: Webhook, asked: dict[str, str]
    ) -> None:
        assert link_of(console, FAILURES, **asked) is None

    @of_what_can_be_sent
    def test_shows_and_sends_what_the_list_showed(self, console: Client, orders: Webhook, url: str) -> None:
        page = console.get(url, {WEBHOOK[url]: "Orders", ACCOUNT[url]: "Harbour Calls", "since": "all"})
        shown = {getattr(row, "delivery_id", row.pk) for row in page.context["cl"].result_list}

        preview = console.get(page.context["cl"].recovery_link).context["preview"]

        assert {failure.delivery_id for failure in preview.sample} == shown == failed_of(orders)


def test_links_of_other_pages_say_it_as_the_boxes_do(console: Client, orders: Webhook) -> None:
    page = console.get(reverse("admin:deliveries_account_change", args=[orders.account_id]))

    for url in (DELIVERIES, FAILURES):
        assert f"{url}?{ACCOUNT[url]}={orders.account_id}" in page.content.decode()
