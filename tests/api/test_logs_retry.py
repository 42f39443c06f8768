from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from deliveries.models import Account, Attempt, Delivery, Failure, Webhook
from tests import builders
from tests.api.conftest import AtOnce

REFUSED = {"success": False, "message": "Log cannot be retried", "code": "LOG_NOT_RETRIABLE"}


@pytest.fixture
def webhook(account: Account) -> Webhook:
    """A webhook of an agent."""
    return builders.a_webhook(agent=builders.an_agent(account))


def a_failed_log(webhook: Webhook, **changes: Any) -> Attempt:
    """Return a log that can be retried: the last attempt of a failed delivery, a moment ago."""
    delivery = builders.a_failed_delivery(webhook)
    delivery.attempts.update(**{"created_at": timezone.now(), **changes})
    return delivery.attempts.get()


def retry(api: Client, webhook: Webhook, log_id: UUID | None) -> Any:
    """Return the answer to a retry."""
    return api.post(f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}/logs/{log_id}/retry")


class TestRetry:
    def test_answers_with_the_id_of_the_new_log(self, api: Client, webhook: Webhook) -> None:
        log = a_failed_log(webhook)

        response = retry(api, webhook, log.pk)

        assert response.status_code == 200
        answer = response.json()
        assert list(answer) == ["success", "message", "data"]
        assert (answer["success"], answer["message"]) == (True, "Webhook retry queued successfully")
        delivery = Delivery.objects.get()
        assert delivery.scheduled_at is not None
        assert list(answer["data"].items()) == [
            ("log_id", str(delivery.next_attempt_id)),
            ("original_log_id", str(log.pk)),
            ("queued_at", delivery.scheduled_at.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ]

    def test_lists_the_new_log_beside_the_old(self, api: Client, webhook: Webhook) -> None:
        log = a_failed_log(webhook)
        path = f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}/logs"
        (before,) = api.get(path).json()["data"]

        new_id = retry(api, webhook, log.pk).json()["data"]["log_id"]

        new, old = api.get(path).json()["data"]
        assert (new["id"], new["status"], new["attempt"]) == (new_id, "pending", 2)
        assert old == before

    def test_queues_one_shot(self, api: Client, webhook: Webhook) -> None:
        retry(api, webhook, a_failed_log(webhook).pk)

        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.retries_left) == (Delivery.Status.PENDING, 0)
        assert Failure.objects.get().status == Failure.Status.PENDING

    def test_takes_any_failed_log_of_a_failed_delivery(self, api: Client, webhook: Webhook) -> None:
        first = a_failed_log(webhook)
        builders.an_attempt(first.delivery, number=2)
        Delivery.objects.update(attempts_made=2)

        assert retry(api, webhook, first.pk).status_code == 200

    def test_works_with_a_slash(self, api: Client, webhook: Webhook) -> None:
        path = f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}/logs"

        assert api.post(f"{path}/{a_failed_log(webhook).pk}/retry/").status_code == 200


class TestRetryOfWhatCannotBe:
    def refused(self, api: Client, webhook: Webhook, log_id: UUID | None) -> None:
        """Check that a retry is refused and changes nothing."""
        before = list(Delivery.objects.values())

        response = retry(api, webhook, log_id)

        assert (response.status_code, response.json()) == (422, REFUSED)
        assert list(response.json()) == list(REFUSED)
        assert list(Delivery.objects.values()) == before

    def test_refuses_a_second_time(self, api: Client, webhook: Webhook) -> None:
        log = a_failed_log(webhook)
        retry(api, webhook, log.pk)

        self.refused(api, webhook, log.pk)

    def test_refuses_a_success(self, api: Client, webhook: Webhook) -> None:
        log = a_failed_log(webhook)
        success = builders.an_attempt(log.delivery, number=2, http_status=200, created_at=timezone.now())

        self.refused(api, webhook, success.pk)

    def test_refuses_when_the_delivery_has_meanwhile_arrived(self, api: Client, webhook: Webhook) -> None:
        log = a_failed_log(webhook)
        Delivery.objects.update(status=Delivery.Status.SUCCEEDED)

        self.refused(api, webhook, log.pk)

    @pytest.mark.parametrize("status", Delivery.UNFINISHED)
    def test_refuses_what_is_in_the_queue(
        self, api: Client, webhook: Webhook, status: Delivery.Status
    ) -> None:
        delivery = builders.a_delivery(webhook, status=status, scheduled_at=timezone.now())

        self.refused(api, webhook, delivery.next_attempt_id)

    def test_refuses_what_is_retrying(self, api: Client, webhook: Webhook) -> None:
        delivery = builders.a_delivery(webhook, attempts_made=1)
        attempt = builders.an_attempt(delivery, created_at=timezone.now())

        self.refused(api, webhook, attempt.pk)

    def test_refuses_what_is_past_the_retention(self, api: Client, webhook: Webhook) -> None:
        too_old = timezone.now() - settings.WEBHOOKS_RETENTION - timedelta(seconds=1)

        self.refused(api, webhook, a_failed_log(webhook, created_at=too_old).pk)

    def test_takes_what_is_still_within_the_retention(self, api: Client, webhook: Webhook) -> None:
        old = timezone.now() - settings.WEBHOOKS_RETENTION + timedelta(minutes=1)

        assert retry(api, webhook, a_failed_log(webhook, created_at=old).pk).status_code == 200

    def test_refuses_for_a_disabled_webhook(self, api: Client, webhook: Webhook) -> None:
        log = a_failed_log(webhook)
        Webhook.objects.update(enabled=False)

        self.refused(api, webhook, log.pk)

    def test_refuses_what_was_cancelled(self, api: Client, webhook: Webhook, now: datetime) -> None:
        delivery = builders.a_delivery(webhook, attempts_made=1)
        attempt = builders.an_attempt(delivery, created_at=timezone.now())
        Delivery.objects.cancel(now=now)

        self.refused(api, webhook, attempt.pk)


@pytest.mark.django_db(transaction=True)
class TestRetryBesideAFastWorker:
    def test_answers_with_the_id_that_was_reserved(
        self, api: Client, webhook: Webhook, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reserved: list[UUID | None] = []

        def fail_at_once() -> None:
            reserved.append(Delivery.objects.get().next_attempt_id)
            Delivery.objects.finish(Delivery.Status.FAILED, now=now)

        log = a_failed_log(webhook)
        monkeypatch.setattr("deliveries.doorbell.ring", fail_at_once)

        answer = retry(api, webhook, log.pk).json()

        assert [answer["data"]["log_id"]] == [str(pk) for pk in reserved]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestRetryTwiceAtOnce:
    def test_lets_one_through(self, api: Client, webhook: Webhook, at_once: AtOnce) -> None:
        log = a_failed_log(webhook)

        answers = at_once(log.delivery, lambda: retry(api, webhook, log.pk))

        assert sorted(answer.status_code for answer in answers) == [200, 422]
        assert Delivery.objects.get().round == 2
