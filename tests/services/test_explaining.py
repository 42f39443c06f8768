"""Why something has not arrived: the sentences, and what finds them."""

from datetime import timedelta

import pytest

from deliveries.models import Delivery, WebhookHealth
from deliveries.services import cancelling, explaining, webhooks
from deliveries.services.explaining import Answer
from tests import builders
from tests.builders import NOW

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


def explained(delivery: Delivery) -> Answer:
    """Return what is said of a delivery, some minutes after it was queued."""
    answer = explaining.explain(str(delivery.pk), now=NOW + 2 * MINUTE)
    assert answer is not None
    assert answer.about == delivery
    return answer


class TestWhatIsFound:
    def test_is_a_delivery_by_each_of_its_ids(self) -> None:
        delivery = builders.a_failed_delivery()
        ids = [delivery.pk, delivery.attempts.get().pk, delivery.failure.pk]
        texts = [
            *map(str, ids),
            f"  {str(delivery.pk).upper()} ",
            f"https://webhooks.example.com/admin/deliveries/delivery/{delivery.pk}/change/?q=1",
            f"/api/v1/agents/{delivery.account_id}/webhooks/{delivery.webhook_id}/logs/{ids[1]}",
            f"https://webhooks.example.com/api/v4/tasks/webhook_failures/{delivery.failure.pk}/retrigger",
        ]

        answers = [explaining.explain(text, now=NOW) for text in texts]

        assert [answer.about for answer in answers if answer] == [delivery] * len(texts)

    def test_is_an_event_or_a_webhook_by_its_id(self) -> None:
        delivery = builders.a_delivery()

        for row in (delivery.event, delivery.webhook):
            answer = explaining.explain(str(row.pk), now=NOW)
            assert answer is not None
            assert answer.about == row

    def test_is_every_webhook_that_points_at_a_receiver(self) -> None:
        builders.a_webhook(name="Old", url="https://crm.example.com/hook")
        builders.a_webhook(name="New", url="https://crm.example.com/hook")

        answer = explaining.explain("https://crm.example.com/hook?token=1", now=NOW)

        assert answer is not None
        assert answer.says == "2 webhooks point there."
        assert [part.says for part in answer.parts] == ["New is active.", "Old is active."]

    def test_that_fails_is_not_called_active(self) -> None:
        webhook = builders.a_webhook()
        WebhookHealth.objects.update(failing_since=NOW, consecutive_failures=3)

        answer = explaining.explain(str(webhook.pk), now=NOW)

        assert answer is not None
        assert answer.says == (
            "CRM call events is enabled, and has failed 3 attempts in a row, since 2026-03-15 10:00:00 UTC."
        )

    def test_is_a_webhook_by_the_url_of_its_receiver(self) -> None:
        webhook = builders.a_webhook(url="https://crm.example.com/hook")

        answer = explaining.explain(" https://crm.example.com/hook\n", now=NOW)

        assert answer is not None
        assert answer.about == webhook

    @pytest.mark.parametrize(
        "text", ["", "call.ended", "0" * 24, "00000000-0000-0000-0000-000000000000", "\0", "x" * 10_000]
    )
    def test_is_nothing_where_nothing_is_known(self, text: str) -> None:
        builders.a_failed_delivery()

        assert explaining.explain(text, now=NOW) is None


