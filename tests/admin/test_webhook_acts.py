"""What an operator does with a webhook beside changing it."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from deliveries import clock
from deliveries.admin import signs, strips, webhook_acts
from deliveries.admin import webhooks as admin_of_webhooks
from deliveries.models import AuditEntry, TrafficMinute, Webhook, WebhookHealth
from deliveries.printing import utc
from deliveries.reasons import Reason
from deliveries.services import egress, rehearsing, reviewing, webhooks
from deliveries.services.reviewing import Cell
from deliveries.transport import TransportError
from tests import builders
from tests.admin.pages import read, said
from tests.services.fakes import FakeTransport, a_reply

LIST = reverse("admin:deliveries_webhook_changelist")


def page_of(webhook: Webhook) -> str:
    return reverse("admin:deliveries_webhook_change", args=[webhook.pk])


def text_of(client: Client, url: str) -> str:
    return read(client.get(url))


def act(client: Client, webhook: Webhook, name: str, **given: Any) -> Any:
    url = reverse(f"admin:deliveries_webhook_{name}", args=[webhook.pk])
    return client.post(url, given, follow=True)


def once_of(client: Client, webhook: Webhook) -> str:
    """Return what makes the form of the page one that rotates once."""
    page = client.get(page_of(webhook))
    once = str(page.context["rotate_form"]["once"])
    assert once in page.content.decode()
    (value,) = re.findall(r'value="([^"]+)"', once)
    return str(value)


@pytest.fixture
def webhook(db: None) -> Webhook:
    """One that works."""
    return builders.a_webhook(name="CRM", secret="canary-secret-3f1b")


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what a receiver answers."""

    def answer(outcome: Any) -> None:
        transport = FakeTransport(lambda request: outcome)
        monkeypatch.setattr(egress, "transport", lambda slots: transport)

    return answer


