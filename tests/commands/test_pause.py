"""manage.py pause and manage.py resume."""

from datetime import timedelta

import pytest
from django.core.management import CommandError

from deliveries import clock
from deliveries.models import EventType, Pause
from deliveries.services import webhooks
from tests import builders
from tests.commands.conftest import Run

WHY = ("--why", "The receiver is being moved.")


class TestPause:
    def test_keeps_a_webhook_back_and_says_until_when(self, run: Run) -> None:
        webhook = builders.a_webhook()

        said = run("pause", "--webhook", str(webhook.pk), "--for", "2h", *WHY)

        pause = Pause.objects.get()
        assert (pause.webhook, pause.account, pause.by) == (webhook, webhook.account, "manage.py pause")
        assert pause.until - pause.created_at == timedelta(hours=2)
        assert said.stdout == (
            f"Paused until {pause.until:%Y-%m-%d %H:%M:%S} UTC: 1 webhook. "
            f"To end it before: manage.py resume {pause.pk}\n"
        )

    @pytest.mark.parametrize("event_type", ["", "call.ended"])
    def test_keeps_an_account_or_a_type_of_it_back(self, run: Run, event_type: str) -> None:
        account = builders.an_account(name="Harbour")
        EventType.objects.get_or_create(pk="call.ended", defaults={"label": "Call ended"})
        until = clock.now() + timedelta(days=1)

        of_type = ["--event-type", event_type] if event_type else []
        said = run("pause", "--account", "Harbour", *of_type, "--until", until.isoformat(), *WHY)

        pause = Pause.objects.get()
        assert (pause.account, pause.webhook, pause.event_type) == (account, None, event_type)
        assert pause.until == until
        assert said.stderr == ""

    @pytest.mark.parametrize(
        ("of_type", "covered"), [([], "3 webhooks"), (["--event-type", "call.ended"], "2 webhooks")]
    )
    def test_says_how_many_webhooks_it_covers(self, run: Run, of_type: list[str], covered: str) -> None:
        EventType.objects.get_or_create(pk="call.ended", defaults={"label": "Call ended"})
        account = builders.an_account(name="Harbour")
        for events in (["*"], ["call.*"], ["message.sent"]):
            builders.a_webhook(account, events=events)
        gone = builders.a_webhook(account)
        webhooks.delete(gone, by="a test", now=builders.NOW)
        builders.a_webhook()

        said = run("pause", "--account", "Harbour", *of_type, "--for", "2h", *WHY)

        assert f" UTC: {covered}. To end it" in said.stdout

    def test_refuses_a_type_the_account_cannot_publish(self, run: Run) -> None:
        builders.an_account(name="Harbour", open_event_types=False)

        with pytest.raises(CommandError, match=r"no event type nosuch\.type\. Nothing was paused"):
            run("pause", "--account", "Harbour", "--event-type", "nosuch.type", "--for", "2h", *WHY)

        assert not Pause.objects.exists()

    def test_wonders_at_a_type_nobody_knows(self, run: Run) -> None:
        builders.an_account(name="Harbour", open_event_types=True)

        said = run("pause", "--account", "Harbour", "--event-type", "nosuch.type", "--for", "2h", *WHY)

        assert "is it mistyped?" in said.stderr
        assert " UTC: no webhook. To end it" in said.stdout
        assert Pause.objects.exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--for", "2h"], "Give either --webhook or --account"),
            (["--event-type", "call.ended", "--for", "2h"], "Give either --webhook or --account"),
            (["--account", "Nobody", "--for", "2h"], "There is no account Nobody"),
            (
                ["--webhook", "0b97ce11-b6e0-49b4-8f92-68040aa324bf", "--for", "2h"],
                "There is no webhook 0b97",
            ),
            (["--webhook", "17", "--for", "2h"], "write an id"),
            (["--account", "Harbour Calls", "--for", "2 hours"], "write how long"),
            (["--account", "Harbour Calls", "--for", "31d"], "within 30 days"),
            (["--account", "Harbour Calls", "--until", "2026-03-15T10:00:00Z"], "in the future"),
            (["--account", "Harbour Calls", "--until", "tomorrow"], "a moment with its zone"),
            (
                ["--account", "Harbour Calls", "--for", "2h", "--event-type", "Call ended"],
                "not an event type",
            ),
            (["--account", "Harbour Calls"], "--for --until is required"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_says_what_is_wrong(self, run: Run, arguments: list[str], message: str) -> None:
        builders.an_account()

        with pytest.raises(CommandError, match=message):
            run("pause", *arguments, *WHY)

        assert not Pause.objects.exists()


class TestResume:
    def test_ends_a_pause(self, run: Run) -> None:
        pause = builders.a_pause(until=clock.now() + timedelta(hours=1))

        assert run("resume", str(pause.pk)).stdout == "Resumed.\n"

        pause.refresh_from_db()
        assert pause.ended_by == "manage.py resume"

    def test_says_what_keeps_it_back_still(self, run: Run) -> None:
        webhook, later = builders.a_webhook(), clock.now() + timedelta(hours=1)
        pause = builders.a_pause(webhook.account, webhook=webhook, until=later)
        builders.a_pause(webhook.account, until=later)
        webhooks.disable(webhook.pk, reason="Gone.", by="a test", now=clock.now())

        said = run("resume", str(pause.pk)).stdout.splitlines()

        assert said == [
            "Ended, but not all of it goes on:",
            f"ada paused the account until {later:%Y-%m-%d %H:%M:%S} UTC: The receiver is being moved.",
            "Disabled webhooks: 1.",
        ]

    def test_says_what_is_wrong(self, run: Run) -> None:
        pause = builders.a_pause(until=clock.now() + timedelta(hours=1))
        run("resume", str(pause.pk))

        with pytest.raises(CommandError, match=r"was ended at .* by manage\.py resume"):
            run("resume", str(pause.pk))
        with pytest.raises(CommandError, match="There is no pause 0b97"):
            run("resume", "0b97ce11-b6e0-49b4-8f92-68040aa324bf")