class TestDelivery:
    def test_has_arrived(self) -> None:
        delivery = builders.a_delivery(
            status="succeeded", attempts_made=2, due_at=None, scheduled_at=None, next_attempt_id=None,
            finished_at=NOW,
        )  # fmt: skip
        builders.an_attempt(delivery)
        attempt = builders.an_attempt(delivery, number=2, http_status=204)

        answer = explained(delivery)

        assert answer.says == (
            "It arrived: CRM call events answered 204 within 142 ms, at 2026-03-15 10:00:00 UTC, to attempt"
            " 2."
        )
        assert answer.todo == ""
        attempt.delete()
        assert explained(delivery).says == "It arrived at CRM call events, at 2026-03-15 10:00:00 UTC."

    def test_has_failed(self) -> None:
        delivery = builders.a_failed_delivery()

        answer = explained(delivery)

        assert answer.says == (
            "CRM call events did not take it in 1 attempt. The last attempt, at 2026-03-15 10:00:00 UTC: HTTP"
            " 500. Nothing more happens by itself."
        )
        assert answer.todo == "Send it again once the receiver is well."
        webhooks.disable(delivery.webhook_id, reason="Too old.", by="a test", now=NOW)
        assert explained(delivery).todo == (
            "Enable the webhook first: it is disabled: Too old. Then send it again."
        )

    def test_was_cancelled_with_its_webhook(self) -> None:
        delivery = builders.a_delivery()
        webhooks.delete(delivery.webhook, by="a test", now=NOW + MINUTE)

        assert explained(delivery).says == (
            "It was cancelled because its webhook was deleted, at 2026-03-15 10:01:00 UTC, "
            "before any attempt."
        )

    def test_was_cancelled_by_a_person_before_its_webhook_was_deleted(self) -> None:
        delivery = builders.a_delivery()
        cancelling.cancel(delivery, by="ada", now=NOW + MINUTE)
        webhooks.delete(delivery.webhook, by="a test", now=NOW + 2 * MINUTE)

        assert explained(delivery).says == (
            "It was cancelled by a person, at 2026-03-15 10:01:00 UTC, before any attempt."
        )

    def test_is_held_for_a_disabled_webhook(self) -> None:
        delivery = builders.a_delivery()
        webhooks.disable(delivery.webhook_id, reason="Maintenance.", by="a test", now=NOW)

        answer = explained(delivery)

        assert answer.says == "It is held: CRM call events is disabled: Maintenance."
        assert answer.todo == "Enable the webhook; it goes out then."

    def test_is_held_by_a_pause(self) -> None:
        delivery = builders.a_delivery(status="held")
        builders.a_pause(delivery.account)

        assert explained(delivery).says == (
            "It is held. Paused until 2026-03-16 10:00:00 UTC by ada: The receiver is being moved."
        )

    @pytest.mark.parametrize(
        ("circuit", "says"),
        [
            (
                "open",
                "It is held: CRM call events has been out of order since 2026-03-15 10:00:00 UTC, and is"
                " tried again at 2026-03-15 10:03:00 UTC.",
            ),
            (
                "recovering",
                "It was held and is let go: CRM call events is there again, and gets more and more.",
            ),
        ],
    )
    def test_is_held_for_a_receiver_that_is_down(self, circuit: str, says: str) -> None:
        delivery = builders.a_delivery(status="held")
        WebhookHealth.objects.filter(pk=delivery.webhook_id).update(
            circuit=circuit, circuit_since=NOW, next_step_at=NOW + 3 * MINUTE
        )

        assert explained(delivery).says == says

    def test_is_tried_again_later(self) -> None:
        delivery = builders.a_delivery(attempts_made=1, due_at=NOW + 7 * MINUTE)
        builders.an_attempt(delivery, http_status=None, reason_code="dns_failed")

        assert explained(delivery).says == (
            "CRM call events has not taken it yet. The last attempt, at 2026-03-15 10:00:00 UTC: DNS lookup"
            " failed. The next attempt is made at 2026-03-15 10:07:00 UTC, in 0:05:00."
        )

    def test_is_on_its_way(self) -> None:
        delivery = builders.a_claimed_delivery()
        later = Delivery.objects.get()
        assert later.due_at is not None

        answer = explaining.explain(str(delivery.pk), now=later.due_at - timedelta(seconds=1))

        assert answer is not None
        assert answer.says == "It is on its way to CRM call events at this moment, before any attempt."

    def test_waits_for_a_worker(self) -> None:
        delivery = builders.a_delivery()
        waits = "It has been waiting to be sent to CRM call events since 2026-03-15 10:00:00 UTC."

        answer = explained(delivery)
        assert (answer.says, answer.todo) == (f"{waits} No worker is alive.", "Start a worker.")

        builders.a_worker(seen_at=NOW + 2 * MINUTE)
        answer = explained(delivery)
        assert (answer.says, answer.todo[:20]) == (waits, "See `manage.py docto")

    def test_waits_for_a_receiver_that_has_enough(self) -> None:
        webhook = builders.a_webhook(max_in_flight=1)
        builders.a_delivery(webhook, lease_token=webhook.pk, due_at=NOW + 5 * MINUTE)
        builders.a_worker(seen_at=NOW + 2 * MINUTE)

        assert (
            "has 1 requests under way, as many as it may have" in explained(builders.a_delivery(webhook)).says
        )

    def test_waits_for_the_end_of_a_pause(self) -> None:
        delivery = builders.a_delivery()
        builders.a_pause(delivery.account, webhook=delivery.webhook)

        assert explained(delivery).says.endswith(" by ada: The receiver is being moved.")


