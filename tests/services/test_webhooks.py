from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from deliveries.identifiers import new_id
from deliveries.models import Account, AuditEntry, Delivery, Failure, Webhook, WebhookHealth, WebhookRevision
from deliveries.services import webhooks
from deliveries.services.webhooks import InvalidWebhook, NotRotatable, WebhookChanged
from tests import builders

pytestmark = pytest.mark.django_db


class TestCreate:
    def test_makes_a_webhook_with_its_health(self, account: Account, now: datetime) -> None:
        webhook = webhooks.create(
            account=account,
            by="a test",
            now=now,
            name="CRM",
            url="HTTPS://Example.com",
            events=["call.ended"],
            secret="s",
        )

        assert webhook.url == "https://example.com/"
        assert (webhook.enabled, webhook.timeout, webhook.max_retries, webhook.max_in_flight) == (
            True,
            30,
            3,
            10,
        )
        assert webhook.secret is not None
        assert webhook.secret.reveal() == "s"
        assert WebhookHealth.objects.get().webhook == webhook

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"url": "http://example.com/"}, "url"),
            ({"url": "https://127.0.0.1/"}, "url"),
            ({"url": "https://localhost/"}, "url"),
            ({"events": []}, "events"),
            ({"events": ["call.exploded"]}, "events"),
            ({"events": ["call.*.x"]}, "events"),
            ({"events": ["*.ended"]}, "events"),
            ({"events": ["call*"]}, "events"),
            ({"secret": "whsec_ä"}, "secret"),
            ({"authorization_credential": "a\r\nb"}, "authorization_credential"),
            ({"authorization_scheme": "bearer"}, "authorization_credential"),
            ({"custom_headers": {"Host": "x"}}, "custom_headers"),
        ],
    )
    def test_refuses(self, fields: webhooks.Fields, field: str) -> None:
        with pytest.raises(InvalidWebhook) as caught:
            builders.a_webhook(**fields)

        assert list(caught.value.problems) == [field]
        assert not Webhook.objects.exists()

    def test_says_all_that_is_wrong_at_once(self) -> None:
        with pytest.raises(InvalidWebhook) as caught:
            builders.a_webhook(url="nonsense", events=["nonsense"], custom_headers={"TE": "x"})

        assert set(caught.value.problems) == {"url", "events", "custom_headers"}


class TestWants:
    @pytest.mark.parametrize(
        ("pattern", "event_type", "wanted"),
        [
            ("*", "call.ended", True),
            ("call.ended", "call.ended", True),
            ("call.ended", "call.ended.late", False),
            ("call.*", "call.ended", True),
            ("call.*", "call.ended.late", True),
            ("call.*", "call", False),
            ("call.*", "callback.ended", False),
            ("inbound.call.*", "inbound.call.ended", True),
        ],
    )
    def test_matches_exactly_or_by_pattern(self, pattern: str, event_type: str, wanted: bool) -> None:
        assert Webhook(events=["message.sent", pattern]).wants(event_type) is wanted


