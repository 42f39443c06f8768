"""Sending again from the console."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertInHTML

from deliveries import clock
from deliveries.admin import redelivering
from deliveries.models import AuditEntry, Delivery, Failure
from deliveries.services import webhooks
from tests import builders
from tests.admin.pages import said

DELIVERIES = reverse("admin:deliveries_delivery_changelist")
FAILURES = reverse("admin:deliveries_failure_changelist")
# What a reason is typed into.
WHY = '<input type="text" name="why" maxlength="500" placeholder="optional">'


def send_again(client: Client, url: str, rows: Iterable[Any], **more: str) -> Any:
    chosen = [str(row.pk) for row in rows]
    return client.post(url, {"action": "send_again", "_selected_action": chosen, **more}, follow=True)


def button(delivery: Delivery) -> str:
    return reverse("admin:deliveries_delivery_send_again", args=[delivery.pk])


class TestSendAgain:
    def test_queues_the_chosen_deliveries_and_says_so(self, console: Client) -> None:
        webhook = builders.a_webhook()
        chosen, also_chosen, left = [builders.a_failed_delivery(webhook) for _ in range(3)]

        page = send_again(console, DELIVERIES, [chosen, also_chosen])

        assert said(page) == ["Queued 2 deliveries."]
        assert set(Delivery.objects.filter(status="pending")) == {chosen, also_chosen}
        assert Delivery.objects.get(pk=left.pk).status == "failed"

    def test_queues_the_deliveries_of_the_chosen_failures(self, console: Client) -> None:
        chosen, left = builders.a_failed_delivery(), builders.a_failed_delivery()

        page = send_again(console, FAILURES, [chosen.failure])

        assert said(page) == ["Queued 1 delivery."]
        assert Failure.objects.get(delivery=chosen).status == "pending"
        assert Failure.objects.get(delivery=left).status == "inactive"

    def test_says_what_it_skipped_and_why(self, console: Client, now: datetime) -> None:
        failed, pending, disabled = (
            builders.a_failed_delivery(),
            builders.a_delivery(),
            builders.a_failed_delivery(),
        )
        webhooks.disable(disabled.webhook_id, reason="Maintenance.", by="a test", now=now)

        page = send_again(console, DELIVERIES, [failed, pending, disabled])

        assert said(page) == [
            "Queued 1 delivery. Skipped 2: only a failed delivery to an enabled webhook can be sent again."
        ]

    def test_says_what_a_pause_keeps_back(self, console: Client) -> None:
        webhook = builders.a_webhook()
        builders.a_pause(webhook.account, webhook=webhook, until=clock.now() + timedelta(hours=1))

        page = send_again(console, DELIVERIES, [builders.a_failed_delivery(webhook)])

        assert said(page) == ["Queued 1 delivery. Held by a pause: 1."]
        assert [message.level_tag for message in page.context["messages"]] == ["warning"]

    def test_takes_all_that_a_filter_shows_and_no_more(self, console: Client) -> None:
        failed, timed_out = builders.a_failed_delivery(), builders.a_failed_delivery()
        Failure.objects.filter(delivery=failed).update(reason_code="dns_failed")

        send_again(console, f"{FAILURES}?reason_code__exact=dns_failed", [failed.failure], select_across="1")

        assert list(Delivery.objects.filter(status="pending")) == [failed]
        assert Delivery.objects.get(pk=timed_out.pk).status == "failed"

    def test_queues_nothing_of_more_than_a_page_can_wait_for(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redelivering, "MOST_AT_ONCE", 2)
        failed = [builders.a_failed_delivery() for _ in range(3)]

        page = send_again(console, DELIVERIES, failed)

        assert said(page) == [
            "Nothing was queued: choose at most 2. For more there is the command: manage.py redeliver."
        ]
        assert not Delivery.objects.filter(status="pending").exists()

    def test_leaves_word_of_who_asked(self, console: Client) -> None:
        delivery = builders.a_failed_delivery()

        send_again(console, DELIVERIES, [delivery])

        history = console.get(reverse("admin:deliveries_delivery_history", args=[delivery.pk]))
        assert "Asked for another attempt." in history.content.decode()

    @pytest.mark.parametrize(("given", "noted"), [({}, ""), ({"why": " They asked. "}, "They asked.")])
    @pytest.mark.parametrize("url", [DELIVERIES, FAILURES])
    def test_is_audited_with_why_where_somebody_said_so(
        self, console: Client, url: str, given: dict[str, str], noted: str
    ) -> None:
        delivery = builders.a_failed_delivery()

        send_again(console, url, [delivery if url == DELIVERIES else delivery.failure], **given)

        entry = AuditEntry.objects.get(action="deliveries.redelivered")
        assert (entry.by, entry.why) == ("operator", noted)

    def test_asks_why_beside_the_action(self, console: Client) -> None:
        builders.a_failed_delivery()

        for url in (DELIVERIES, FAILURES):
            page = console.get(url, {"since": "all"})
            assertInHTML(f"<label>Why {WHY}</label>", page.content.decode())

    def test_sends_nothing_with_a_reason_that_does_not_fit(self, console: Client) -> None:
        send_again(console, DELIVERIES, [builders.a_failed_delivery()], why="x" * 501)

        assert Delivery.objects.get().status == "failed"

    @pytest.mark.parametrize("url", [DELIVERIES, FAILURES])
    def test_is_not_for_those_who_may_only_look(self, viewer: Client, url: str) -> None:
        delivery = builders.a_failed_delivery()

        send_again(viewer, url, [delivery if url == DELIVERIES else delivery.failure])

        assert "Send again" not in viewer.get(url).content.decode()
        assert Delivery.objects.get().status == "failed"

    def test_is_a_permission_of_its_own(self, viewer: Client) -> None:
        User.objects.get().user_permissions.add(Permission.objects.get(codename="redeliver_delivery"))

        page = send_again(viewer, DELIVERIES, [builders.a_failed_delivery()])

        assert said(page) == ["Queued 1 delivery."]

    def test_says_so_when_it_is_pressed_twice(self, console: Client) -> None:
        delivery = builders.a_failed_delivery()

        console.post(button(delivery))
        second = console.post(button(delivery), follow=True)

        assert said(second)[-1] == "It is queued already."
        assert AuditEntry.objects.filter(action="deliveries.redelivered").count() == 1


class TestButton:
    def test_queues_the_delivery(self, console: Client) -> None:
        delivery = builders.a_failed_delivery()
        page = console.get(reverse("admin:deliveries_delivery_change", args=[delivery.pk]))

        after = console.post(button(delivery), follow=True)

        assert button(delivery) in page.content.decode()
        assert said(after) == ["Queued."]
        assert Delivery.objects.get().status == "pending"
        assert button(delivery) not in after.content.decode()

    @pytest.mark.parametrize("of", ["webhook", "event type", "account"])
    def test_says_that_a_pause_holds_it_and_why(self, console: Client, of: str) -> None:
        delivery = builders.a_failed_delivery()
        until = clock.now() + timedelta(hours=1)
        named: dict[str, Any] = {
            "webhook": {"webhook": delivery.webhook},
            "event type": {"event_type": delivery.event.type},
        }
        builders.a_pause(delivery.account, until=until, **named.get(of, {}))
        builders.a_pause(delivery.account, until=until - timedelta(minutes=1), why="Another reason.")
        builders.a_pause(delivery.account, until=until, ended_at=builders.NOW, why="It is over.")

        after = console.post(button(delivery), follow=True)

        what = {"webhook": "the webhook", "event type": "call.ended", "account": "the account"}[of]
        assert said(after) == [
            f"Held: ada paused {what} until {until:%Y-%m-%d %H:%M:%S} UTC. The receiver is being moved."
        ]
        assert Delivery.objects.get().status == "held"

    def test_is_on_the_failure_s_page_too(self, console: Client, viewer: Client) -> None:
        delivery = builders.a_failed_delivery()
        page = reverse("admin:deliveries_failure_change", args=[delivery.failure.pk])

        assert button(delivery) in console.get(page).content.decode()
        assert button(delivery) not in viewer.get(page).content.decode()
        console.post(button(delivery))
        assert button(delivery) not in console.get(page).content.decode()

    @pytest.mark.parametrize(("given", "noted"), [({}, ""), ({"why": " They asked. "}, "They asked.")])
    def test_is_audited_with_why_where_somebody_said_so(
        self, console: Client, given: dict[str, str], noted: str
    ) -> None:
        delivery = builders.a_failed_delivery()

        console.post(button(delivery), given)

        entry = AuditEntry.objects.get(action="deliveries.redelivered")
        assert (entry.subject_id, entry.why) == (str(delivery.pk), noted)

    @pytest.mark.parametrize("why", ["x" * 501, "\0"])
    def test_sends_nothing_with_a_reason_that_does_not_fit(self, console: Client, why: str) -> None:
        delivery = builders.a_failed_delivery()

        assert console.post(button(delivery), {"why": why}).status_code == 400
        assert Delivery.objects.get().status == "failed"

    def test_asks_why_beside_it(self, console: Client, viewer: Client) -> None:
        delivery = builders.a_failed_delivery()

        for name, row in (("delivery", delivery), ("failure", delivery.failure)):
            page = reverse(f"admin:deliveries_{name}_change", args=[row.pk])
            assertInHTML(f"<label>Why {WHY}</label>", console.get(page).content.decode())
            assert 'name="why"' not in viewer.get(page).content.decode()

    def test_says_why_it_did_not(self, console: Client) -> None:
        delivery = builders.a_failed_delivery(builders.a_webhook(enabled=False))

        page = console.post(button(delivery), follow=True)

        assert said(page) == ["Only a failed delivery to an enabled webhook can be sent again."]

    def test_needs_the_permission(self, viewer: Client) -> None:
        delivery = builders.a_failed_delivery()
        page = viewer.get(reverse("admin:deliveries_delivery_change", args=[delivery.pk]))

        assert viewer.post(button(delivery)).status_code == 403
        assert button(delivery) not in page.content.decode()
        assert Delivery.objects.get().status == "failed"

    def test_is_no_link(self, console: Client) -> None:
        assert console.get(button(builders.a_failed_delivery())).status_code == 405

    def test_cannot_be_pressed_by_another_site(self, operator: User) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator)
        delivery = builders.a_failed_delivery()

        assert browser.post(button(delivery)).status_code == 403
        assert Delivery.objects.get().status == "failed"