class TestTest:
    def test_says_that_the_receiver_took_it(
        self, console: Client, webhook: Webhook, answering: Callable[..., None]
    ) -> None:
        answering(a_reply(204))

        assert said(act(console, webhook, "test")) == [
            "The receiver took the test event: HTTP 204 in 142 ms."
        ]

    @pytest.mark.parametrize(
        ("outcome", "sentence"),
        [
            (a_reply(500), "The receiver did not take it: HTTP 500 in 142 ms."),
            (
                TransportError(Reason.CONNECTION_REFUSED),
                "The receiver did not take it: No answer in 142 ms. Connection refused.",
            ),
        ],
    )
    def test_says_why_it_did_not(
        self,
        console: Client,
        webhook: Webhook,
        answering: Callable[..., None],
        outcome: Any,
        sentence: str,
    ) -> None:
        answering(outcome)

        assert said(act(console, webhook, "test")) == [sentence]

    def test_says_so_when_too_many_are_under_way(
        self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy(*args: object, **kwargs: object) -> None:
            raise rehearsing.Busy("Too many test events are under way.")

        monkeypatch.setattr(rehearsing, "rehearse", busy)

        assert said(act(console, webhook, "test")) == [
            "Too many test events are under way. Try again in a moment."
        ]

    def test_is_audited(self, console: Client, webhook: Webhook, answering: Callable[..., None]) -> None:
        answering(a_reply(500))

        act(console, webhook, "test")

        entry = AuditEntry.objects.latest("pk")
        assert (entry.action, entry.by, entry.subject_id) == ("webhook.tested", "operator", str(webhook.pk))
        assert entry.details == {"succeeded": False, "reason": "HTTP 500", "http_status": 500}
        assert "operator webhook.tested" not in text_of(console, page_of(webhook))


class TestSwitch:
    def test_turns_it_off_and_says_why(self, console: Client, webhook: Webhook) -> None:
        page = act(console, webhook, "disable", why="The receiver is being moved.")

        webhook.refresh_from_db()
        assert said(page) == ["Disabled: what is queued for it is held, and nothing is lost."]
        assert (webhook.enabled, webhook.disabled_reason) == (False, "The receiver is being moved.")
        entry = AuditEntry.objects.latest("pk")
        assert (entry.action, entry.why) == ("webhook.disabled", "The receiver is being moved.")
        assert "○ Disabled The receiver is being moved." in text_of(console, page_of(webhook))

    def test_turns_it_off_once(self, console: Client, webhook: Webhook) -> None:
        act(console, webhook, "disable", why="Moved.")

        assert said(act(console, webhook, "disable", why="Again.")) == ["It is disabled already."]
        assert Webhook.objects.get().disabled_reason == "Moved."

    @pytest.mark.parametrize("why", ["", " ", "x" * 256])
    def test_wants_a_reason_that_fits(self, console: Client, webhook: Webhook, why: str) -> None:
        page = act(console, webhook, "disable", why=why)

        assert said(page) == ["Nothing was changed: say why, in up to 255 characters."]
        assert Webhook.objects.get().enabled

    def test_says_so_where_nothing_waits(self, console: Client, webhook: Webhook) -> None:
        act(console, webhook, "disable", why="It fails.")
        WebhookHealth.objects.update(failing_since=clock.now(), consecutive_failures=3)

        assert said(act(console, webhook, "enable")) == [
            "Enabled: nothing waits for it, and the next event goes to it."
        ]

    def test_turns_it_on(self, console: Client, webhook: Webhook) -> None:
        builders.a_delivery(webhook)
        act(console, webhook, "disable", why="Moved.")

        assert said(act(console, webhook, "enable")) == ["Enabled: what was held for it begins to go."]
        assert Webhook.objects.get().enabled

    def test_turns_it_on_and_says_that_one_is_tried_first(self, console: Client, webhook: Webhook) -> None:
        builders.a_delivery(webhook)
        act(console, webhook, "disable", why="It fails.")
        WebhookHealth.objects.update(failing_since=clock.now(), consecutive_failures=3)

        assert said(act(console, webhook, "enable")) == [
            "Enabled: one delivery is tried first, and the rest goes once the receiver answers."
        ]

    def test_turns_it_on_and_says_what_keeps_it_back_all_the_same(
        self, console: Client, webhook: Webhook
    ) -> None:
        act(console, webhook, "disable", why="Moved.")
        until = clock.now() + timedelta(hours=2)
        pause = builders.a_pause(webhook.account, webhook=webhook, until=until)
        builders.a_pause(webhook.account, event_type="call.started", until=until)
        builders.a_pause(webhook.account, event_type="never.wanted", until=until)
        Webhook.objects.update(events=["call.*"])
        moment = f"{until:%Y-%m-%d %H:%M:%S} UTC"

        assert said(act(console, webhook, "enable")) == [
            f"Enabled, but nothing goes yet: ada paused the webhook until {moment}. The receiver is being"
            " moved."
        ]
        pause.delete()
        act(console, webhook, "disable", why="Moved.")
        assert said(act(console, webhook, "enable")) == [
            f"Enabled, but not all of it goes: ada paused call.started until {moment}. The receiver is being"
            " moved."
        ]


class TestRotation:
    def test_shows_the_new_secret_this_once(self, console: Client, webhook: Webhook) -> None:
        page = act(console, webhook, "rotate", overlap="24")

        webhook.refresh_from_db()
        assert webhook.secret is not None
        secret = webhook.secret.reveal()
        assert secret in page.content.decode()
        assert "no-store" in page["Cache-Control"]
        assert "canary-secret-3f1b" not in page.content.decode()
        assert secret not in console.get(page_of(webhook)).content.decode()
        assert "canary-secret-3f1b" in [old for old, _ in webhook.reveal_previous_secrets()]
        assert secret not in str(list(AuditEntry.objects.values()))

    def test_is_one_however_often_the_button_is_pressed(self, console: Client, webhook: Webhook) -> None:
        sent = {"overlap": "24", "once": once_of(console, webhook)}
        act(console, webhook, "rotate", **sent)
        made = Webhook.objects.values().get()

        page = act(console, webhook, "rotate", **sent)

        assert Webhook.objects.values().get() == made
        assert AuditEntry.objects.filter(action="webhook.secret_rotated").count() == 1
        assert said(page) == [
            "Nothing was changed: this form has made a secret already, and a secret is shown only once. "
            "If nobody has it, rotate again on this page."
        ]
        assert page.redirect_chain == [(page_of(webhook), 302)]
        act(console, webhook, "rotate", overlap="24", once=once_of(console, webhook))
        assert Webhook.objects.values().get() != made

    def test_says_that_loading_the_page_again_does_no_harm(self, console: Client, webhook: Webhook) -> None:
        page = act(console, webhook, "rotate", overlap="24", once=once_of(console, webhook))

        assert "Loading this page again neither shows it nor makes another." in read(page)

    def test_takes_no_id_that_somebody_made_up(self, console: Client, webhook: Webhook) -> None:
        before = Webhook.objects.values().get()

        assert act(console, webhook, "rotate", overlap="24", once=str(webhook.pk)).status_code == 400
        assert Webhook.objects.values().get() == before

    def test_can_end_the_old_one_at_once(self, console: Client, webhook: Webhook) -> None:
        page = act(console, webhook, "rotate", overlap="0")

        assert "Nothing else signs from now on." in page.content.decode()
        assert Webhook.objects.get().reveal_previous_secrets() == []

    def test_leaves_a_receiver_a_day_unless_somebody_chooses(self) -> None:
        offered = re.findall(r'<option value="(\d+)"', str(webhook_acts.RotateForm()["overlap"]))

        assert offered[0] == "24"

    @pytest.mark.parametrize("overlap", ["", "9999", "x"])
    def test_takes_no_other_overlap(self, console: Client, webhook: Webhook, overlap: str) -> None:
        page = act(console, webhook, "rotate", overlap=overlap)

        assert said(page)[0].startswith("Nothing was changed: choose")
        assert AuditEntry.objects.filter(action="webhook.secret_rotated").count() == 0

    def test_says_so_when_too_many_sign(self, console: Client, webhook: Webhook) -> None:
        for _ in range(4):
            act(console, webhook, "rotate", overlap="24")

        page = act(console, webhook, "rotate", overlap="24")

        assert said(page)[0].startswith("Nothing was changed. 5 secrets sign already")


class TestEveryAct:
    @pytest.mark.parametrize("name", ["test", "enable", "disable", "rotate"])
    def test_is_for_those_who_may_change_it(self, viewer: Client, webhook: Webhook, name: str) -> None:
        before = Webhook.objects.values().get()

        assert act(viewer, webhook, name, overlap="24").status_code == 403
        assert Webhook.objects.values().get() == before
        assert (
            reverse(f"admin:deliveries_webhook_{name}", args=[webhook.pk])
            not in viewer.get(page_of(webhook)).content.decode()
        )

    @pytest.mark.parametrize("name", ["test", "enable", "disable", "rotate"])
    def test_leaves_deleted_ones_alone(self, console: Client, webhook: Webhook, name: str) -> None:
        now = clock.now()
        webhooks.delete(webhook, by="grace", now=now)

        page = act(console, webhook, name, overlap="24")

        assert said(page) == [f"Nothing was done: grace deleted this webhook at {utc(now)}."]

    @pytest.mark.parametrize(("name", "does"), [("enable", "change"), ("rotate", "rotate_secret")])
    def test_is_refused_where_it_was_deleted_in_that_moment(
        self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, name: str, does: str
    ) -> None:
        def deleted(*args: object, **kwargs: object) -> None:
            raise webhooks.WebhookChanged

        monkeypatch.setattr(webhooks, does, deleted)

        (sentence,) = said(act(console, webhook, name, overlap="24"))
        assert sentence.startswith("Nothing was done: ")

    @pytest.mark.parametrize("name", ["test", "enable", "disable", "rotate"])
    def test_is_done_by_pressing_a_button(self, console: Client, webhook: Webhook, name: str) -> None:
        url = reverse(f"admin:deliveries_webhook_{name}", args=[webhook.pk])

        assert console.get(url).status_code == 405

    @pytest.mark.parametrize("name", ["test", "enable", "disable", "rotate"])
    def test_is_done_for_no_other_site(self, operator: User, webhook: Webhook, name: str) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator)
        before = Webhook.objects.values().get()

        assert act(browser, webhook, name, overlap="24", why="Moved.").status_code == 403
        assert Webhook.objects.values().get() == before


