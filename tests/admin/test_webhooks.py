"""Webhooks in the console."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from deliveries.models import Account, AuditEntry, Delivery, Webhook, WebhookHealth
from deliveries.printing import utc
from deliveries.services import webhooks
from tests import builders
from tests.admin.pages import read, said

LIST = reverse("admin:deliveries_webhook_changelist")
ADD = reverse("admin:deliveries_webhook_add")

SECRET = "canary-secret-3f1b"
CREDENTIAL = "canary-credential-77ac"
HEADER = "canary-header-90de"
CANARIES = (SECRET, CREDENTIAL, HEADER)

# As the page shows them to somebody who has changed nothing.
UNTOUCHED = {
    "name": "CRM call events",
    "url": builders.URL,
    "http_method": "POST",
    "events": "*",
    "timeout": "30",
    "max_retries": "3",
    "max_in_flight": "10",
    "enabled": "on",
    "authorization_scheme": "none",
}

REMOVE = ("clear_secret", "clear_credential", "clear_headers")


def page_of(webhook: Webhook) -> str:
    return reverse("admin:deliveries_webhook_change", args=[webhook.pk])


def delete_page_of(webhook: Webhook) -> str:
    return reverse("admin:deliveries_webhook_delete", args=[webhook.pk])


def inputs(page: Any) -> dict[str, str]:
    """Return what the form of a page sends if nobody touches it."""
    form = page.context["adminform"].form
    values = {name: form[name].field.prepare_value(form[name].value()) for name in [*UNTOUCHED, "shown"]}
    return {name: "on" if value is True else str(value) for name, value in values.items() if value}


def save(console: Client, webhook: Webhook, *, page: Any = None, **changes: str) -> Any:
    """Change some inputs of a webhook's page and press the button; an empty `enabled` unticks the box.

    The page is loaded now, unless it is one that was loaded before.
    """
    sent = {**inputs(page or console.get(page_of(webhook))), **changes}
    return console.post(page_of(webhook), {name: text for name, text in sent.items() if text})


def add(console: Client, account: Account, **changes: str) -> Any:
    return console.post(ADD, {**UNTOUCHED, "account": str(account.pk), **changes})


def errors(page: Any) -> dict[str, list[str]]:
    assert page.status_code == 200
    found: dict[str, list[str]] = page.context["adminform"].form.errors
    return found


@pytest.fixture
def webhook(account: Account) -> Webhook:
    return builders.a_webhook(
        account,
        secret=SECRET,
        authorization_scheme="bearer",
        authorization_credential=CREDENTIAL,
        custom_headers={"X-Tenant": HEADER},
    )


class TestNewWebhook:
    def test_is_made_by_the_service(self, console: Client, account: Account) -> None:
        added = add(
            console,
            account,
            url="HTTPS://EXAMPLE.com/Hook",
            events="call.ended\n\n  message.*  \r\n",
            new_secret=SECRET,
            authorization_scheme="bearer",
            new_credential=CREDENTIAL,
            new_headers=f"X-Tenant: {HEADER}\nX-Empty:\n",
        )

        assert added.status_code == 302
        webhook = Webhook.objects.get()
        assert webhook.url == "https://example.com/Hook"
        assert webhook.events == ["call.ended", "message.*"]
        assert webhook.account == account
        assert webhook.secret is not None
        assert webhook.secret.reveal() == SECRET
        assert webhook.authorization_credential is not None
        assert webhook.authorization_credential.reveal() == CREDENTIAL
        assert webhook.reveal_headers() == {"X-Tenant": HEADER, "X-Empty": ""}
        assert webhook.health.consecutive_failures == 0

    @pytest.mark.parametrize(
        ("field", "text", "message"),
        [
            ("url", "https://169.254.169.254/latest", "address"),
            ("url", "http://example.com/", "https"),
            ("url", "not a url", ""),
            ("events", "call.ended\nno.such.event", "no.such.event is not a known event type."),
            ("new_headers", "Host: elsewhere.example", "The header Host cannot be set."),
            ("new_headers", "X-A: 1\nX-A: 2", "A header is given twice."),
            ("new_headers", "no colon", "Line 1 is not of the form Name: value."),
            ("new_secret", "whsec_!", ""),
            ("timeout", "121", "less than or equal to 120"),
            ("max_retries", "11", "less than or equal to 10"),
        ],
    )
    def test_is_refused_at_the_field_that_is_wrong(
        self, console: Client, account: Account, field: str, text: str, message: str
    ) -> None:
        found = errors(add(console, account, **{field: text}))

        assert set(found) == {field}
        assert message.lower() in str(found[field]).lower()
        assert not Webhook.objects.exists()

    def test_needs_an_event(self, console: Client, account: Account) -> None:
        assert "events" in errors(add(console, account, events=" \n "))

    def test_needs_an_agent_of_its_account(self, console: Client, account: Account) -> None:
        stranger = builders.an_agent()

        assert "agent" in errors(add(console, account, agent=str(stranger.pk)))

    def test_asks_for_secrets_again_when_anything_is_wrong(self, console: Client, account: Account) -> None:
        page = add(
            console,
            account,
            name="",
            new_secret=SECRET,
            new_credential=CREDENTIAL,
            new_headers=f"X-Tenant: {HEADER}",
        )

        assert set(errors(page)) == {"name", "new_secret", "new_credential", "new_headers"}
        assert not any(canary in page.content.decode() for canary in CANARIES)


class TestWebhook:
    def test_keeps_what_nobody_touched(self, console: Client, webhook: Webhook) -> None:
        before = Webhook.objects.filter(pk=webhook.pk).values().get()

        saved = save(console, webhook, authorization_scheme="bearer")

        assert saved.status_code == 302
        assert Webhook.objects.filter(pk=webhook.pk).values().get() == before

    def test_changes_what_was_changed(self, console: Client, webhook: Webhook) -> None:
        save(
            console,
            webhook,
            name="Renamed",
            authorization_scheme="api_key",
            new_secret="another secret",
            new_credential="another credential",
            new_headers="X-Other: 1",
        )

        webhook.refresh_from_db()
        assert (webhook.name, webhook.authorization_scheme) == ("Renamed", "api_key")
        assert webhook.secret is not None
        assert webhook.secret.reveal() == "another secret"
        assert webhook.authorization_credential is not None
        assert webhook.authorization_credential.reveal() == "another credential"
        assert webhook.reveal_headers() == {"X-Other": "1"}

    def test_forgets_what_is_to_be_removed(self, console: Client, webhook: Webhook) -> None:
        save(console, webhook, authorization_scheme="none", **dict.fromkeys(REMOVE, "on"))

        webhook.refresh_from_db()
        assert webhook.secret is None
        assert webhook.authorization_credential is None
        assert webhook.reveal_headers() == {}

    def test_cannot_be_given_a_secret_and_lose_it_at_once(self, console: Client, webhook: Webhook) -> None:
        page = save(console, webhook, new_secret="another secret", clear_secret="on")

        assert "clear_secret" in errors(page)

    def test_is_refused_at_the_field_that_is_wrong(self, console: Client, webhook: Webhook) -> None:
        assert set(
            errors(save(console, webhook, url="https://10.0.0.1/", authorization_scheme="bearer"))
        ) == {"url"}
        webhook.refresh_from_db()
        assert webhook.url == builders.URL

    def test_can_be_renamed_although_the_policy_has_changed(self, console: Client, settings: Any) -> None:
        settings.WEBHOOKS_REQUIRE_HTTPS = False
        webhook = builders.a_webhook(url="http://example.com/webhook")
        settings.WEBHOOKS_REQUIRE_HTTPS = True

        saved = save(console, webhook, name="Renamed", url="http://example.com/webhook")

        assert saved.status_code == 302
        assert Webhook.objects.get().name == "Renamed"

    def test_stays_with_its_account(self, console: Client, webhook: Webhook) -> None:
        other = builders.an_agent()

        save(console, webhook, account=str(other.account_id), agent=str(other.pk), name="Renamed")

        before = webhook.account_id
        webhook.refresh_from_db()
        assert (webhook.name, webhook.account_id, webhook.agent_id) == ("Renamed", before, None)

    def test_holds_what_is_queued_while_it_is_disabled(self, console: Client, webhook: Webhook) -> None:
        delivery = builders.a_delivery(webhook)

        save(console, webhook, enabled="")

        webhook.refresh_from_db()
        delivery.refresh_from_db()
        assert (webhook.enabled, webhook.disabled_reason) == (False, "Disabled by an operator.")
        assert delivery.status == "held"

    def test_is_disabled_for_the_reason_that_is_given(self, console: Client, webhook: Webhook) -> None:
        why = "The receiver is being moved."

        save(console, webhook, enabled="", why=why)

        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.disabled_reason) == (False, why)
        assert AuditEntry.objects.get(action="webhook.disabled").why == why

    def test_takes_no_reason_that_would_be_lost(self, console: Client, webhook: Webhook) -> None:
        page = save(console, webhook, why="The receiver is being moved.")

        assert errors(page) == {"why": ["This is kept only where the webhook is disabled."]}

    def test_lets_it_go_on_when_it_is_enabled(self, console: Client, webhook: Webhook, now: datetime) -> None:
        delivery = builders.a_delivery(webhook)
        webhooks.disable(webhook.pk, reason="The receiver answered 410 Gone.", by="a test", now=now)

        save(console, webhook, enabled="on")

        webhook.refresh_from_db()
        delivery.refresh_from_db()
        assert (webhook.enabled, webhook.disabled_reason) == (True, "")
        assert delivery.status == "pending"

    def test_stays_disabled_when_that_happened_behind_an_open_page(
        self, console: Client, webhook: Webhook, now: datetime
    ) -> None:
        opened = console.get(page_of(webhook))
        webhooks.disable(webhook.pk, reason="The receiver answered 410 Gone.", by="a test", now=now)

        refused = save(console, webhook, page=opened, name="Renamed")
        save(console, webhook, page=refused)

        assert errors(refused)["enabled"] == ["Changed meanwhile; it was: yes."]
        webhook.refresh_from_db()
        assert (webhook.name, webhook.enabled) == ("Renamed", False)
        assert webhook.disabled_reason == "The receiver answered 410 Gone."


class TestTwoAtOnce:
    """Somebody has a page open while somebody else changes the webhook."""

    MOVED = "https://moved.example.com/"

    @pytest.fixture
    def opened(self, console: Client, webhook: Webhook) -> Any:
        return console.get(page_of(webhook))

    @pytest.fixture
    def moved(self, opened: Any, webhook: Webhook) -> datetime:
        at = webhook.updated_at + timedelta(minutes=1)
        webhooks.change(webhook, by="grace", now=at, url=self.MOVED)
        return at

    def test_does_not_undo_the_change_of_the_other(
        self, console: Client, webhook: Webhook, opened: Any, moved: datetime
    ) -> None:
        refused = save(console, webhook, page=opened, timeout="25")

        webhook.refresh_from_db()
        assert (webhook.url, webhook.timeout) == (self.MOVED, 30)
        assert errors(refused) == {
            "__all__": [
                f"Nothing was saved: grace changed this at {utc(moved)}, after the page was loaded "
                "(webhook.changed: url). What you typed is still here. Look at what differs, and save again."
            ],
            "url": [f"Changed meanwhile; it was: {builders.URL}."],
        }

    def test_loses_nothing_of_either_when_it_is_saved_again(
        self, console: Client, webhook: Webhook, opened: Any, moved: datetime
    ) -> None:
        refused = save(console, webhook, page=opened, timeout="25")

        saved = save(console, webhook, page=refused)

        assert saved.status_code == 302
        webhook.refresh_from_db()
        assert (webhook.url, webhook.timeout) == (self.MOVED, 25)

    def test_shows_both_where_both_changed_the_same(
        self, console: Client, webhook: Webhook, opened: Any, moved: datetime
    ) -> None:
        mine = "https://mine.example.com/"

        refused = save(console, webhook, page=opened, url=mine)

        assert errors(refused)["url"] == [
            f"Changed meanwhile; saved is: {self.MOVED}. What you typed is kept."
        ]
        assert inputs(refused)["url"] == mine
        save(console, webhook, page=refused)
        webhook.refresh_from_db()
        assert webhook.url == mine

    def test_counts_a_secret_which_no_page_shows(
        self, console: Client, webhook: Webhook, opened: Any
    ) -> None:
        later = webhook.updated_at + timedelta(minutes=1)
        webhooks.rotate_secret(webhook, overlap=timedelta(0), by="grace", now=later)

        refused = save(console, webhook, page=opened, clear_secret="on")

        assert "webhook.secret_rotated" in errors(refused)["__all__"][0]
        webhook.refresh_from_db()
        assert webhook.secret is not None

    def test_says_who_deleted_it(self, console: Client, webhook: Webhook, opened: Any, now: datetime) -> None:
        webhooks.delete(webhook, by="grace", now=now)

        page = console.post(page_of(webhook), inputs(opened), follow=True)

        assert said(page) == [f"Nothing was done: grace deleted this webhook at {utc(now)}."]
        assert page.redirect_chain == [(page_of(webhook), 302)]

    @pytest.mark.parametrize("written", ["nonsense", "[]", "{}"])
    def test_refuses_a_page_that_does_not_say_what_it_showed(
        self, console: Client, webhook: Webhook, opened: Any, written: str
    ) -> None:
        assert "__all__" in errors(save(console, webhook, page=opened, shown=written, timeout="25"))
        webhook.refresh_from_db()
        assert webhook.timeout == 30


class TestCircuit:
    def test_is_on_the_list_and_on_the_page(self, console: Client, webhook: Webhook, now: datetime) -> None:
        WebhookHealth.objects.update(circuit="probing", circuit_since=now, next_step_at=now, openings=3)

        for path in (LIST, page_of(webhook)):
            assert "Being tried" in console.get(path).content.decode()
        assert "next look at the circuit" in console.get(page_of(webhook)).content.decode().lower()


class TestDeleting:
    def test_keeps_the_row_and_cancels_what_is_queued(self, console: Client, webhook: Webhook) -> None:
        delivery = builders.a_delivery(webhook)
        failed = builders.a_failed_delivery(webhook)
        confirmation = console.get(delete_page_of(webhook)).content.decode()

        console.post(delete_page_of(webhook), {"post": "yes"})

        webhook.refresh_from_db()
        delivery.refresh_from_db()
        assert webhook.deleted_at is not None
        assert webhook.secret is None
        assert delivery.status == "cancelled"
        assert Delivery.objects.filter(pk=failed.pk, status="failed").exists()
        assert "1 delivery waits for it. It is cancelled, and never sent." in confirmation

    @pytest.mark.parametrize(
        ("waiting", "sentence"),
        [
            (0, "Nothing waits for it."),
            (2, "2 deliveries wait for it. They are cancelled, and never sent."),
            (4, "3 deliveries or more wait for it. They are cancelled, and never sent."),
        ],
    )
    def test_says_before_how_much_is_cancelled(
        self,
        console: Client,
        webhook: Webhook,
        monkeypatch: pytest.MonkeyPatch,
        waiting: int,
        sentence: str,
    ) -> None:
        monkeypatch.setattr("deliveries.admin.webhooks.COUNTED", 3)
        builders.a_delivery()
        for number in range(waiting):
            builders.a_delivery(webhook, status="held" if number % 2 else "pending")

        assert sentence in read(console.get(delete_page_of(webhook)))

    def test_says_before_what_else_comes_of_it_and_what_is_gentler(
        self, console: Client, webhook: Webhook
    ) -> None:
        page = console.get(delete_page_of(webhook))

        said = read(page)
        for sentence in (
            f"Delete {webhook.name} for good?",
            f"{webhook.url} gets nothing any more",
            "Its history stays",
            "None of its failures can be sent again.",
            "Its secrets are forgotten.",
        ):
            assert sentence in said
        assert "related items will be deleted" not in said
        links = page.content.decode()
        assert f'<a href="{page_of(webhook)}">Disable it' in links
        assert f'<a href="{reverse("admin:deliveries_pause_add")}?webhook={webhook.pk}">Pause it' in links

    def test_says_the_same_of_several(self, console: Client, webhook: Webhook) -> None:
        other = builders.a_webhook(name="Other")
        builders.a_delivery(webhook)
        builders.a_delivery(other)
        chosen = [str(webhook.pk), str(other.pk)]

        said = read(console.post(LIST, {"action": "delete_selected", "_selected_action": chosen}))

        assert "Delete 2 webhooks for good?" in said
        assert "2 deliveries wait for them. They are cancelled, and never sent." in said
        assert "Their history stays" in said
        assert f"{webhook.name} (" in said
        assert "Other (" in said
        assert "related items will be deleted" not in said

    def test_asks_only_for_those_that_are_there(
        self, console: Client, webhook: Webhook, now: datetime
    ) -> None:
        gone = builders.a_webhook(name="Gone")
        webhooks.delete(gone, by="a test", now=now)
        chosen = [str(webhook.pk), str(gone.pk)]

        said = read(console.post(LIST, {"action": "delete_selected", "_selected_action": chosen}))

        assert "Delete 1 webhook for good?" in said
        assert "Gone (" not in said

    def test_works_for_several_at_once(self, console: Client, webhook: Webhook) -> None:
        other, kept = builders.a_webhook(), builders.a_webhook()
        queued = builders.a_delivery(other)

        console.post(
            LIST,
            {
                "action": "delete_selected",
                "_selected_action": [str(webhook.pk), str(other.pk)],
                "post": "yes",
            },
        )

        queued.refresh_from_db()
        assert set(Webhook.objects.existing()) == {kept}
        assert Webhook.objects.count() == 3
        assert queued.status == "cancelled"

    def test_passes_by_those_that_are_deleted(self, console: Client, webhook: Webhook, now: datetime) -> None:
        webhooks.delete(webhook, by="a test", now=now)
        before = Webhook.objects.values().get()

        console.post(
            LIST, {"action": "delete_selected", "_selected_action": [str(webhook.pk)], "post": "yes"}
        )

        assert Webhook.objects.values().get() == before

    def test_leaves_a_page_to_look_at(self, console: Client, webhook: Webhook, now: datetime) -> None:
        webhooks.delete(webhook, by="a test", now=now)

        page = console.get(page_of(webhook))

        assert page.status_code == 200
        assert 'name="_save"' not in page.content.decode()
        assert "new_secret" not in page.content.decode()
        told = [f"Nothing was done: a test deleted this webhook at {utc(now)}."]
        assert said(console.post(page_of(webhook), UNTOUCHED, follow=True)) == told
        assert said(console.post(delete_page_of(webhook), {"post": "yes"}, follow=True)) == told
        assert Webhook.objects.get().name == webhook.name

    def test_leaves_a_viewer_with_what_a_login_reaches(
        self, viewer: Client, webhook: Webhook, now: datetime
    ) -> None:
        webhooks.delete(webhook, by="a test", now=now)

        assert viewer.post(page_of(webhook), UNTOUCHED).status_code == 403

    @pytest.mark.parametrize(
        ("asked", "names", "chosen"),
        [
            ({}, {"Here"}, "Not deleted"),
            ({"deleted": "no", "q": "e"}, {"Here"}, "Not deleted"),
            ({"deleted": "yes"}, {"Gone"}, "Deleted"),
            ({"deleted": "all"}, {"Here", "Gone"}, "All"),
            # Who looks for one by its name or its id is not told that there is none.
            ({"q": "e"}, {"Here", "Gone"}, "All"),
            ({"deleted": "what?"}, set(), None),
        ],
    )
    def test_are_listed_where_they_are_asked_for(
        self, console: Client, asked: dict[str, str], names: set[str], chosen: str | None, now: datetime
    ) -> None:
        builders.a_webhook(name="Here")
        webhooks.delete(builders.a_webhook(name="Gone"), by="a test", now=now)

        listed = console.get(LIST, asked).context["cl"]

        assert {webhook.name for webhook in listed.result_list} == names
        (choices,) = [spec.choices(listed) for spec in listed.filter_specs if spec.title == "deletion"]
        assert [choice["display"] for choice in choices if choice["selected"]] == [chosen] * bool(chosen)


class TestSecrets:
    def test_are_on_no_page(self, console: Client, webhook: Webhook) -> None:
        delivery = builders.a_failed_delivery(webhook)
        key = builders.a_key(webhook.account)
        row = webhook.account.api_keys.get()
        hidden = [*CANARIES, key, row.digest, str(webhook.secret and webhook.secret.token)]
        pages = [
            reverse(f"admin:deliveries_{row._meta.model_name}_{page}", args=[row.pk])
            for row in (
                webhook,
                webhook.health,
                webhook.account,
                row,
                delivery,
                delivery.event,
                delivery.attempts.get(),
                delivery.failure,
            )
            for page in ("change", "history")
        ]
        lists = [
            reverse(f"admin:deliveries_{name}_changelist")
            for name in ("webhook", "webhookhealth", "account", "apikey", "delivery", "attempt", "failure")
        ]

        for url in [*pages, *lists, delete_page_of(webhook)]:
            html = console.get(url).content.decode()
            assert not any(text in html for text in hidden), url

    def test_are_named_where_they_are_set(self, console: Client, webhook: Webhook) -> None:
        html = console.get(page_of(webhook)).content.decode()

        assert "X-Tenant" in html

    def test_that_cannot_be_opened_do_not_break_the_page(
        self, console: Client, webhook: Webhook, settings: Any
    ) -> None:
        settings.ENCRYPTION_KEYS = ["YW5vdGhlci1ub3QtYS1zZWNyZXQtb25seS1mb3ItdHM="]

        html = console.get(page_of(webhook)).content.decode()

        assert "None of ENCRYPTION_KEYS opens them." in html