class TestEvent:
    def test_is_told_by_its_deliveries_and_by_who_did_not_get_it(self) -> None:
        failed = builders.a_failed_delivery(builders.a_webhook(name="First"))
        account, event = failed.account, failed.event
        builders.a_delivery(
            builders.a_webhook(account, name="Second"), event=event, status="succeeded", attempts_made=1,
            due_at=None, scheduled_at=None, next_attempt_id=None, finished_at=NOW,
        )  # fmt: skip
        builders.a_webhook(account, name="Third", events=["message.*"])
        builders.a_webhook(account, name="Fourth", agent=builders.an_agent(account))

        answer = explaining.explain(str(event.pk), now=NOW)

        assert answer is not None
        assert answer.says == "It went to 2 webhooks and has arrived at 1 of them."
        assert answer.todo == "Send it again once the receiver is well."
        assert [part.says[:24] for part in answer.parts] == [
            "First did not take it in",
            "It arrived at Second, at",
        ]
        assert [part.says for part in answer.skipped] == [
            "Third was not subscribed to events of this type.",
            "Fourth belongs to another agent.",
        ]

    def test_of_one_delivery_is_told_as_that(self) -> None:
        delivery = builders.a_failed_delivery()

        answer = explaining.explain(str(delivery.event_id), now=NOW)

        assert answer is not None
        assert answer.says == explained(delivery).says

    def test_that_nobody_wanted_is_told_as_such(self) -> None:
        answer = explaining.explain(str(builders.an_event().pk), now=NOW)

        assert answer is not None
        assert answer.says == "No webhook wanted this call.ended when it was published."
        assert not answer.parts
        assert not answer.skipped


class TestWebhook:
    def test_is_told_by_its_state(self) -> None:
        webhook = builders.a_webhook()

        def says() -> str:
            answer = explaining.explain(str(webhook.pk), now=NOW)
            assert answer is not None
            return answer.says

        assert says() == "CRM call events is active."
        health = WebhookHealth.objects.filter(pk=webhook.pk)
        health.update(last_success_at=NOW - MINUTE)
        assert says() == "CRM call events is active. It last took something at 2026-03-15 09:59:00 UTC."
        health.update(circuit="open", circuit_since=NOW, next_step_at=NOW, last_success_at=None)
        assert says() == "CRM call events has been out of order since 2026-03-15 10:00:00 UTC."
        pause = builders.a_pause(webhook.account, webhook=webhook)
        assert says().startswith(
            "CRM call events gets nothing now. Paused until 2026-03-16 10:00:00 UTC by ada"
        )
        pause.delete()
        webhooks.disable(webhook.pk, reason="", by="a test", now=NOW)
        assert says() == "CRM call events is disabled."
        webhooks.delete(webhook, by="a test", now=NOW)
        assert says() == "CRM call events was deleted at 2026-03-15 10:00:00 UTC."