class TestPage:
    def test_says_how_it_does(self, console: Client, webhook: Webhook) -> None:
        now = clock.now()
        builders.a_minute_of_traffic(webhook, minute=TrafficMinute.of(now), succeeded=3, failed=1, upto_250=4)
        builders.a_delivery(webhook, due_at=now - timedelta(minutes=5))
        builders.an_attempt(builders.a_failed_delivery(webhook), number=2)
        WebhookHealth.objects.update(failing_since=now - timedelta(hours=3), consecutive_failures=7)

        text = text_of(console, page_of(webhook))

        assert "✕ Failing 7 failures in a row" in text
        assert "Succeeded in 24 hours 75 %" in text
        assert "3 of 4 attempts of 24 hours succeeded" in text
        assert "Due 1 oldest 5 min ago" in text
        assert "Retry its failures…" in text

    def test_draws_its_retries(self, console: Client, webhook: Webhook) -> None:
        text = text_of(console, page_of(webhook))

        assert (
            "Attempt 1 at once, Attempt 2 after 5 s, Attempt 3 after 5 min, Attempt 4 after 35 min;" in text
        )

    def test_says_who_changed_it(self, console: Client, webhook: Webhook) -> None:
        act(console, webhook, "disable", why="Moved.")

        text = text_of(console, page_of(webhook))

        assert "operator webhook.disabled Moved." in text
        assert "a test webhook.created" in text

    def test_shows_what_is_its_own(self, console: Client, webhook: Webhook) -> None:
        other = builders.a_webhook(webhook.account, name="Other")
        its = builders.a_failed_delivery(webhook).attempts.get()
        builders.a_failed_delivery(other)
        act(console, other, "disable", why="Moved.")

        context = console.get(page_of(webhook)).context

        assert [attempt for attempt, _ in context["attempts"]] == [its]
        assert [entry.action for entry in context["changes"]] == ["webhook.created"]
        assert context["send_all"] == f"{reverse('admin:deliveries_recovery_new')}?webhook_id={webhook.pk}"

    def test_leads_nobody_where_they_may_not_go(self, client: Client, webhook: Webhook) -> None:
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_webhook"))
        client.force_login(user)

        text = text_of(client, page_of(webhook))

        assert "Deliveries" in text
        assert "Retry its failures" not in text
        assert "Check a signature" not in text

    def test_shows_the_newest_of_many(
        self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(admin_of_webhooks, "LISTED", 2)
        monkeypatch.setattr(admin_of_webhooks, "CHANGES", 2)
        for minutes in range(3):
            at = builders.NOW + timedelta(minutes=minutes)
            builders.an_attempt(builders.a_delivery(webhook, created_at=at))
            builders.an_audit_entry(
                webhook.account, subject_id=str(webhook.pk), why=f"Act {minutes}", created_at=at
            )

        context = console.get(page_of(webhook)).context

        attempts = webhook.attempts.order_by("-created_at")
        assert [attempt for attempt, _ in context["attempts"]] == list(attempts[:2])
        assert [entry.why for entry in context["changes"]] == ["Act 2", "Act 1"]

    def test_shows_hostile_words_as_text(self, console: Client, webhook: Webhook) -> None:
        hostile = "<script>0</script>"
        url = "https://<script>0@example.com/"
        Webhook.objects.update(name=hostile, url=url, enabled=False, disabled_reason=hostile)
        builders.a_pause(webhook.account, by=hostile, why=hostile, until=clock.now() + timedelta(hours=1))
        builders.a_failure_group(builders.a_failed_delivery(webhook), reason=hostile)
        for why in (hostile, ""):
            builders.an_audit_entry(
                webhook.account,
                subject_id=str(webhook.pk),
                by=hostile,
                why=why,
                details={} if why else {"fields": [hostile]},
            )

        pages = [
            console.get(LIST),
            console.get(page_of(webhook)),
            act(console, webhook, "rotate", overlap="0"),
        ]

        for page in pages:
            assert "&lt;script&gt;0" in page.content.decode()
            assert "<script>0" not in page.content.decode()

    def test_of_a_new_one_asks_for_what_it_is_made_of(self, console: Client) -> None:
        assert "Last attempts" not in text_of(console, reverse("admin:deliveries_webhook_add"))

    def test_of_a_deleted_one_has_no_buttons(self, console: Client, webhook: Webhook) -> None:
        Webhook.objects.update(enabled=False, deleted_at=clock.now())

        text = text_of(console, page_of(webhook))

        assert "○ Deleted" in text
        assert "Rotate the secret" not in text
        assert "Retry its failures" not in text


class TestList:
    def test_says_how_each_does(self, console: Client, webhook: Webhook) -> None:
        now = clock.now()
        builders.a_minute_of_traffic(webhook, minute=TrafficMinute.of(now), succeeded=1, failed=1, upto_250=2)
        builders.a_delivery(webhook, due_at=now - timedelta(minutes=5))
        builders.a_failure_group(builders.a_failed_delivery(webhook))

        text = text_of(console, LIST)

        assert "CRM example.com ✓ Active" in text
        assert "50 %, p95" in text
        assert "1 due, oldest 5 min ago" in text
        assert "Connection timeout" in text

    def test_says_that_more_is_due_than_was_counted(
        self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reviewing, "MOST", 1)
        for _ in range(2):
            builders.a_delivery(webhook, due_at=clock.now() - timedelta(minutes=5))

        assert "1+ due, oldest 5 min ago" in text_of(console, LIST)

    def test_says_in_few_words_why_one_is_out_of_order(self, console: Client, webhook: Webhook) -> None:
        now = clock.now()
        builders.an_attempt(builders.a_delivery(webhook), http_status=503, created_at=now)
        WebhookHealth.objects.filter(pk=webhook.pk).update(
            circuit="open", circuit_since=now, next_step_at=now, unavailable_in_a_row=12
        )

        assert "Out of order 12 in a row: HTTP 503" in text_of(console, LIST)

    def test_says_what_is_held_back(
        self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reviewing, "MOST", 3)
        now = clock.now()
        builders.a_backlog(webhook, 3, status="held", due_at=now - timedelta(minutes=5))

        assert "3+ held, oldest 5 min ago" in text_of(console, LIST)
        page = text_of(console, page_of(webhook))
        assert "Held back 3+ the oldest was due 5 min ago" in page

    def test_counts_so_far(self, console: Client, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reviewing, "MOST", 3)
        builders.a_backlog(webhook, 4, due_at=clock.now())

        assert "Due 3+ oldest" in text_of(console, page_of(webhook))

    def test_can_be_of_those_in_trouble(self, console: Client, webhook: Webhook) -> None:
        builders.a_webhook(name="Well")
        WebhookHealth.objects.filter(pk=webhook.pk).update(failing_since=clock.now())

        found = console.get(LIST, {"trouble": "yes"}).context["cl"].result_list

        assert list(found) == [webhook]


class TestStrip:
    def test_draws_what_came_of_each_quarter(self) -> None:
        start = builders.NOW
        drawn = strips.strip(
            [Cell(start, 0, 0), Cell(start, 4, 0), Cell(start, 3, 1), Cell(start, 0, 2)], says="What it says"
        )

        assert re.findall(r'class="(\w+)" x="(\d+)"[^>]* height="(\d+)"', drawn) == [
            ("succeeded", "3", "20"),
            ("refused", "6", "20"),
            ("unavailable", "6", "5"),
            ("unavailable", "9", "20"),
        ]
        assert 'aria-label="What it says"' in drawn

    def test_draws_quarters_that_look_alike_at_once(self) -> None:
        start = builders.NOW
        drawn = strips.strip(
            [Cell(start, 4, 0), Cell(start, 9, 0), Cell(start, 0, 0), Cell(start, 1, 1), Cell(start, 2, 2)],
            says="",
        )

        assert re.findall(r'class="(\w+)" x="(\d+)" width="([\d.]+)" height="(\d+)"', drawn) == [
            ("succeeded", "0", "5.4", "20"),
            ("refused", "9", "5.4", "20"),
            ("unavailable", "9", "5.4", "10"),
        ]

    def test_shows_one_failure_among_many(self) -> None:
        drawn = strips.strip([Cell(builders.NOW, 999, 1)], says="")

        assert 'class="unavailable" x="0" width="2.4" height="1"' in drawn


class TestSchedule:
    def test_goes_from_one_end_of_the_line_to_the_other(self) -> None:
        tries = strips.schedule(Webhook(max_retries=2))

        assert [(each.number, each.after) for each in tries] == [(1, "at once"), (2, "5 s"), (3, "5 min")]
        assert (tries[0].x, tries[-1].x) == (12, 588)

    def test_goes_on_at_the_last_distance(self) -> None:
        delays = settings.WEBHOOKS_RETRY_DELAYS
        tries = strips.schedule(Webhook(max_retries=len(delays) + 1))

        last = sum(delays, timedelta(0)) + delays[-1]
        assert tries[-1].after == signs.lasting(last)

    def test_of_one_attempt_is_a_point(self) -> None:
        assert [each.x for each in strips.schedule(Webhook(max_retries=0))] == [12]
