"""What tenants may have written never tells an operator's terminal what to do."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from deliveries.management.try_it import story
from deliveries.management.verifying.outcome import count
from deliveries.models import Webhook, WebhookHealth
from deliveries.printing import printable
from tests import builders
from tests.commands.conftest import Run

# Clears the screen and writes a title; begins a line of its own; turns what follows round.
EVIL = "CRM\x1b[2J\x1b]0;x\x07\r\nfailed      0\u202e\x9b1m"
SPELT_OUT = r"CRM\x1b[2J\x1b]0;x\x07\r\nfailed      0\u202e\x9b1m"


def queue_status(run: Run) -> str:
    soon, ago = timezone.now() + timedelta(hours=1), timezone.now() - timedelta(minutes=1)
    account = builders.an_account(name=EVIL)
    waits, is_shut, is_disabled = (builders.a_webhook(account, name=EVIL) for _ in range(3))
    for webhook in (waits, is_disabled):
        builders.a_delivery(webhook, due_at=ago, status="pending" if webhook is waits else "held")
    WebhookHealth.objects.filter(webhook=is_shut).update(circuit="open", circuit_since=ago, next_step_at=soon)
    Webhook.objects.filter(pk=is_disabled.pk).update(enabled=False, disabled_reason=EVIL)
    builders.a_pause(account, event_type="call.started", until=soon, by=EVIL, why=EVIL)
    builders.a_pause(account, webhook=is_disabled, until=soon, by=EVIL, why=EVIL)
    said = run("queue_status").stdout
    assert said.count(SPELT_OUT) == 10
    return said


def queue_status_json(run: Run) -> str:
    builders.a_delivery(builders.a_webhook(name=EVIL), due_at=timezone.now())
    said = run("queue_status", "--json").stdout
    assert "\\u001b[2J" in said
    return said


def redeliver(run: Run) -> str:
    webhook = builders.a_webhook(name=EVIL)
    Webhook.objects.filter(pk=webhook.pk).update(enabled=False)
    with pytest.raises(CommandError) as caught:
        run("redeliver", "--webhook", str(webhook.pk))
    return str(caught.value)


def pause(run: Run) -> str:
    for _ in range(2):
        builders.an_account(name=EVIL)
    with pytest.raises(CommandError) as caught:
        run("pause", "--account", EVIL, "--for", "1h", "--why", "Test.")
    return str(caught.value)


def pause_of_nobody(run: Run) -> str:
    with pytest.raises(CommandError) as caught:
        run("pause", "--account", EVIL, "--for", "1h", "--why", "Test.")
    return str(caught.value)


def resume(run: Run) -> str:
    ended = builders.a_pause(ended_at=builders.NOW, ended_by=EVIL)
    with pytest.raises(CommandError) as caught:
        run("resume", str(ended.pk))
    return str(caught.value)


def create_api_key(run: Run) -> str:
    account = builders.an_account(name=EVIL)
    return run("create_api_key", "--account", str(account.pk)).stderr


def verify(run: Run) -> str:
    return "\n".join(count({}, [], wanted=0, reasons=[f"1 x {EVIL}"]).lines())


def tail(run: Run) -> str:
    builders.an_attempt(builders.a_delivery(builders.a_webhook(name=EVIL)), started_at=timezone.now())
    return run("tail", "--no-follow").stdout


def hello(run: Run) -> str:
    return story._line("delivered", EVIL, "HTTP 200 in 1 ms")


@pytest.mark.parametrize(
    "say",
    [
        queue_status,
        queue_status_json,
        redeliver,
        pause,
        pause_of_nobody,
        resume,
        create_api_key,
        verify,
        tail,
        hello,
    ],
)
def test_no_command_prints_what_cannot_be_printed(run: Run, say: Callable[[Run], str]) -> None:
    lines = say(run).split("\n")

    assert any("CRM" in line for line in lines)
    assert all(line.isprintable() for line in lines), lines
    assert "failed      0" not in {line[:13] for line in lines if "that need" not in line}


@pytest.mark.parametrize("text", ["Zürich 北京 🚀", "", "it's 100 % \\ fine"])
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_newline_and_half_a_character_are_spelt_out() -> None:
    assert printable("a\nb\ud800") == r"a\nb\ud800"
