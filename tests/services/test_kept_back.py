"""What is said of a pause that is over while something else keeps back what it covered."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from deliveries.models import Account, Pause, Webhook, WebhookHealth
from deliveries.services import pausing
from tests import builders

pytestmark = pytest.mark.django_db

SCOPES = ("account", "webhook", "call.ended")


@pytest.fixture
def webhook(account: Account) -> Webhook:
    """A webhook that wants calls, and is the only one of its account."""
    return builders.a_webhook(account, events=["call.*"])


def a_pause_of(scope: str, webhook: Webhook, **changes: Any) -> Pause:
    of: dict[str, Any] = {"account": {}, "webhook": {"webhook": webhook}}
    return builders.a_pause(webhook.account, **of.get(scope, {"event_type": scope}), **changes)


def over(scope: str, webhook: Webhook, *, now: datetime) -> list[str]:
    """End a pause, and return what is said of it."""
    pause = a_pause_of(scope, webhook)
    pausing.resume(pause, by="grace", now=now)
    return pausing.still_kept_back(pause, now=now)


class TestNothing:
    @pytest.mark.parametrize("scope", SCOPES)
    def test_is_said_where_nothing_else_does(self, webhook: Webhook, now: datetime, scope: str) -> None:
        assert over(scope, webhook, now=now) == []

    def test_is_said_of_what_has_nothing_to_do_with_it(self, webhook: Webhook, now: datetime) -> None:
        sibling = builders.a_webhook(webhook.account, events=["message.*"], enabled=False)
        a_pause_of("webhook", sibling)
        a_pause_of("message.sent", webhook)
        a_pause_of("account", webhook, ended_at=now)
        a_pause_of("account", webhook, until=now)
        builders.a_pause()

        assert over("webhook", webhook, now=now) == []
        assert over("call.ended", webhook, now=now) == []


class TestAnotherPause:
    @pytest.mark.parametrize("scope", SCOPES)
    @pytest.mark.parametrize("other", SCOPES)
    def test_is_named_with_its_author_end_and_reason(
        self, webhook: Webhook, now: datetime, scope: str, other: str
    ) -> None:
        a_pause_of(other, webhook, until=now + timedelta(hours=2))

        (sentence,) = over(scope, webhook, now=now)

        what = {"account": "the account", "webhook": f"webhook {webhook}"}.get(other, other)
        assert sentence == f"ada paused {what} until 2026-03-15 12:00:00 UTC: The receiver is being moved."

    def test_is_one_of_a_few_that_are_named(
        self, webhook: Webhook, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pausing, "NAMED", 1)
        for hours in (2, 3, 4):
            a_pause_of("account", webhook, until=now + timedelta(hours=hours))

        longest, rest = over("webhook", webhook, now=now)

        assert "until 2026-03-15 14:00:00 UTC" in longest
        assert rest == "More pauses like these: 2."


class TestWebhooks:
    @pytest.mark.parametrize("scope", SCOPES)
    def test_that_are_disabled_are_counted(self, webhook: Webhook, now: datetime, scope: str) -> None:
        Webhook.objects.filter(pk=webhook.pk).update(enabled=False, disabled_reason="Gone.")

        assert over(scope, webhook, now=now) == ["Disabled webhooks: 1."]

    @pytest.mark.parametrize("scope", SCOPES)
    def test_whose_circuit_is_open_are_counted(self, webhook: Webhook, now: datetime, scope: str) -> None:
        WebhookHealth.objects.update(circuit="open", circuit_since=now, next_step_at=now + timedelta(hours=1))

        assert over(scope, webhook, now=now) == ["Webhooks with an open circuit: 1."]

    def test_that_are_deleted_are_not(self, webhook: Webhook, now: datetime) -> None:
        Webhook.objects.update(enabled=False, disabled_reason="Deleted.", deleted_at=now)

        assert over("account", webhook, now=now) == []
