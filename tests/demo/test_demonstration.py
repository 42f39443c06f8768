"""The demo data."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from deliveries.models import Account, Agent, Delivery, Event, Failure, Webhook
from deliveries.services import demonstration, publishing, webhooks
from tests import builders

RECEIVER = "http://127.0.0.1:8000/demo/"


@pytest.fixture(autouse=True)
def own_receiver(settings: Any, db: None) -> None:
    """The address policy's hole, as `manage.py up` makes it."""
    settings.WEBHOOKS_DEMO_RECEIVER = RECEIVER


def furnished(now: datetime) -> list[Webhook]:
    """Make the demo data, and return the webhooks."""
    return demonstration.furnish(demonstration.tenant(now=now), receiver=RECEIVER, now=now)


class TestFurnish:
    def test_makes_a_webhook_of_each_temper(self, now: datetime) -> None:
        healthy, flaky, failing, disabled = furnished(now)

        assert Account.objects.count() == 1
        assert Agent.objects.count() == 2
        assert healthy.url == "http://127.0.0.1:8000/demo/receivers/healthy"
        assert flaky.max_retries >= 2
        assert failing.max_retries == 0
        assert (disabled.enabled, disabled.disabled_reason) == (False, demonstration.DISABLED_REASON)
        assert all(webhook.secret for webhook in (healthy, flaky, failing, disabled))

    def test_gives_a_call_that_ended_to_three(self, now: datetime) -> None:
        tenant = demonstration.tenant(now=now)
        demonstration.furnish(tenant, receiver=RECEIVER, now=now)

        publication = publishing.publish(
            account=tenant.account,
            agent=tenant.agents[0],
            event_type="call.ended",
            payload={},
            now=now,
        )

        assert publication.matched == 3

    def test_changes_nothing_the_second_time(self, now: datetime) -> None:
        before = furnished(now)

        after = furnished(now + timedelta(days=1))

        assert [webhook.pk for webhook in after] == [webhook.pk for webhook in before]
        assert [webhook.updated_at for webhook in after] == [now] * 4
        assert Agent.objects.count() == 2

    def test_follows_the_receiver_to_another_port(self, settings: Any, now: datetime) -> None:
        before = furnished(now)
        settings.WEBHOOKS_DEMO_RECEIVER = "http://127.0.0.1:8010/demo/"
        tenant = demonstration.tenant(now=now)

        after = demonstration.furnish(tenant, receiver=settings.WEBHOOKS_DEMO_RECEIVER, now=now)

        assert [webhook.pk for webhook in after] == [webhook.pk for webhook in before]
        assert after[0].url == "http://127.0.0.1:8010/demo/receivers/healthy"

    def test_leaves_what_somebody_changed(self, now: datetime) -> None:
        healthy, _, _, disabled = furnished(now)
        webhooks.change(healthy, by="a test", now=now, name="Mine now")
        webhooks.change(disabled, by="a test", now=now, enabled=True)

        again = furnished(now)

        assert again[0].name == "Mine now"
        assert again[3].enabled

    def test_does_not_bring_back_what_was_deleted(self, now: datetime) -> None:
        healthy, *_ = furnished(now)
        webhooks.delete(healthy, by="a test", now=now)

        furnished(now)

        assert not Webhook.objects.existing().filter(url=healthy.url).exists()

    def test_is_refused_where_the_policy_has_no_hole(self, settings: Any, now: datetime) -> None:
        settings.WEBHOOKS_DEMO_RECEIVER = ""

        with pytest.raises(webhooks.InvalidWebhook):
            furnished(now)


class TestClear:
    def test_deletes_all_that_belongs_to_the_demo_account(self, now: datetime) -> None:
        healthy, *_ = furnished(now)
        builders.a_failed_delivery(healthy)

        assert demonstration.clear()

        for model in (Account, Agent, Webhook, Event, Delivery, Failure):
            assert not model._default_manager.exists()

    def test_deletes_nothing_else(self, now: datetime) -> None:
        furnished(now)
        delivery = builders.a_failed_delivery()

        demonstration.clear()

        assert Delivery.objects.get() == delivery
        assert Webhook.objects.get() == delivery.webhook

    def test_says_when_there_was_nothing(self) -> None:
        assert not demonstration.clear()


class TestSecretsOf:
    def test_are_those_of_the_webhooks_with_this_very_url(self, now: datetime) -> None:
        healthy, flaky, *_ = furnished(now)
        assert healthy.secret is not None
        assert flaky.secret is not None

        found = demonstration.secrets_of(healthy.url)

        assert found == [healthy.secret.reveal()]

    def test_are_none_where_the_webhook_has_none(self, now: datetime) -> None:
        healthy, *_ = furnished(now)
        webhooks.change(healthy, by="a test", now=now, secret=None)

        assert demonstration.secrets_of(healthy.url) == []
