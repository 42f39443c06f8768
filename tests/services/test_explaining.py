"""Why something has not arrived: the sentences, and what finds them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest
from django.db.models import Model

from deliveries.identifiers import new_id
from deliveries.models import Delivery, Pause, Webhook, WebhookHealth
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

    def test_is_found_however_its_id_is_written(self) -> None:
        delivery = builders.a_failed_delivery()
        texts = [
            delivery.pk.hex,
            delivery.pk.hex.upper(),
            f"id={delivery.pk.hex};",
            str(delivery.pk).upper(),
            delivery.failure.pk.upper(),
        ]

        answers = [explaining.explain(text, now=NOW) for text in texts]

        assert [answer.about for answer in answers if answer] == [delivery] * len(texts)

    @pytest.mark.parametrize(
        ("stored", "asked"),
        [
            ("https://crm.example.com/hook", "https://crm.example.com/hook/"),
            ("https://crm.example.com/hook/", "https://crm.example.com/hook"),
            ("https://crm.example.com/Hook", "HTTPS://CRM.Example.COM/Hook"),
            ("https://CRM.example.com/hook", "https://CRM.example.com/hook/"),
            ("https://crm.example.com", "https://crm.example.com/"),
            ("https://crm.example.com/hook?a=1", "https://CRM.example.com/hook/?a=1"),
            ("https://crm.example.com/hook", "https://CRM.example.com/hook/?token=1"),
            ("https://crm.example.com:8443/hook", "https://CRM.example.com:8443/hook"),
            ("https://crm.example.com/hook", "crm.example.com/hook"),
            ("https://crm.example.com:8443/hook", "CRM.example.com:8443/hook/?token=1"),
            ("http://127.0.0.1:8123/hook", "127.0.0.1:8123/hook"),
        ],
    )
    def test_is_a_receiver_whose_url_is_written_a_little_differently(self, stored: str, asked: str) -> None:
        webhook = builders.a_webhook()
        # Where the address policy lets it, http:// too.
        Webhook.objects.update(url=stored)

        answer = explaining.explain(asked, now=NOW)

        assert answer is not None
        assert answer.about == webhook

    @pytest.mark.parametrize(
        "asked", ["https://crm.example.com/HOOK", "https://crm.example.com/hook/x", "https://[crm", "//"]
    )
    def test_is_no_receiver_at_another_url(self, asked: str) -> None:
        builders.a_webhook(url="https://crm.example.com/hook")

        assert explaining.explain(asked, now=NOW) is None

    def test_is_the_receiver_at_the_very_url_before_those_nearby(self) -> None:
        builders.a_webhook(url="https://crm.example.com/hook/")
        webhook = builders.a_webhook(url="https://crm.example.com/hook")
        builders.a_webhook(url="https://crm.example.com/hook/")

        answer = explaining.explain("https://crm.example.com/hook", now=NOW)

        assert answer is not None
        assert (answer.about, answer.parts) == (webhook, ())

    def test_is_every_receiver_that_is_as_near_without_a_scheme(self) -> None:
        builders.a_webhook(name="Old")
        Webhook.objects.update(url="http://crm.example.com/hook")
        builders.a_webhook(name="New", url="https://crm.example.com/hook")
        builders.a_webhook(name="Further", url="https://crm.example.com/hook/")

        answer = explaining.explain("crm.example.com/hook", now=NOW)

        assert answer is not None
        assert [part.says for part in answer.parts] == ["New is active.", "Old is active."]

    def test_is_a_webhook_by_its_name(self) -> None:
        webhook = builders.a_webhook(name="Billing")
        builders.a_webhook(name="Billing again")

        answer = explaining.explain(" Billing\n", now=NOW)

        assert answer is not None
        assert (answer.about, answer.says, answer.parts) == (webhook, "Billing is active.", ())

    def test_is_every_webhook_of_a_name_that_is_not_deleted(self) -> None:
        old, gone, new = (builders.a_webhook(name="Billing") for _ in range(3))
        webhooks.delete(gone, by="a test", now=NOW)

        answer = explaining.explain("Billing", now=NOW)

        assert answer is not None
        assert answer.says == "2 webhooks are called that."
        assert [part.about for part in answer.parts] == [new, old]

    @pytest.mark.parametrize("asked", ["Bill", "billing", "Billing\0x", "x" * 5000])
    def test_is_no_webhook_by_a_part_of_its_name(self, asked: str) -> None:
        builders.a_webhook(name="Billing")

        assert explaining.explain(asked, now=NOW) is None

    def test_asks_for_few_rows_however_many_ids_there_are(
        self, django_assert_max_num_queries: Callable[[int], AbstractContextManager[object]]
    ) -> None:
        with django_assert_max_num_queries(explaining.MOST_IDS * 12 + 2):
            assert explaining.explain(" ".join(str(new_id()) for _ in range(200)), now=NOW) is None

    @pytest.mark.parametrize(
        "text", ["", "call.ended", "0" * 24, "00000000-0000-0000-0000-000000000000", "\0", "x" * 10_000]
    )
    def test_is_nothing_where_nothing_is_known(self, text: str) -> None:
        builders.a_failed_delivery()

        assert explaining.explain(text, now=NOW) is None


class TestOtherKinds:
    """What the console shows an id of, and what nothing arrives by."""

    def says(self, row: Model) -> str:
        answer = explaining.explain(f"https://webhooks.example.com/admin/x/{row.pk}/change/", now=NOW)
        assert answer is not None
        assert answer.about == row
        return answer.says

    def test_are_named_with_what_is_to_know_of_them(self) -> None:
        failed = builders.a_failed_delivery()
        account = failed.account
        builders.a_key(account, name="Reporting")
        key = account.api_keys.get()

        assert self.says(builders.a_failure_group(failed, seen=7)) == (
            "That is a group of failures: Connection timeout at CRM call events, given up 7 times. It is"
            " open."
        )
        assert self.says(account) == f"That is an account: {account.name}."
        assert self.says(builders.an_agent(account, name="Berlin")) == (
            f"That is an agent: Berlin of {account.name}."
        )
        assert self.says(builders.a_recovery(account, queued=1, total=3)) == (
            f"That is a recovery of {account.name}: running, 1 of 3 queued."
        )
        assert self.says(key) == f"That is an API key of {account.name}: {key}."
        assert self.says(builders.an_audit_entry(account)) == (
            "That is an audit entry: webhook.deleted by API key test, at 2026-03-15 10:00:00 UTC."
        )
        assert self.says(builders.a_worker()) == (
            "That is a worker: one.example.com:4711, last seen at 2026-03-15 10:00:00 UTC."
        )

    def test_are_pauses_that_say_whether_they_are_over(self) -> None:
        pause = builders.a_pause(event_type="call.ended")
        until = "2026-03-16 10:00:00 UTC"
        paused = f"That is a pause: ada paused call.ended until {until}: The receiver is being moved."

        assert self.says(pause) == paused
        type(pause).objects.end(by="grace", at=NOW)
        assert self.says(pause) == f"{paused} The pause was ended at 2026-03-15 10:00:00 UTC by grace."

    def test_are_none_where_whoever_asks_may_not_see_them(self) -> None:
        pause = builders.a_pause()
        url = f"/admin/deliveries/webhook/{builders.a_webhook(pause.account).pk}/?pause={pause.pk}"

        assert explaining.explain(str(pause.pk), now=NOW, may_see=lambda kind: kind is not Pause) is None
        answer = explaining.explain(url, now=NOW, may_see=lambda kind: kind is not Pause)
        assert answer is not None
        assert isinstance(answer.about, Webhook)


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
                "probing",
                "It is held: CRM call events was out of order, and is tried with one delivery at a"
                " time. The rest waits for what that tells.",
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
        health.update(circuit="probing")
        assert says() == ("CRM call events was out of order, and is tried with one delivery at a time.")
        health.update(circuit="recovering")
        assert says() == "CRM call events is there again, and gets more and more."
        pause = builders.a_pause(webhook.account, webhook=webhook)
        assert says().startswith(
            "CRM call events gets nothing now. Paused until 2026-03-16 10:00:00 UTC by ada"
        )
        pause.delete()
        webhooks.disable(webhook.pk, reason="", by="a test", now=NOW)
        assert says() == "CRM call events is disabled."
        webhooks.delete(webhook, by="a test", now=NOW)
        assert says() == "CRM call events was deleted at 2026-03-15 10:00:00 UTC."
