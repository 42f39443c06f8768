"""manage.py redeliver."""

from datetime import datetime, timedelta

import pytest
from django.core.management import CommandError

from deliveries.models import Delivery
from deliveries.services import redelivery, webhooks
from tests import builders
from tests.commands.conftest import Run


def queued() -> set[Delivery]:
    return set(Delivery.objects.filter(status="pending"))


class TestRedeliver:
    def test_sends_again_what_failed_for_a_webhook(self, run: Run) -> None:
        delivery, other = builders.a_failed_delivery(), builders.a_failed_delivery()

        said = run("redeliver", "--webhook", str(delivery.webhook_id))

        assert said.stdout == "Queued 1 delivery.\n"
        assert queued() == {delivery}
        assert other not in queued()

    def test_sends_again_what_failed_of_a_type(self, run: Run) -> None:
        wanted = builders.a_failed_delivery(event=builders.an_event(type="message.sent"))
        builders.a_failed_delivery()

        run("redeliver", "--event-type", "message.sent")

        assert queued() == {wanted}

    def test_sends_again_what_was_published_in_a_window(self, run: Run, now: datetime) -> None:
        before, first, last, after = (
            builders.a_failed_delivery(event=builders.an_event(created_at=now + timedelta(hours=hours)))
            for hours in (-1, 0, 1, 2)
        )

        run("redeliver", "--since", "2026-03-15T10:00:00Z", "--until", "2026-03-15T13:00:00+01:00")

        assert queued() == {first, last}
        assert not {before, after} & queued()

    def test_takes_only_what_every_filter_selects(self, run: Run) -> None:
        delivery = builders.a_failed_delivery()

        run("redeliver", "--webhook", str(delivery.webhook_id), "--event-type", "message.sent")

        assert queued() == set()

    def test_only_counts_in_a_dry_run(self, run: Run) -> None:
        webhook = builders.a_webhook()
        builders.a_failed_delivery(webhook)
        builders.a_failed_delivery(webhook)

        said = run("redeliver", "--webhook", str(webhook.pk), "--dry-run")

        assert said.stdout == "Would queue 2 deliveries.\n"
        assert queued() == set()

    def test_refuses_to_send_everything(self, run: Run) -> None:
        builders.a_failed_delivery()

        with pytest.raises(CommandError, match="at least one of --webhook"):
            run("redeliver")

        assert queued() == set()

    @pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
    def test_names_a_type_that_nobody_publishes(self, run: Run, dry_run: list[str]) -> None:
        builders.a_failed_delivery()

        with pytest.raises(CommandError, match=r"The catalogue has no event type call\.endde\."):
            run("redeliver", "--event-type", "call.endde", *dry_run)

        assert queued() == set()

    def test_wonders_about_a_type_that_somebody_may_publish(self, run: Run) -> None:
        builders.an_account(open_event_types=True)

        said = run("redeliver", "--event-type", "call.endde")

        assert said.stdout == "Queued 0 deliveries.\n"
        assert "The catalogue has no event type call.endde" in said.stderr

    def test_asks_nothing_about_a_type_that_it_found(self, run: Run) -> None:
        builders.a_failed_delivery(event=builders.an_event(type="no.longer.in.the.catalogue"))

        said = run("redeliver", "--event-type", "no.longer.in.the.catalogue")

        assert (said.stdout, said.stderr) == ("Queued 1 delivery.\n", "")

    def test_refuses_a_webhook_nothing_can_be_sent_to(self, run: Run, now: datetime) -> None:
        disabled, deleted = builders.a_webhook(), builders.a_webhook()
        webhooks.disable(disabled.pk, reason="Maintenance.", by="a test", now=now)
        webhooks.delete(deleted, by="a test", now=now)

        with pytest.raises(CommandError, match="is disabled"):
            run("redeliver", "--webhook", str(disabled.pk))
        for pk in (deleted.pk, "0b97ce11-b6e0-49b4-8f92-68040aa324bf"):
            with pytest.raises(CommandError, match="There is no webhook"):
                run("redeliver", "--webhook", str(pk))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--webhook", "17"], "write an id"),
            (["--event-type", ""], "write an event type"),
            (["--event-type", "Call ended"], "write an event type"),
            (["--event-type", "\udcff"], "write an event type"),
            (["--since", "2026-03-15T10:00:00"], "a moment with its zone"),
            (["--until", "yesterday"], "a moment with its zone"),
            (["--since", "2026-03-16T00:00Z", "--until", "2026-03-15T00:00Z"], "--since must be before"),
        ],
    )
    def test_says_what_is_wrong(self, run: Run, arguments: list[str], message: str) -> None:
        with pytest.raises(CommandError, match=message):
            run("redeliver", *arguments)

    def test_sends_nothing_twice_that_fails_again_meanwhile(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, now: datetime
    ) -> None:
        webhook = builders.a_webhook()
        for _ in range(3):
            builders.a_failed_delivery(webhook)

        rounds = []

        def fail_again() -> None:
            rounds.append(Delivery.objects.finish(Delivery.Status.FAILED, now=now))
            assert len(rounds) <= 3

        monkeypatch.setattr(redelivery, "BATCH", 1)
        monkeypatch.setattr("deliveries.doorbell.ring_on_commit", fail_again)

        said = run("redeliver", "--webhook", str(webhook.pk))

        assert said.stdout == "Queued 3 deliveries.\n"
        assert set(Delivery.objects.values_list("round", flat=True)) == {2}
