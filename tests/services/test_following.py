"""Following up: what results mean for their webhooks. Nobody waits long for rows that somebody holds."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError

from deliveries.models import Webhook, WebhookHealth
from deliveries.models.health import Tally
from deliveries.services import following, webhooks
from deliveries.services.following import Inbox, News
from tests import builders
from tests.services.fakes import Steady
from tests.somebody_else import holding, waits

SECOND = timedelta(seconds=1)


def gone(webhook: Webhook) -> News:
    """Return the news that a webhook's receiver wants no more."""
    health = WebhookHealth.objects.get(pk=webhook.pk)
    return News(health=health, tally=Tally(failed=1), gone={webhook.url})


def follow(inbox: Inbox) -> None:
    inbox.follow(now=builders.NOW, jitter=Steady())


def enabled() -> set[Any]:
    return set(Webhook.objects.enabled().values_list("pk", flat=True))


@pytest.fixture
def again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again with the next call what could not be done."""
    monkeypatch.setattr(following, "AGAIN_AFTER", 0.0)


def failing(monkeypatch: pytest.MonkeyPatch, of: set[Any], error: Exception) -> list[Any]:
    """Have what follows for some webhooks fail while they are in the set; return those it was tried for."""
    asked, disable = [], webhooks.disable

    def fail_for_some(pk: Any, **kwargs: Any) -> bool:
        asked.append(pk)
        if pk in of:
            raise error
        return disable(pk, **kwargs)

    monkeypatch.setattr(webhooks, "disable", fail_for_some)
    return asked


def locked() -> OperationalError:
    """Return what PostgreSQL says when a lock is not to be had in time."""
    error = OperationalError()
    error.__cause__ = psycopg.errors.LockNotAvailable()
    return error


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("impatient")
class TestALock:
    def test_is_waited_for_once_however_much_there_is_to_say(self) -> None:
        busy, *others = (builders.a_webhook() for _ in range(30))
        inbox = Inbox()
        for _ in range(20):
            inbox.add(gone(webhook) for webhook in (busy, *others))

        with holding(busy), waits() as waited:
            for _ in range(5):
                follow(inbox)

        assert waited == [1]
        assert (enabled(), len(inbox)) == ({busy.pk}, 1)


@pytest.mark.django_db
class TestBusyWebhooks:
    def test_cost_a_call_one_wait_at_most(self, monkeypatch: pytest.MonkeyPatch) -> None:
        several = [builders.a_webhook() for _ in range(12)]
        busy = {webhook.pk for webhook in several[::3]}
        asked = failing(monkeypatch, busy, locked())
        inbox = Inbox()
        inbox.add(gone(webhook) for webhook in several)

        for _ in range(6):
            before = len(asked)
            follow(inbox)
            assert len([pk for pk in asked[before:] if pk in busy]) <= 1

        assert (enabled(), len(inbox), len(asked)) == (busy, len(busy), 12)

    def test_keep_the_news_of_no_other_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        busy, other = builders.a_webhook(), builders.a_webhook()
        failing(monkeypatch, {busy.pk}, locked())
        inbox = Inbox()
        inbox.add([gone(busy)])
        follow(inbox)

        inbox.add([gone(busy), gone(other)])
        assert inbox.ready_at == 0.0
        follow(inbox)

        assert enabled() == {busy.pk}

    def test_take_turns_in_being_tried_again(
        self, monkeypatch: pytest.MonkeyPatch, again_at_once: None
    ) -> None:
        busy = [builders.a_webhook() for _ in range(3)]
        asked = failing(monkeypatch, {webhook.pk for webhook in busy}, locked())
        inbox = Inbox()
        inbox.add(gone(webhook) for webhook in busy)

        for _ in range(6):
            follow(inbox)

        assert asked == [webhook.pk for webhook in busy] * 2

    def test_are_followed_up_when_nobody_holds_them_any_more(
        self, monkeypatch: pytest.MonkeyPatch, again_at_once: None
    ) -> None:
        busy = builders.a_webhook()
        held = {busy.pk}
        failing(monkeypatch, held, locked())
        inbox = Inbox()
        inbox.add([gone(busy)])
        follow(inbox)

        held.clear()
        follow(inbox)

        assert (enabled(), len(inbox)) == (set(), 0)


@pytest.mark.django_db
class TestTrouble:
    @pytest.mark.parametrize("error", [OperationalError, ProgrammingError])
    def test_keeps_what_was_not_done(
        self, monkeypatch: pytest.MonkeyPatch, again_at_once: None, error: type[Exception]
    ) -> None:
        several = [builders.a_webhook() for _ in range(3)]
        away = {webhook.pk for webhook in several[1:]}
        failing(monkeypatch, away, error())
        inbox = Inbox()
        inbox.add(gone(webhook) for webhook in several)

        with pytest.raises(error):
            follow(inbox)

        assert (enabled(), len(inbox)) == (away, 2)
        away.clear()
        follow(inbox)
        assert (enabled(), len(inbox)) == (set(), 0)

    def test_of_our_own_making_costs_no_other_webhook_anything(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        bad, good = builders.a_webhook(), builders.a_webhook()
        failing(monkeypatch, {bad.pk}, ArithmeticError("a bug"))
        inbox = Inbox()
        inbox.add([gone(bad), gone(good)])

        follow(inbox)

        assert (enabled(), len(inbox)) == ({bad.pk}, 0)
        assert [record.__dict__["event"] for record in caplog.records] == ["webhook.not_followed"]


class TestNewsOfOneWebhook:
    def test_is_added_up(self) -> None:
        early, late = WebhookHealth(consecutive_failures=1), WebhookHealth(consecutive_failures=2)
        first = News(
            health=early,
            tally=Tally(failed=2, unavailable=1, unavailable_at=builders.NOW + SECOND),
            gone={"https://example.com/a"},
        )
        second = News(
            health=late,
            tally=Tally(succeeded=1, failed=1, unavailable=1, unavailable_at=builders.NOW),
            gone={"https://example.com/b"},
        )
        answered = News(health=late, tally=Tally(succeeded=1, answered_at=builders.NOW))

        assert first.and_then(second).and_then(answered) == News(
            health=late,
            tally=Tally(
                succeeded=2,
                failed=3,
                unavailable=2,
                unavailable_at=builders.NOW + SECOND,
                answered_at=builders.NOW,
            ),
            gone={"https://example.com/a", "https://example.com/b"},
        )