class TestChange:
    def test_changes_what_is_given_only(self, now: datetime) -> None:
        webhook = builders.a_webhook(secret="s", custom_headers={"X-A": "1"})
        later = now + timedelta(hours=1)

        changed = webhooks.change(webhook, by="a test", now=later, name="New")

        assert (changed.name, changed.updated_at, changed.created_at) == ("New", later, now)
        assert changed.secret is not None
        assert changed.reveal_headers() == {"X-A": "1"}

    def test_takes_no_credential_from_a_scheme_that_needs_it(self, now: datetime) -> None:
        webhook = builders.a_webhook(authorization_scheme="bearer", authorization_credential="c")

        with pytest.raises(InvalidWebhook):
            webhooks.change(webhook, by="a test", now=now, authorization_credential=None)
        webhooks.change(
            webhook, by="a test", now=now, authorization_scheme="none", authorization_credential=None
        )

    def test_clears_what_is_given_as_none(self, now: datetime) -> None:
        webhook = builders.a_webhook(secret="s", custom_headers={"X-A": "1"})

        changed = webhooks.change(webhook, by="a test", now=now, secret=None, custom_headers={})

        assert (changed.secret, changed.custom_headers) == (None, None)

    def test_holds_the_queue_while_disabled(
        self, now: datetime, doorbell_rings: list[str], django_capture_on_commit_callbacks: object
    ) -> None:
        webhook = builders.a_webhook()
        builders.a_delivery(webhook)

        webhooks.change(webhook, by="a test", now=now, enabled=False)
        assert Delivery.objects.get().status == Delivery.Status.HELD

        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            webhooks.change(webhook, by="a test", now=now, enabled=True)
        assert Delivery.objects.get().status == Delivery.Status.PENDING
        assert doorbell_rings == ["ring"]

    def test_leaves_a_missing_credential_alone_unless_it_is_touched(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        Webhook.objects.update(authorization_scheme="bearer")

        assert webhooks.change(webhook, by="a test", now=now, name="New").name == "New"
        with pytest.raises(InvalidWebhook):
            webhooks.change(webhook, by="a test", now=now, authorization_scheme="basic")

    def test_goes_by_the_webhook_as_it_is_and_not_as_it_was_read(self, now: datetime) -> None:
        webhook = builders.a_webhook(authorization_scheme="bearer", authorization_credential="c")
        stale = Webhook.objects.get()
        webhooks.change(
            webhook, by="a test", now=now, authorization_scheme="none", authorization_credential=None
        )

        with pytest.raises(InvalidWebhook):
            webhooks.change(stale, by="a test", now=now, authorization_scheme="basic")

    def test_changes_nothing_without_fields(self, now: datetime) -> None:
        webhook = builders.a_webhook()

        assert webhooks.change(webhook, by="a test", now=now + timedelta(hours=1)).updated_at == now


CHANGES: dict[str, Callable[..., object]] = {
    "change": partial(webhooks.change, name="New"),
    "toggle": webhooks.toggle,
    "rotate_secret": partial(webhooks.rotate_secret, overlap=timedelta(hours=1)),
    "delete": webhooks.delete,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
class TestUnchangedSince:
    def test_lets_a_change_of_what_was_read_through(
        self, now: datetime, change: Callable[..., object]
    ) -> None:
        webhook = builders.a_webhook()

        change(webhook, by="a test", now=now + timedelta(hours=1), unchanged_since=webhook.updated_at)

        webhook.refresh_from_db()
        assert webhook.updated_at == now + timedelta(hours=1)

    def test_refuses_the_change_of_what_somebody_has_changed_since(
        self, now: datetime, change: Callable[..., object]
    ) -> None:
        webhook = builders.a_webhook()
        stale = Webhook.objects.get()
        webhooks.change(webhook, by="a test", now=now + timedelta(hours=1), name="Theirs")
        before = Webhook.objects.values().get()

        with pytest.raises(WebhookChanged):
            change(stale, by="a test", now=now + timedelta(hours=2), unchanged_since=stale.updated_at)

        assert Webhook.objects.values().get() == before
        assert AuditEntry.objects.filter(subject_id=str(webhook.pk)).count() == 2

    def test_refuses_every_change_of_what_is_deleted(
        self, now: datetime, change: Callable[..., object]
    ) -> None:
        webhook = builders.a_webhook()
        stale = Webhook.objects.get()
        webhooks.delete(webhook, by="a test", now=now)

        with pytest.raises(WebhookChanged):
            change(stale, by="a test", now=now)


class TestName:
    @pytest.mark.parametrize("name", ["", " ", "\u202e", "\u200b \u200d", "\u3164", "\ufe0f"])
    def test_has_something_to_see(self, account: Account, now: datetime, name: str) -> None:
        webhook = builders.a_webhook(account, name="CRM")

        for save in (
            partial(webhooks.check, webhook),
            partial(webhooks.change, webhook, by="a test", now=now),
        ):
            with pytest.raises(InvalidWebhook) as refused:
                save(name=name)
            assert refused.value.problems == {"name": ["The name needs a character that can be seen."]}
        assert Webhook.objects.get().name == "CRM"

    @pytest.mark.parametrize("name", ["7", "!", "\u202eCRM", "日本", "👩\u200d🚀", "می\u200cخواهم"])
    def test_may_have_something_invisible_beside_it(self, now: datetime, name: str) -> None:
        webhook = webhooks.change(builders.a_webhook(), by="a test", now=now, name=name)

        assert webhook.name == name


class TestRotateSecret:
    HOUR = timedelta(hours=1)

    def rotate(self, webhook: Webhook, overlap: timedelta, now: datetime) -> str:
        return webhooks.rotate_secret(webhook, overlap=overlap, by="a test", now=now).secret

    def test_keeps_every_earlier_secret_for_its_own_time(self, now: datetime) -> None:
        webhook = builders.a_webhook(secret="first")
        second = self.rotate(webhook, 3 * self.HOUR, now)
        third = self.rotate(webhook, self.HOUR, now)
        fourth = self.rotate(webhook, 0 * self.HOUR, now)

        webhook.refresh_from_db()
        assert webhook.reveal_previous_secrets() == [
            (second, now + self.HOUR),
            ("first", now + 3 * self.HOUR),
        ]
        assert webhook.secrets_at(now) == [fourth, second, "first"]
        assert webhook.secrets_at(now + self.HOUR) == [fourth, "first"]
        assert third not in webhook.secrets_at(now)

    def test_is_done_once_for_an_id(self, now: datetime) -> None:
        webhook, other = builders.a_webhook(secret="first"), builders.a_webhook()
        rotate = partial(webhooks.rotate_secret, overlap=self.HOUR, by="a test", now=now, rotation=new_id())
        made = rotate(webhook)

        with pytest.raises(webhooks.AlreadyRotated):
            rotate(webhook)
        rotate(other)

        webhook.refresh_from_db()
        assert webhook.secrets_at(now) == [made.secret, "first"]

    def test_drops_those_whose_time_is_over(self, now: datetime) -> None:
        webhook = builders.a_webhook(secret="first")
        second = self.rotate(webhook, self.HOUR, now)
        self.rotate(webhook, self.HOUR, now + self.HOUR)

        webhook.refresh_from_db()
        assert webhook.reveal_previous_secrets() == [(second, now + 2 * self.HOUR)]

    def test_has_room_again_when_the_oldest_has_expired(self, now: datetime) -> None:
        webhook = builders.a_webhook(secret="first")
        for minutes in range(4):
            self.rotate(webhook, self.HOUR, now + timedelta(minutes=minutes))

        with pytest.raises(NotRotatable):
            self.rotate(webhook, self.HOUR, now + timedelta(minutes=59))
        self.rotate(webhook, self.HOUR, now + self.HOUR)

        webhook.refresh_from_db()
        assert len(webhook.secrets_at(now + self.HOUR)) == webhooks.MAX_SECRETS


class TestDisable:
    def test_says_why_until_it_is_enabled_again(self, now: datetime) -> None:
        webhook = builders.a_webhook()

        assert webhooks.disable(webhook.pk, reason="Maintenance.", by="a test", now=now)
        webhook.refresh_from_db()
        assert (webhook.enabled, webhook.disabled_reason) == (False, "Maintenance.")

        assert webhooks.change(webhook, by="a test", now=now, enabled=True).disabled_reason == ""

    def test_keeps_the_first_reason(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        webhooks.disable(webhook.pk, reason="First.", by="a test", now=now)

        assert not webhooks.disable(webhook.pk, reason="Second.", by="a test", now=now)

        webhook.refresh_from_db()
        assert webhook.disabled_reason == "First."


class TestDelete:
    def test_cancels_the_queue_forgets_the_secrets_and_keeps_the_history(self, now: datetime) -> None:
        webhook = builders.a_webhook(
            secret="s", authorization_scheme="bearer", authorization_credential="c", custom_headers={"X": "1"}
        )
        retrying = builders.a_delivery(webhook)
        builders.a_failure(retrying, status=Failure.Status.PENDING, reason="HTTP 500")
        sent_again = builders.a_delivery(webhook)
        builders.a_failure(sent_again, status=Failure.Status.PENDING, reason="", reason_code="")
        builders.a_failed_delivery(webhook)

        webhooks.delete(webhook, by="a test", now=now)

        assert not Webhook.objects.existing().exists()
        assert (webhook.secret, webhook.authorization_credential, webhook.custom_headers) == (None,) * 3
        assert {delivery.status for delivery in Delivery.objects.all()} == {"cancelled", "failed"}
        assert set(Failure.objects.values_list("status", "reason")) == {
            ("inactive", "HTTP 500"),
            ("inactive", "Cancelled"),
            ("inactive", "Connection timeout"),
        }


def revisions(webhook: Webhook) -> list[tuple[datetime, bool, list[str]]]:
    """Return what the webhook was, from when on, in order."""
    rows = webhook.revisions.order_by("valid_from", "pk")
    return list(rows.values_list("valid_from", "enabled", "events"))


class TestMoving:
    """A URL that leads to another host takes the credential and the header values with it."""

    def audited(self, webhook: Webhook) -> dict[str, object]:
        entry = AuditEntry.objects.get(action="webhook.changed", subject_id=str(webhook.pk))
        return dict(entry.details)

    @pytest.mark.parametrize(
        ("url", "origin"),
        [
            ("https://elsewhere.example/hook?token=canary", "https://elsewhere.example:443"),
            ("https://example.com:8443/webhook", "https://example.com:8443"),
            ("https://[2606:4700::1111]/canary", "https://[2606:4700::1111]:443"),
        ],
    )
    def test_is_audited_with_both_origins_and_no_more(self, now: datetime, url: str, origin: str) -> None:
        webhook = builders.a_webhook(url="https://example.com/canary?token=canary")

        webhooks.change(webhook, by="a test", now=now, url=url)

        expected = {"fields": ["url"], "origin": origin, "origin_before": "https://example.com:443"}
        assert self.audited(webhook) == expected

    def test_is_none_within_a_host(self, now: datetime) -> None:
        webhook = builders.a_webhook(url="https://example.com/here")

        webhooks.change(webhook, by="a test", now=now, url="HTTPS://EXAMPLE.com:443/there?x=1")

        assert self.audited(webhook) == {"fields": ["url"]}

    def test_is_audited_though_the_old_url_is_none(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        Webhook.objects.update(url="gopher://user:canary@example.com")

        webhooks.change(webhook, by="a test", now=now, url=builders.URL)

        expected = {"fields": ["url"], "origin": "https://example.com:443", "origin_before": ""}
        assert self.audited(webhook) == expected

    def test_keeps_what_the_change_does_not_name(self, now: datetime) -> None:
        webhook = builders.a_webhook(
            authorization_scheme="bearer", authorization_credential="c", custom_headers={"X-A": "1"}
        )
        before = Webhook.objects.values("authorization_credential", "custom_headers").get()

        webhooks.change(webhook, by="a test", now=now, url="https://elsewhere.example/")

        assert Webhook.objects.values("authorization_credential", "custom_headers").get() == before


class TestRevisions:
    def test_say_what_a_webhook_was_after_each_act(self, now: datetime) -> None:
        webhook = builders.a_webhook()
        first, second, third, fourth, last = (now + timedelta(hours=hours) for hours in range(1, 6))

        webhooks.change(webhook, by="a test", now=first, events=["call.*"])
        webhooks.toggle(webhook, by="a test", now=second)
        webhooks.change(webhook, by="a test", now=third, enabled=True, events=["message.*"])
        webhooks.disable(webhook.pk, reason="Gone.", by="a test", now=fourth)
        webhooks.toggle(webhook, by="a test", now=fourth)
        webhooks.delete(webhook, by="a test", now=last)

        assert revisions(webhook) == [
            (now, True, ["*"]),
            (first, True, ["call.*"]),
            (second, False, ["call.*"]),
            (third, True, ["message.*"]),
            (fourth, False, ["message.*"]),
            (fourth, True, ["message.*"]),
            (last, False, ["message.*"]),
        ]

    def test_are_not_written_of_what_stays_the_same(self, now: datetime) -> None:
        webhook = builders.a_webhook(enabled=False)
        later = now + timedelta(hours=1)

        webhooks.change(webhook, by="a test", now=later, name="New", enabled=False, events=["*"])
        webhooks.disable(webhook.pk, reason="Again.", by="a test", now=later)
        webhooks.rotate_secret(webhook, overlap=timedelta(0), by="a test", now=later)
        webhooks.delete(webhook, by="a test", now=later)

        assert revisions(webhook) == [(now, False, ["*"])]

    def test_follow_each_other_though_the_later_act_began_before(self, now: datetime) -> None:
        webhook = builders.a_webhook(now=now - timedelta(hours=1))

        webhooks.change(webhook, by="a test", now=now, events=["call.*"])
        webhooks.change(webhook, by="a test", now=now - timedelta(seconds=1), events=["message.*"])

        assert revisions(webhook)[1:] == [(now, True, ["call.*"]), (now, True, ["message.*"])]
        (latest,) = WebhookRevision.objects.of(Webhook.objects.all(), at=now)
        assert latest.events == ["message.*"]

    def test_are_gone_with_an_act_that_failed(self, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
        webhook = builders.a_webhook()
        before = revisions(webhook)

        def fail(*args: object, **details: object) -> None:
            raise RuntimeError

        monkeypatch.setattr("deliveries.services.auditing.note", fail)
        acts: list[Callable[[], object]] = [
            partial(webhooks.toggle, webhook, by="a test", now=now),
            partial(webhooks.disable, webhook.pk, reason="Gone.", by="a test", now=now),
            partial(webhooks.delete, webhook, by="a test", now=now),
        ]
        for act in acts:
            with pytest.raises(RuntimeError):
                act()

        assert revisions(webhook) == before

    def test_begin_with_the_present_state_of_a_webhook_from_before_them(self, now: datetime) -> None:
        webhook = builders.a_webhook(enabled=False, events=["call.*"])
        WebhookRevision.objects.all().delete()
        migration = import_module("deliveries.migrations.0003_audit_recoveries_traffic")

        migration.write_first_revisions(apps, connection.schema_editor())

        assert revisions(webhook) == [(now, False, ["call.*"])]
