from datetime import datetime
from typing import Any

import pytest
from django.test import Client

from deliveries.models import Account, Delivery, Failure, Webhook
from tests import builders
from tests.api.conftest import AtOnce

PATH = "/api/v4/tasks/webhook_failures"


def a_failure_of(account: Account) -> Failure:
    """Return a failure that can be retriggered."""
    return builders.a_failed_delivery(builders.a_webhook(account)).failure


def retrigger(api: Client, failure: Failure, **request: Any) -> Any:
    """Return the answer to a retrigger."""
    return api.post(f"{PATH}/{failure.pk}/retrigger", **request)


class TestRetrigger:
    def test_answers_with_the_pending_failure(self, api: Client, account: Account) -> None:
        failure = a_failure_of(account)

        response = retrigger(api, failure)

        assert response.status_code == 200
        answer = response.json()["webhook_failure"]
        assert list(answer) == [
            "id",
            "event",
            "status",
            "reason",
            "webhook",
            "last_attempt_at",
            "created_at",
            "updated_at",
        ]
        assert (answer["id"], answer["status"], answer["reason"]) == (failure.pk, "pending", None)
        assert answer["created_at"] == "2026-03-15T10:00:00Z"
        assert answer["last_attempt_at"] == answer["updated_at"] > "2026-03-15T10:00:00Z"

    def test_queues_one_attempt(self, api: Client, account: Account) -> None:
        failure = a_failure_of(account)

        retrigger(api, failure)

        delivery = Delivery.objects.get()
        assert delivery.status == Delivery.Status.PENDING
        assert (delivery.attempts_made, delivery.retries_left) == (1, 0)

    def test_takes_the_failure_off_the_list(self, api: Client, account: Account) -> None:
        retrigger(api, a_failure_of(account))

        assert api.get(PATH).json()["metadata"] == {"total": 0}

    @pytest.mark.parametrize(
        "request_body",
        [
            {"data": "{not json", "content_type": "application/json"},
            {"data": "hello", "content_type": "text/plain"},
            {"data": b"\x00\xff" * 1_000_000, "content_type": "application/octet-stream"},
            {"data": {"status": "delivered"}, "content_type": "application/json"},
        ],
        ids=["malformed", "text", "large", "json"],
    )
    def test_ignores_the_body(self, api: Client, account: Account, request_body: dict[str, Any]) -> None:
        assert retrigger(api, a_failure_of(account), **request_body).status_code == 200

    def test_works_with_a_slash(self, api: Client, account: Account) -> None:
        assert api.post(f"{PATH}/{a_failure_of(account).pk}/retrigger/").status_code == 200


class TestRetriggerOfWhatCannotBe:
    def refused(self, api: Client, failure: Failure) -> None:
        """Check that a retrigger is answered with 409 and changes nothing."""
        before = Delivery.objects.values().get()

        response = retrigger(api, failure)

        assert response.status_code == 409
        assert list(response.json()) == ["errors"]
        ((name, messages),) = response.json()["errors"].items()
        assert name == "status"
        assert [type(message) for message in messages] == [str]
        assert Delivery.objects.values().get() == before

    def test_refuses_a_second_time(self, api: Client, account: Account) -> None:
        failure = a_failure_of(account)
        retrigger(api, failure)

        self.refused(api, failure)

    def test_refuses_while_automatic_retries_go_on(self, api: Client, account: Account) -> None:
        delivery = builders.a_delivery(builders.a_webhook(account))

        self.refused(api, builders.a_failure(delivery, status=Failure.Status.PENDING))

    def test_refuses_what_has_arrived(self, api: Client, account: Account) -> None:
        failure = a_failure_of(account)
        Delivery.objects.update(status=Delivery.Status.SUCCEEDED)
        Failure.objects.update(status=Failure.Status.DELIVERED)

        self.refused(api, failure)

    def test_refuses_for_a_disabled_webhook(self, api: Client, account: Account) -> None:
        failure = a_failure_of(account)
        Webhook.objects.update(enabled=False)

        self.refused(api, failure)

    def test_refuses_for_a_deleted_webhook(self, api: Client, account: Account, now: datetime) -> None:
        failure = a_failure_of(account)
        Webhook.objects.update(enabled=False, deleted_at=now)

        self.refused(api, failure)


@pytest.mark.django_db(transaction=True)
class TestRetriggerBesideAFastWorker:
    def test_answers_with_what_was_queued(
        self, api: Client, account: Account, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail_at_once() -> None:
            Delivery.objects.finish(Delivery.Status.FAILED, now=now)
            Failure.objects.update(status=Failure.Status.INACTIVE, reason="HTTP 500")

        failure = a_failure_of(account)
        monkeypatch.setattr("deliveries.doorbell.ring", fail_at_once)

        answer = retrigger(api, failure).json()["webhook_failure"]

        assert (answer["status"], answer["reason"]) == ("pending", None)
        assert Failure.objects.get().status == Failure.Status.INACTIVE


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestRetriggerTwiceAtOnce:
    def test_lets_one_through(self, api: Client, account: Account, at_once: AtOnce) -> None:
        failure = a_failure_of(account)

        answers = at_once(failure.delivery, lambda: retrigger(api, failure))

        assert sorted(answer.status_code for answer in answers) == [200, 409]
        assert Delivery.objects.get().round == 2
