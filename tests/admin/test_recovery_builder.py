"""Building a recovery: shown first, and exactly what was shown is sent again."""

import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from deliveries import clock
from deliveries.admin import recovery_builder
from deliveries.identifiers import new_id_at
from deliveries.models import AuditEntry, Delivery, Failure, Recovery, Webhook
from deliveries.services import webhooks
from tests import builders
from tests.admin.pages import read, said

NEW = reverse("admin:deliveries_recovery_new")
FAILURES = reverse("admin:deliveries_failure_changelist")
DELIVERIES = reverse("admin:deliveries_delivery_changelist")


def link_of(console: Client, url: str, **asked: str) -> dict[str, str] | None:
    """Return the filter that a list's link carries; None where it has none."""
    link: str = console.get(url, asked).context["cl"].recovery_link
    return dict(parse_qsl(urlsplit(link).query)) if link else None


def order(console: Client, **fields: Any) -> Any:
    return console.post(NEW, {"rate": 50, "why": "The receiver is back.", "count": 1, **fields}, follow=True)


def hidden(page: Any) -> dict[str, str]:
    """Return what the form in the middle of a page sends beside what somebody fills in."""
    form = page.content.decode().partition('<div id="content"')[2]
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form)
    return {name: unescape(value) for name, value in found}


@pytest.fixture
def webhook(db: None) -> Webhook:
    """One with a failure."""
    webhook = builders.a_webhook(name="CRM")
    builders.a_failed_delivery(webhook)
    return webhook


class TestLink:
    def test_carries_the_filter_of_a_list_of_failures(self, console: Client, webhook: Webhook) -> None:
        asked = {"webhook_id__exact": str(webhook.pk), "reason_code__exact": "connection_timeout"}

        assert link_of(console, FAILURES, **asked) == {
            "webhook_id": str(webhook.pk),
            "reason_code": "connection_timeout",
        }
        assert link_of(console, FAILURES, reason__exact="HTTP 503") == {"reason": "HTTP 503"}
        assert link_of(console, FAILURES, status__exact="inactive") == {}
        assert link_of(console, FAILURES, event_type="call.ended") == {"event_type": "call.ended"}
        account = str(webhook.account_id)
        assert link_of(console, DELIVERIES, account__id__exact=account, since="all") == {"account": account}

    def test_carries_the_stretch_of_time(self, console: Client, webhook: Webhook) -> None:
        asked = {"since": "2026-03-15T09:00", "until": "2026-03-15T11:00"}
        start, end = "2026-03-15T09:00:00+00:00", "2026-03-15T11:00:00+00:00"

        assert link_of(console, FAILURES, **asked) == {"failed_from": start, "failed_before": end}
        assert link_of(console, DELIVERIES, **asked) == {"made_from": start, "made_before": end}
        usual = link_of(console, DELIVERIES, webhook__id__exact=str(webhook.pk))
        assert usual is not None
        begins = parse_datetime(usual["made_from"])
        assert begins is not None
        assert abs(clock.now() - timedelta(days=1) - begins) < timedelta(minutes=1)
        assert usual["webhook_id"] == str(webhook.pk)

    @pytest.mark.parametrize(
        ("url", "asked"),
        [
            (FAILURES, {"status__exact": "delivered"}),
            (FAILURES, {"status__exact": "pending"}),
            (FAILURES, {"q": "x"}),
            (FAILURES, {"recovery__id__exact": "01998ad5-0000-7000-8000-000000000000"}),
            (DELIVERIES, {"status__exact": "succeeded"}),
            (DELIVERIES, {"event__id__exact": "01998ad5-0000-7000-8000-000000000000"}),
        ],
    )
    def test_is_missing_where_it_would_carry_less(
        self, console: Client, webhook: Webhook, url: str, asked: dict[str, str]
    ) -> None:
        assert link_of(console, url, **asked) is None

    def test_is_missing_where_a_part_comes_twice(self, console: Client, webhook: Webhook) -> None:
        page = console.get(f"{FAILURES}?reason_code__exact=dns_failed&reason_code__exact=http_status")

        assert page.context["cl"].recovery_link == ""

    def test_forgets_the_page(self, console: Client, webhook: Webhook) -> None:
        last = str(Delivery.objects.latest("pk").pk)

        assert link_of(console, FAILURES, before=last) == {}

    def test_stands_on_the_list_for_who_may(self, console: Client, viewer: Client, webhook: Webhook) -> None:
        assert NEW in console.get(FAILURES).content.decode()
        assert NEW not in viewer.get(FAILURES).content.decode()


