"""The inbox: failures by webhook and reason, settled by hand, sent again from a group."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from deliveries import clock
from deliveries.admin import failure_groups
from deliveries.models import AuditEntry, Delivery, Failure, FailureGroup, Webhook
from deliveries.services import grouping
from tests import builders
from tests.admin.pages import read, said

INBOX = reverse("admin:deliveries_failuregroup_changelist")


def page_of(group: FailureGroup) -> str:
    return reverse("admin:deliveries_failuregroup_change", args=[group.pk])


def settle(client: Client, group: FailureGroup, to: str, **given: str) -> Any:
    url = reverse("admin:deliveries_failuregroup_settle", args=[group.pk])
    return client.post(url, {"to": to, **given}, follow=True)


def send_again_url(group: FailureGroup) -> str:
    return reverse("admin:deliveries_failuregroup_send_again", args=[group.pk])


def send_again(client: Client, group: FailureGroup, **given: Any) -> Any:
    return client.post(send_again_url(group), given, follow=True)


def shown(console: Client, **asked: str) -> list[FailureGroup]:
    return list(console.get(INBOX, asked).context["cl"].result_list)


@pytest.fixture
def group(db: None) -> FailureGroup:
    """One failure waits in it."""
    return builders.a_failure_group(builders.a_failed_delivery(builders.a_webhook(name="CRM")))


class TestList:
    def test_shows_what_wants_somebody(self, console: Client) -> None:
        now = clock.now()
        open_, asleep, awake, done = (builders.a_failure_group() for _ in range(4))
        grouping.snooze(asleep, until=now + timedelta(hours=1), by="ada", now=now)
        grouping.snooze(awake, until=now - timedelta(hours=1), by="ada", now=now - timedelta(days=1))
        grouping.resolve(done, by="ada", now=now)

        assert set(shown(console)) == {open_, awake}
        assert shown(console, state="snoozed") == [asleep]
        assert shown(console, state="resolved") == [done]
        assert len(shown(console, state="all")) == 4
        assert shown(console, state="lost") == []

    def test_is_in_order_of_the_last_failure(self, console: Client) -> None:
        old = builders.a_failure_group(last_seen_at=builders.NOW)
        new = builders.a_failure_group(last_seen_at=builders.NOW + timedelta(hours=1))

        assert shown(console) == [new, old]

    def test_says_how_many_wait(self, console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        webhook = builders.a_webhook()
        deliveries = [builders.a_failed_delivery(webhook) for _ in range(4)]
        builders.a_failure_group(deliveries[0])

        monkeypatch.setattr(failure_groups, "MOST", 4)
        assert '<td class="field-waiting">4</td>' in console.get(INBOX).content.decode()
        monkeypatch.setattr(failure_groups, "MOST", 2)
        page = console.get(INBOX)
        assert '<td class="field-waiting">2+</td>' in page.content.decode()
        assert [group.waiting for group in page.context["cl"].result_list] == [3]

    def test_says_so_when_nothing_waits(self, console: Client) -> None:
        assert "Nothing waits for you." in console.get(INBOX).content.decode()

    def test_marks_what_is_chosen(self, console: Client) -> None:
        def chosen(**asked: str) -> list[str]:
            page = console.get(INBOX, asked)
            spec = page.context["cl"].filter_specs[0]
            choices = spec.choices(page.context["cl"])
            return [choice["display"] for choice in choices if choice["selected"]]

        assert chosen() == ["Open"]
        assert chosen(state="snoozed") == ["Snoozed"]
        assert chosen(state="all") == ["All"]

    def test_snoozes_the_chosen_for_a_day(self, console: Client, group: FailureGroup) -> None:
        page = console.post(INBOX, {"action": "snooze", "_selected_action": [str(group.pk)]}, follow=True)

        assert said(page) == ["Snoozed 1 group."]
        group.refresh_from_db()
        assert group.snoozed_until is not None
        assert abs(group.snoozed_until - clock.now() - timedelta(days=1)) < timedelta(minutes=1)

    def test_settles_the_chosen(self, console: Client) -> None:
        groups = [builders.a_failure_group() for _ in range(2)]
        chosen = [str(each.pk) for each in groups]

        page = console.post(INBOX, {"action": "resolve", "_selected_action": chosen}, follow=True)

        assert said(page) == ["Resolved 2 groups."]
        assert set(FailureGroup.objects.resolved()) == set(groups)

    def test_settles_all_that_match_and_no_others(self, console: Client) -> None:
        groups = [builders.a_failure_group() for _ in range(3)]
        now = clock.now()
        grouping.snooze(groups[0], until=now + timedelta(hours=1), by="ada", now=now)
        asked = {"action": "resolve", "_selected_action": str(groups[1].pk), "select_across": "1"}

        page = console.post(INBOX, asked, follow=True)

        assert said(page) == ["Resolved 2 groups."]
        assert set(FailureGroup.objects.resolved()) == set(groups[1:])

    def test_leaves_those_where_more_failed_than_somebody_saw(self, console: Client) -> None:
        groups = [builders.a_failure_group() for _ in range(2)]
        html = console.get(INBOX).content.decode()
        shown = dict(re.findall('<input type="hidden" name="(seen-[^"]+)" value="([^"]+)">', html))
        FailureGroup.objects.filter(pk=groups[0].pk).update(seen=9)
        chosen = [str(each.pk) for each in groups]

        page = console.post(INBOX, {"action": "resolve", "_selected_action": chosen, **shown}, follow=True)

        assert said(page) == ["Resolved 1 group.", "Left 1 group, where more failed meanwhile. Look again."]
        assert list(FailureGroup.objects.resolved()) == [groups[1]]

    @pytest.mark.parametrize("action", ["snooze", "resolve", "reopen"])
    def test_is_audited_with_why_where_somebody_said_so(
        self, console: Client, group: FailureGroup, action: str
    ) -> None:
        assert "<label>Why <input" in console.get(INBOX).content.decode()
        for why in ("", "They know."):
            console.post(INBOX, {"action": action, "_selected_action": [group.pk], "why": why})

        entries = AuditEntry.objects.filter(action__startswith="failures.").order_by("pk")
        assert [entry.why for entry in entries] == ["", "They know."]

    def test_settles_the_chosen_that_have_been_settled_meanwhile(
        self, console: Client, group: FailureGroup
    ) -> None:
        grouping.resolve(group, by="ada", now=clock.now())

        page = console.post(INBOX, {"action": "reopen", "_selected_action": [str(group.pk)]}, follow=True)

        assert said(page) == ["Reopened 1 group."]
        assert FailureGroup.objects.get().state == "open"

    def test_settles_no_more_than_a_page_can_wait_for(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failure_groups, "MOST_AT_ONCE", 1)
        chosen = [str(builders.a_failure_group().pk) for _ in range(2)]

        page = console.post(INBOX, {"action": "resolve", "_selected_action": chosen}, follow=True)

        assert said(page) == ["Nothing was changed: choose at most 1."]
        assert not FailureGroup.objects.resolved().exists()


class TestPage:
    def test_shows_what_waits_and_the_way_to_send_all_of_it(
        self, console: Client, group: FailureGroup
    ) -> None:
        delivery = Delivery.objects.get()

        page = console.get(page_of(group)).content.decode()

        assert "Connection timeout" in page
        assert reverse("admin:deliveries_delivery_change", args=[delivery.pk]) in page
        assert f"webhook_id={group.webhook_id}&amp;reason=Connection+timeout" in page

    def test_shows_only_what_waits_of_it(self, console: Client, group: FailureGroup) -> None:
        its = Delivery.objects.get().failure
        builders.a_failed_delivery(builders.a_webhook(group.account))
        other, delivered = (builders.a_failed_delivery(group.webhook).failure for _ in range(2))
        Failure.objects.filter(pk=other.pk).update(reason="HTTP 503")
        Failure.objects.filter(pk=delivered.pk).update(status="delivered")

        page = console.get(page_of(group))

        assert list(page.context["failures"]) == [its]
        assert page.context["waiting"] == "1"

    def test_shows_the_newest_of_many(
        self, console: Client, group: FailureGroup, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(failure_groups, "LISTED", 2)
        newer = [builders.a_failed_delivery(group.webhook).failure for _ in range(2)]

        assert list(console.get(page_of(group)).context["failures"]) == newer[::-1]

    def test_leads_to_the_list_of_what_waits(self, console: Client, group: FailureGroup) -> None:
        page = console.get(page_of(group)).content.decode()

        link = f"webhook_id__exact={group.webhook_id}&amp;reason__exact=Connection%20timeout"
        assert f"{link}&amp;status__exact=inactive" in page

    def test_sends_the_chosen_again_and_stays(self, console: Client, group: FailureGroup) -> None:
        failure = Delivery.objects.get().failure
        assert f'action="{send_again_url(group)}"' in console.get(page_of(group)).content.decode()

        page = send_again(console, group, _selected_action=[failure.pk], why="They asked.")

        assert page.redirect_chain == [(page_of(group), 302)]
        assert AuditEntry.objects.get(action="deliveries.redelivered").why == "They asked."
        assert said(page) == ["Queued 1 delivery."]
        assert Delivery.objects.get().status == Delivery.Status.PENDING
        assert "Nothing of it waits any more: resolve it" in page.content.decode()

    def test_says_what_to_do_where_nothing_is_chosen(self, console: Client, group: FailureGroup) -> None:
        page = send_again(console, group)

        assert page.redirect_chain == [(page_of(group), 302)]
        assert said(page) == ["Nothing was sent again: tick what is to be, or send all of the group again."]
        assert not AuditEntry.objects.filter(action="deliveries.redelivered").exists()

    def test_sends_nothing_again_that_is_of_another_group(self, console: Client, group: FailureGroup) -> None:
        other = builders.a_failed_delivery()

        page = send_again(console, group, _selected_action=[other.failure.pk])

        assert said(page) == ["Nothing was sent again: what was chosen does not wait in this group any more."]
        other.refresh_from_db()
        assert other.status == Delivery.Status.FAILED

    @pytest.mark.parametrize(("chosen", "status"), [(["\0"], 400), (["x" * 25], 302), (["x"] * 2000, 400)])
    def test_takes_no_choice_that_can_be_none(
        self, console: Client, group: FailureGroup, chosen: list[str], status: int
    ) -> None:
        answer = console.post(send_again_url(group), {"_selected_action": chosen})

        assert answer.status_code == status
        assert Delivery.objects.get().status == Delivery.Status.FAILED

    def test_lets_viewers_send_nothing_again(self, viewer: Client, group: FailureGroup) -> None:
        failure = Delivery.objects.get().failure

        assert send_again(viewer, group, _selected_action=[failure.pk]).status_code == 403
        assert viewer.get(send_again_url(group)).status_code == 405
        assert Delivery.objects.get().status == Delivery.Status.FAILED

    def test_says_until_when_it_is_snoozed(self, console: Client, group: FailureGroup) -> None:
        until = clock.now() + timedelta(hours=3)
        grouping.snooze(group, until=until, by="ada", now=clock.now())

        for page in (console.get(page_of(group)), console.get(INBOX, {"state": "snoozed"})):
            assert f"Snoozed until {until:%Y-%m-%d %H:%M:%S} UTC" in read(page)
        FailureGroup.objects.update(snoozed_until=clock.now() - timedelta(hours=1))
        assert "Snoozed" not in read(console.get(page_of(group))).partition("All columns")[0]

    def test_says_who_settled_it_until_it_is_open_again(self, console: Client, group: FailureGroup) -> None:
        settle(console, group, "resolved")
        assert "Settled by operator" in read(console.get(page_of(group)))

        assert "Settled by operator" not in read(settle(console, group, "open"))

    @pytest.mark.parametrize(
        ("to", "state", "sentence"),
        [
            ("1h", "snoozed", "It is snoozed for 60 min now."),
            ("1d", "snoozed", "It is snoozed for 24 h now."),
            ("7d", "snoozed", "It is snoozed for 7 d now."),
            ("resolved", "resolved", "It is resolved now."),
            ("open", "open", "It is open now."),
        ],
    )
    def test_settles_it(
        self, console: Client, group: FailureGroup, to: str, state: str, sentence: str
    ) -> None:
        assert said(settle(console, group, to)) == [sentence]

        group.refresh_from_db()
        assert (group.state, group.settled_by) == (state, "operator")
        assert AuditEntry.objects.latest("pk").by == "operator"

    @pytest.mark.parametrize("to", ["1h", "resolved", "open"])
    def test_is_audited_with_why_where_somebody_said_so(
        self, console: Client, group: FailureGroup, to: str
    ) -> None:
        assert "<label>Why <input" in console.get(page_of(group)).content.decode()
        settle(console, group, to)
        settle(console, group, to, why=" They know. ")

        entries = AuditEntry.objects.filter(action__startswith="failures.").order_by("pk")
        assert [entry.why for entry in entries] == ["", "They know."]

    def test_settles_nothing_with_a_reason_that_does_not_fit(
        self, console: Client, group: FailureGroup
    ) -> None:
        assert settle(console, group, "resolved", why="x" * 501).status_code == 400
        assert FailureGroup.objects.get().state == "open"

    @pytest.mark.parametrize("seen", ["", "x", "-1", "²", "9" * 30])
    def test_is_settled_where_nobody_says_what_they_saw(
        self, console: Client, group: FailureGroup, seen: str
    ) -> None:
        url = reverse("admin:deliveries_failuregroup_settle", args=[group.pk])

        page = console.post(url, {"to": "resolved", "seen": seen}, follow=True)

        assert said(page) == ["It is resolved now."]

    def test_settles_nothing_by_a_word_there_is_not(self, console: Client, group: FailureGroup) -> None:
        assert settle(console, group, "forever").status_code == 400
        assert FailureGroup.objects.get().state == "open"

    def test_is_settled_by_pressing_a_button(self, console: Client, group: FailureGroup) -> None:
        url = reverse("admin:deliveries_failuregroup_settle", args=[group.pk])

        assert console.get(url).status_code == 405

    def test_is_settled_by_no_other_site(self, operator: User, group: FailureGroup) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator)

        assert settle(browser, group, "resolved").status_code == 403
        assert FailureGroup.objects.get().state == "open"

    @pytest.mark.parametrize("to", ["resolved", "1h", "1d", "7d"])
    def test_settles_nothing_that_its_owner_did_not_see(
        self, console: Client, group: FailureGroup, to: str
    ) -> None:
        FailureGroup.objects.update(seen=3)
        url = reverse("admin:deliveries_failuregroup_settle", args=[group.pk])

        page = console.post(url, {"to": to, "seen": "1"}, follow=True)

        assert said(page) == ["Meanwhile 2 more failed like this. Look again."]
        assert FailureGroup.objects.get().state == "open"
        assert '<input type="hidden" name="seen" value="3">' in page.content.decode()

    def test_of_a_deleted_webhook_sends_nothing(self, console: Client, group: FailureGroup) -> None:
        Webhook.objects.update(enabled=False, deleted_at=clock.now())

        page = console.get(page_of(group)).content.decode()

        assert "The webhook is deleted: nothing of this can be sent again." in page
        assert "again…" not in page

    def test_is_only_looked_at_by_viewers(self, viewer: Client, group: FailureGroup) -> None:
        page = viewer.get(page_of(group)).content.decode()

        assert "Resolve" not in page
        assert "again…" not in page
        assert "_selected_action" not in page
        assert settle(viewer, group, "resolved").status_code == 403
        assert FailureGroup.objects.get().state == "open"

    def test_shows_a_hostile_name_as_text(self, console: Client) -> None:
        hostile = "<script>0</script>"
        failure = builders.a_failed_delivery(builders.a_webhook(name=hostile)).failure
        Failure.objects.update(reason=hostile, event_type=hostile)
        failure.refresh_from_db()
        group = builders.a_failure_group(failure.delivery, settled_by=hostile, settled_at=builders.NOW)

        for url in (INBOX, page_of(group)):
            assert "<script>0" not in console.get(url).content.decode()
