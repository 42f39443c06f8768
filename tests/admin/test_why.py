"""The box "Why did this not arrive?" on every page of the console, and its answers."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from deliveries import clock
from tests import builders

BOX = reverse("console:why")


def text_of(console: Client, asked: str) -> str:
    page = console.get(BOX, {"q": asked})
    assert page.status_code == 200
    return page.content.decode()


class TestBox:
    def test_stands_on_every_page(self, console: Client) -> None:
        page = console.get(reverse("admin:deliveries_webhook_changelist")).content.decode()

        assert f'action="{BOX}"' in page

    def test_says_what_it_takes_while_nothing_is_asked(self, console: Client) -> None:
        assert "Paste what a customer or a log gave you" in text_of(console, "")

    def test_is_for_those_who_may_see_deliveries(self, client: Client, db: None) -> None:
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_webhook"))
        client.force_login(user)

        assert client.get(BOX).status_code == 403
        assert BOX not in client.get(reverse("admin:deliveries_webhook_changelist")).content.decode()

    def test_asks_strangers_to_log_in(self, client: Client, db: None) -> None:
        answer = client.get(BOX)

        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("admin:login"))

    def test_says_so_while_the_database_is_away(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*args: object, **kwargs: object) -> None:
            raise OperationalError

        monkeypatch.setattr("deliveries.services.explaining.explain", away)

        answer = console.get(BOX, {"q": "x"})

        assert answer.status_code == 503
        assert "nothing is lost" in answer.content.decode()


class TestAnswer:
    def test_shows_commands_as_such(self, console: Client) -> None:
        now = clock.now()
        builders.a_worker(seen_at=now)
        waiting = builders.a_delivery(due_at=now - timedelta(minutes=5))
        command = "See <code>manage.py doctor</code> if that lasts"

        assert command in text_of(console, str(waiting.pk))
        page = console.get(reverse("admin:deliveries_delivery_change", args=[waiting.pk])).content.decode()
        assert command in page

    def test_says_it_in_a_sentence_and_leads_there(self, console: Client) -> None:
        delivery = builders.a_failed_delivery()

        page = text_of(console, f"https://webhooks.example.com/api/v4/x/{delivery.failure.pk}")

        assert "did not take it in 1 attempt. The last attempt" in page
        assert "Send it again once the receiver is well." in page
        assert reverse("admin:deliveries_delivery_change", args=[delivery.pk]) in page

    def test_of_an_event_tells_of_every_webhook(self, console: Client) -> None:
        first = builders.a_webhook(name="First")
        second = builders.a_webhook(first.account, name="Second")
        other = builders.a_webhook(first.account, name="Third", events=["message.*"])
        event = builders.a_failed_delivery(first).event
        builders.a_delivery(second, event=event)

        page = text_of(console, str(event.pk))

        assert "It went to 2 webhooks" in page
        assert "First did not take it" in page
        assert "Third was not subscribed" in page
        assert reverse("admin:deliveries_webhook_change", args=[other.pk]) in page

    def test_of_a_pause_is_that_it_is_one_and_leads_there(self, console: Client) -> None:
        pause = builders.a_pause()
        its_page = reverse("admin:deliveries_pause_change", args=[pause.pk])

        page = text_of(console, f"https://webhooks.example.com{its_page}")

        assert "That is a pause: ada paused the account until" in page
        assert f'href="{its_page}"' in page

    def test_of_a_kind_that_one_may_not_see_is_none(self, client: Client, db: None) -> None:
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_delivery"))
        client.force_login(user)

        assert "Nothing is known by that" in text_of(client, str(builders.a_pause().pk))
        assert "Nothing is known by that" in text_of(client, str(builders.an_account().pk))
        assert "That is" not in text_of(client, str(builders.a_worker().pk))

    def test_of_a_part_of_a_name_leads_to_the_list_of_webhooks(self, console: Client, client: Client) -> None:
        found = f'href="{reverse("admin:deliveries_webhook_changelist")}?q=Bill%20%26%20co"'

        assert found in text_of(console, "Bill & co")
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_delivery"))
        client.force_login(user)
        assert found not in text_of(client, "Bill & co")

    def test_shows_what_was_asked_as_text(self, console: Client) -> None:
        page = text_of(console, "<script>0</script>\0")

        assert "<script>0" not in page
        assert "Nothing is known by that" in page