class TestPressedTwice:
    def test_makes_one_recovery_and_shows_it_both_times(self, console: Client, webhook: Webhook) -> None:
        page = console.get(NEW, {"webhook_id": str(webhook.pk)})
        sent = {**page.context["carried"], "account": str(webhook.account_id)}
        once = page.context["order"]["once"].value()

        first, second = order(console, **sent, once=once), order(console, **sent, once=once)

        recovery = Recovery.objects.get()
        its_page = reverse("admin:deliveries_recovery_change", args=[recovery.pk])
        assert first.redirect_chain == second.redirect_chain == [(its_page, 302)]
        assert said(first) == said(second) == ["Sending 1 again, at most 50 a second."]
        assert AuditEntry.objects.filter(action="recovery.created").count() == 1
        assert once in page.content.decode()

    def test_takes_no_id_that_somebody_made_up(self, console: Client, webhook: Webhook) -> None:
        asked = {"webhook_id": str(webhook.pk), "once": "01998ad5-0000-7000-8000-000000000000"}

        assert order(console, **asked).status_code == 400
        assert not Recovery.objects.exists()


class TestDryRun:
    def test_says_how_many_and_sends_nothing(self, console: Client, webhook: Webhook) -> None:
        builders.a_failed_delivery(webhook)

        page = console.get(NEW, {"webhook_id": str(webhook.pk)})

        text = page.content.decode()
        assert '<strong class="number">2</strong>' in text
        assert page.context["seconds"] == 1
        assert "Nothing is sent yet" in text
        assert "CRM" in text
        assert all(failure.pk in text for failure in Failure.objects.all())
        assert not Recovery.objects.exists()
        assert not Delivery.objects.exclude(status="failed").exists()

    def test_says_what_cannot_be_sent(self, console: Client, webhook: Webhook) -> None:
        webhooks.disable(webhook.pk, reason="Moved.", by="a test", now=builders.NOW)

        page = console.get(NEW, {"webhook_id": str(webhook.pk)}).content.decode()

        assert "1 more is selected, and cannot be sent" in page
        assert "Enable the webhook first." in page
        assert "csrfmiddlewaretoken" not in page.partition("dry-run")[2]

    def test_says_so_when_there_is_nothing(self, console: Client, webhook: Webhook) -> None:
        page = console.get(NEW, {"webhook_id": str(webhook.pk), "reason": "HTTP 418"}).content.decode()

        assert "Nothing like that waits to be sent again" in page

    @pytest.mark.parametrize(
        "asked",
        [
            {"failed_before": "0001-01-01T00:00:00+14:00"},
            {"made_from": "9999-12-31T23:59:59-14:00"},
            {"webhook": "01998ad5-0000-7000-8000-000000000000"},
            {"webhook_id": "x"},
            {"reason_code": "bad_luck"},
            {"failed_from": "yesterday"},
            {"reason": "x" * 256},
            {"reason": "\0"},
        ],
    )
    def test_selects_nothing_by_a_filter_that_is_none(
        self, console: Client, webhook: Webhook, asked: dict[str, str]
    ) -> None:
        assert console.get(NEW, asked).status_code == 400
        assert order(console, **asked).status_code == 400
        assert not Recovery.objects.exists()

    def test_of_a_webhook_is_of_its_account(self, console: Client, webhook: Webhook) -> None:
        other = builders.a_failed_delivery(builders.a_webhook(name="Other"))

        page = console.get(NEW, {"webhook_id": str(other.webhook_id)})

        assert page.context["account"] == other.account
        assert [failure.delivery for failure in page.context["preview"].sample] == [other]

    def test_asks_for_the_account_where_there_are_several(self, console: Client, webhook: Webhook) -> None:
        other = builders.a_failed_delivery(builders.a_webhook(builders.an_account(name="Second")))

        page = console.get(NEW, {"reason": "Connection timeout"}).content.decode()
        chosen = console.get(NEW, {"account": str(other.account_id)}).content.decode()

        assert "They are of several accounts" in page
        assert f'<option value="{other.account_id}">Second' in page
        assert other.failure.pk in chosen
        assert webhook.deliveries.get().failure.pk not in chosen

    def test_shows_hostile_names_as_text(self, console: Client) -> None:
        hostile = "<script>0</script>"
        webhook = builders.a_webhook(builders.an_account(name=hostile), name=hostile)
        failure = builders.a_failed_delivery(webhook).failure
        builders.a_failed_delivery()
        Failure.objects.filter(pk=failure.pk).update(webhook_name=hostile, event_type=hostile)

        for asked in (
            {"webhook_id": str(webhook.pk)},
            {"webhook_id": str(webhook.pk), "reason": hostile},
            {"reason": "Connection timeout"},
        ):
            page = console.get(NEW, asked).content.decode()
            assert "&lt;script&gt;0" in page
            assert "<script>0" not in page

    def test_offers_some_accounts_and_keeps_the_filter(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery_builder, "OFFERED", 2)
        for name in ("C", "A", "B"):
            builders.a_failed_delivery(builders.a_webhook(builders.an_account(name=name)))

        page = console.get(NEW, {"reason": "Connection timeout"})

        assert [account.name for account in page.context["accounts"]] == ["A", "B"]
        assert hidden(page) == page.context["carried"]
        assert hidden(page)["reason"] == "Connection timeout"


