"""Pausing and resuming from the console."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries import clock
from deliveries.identifiers import new_id
from deliveries.models import AuditEntry, Pause
from tests import builders
from tests.admin.conftest import MAKERS
from tests.admin.pages import read, said

PAUSES = reverse("admin:deliveries_pause_changelist")
ADD = reverse("admin:deliveries_pause_add")
WHY = "The receiver is being moved."


def resume(client: Client, *pauses: Pause) -> Any:
    chosen = [str(pause.pk) for pause in pauses]
    return client.post(PAUSES, {"action": "resume", "_selected_action": chosen}, follow=True)


def button(pause: Pause) -> str:
    return reverse("admin:deliveries_pause_resume", args=[pause.pk])


def a_pause_in_force() -> Pause:
    """Return a pause of a webhook for the next hour."""
    webhook = builders.a_webhook()
    return builders.a_pause(webhook.account, webhook=webhook, until=clock.now() + timedelta(hours=1))


class TestPause:
    def test_is_made_for_a_webhook_and_an_hour(self, console: Client) -> None:
        webhook = builders.a_webhook()

        console.post(ADD, {"webhook": str(webhook.pk), "lasts": "1", "why": WHY})

        pause = Pause.objects.get()
        assert (pause.webhook, pause.account, pause.by) == (webhook, webhook.account, "operator")
        assert pause.until - pause.created_at < timedelta(hours=1, seconds=1)
        assert AuditEntry.objects.filter(action="pause.created").count() == 1

    def test_is_made_for_a_type_until_a_moment(self, console: Client) -> None:
        account, until = builders.an_account(), clock.now() + timedelta(days=2)
        moment = {"until_0": f"{until:%Y-%m-%d}", "until_1": f"{until:%H:%M:%S}"}

        console.post(
            ADD, {"account": str(account.pk), "event_type": "call.ended", "lasts": "", **moment, "why": WHY}
        )

        pause = Pause.objects.get()
        assert (pause.account, pause.event_type) == (account, "call.ended")
        assert pause.until == until.replace(microsecond=0)

    def test_is_made_until_the_moment_that_was_typed(self, console: Client) -> None:
        # Where no script runs, and with one, nothing but the moment was touched.
        account, until = builders.an_account(), clock.now() + timedelta(days=2)
        moment = {"until_0": f"{until:%Y-%m-%d}", "until_1": f"{until:%H:%M:%S}"}

        console.post(ADD, {"account": str(account.pk), "lasts": "1", **moment, "why": WHY})

        assert Pause.objects.get().until == until.replace(microsecond=0)

    def test_is_not_made_for_a_while_and_until_a_moment(self, console: Client) -> None:
        account, until = builders.an_account(), clock.now() + timedelta(days=2)
        moment = {"until_0": f"{until:%Y-%m-%d}", "until_1": f"{until:%H:%M:%S}"}

        page = console.post(ADD, {"account": str(account.pk), "lasts": "24", **moment, "why": WHY})

        form = page.context["adminform"].form
        assert form.errors == {"until": ["Choose 1 day, or type a moment; not both."]}
        assert form["until"].value() == [moment["until_0"], moment["until_1"]]
        assert not Pause.objects.exists()

    def test_is_one_however_often_the_button_is_pressed(self, console: Client) -> None:
        webhook = builders.a_webhook()
        once = console.get(ADD).context["adminform"].form["once"].value()
        sent = {"webhook": str(webhook.pk), "lasts": "1", "why": WHY, "once": once}

        first, second = console.post(ADD, sent), console.post(ADD, sent)

        assert Pause.objects.count() == AuditEntry.objects.filter(action="pause.created").count() == 1
        its_page = reverse("admin:deliveries_webhook_change", args=[webhook.pk])
        assert first.headers["Location"] == second.headers["Location"] == its_page
        assert len(set(said(console.get(its_page)))) == 1

    def test_takes_no_id_that_somebody_made_up(self, console: Client) -> None:
        sent = {"account": str(builders.an_account().pk), "lasts": "1", "why": WHY, "once": str(new_id())}

        assert console.post(ADD, sent).status_code == 400
        assert not Pause.objects.exists()

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"why": " "}, "why"),
            ({"lasts": ""}, "until"),
            ({"account": ""}, "account"),
            ({"event_type": "Call ended"}, "event_type"),
            ({"lasts": "", "until_0": "2026-01-01", "until_1": "00:00:00"}, "until"),
        ],
    )
    def test_says_what_is_wrong_where_it_was_typed(
        self, console: Client, changes: dict[str, str], field: str
    ) -> None:
        account = builders.an_account()

        page = console.post(ADD, {"account": str(account.pk), "lasts": "1", "why": WHY, **changes})

        assert list(page.context["adminform"].form.errors) == [field]
        assert not Pause.objects.exists()

    def test_is_a_permission_of_its_own(self, viewer: Client) -> None:
        sent = {"account": str(builders.an_account().pk), "lasts": "1", "why": WHY}

        assert viewer.post(ADD, sent).status_code == 403
        User.objects.get().user_permissions.add(Permission.objects.get(codename="manage_pause"))
        viewer.post(ADD, sent)

        assert Pause.objects.get().by == "viewer"

    def test_can_neither_be_changed_nor_deleted(self, console: Client) -> None:
        pause = builders.a_pause()

        for act in ("change", "delete"):
            page = reverse(f"admin:deliveries_pause_{act}", args=[pause.pk])
            assert console.post(page, {"why": "Another.", "post": "yes"}).status_code == 403

        assert Pause.objects.get().why == pause.why


class TestPageOfWebhook:
    @pytest.mark.parametrize("of", ["webhook", "event type", "account"])
    def test_says_what_keeps_it_back_and_leads_to_its_end(self, console: Client, of: str) -> None:
        webhook = builders.a_webhook()
        named: dict[str, Any] = {"webhook": {"webhook": webhook}, "event type": {"event_type": "call.ended"}}
        later = clock.now() + timedelta(hours=1)
        pause = builders.a_pause(webhook.account, until=later, **named.get(of, {}))
        builders.a_pause(webhook.account, until=later, ended_at=builders.NOW)
        builders.a_pause(until=later)

        page = console.get(reverse("admin:deliveries_webhook_change", args=[webhook.pk]))

        text = page.content.decode()
        assert text.count("Paused until") == 1
        assert "by ada : The receiver is being moved." in read(page)
        assert reverse("admin:deliveries_pause_change", args=[pause.pk]) in text
        assert f"{ADD}?webhook={webhook.pk}" in text.replace("&amp;", "&")

    def test_says_nothing_of_a_type_it_does_not_want(self, console: Client) -> None:
        webhook = builders.a_webhook(events=["call.*"])
        builders.a_pause(webhook.account, event_type="message.sent", until=clock.now() + timedelta(hours=1))

        page = console.get(reverse("admin:deliveries_webhook_change", args=[webhook.pk]))

        assert "Paused until" not in page.content.decode()


class TestPageOf:
    """The pages of what can be paused lead to the form of a pause."""

    @pytest.mark.parametrize(
        ("model", "field", "key"),
        [
            ("account", "account", "pk"),
            ("eventtype", "event_type", "code"),
            ("webhook", "webhook", "pk"),
        ],
        ids=["account", "event type", "webhook"],
    )
    def test_leads_to_a_pause_of_it(
        self, console: Client, viewer: Client, model: str, field: str, key: str
    ) -> None:
        row = MAKERS[model]()
        page = reverse(f"admin:deliveries_{model}_change", args=[row.pk])
        link = f"{ADD}?{field}={getattr(row, key)}"

        assert f'href="{link}"' in console.get(page).content.decode()
        assert ADD not in viewer.get(page).content.decode()

        form = console.get(link).context["adminform"].form
        assert str(form.get_initial_for_field(form.fields[field], field)) == str(getattr(row, key))


class TestForm:
    @pytest.mark.parametrize(
        "link",
        [
            "webhook=zz",
            "account=%00",
            "lasts=zz&until=zz",
            "until=zz",
            "webhook=zz&account=zz&event_type=%00",
        ],
    )
    def test_is_empty_where_the_address_fills_in_what_cannot_be(self, console: Client, link: str) -> None:
        assert console.get(f"{reverse('admin:deliveries_pause_add')}?{link}").status_code == 200


class TestListOfWebhooks:
    @pytest.mark.parametrize("of", ["webhook", "account"])
    def test_shows_which_are_paused(self, console: Client, of: str) -> None:
        later = clock.now() + timedelta(hours=1)
        paused, other = builders.a_webhook(), builders.a_webhook()
        builders.a_pause(paused.account, webhook=paused if of == "webhook" else None, until=later)
        builders.a_pause(other.account, webhook=other, until=later, ended_at=builders.NOW)
        builders.a_pause(other.account, event_type="call.ended", until=later)

        page = console.get(reverse("admin:deliveries_webhook_changelist"))

        shown = page.context["cl"].result_list
        assert {webhook.pk: webhook.review.state for webhook in shown} == {
            paused.pk: "paused",
            other.pk: "active",
        }
        assert "‖</span> Paused" in page.content.decode()

    def test_asks_once_for_all_of_them(self, console: Client) -> None:
        url = reverse("admin:deliveries_webhook_changelist")

        def queries() -> int:
            builders.a_pause(builders.a_webhook().account, until=clock.now() + timedelta(hours=1))
            with CaptureQueriesContext(connection) as asked:
                console.get(url)
            return len(asked)

        assert queries() == queries()


class TestButton:
    @pytest.mark.parametrize("page", ["pause", "webhook"])
    def test_ends_the_pause_and_says_so(self, console: Client, page: str) -> None:
        pause = a_pause_in_force()
        row = pause if page == "pause" else pause.webhook
        assert row is not None
        shown = console.get(reverse(f"admin:deliveries_{page}_change", args=[row.pk]))

        after = console.post(button(pause), follow=True)

        assert button(pause) in shown.content.decode()
        assert said(after) == ["Resumed."]
        pause.refresh_from_db()
        assert pause.ended_by == "operator"
        assert button(pause) not in after.content.decode()

    def test_says_what_keeps_it_back_still(self, console: Client) -> None:
        pause = a_pause_in_force()
        builders.a_pause(pause.account, until=clock.now() + timedelta(hours=1))

        (message,) = said(console.post(button(pause), follow=True))

        assert message.startswith("Ended, but not all of it goes on: ada paused the account until ")

    def test_says_why_it_did_not(self, console: Client) -> None:
        pause = a_pause_in_force()
        console.post(button(pause), follow=True)

        (message,) = said(console.post(button(pause), follow=True))

        assert message.startswith("The pause was ended at ")
        assert message.endswith(" by operator.")

    @pytest.mark.parametrize("page", ["pause", "webhook"])
    def test_needs_the_permission(self, viewer: Client, page: str) -> None:
        pause = a_pause_in_force()
        row = pause if page == "pause" else pause.webhook
        assert row is not None
        shown = viewer.get(reverse(f"admin:deliveries_{page}_change", args=[row.pk]))

        assert viewer.post(button(pause)).status_code == 403
        assert button(pause) not in shown.content.decode()
        pause.refresh_from_db()
        assert pause.ended_at is None

    def test_is_no_link(self, console: Client) -> None:
        assert console.get(button(a_pause_in_force())).status_code == 405

    def test_is_of_one_there_is(self, console: Client) -> None:
        assert console.post(button(Pause(pk=new_id()))).status_code == 404

    def test_cannot_be_pressed_by_another_site(self, operator: User) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator)
        pause = a_pause_in_force()

        assert browser.post(button(pause)).status_code == 403
        pause.refresh_from_db()
        assert pause.ended_at is None


class TestResume:
    def test_ends_what_is_in_force_and_says_how_many(self, console: Client) -> None:
        in_force = builders.a_pause(until=clock.now() + timedelta(hours=1))
        ended = builders.a_pause(ended_at=builders.NOW, ended_by="grace")

        page = resume(console, in_force, ended)

        assert said(page) == ["Ended 1 pause. Skipped 1: only a pause in force can be ended."]
        in_force.refresh_from_db()
        assert in_force.ended_by == "operator"

    def test_is_not_for_those_who_may_only_look(self, viewer: Client) -> None:
        pause = builders.a_pause(until=clock.now() + timedelta(hours=1))

        resume(viewer, pause)

        pause.refresh_from_db()
        assert pause.ended_at is None


class TestList:
    def test_says_which_webhook_is_paused_by_its_name(self, console: Client) -> None:
        pause = a_pause_in_force()
        builders.a_pause(pause.account, event_type="call.ended")

        page = console.get(PAUSES).content.decode()

        assert '<td class="field-webhook_name">CRM call events</td>' in page
        assert '<td class="field-webhook_name">-</td>' in page