class TestOrder:
    def test_makes_a_recovery_of_exactly_that(self, console: Client, webhook: Webhook) -> None:
        builders.a_failed_delivery(builders.a_webhook(webhook.account))

        page = order(console, webhook_id=str(webhook.pk), reason="Connection timeout", rate=7)

        recovery = Recovery.objects.get()
        assert said(page) == ["Sending 1 again, at most 7 a second."]
        assert (recovery.webhook_id, recovery.reason, recovery.total) == (
            webhook.pk,
            "Connection timeout",
            1,
        )
        assert (recovery.by, recovery.why, recovery.rate) == ("operator", "The receiver is back.", 7)
        assert AuditEntry.objects.latest("pk").action == "recovery.created"

    def test_carries_what_the_page_showed(self, console: Client, webhook: Webhook) -> None:
        shown = console.get(NEW, {"webhook_id": str(webhook.pk)})

        page = order(console, **shown.context["carried"])

        assert said(page) == ["Sending 1 again, at most 50 a second."]
        assert Recovery.objects.get().failed_before == parse_datetime(
            shown.context["carried"]["failed_before"]
        )

    def test_is_sent_by_the_form_of_the_page(self, operator: User, webhook: Webhook) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator)
        builders.a_failed_delivery(builders.a_webhook(builders.an_account(name="Second")))
        asked = {"account": str(webhook.account_id), "reason": "Connection timeout"}
        page = browser.get(NEW, asked)

        order(browser, **hidden(page))

        recovery = Recovery.objects.get()
        assert (recovery.account, recovery.reason) == (webhook.account, "Connection timeout")
        assert recovery.failed_before == parse_datetime(page.context["carried"]["failed_before"])

    def test_leaves_alone_what_failed_after_the_page_was_shown(
        self, console: Client, webhook: Webhook
    ) -> None:
        carried = console.get(NEW, {"webhook_id": str(webhook.pk)}).context["carried"]
        later = builders.a_failed_delivery(webhook)
        Failure.objects.filter(delivery=later).update(created_at=clock.now() + timedelta(seconds=1))

        order(console, **carried)

        assert Recovery.objects.get().total == 1

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"rate": 0}, "greater than or equal to 1"),
            ({"rate": 1001}, "less than or equal to 1000"),
            ({"why": ""}, "This field is required"),
        ],
    )
    def test_wants_a_pace_and_a_reason(
        self, console: Client, webhook: Webhook, wrong: dict[str, Any], error: str
    ) -> None:
        page = order(console, webhook_id=str(webhook.pk), **wrong)

        assert error in unescape(page.content.decode())
        assert not Recovery.objects.exists()

    def test_of_many_is_confirmed_by_typing_the_number(
        self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery_builder, "TYPED_ABOVE", 1)
        builders.a_failed_delivery(webhook)
        asked = {"webhook_id": str(webhook.pk), "count": 2}

        assert (
            "Type the number to confirm it"
            in console.get(NEW, {"webhook_id": str(webhook.pk)}).content.decode()
        )
        for typed in ("", "1", "two"):
            assert "This is not the number" in order(console, **asked, typed=typed).content.decode()
        assert not Recovery.objects.exists()
        assert said(order(console, **asked, typed=" 2 ")) == ["Sending 2 again, at most 50 a second."]

    @pytest.mark.parametrize(
        ("count", "typed", "confirmed"),
        [
            (1000, "", True),
            (1001, "", False),
            (1001, "1001", True),
            (1001, "1,001", True),
            (1001, "1,000", False),
        ],
    )
    def test_of_more_than_a_thousand_is_one_of_many(self, count: int, typed: str, confirmed: bool) -> None:
        given = {"rate": 50, "why": "It is back.", "count": count, "typed": typed}

        assert recovery_builder.OrderForm(given, count=count).is_valid() is confirmed

    def test_of_nothing_makes_nothing(self, console: Client, webhook: Webhook) -> None:
        page = order(console, webhook_id=str(webhook.pk), reason="HTTP 418")

        assert "Nothing like that waits to be sent again" in page.content.decode()
        assert not Recovery.objects.exists()

    def test_of_many_is_asked_again_where_they_have_become_more(
        self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery_builder, "TYPED_ABOVE", 1)
        builders.a_failed_delivery(webhook)
        builders.a_failed_delivery(webhook)

        page = order(console, webhook_id=str(webhook.pk), count=2, typed="2")

        assert "Meanwhile there are 3. Look again, and confirm that." in page.content.decode()
        assert not Recovery.objects.exists()

    def test_of_many_that_have_become_few_is_sent(
        self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery_builder, "TYPED_ABOVE", 1)

        page = order(console, webhook_id=str(webhook.pk), count=2, typed="2")

        assert said(page) == ["Sending 1 again, at most 50 a second."]

    def test_says_so_when_there_are_too_many_already(self, console: Client, webhook: Webhook) -> None:
        for _ in range(10):
            builders.a_recovery(webhook.account)

        page = order(console, webhook_id=str(webhook.pk))

        assert "has 10 unfinished recoveries" in page.content.decode()
        assert Recovery.objects.count() == 10

    def test_is_given_by_no_other_site(self, operator: User, webhook: Webhook) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator)

        assert order(browser, webhook_id=str(webhook.pk)).status_code == 403
        assert not Recovery.objects.exists()

    def test_is_not_for_viewers(self, viewer: Client, webhook: Webhook) -> None:
        assert viewer.get(NEW, {"webhook_id": str(webhook.pk)}).status_code == 403
        assert order(viewer, webhook_id=str(webhook.pk)).status_code == 403
        assert not Recovery.objects.exists()


class TestPage:
    def test_shows_how_far_it_has_come(self, console: Client) -> None:
        recovery = builders.a_recovery(total=12_345, queued=345, skipped=0)

        page = console.get(reverse("admin:deliveries_recovery_change", args=[recovery.pk])).content.decode()

        assert "of 12,345 queued" in page
        assert "12,000 to go" in page
        assert '<progress max="12345" value="345"' in page
        assert "data-done" not in page

    def test_keeps_no_one_waiting_when_it_is_done(self, console: Client) -> None:
        recovery = builders.a_recovery(status="completed", finished_at=builders.NOW, total=1, queued=1)

        page = console.get(reverse("admin:deliveries_recovery_change", args=[recovery.pk])).content.decode()

        assert "data-done" in page

    @pytest.mark.parametrize(
        ("became", "badge"),
        [
            ("delivered", "✓ Completed"),
            ("inactive", "! Completed, 1 failed again"),
            ("pending", "◷ Completed"),
        ],
    )
    def test_is_no_success_where_something_failed_again(
        self, console: Client, webhook: Webhook, became: str, badge: str
    ) -> None:
        recovery = builders.a_recovery(
            webhook.account, status="completed", finished_at=builders.NOW, total=1, queued=1
        )
        Failure.objects.update(recovery=recovery, status=became)

        text = read(console.get(reverse("admin:deliveries_recovery_change", args=[recovery.pk])))

        assert re.search(f"{badge} .*1 of 1 queued", text)

    def test_shows_what_became_of_each(self, console: Client, webhook: Webhook) -> None:
        recovery = builders.a_recovery(webhook.account)
        failure = Failure.objects.get()
        Failure.objects.update(recovery=recovery, status="delivered", reason="")

        page = console.get(reverse("admin:deliveries_recovery_change", args=[recovery.pk])).content.decode()
        listed = console.get(FAILURES, {"recovery__id__exact": str(recovery.pk)})

        assert failure.pk in page
        assert "Delivered" in page
        assert list(listed.context["cl"].result_list) == [failure]

    @pytest.mark.parametrize(
        ("act", "before", "after"),
        [("pause", "running", "paused"), ("resume", "paused", "running"), ("cancel", "paused", "cancelled")],
    )
    def test_steers_it(self, console: Client, act: str, before: str, after: str) -> None:
        recovery = builders.a_recovery(status=before)
        url = reverse("admin:deliveries_recovery_act", args=[recovery.pk, act])

        assert (
            url
            in console.get(reverse("admin:deliveries_recovery_change", args=[recovery.pk])).content.decode()
        )
        assert said(console.post(url, follow=True)) == [f"It is {after} now."]
        assert Recovery.objects.get().status == after

    def test_is_steered_by_nobody_who_may_only_look(self, viewer: Client) -> None:
        recovery = builders.a_recovery()
        url = reverse("admin:deliveries_recovery_act", args=[recovery.pk, "cancel"])

        assert viewer.post(url).status_code == 403
        assert (
            url
            not in viewer.get(
                reverse("admin:deliveries_recovery_change", args=[recovery.pk])
            ).content.decode()
        )

    def test_says_so_when_it_is_too_late(self, console: Client) -> None:
        recovery = builders.a_recovery(status="completed", finished_at=builders.NOW)
        url = reverse("admin:deliveries_recovery_act", args=[recovery.pk, "pause"])

        assert said(console.post(url, follow=True)) == ["The recovery is completed."]
        assert console.post(url.replace("/pause/", "/burn/")).status_code == 404

    def test_of_an_old_delivery_says_when_it_was_made(self, console: Client, webhook: Webhook) -> None:
        old = builders.a_failed_delivery(webhook, id=new_id_at(builders.NOW))
        asked = {
            "made_from": builders.NOW.isoformat(),
            "made_before": (builders.NOW + timedelta(hours=1)).isoformat(),
        }

        page = console.get(NEW, {"webhook_id": str(webhook.pk), **asked}).content.decode()

        assert "Sent from" in page
        assert "Sent before" in page
        assert old.failure.pk in page
        assert '<strong class="number">1</strong>' in page
