"""Changing a webhook through the logs API: PUT, PATCH toggle, DELETE, POST rotate_secret."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from standardwebhooks.webhooks import Webhook as Oracle

from deliveries.models import Account, Attempt, AuditEntry, Delivery, Failure, Sealed, Webhook
from deliveries.services import composing, webhooks
from deliveries.services.dispatching import Dispatcher
from deliveries.transport import Request
from tests import builders
from tests.api.conftest import AtOnce
from tests.services.fakes import FakeTransport, Outcome, a_reply

KEYS = [
    "id", "agent_id", "name", "webhook_url", "events", "timeout", "max_retries", "enabled", "created_at",
    "updated_at", "events_count", "status", "http_method", "authorization_scheme",
]  # fmt: skip


@pytest.fixture
def webhook(account: Account) -> Webhook:
    """A webhook of an agent."""
    return builders.a_webhook(agent=builders.an_agent(account))


def path_of(webhook: Webhook) -> str:
    return f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}"


def put(api: Client, webhook: Webhook, **fields: object) -> Any:
    return api.put(path_of(webhook), fields, content_type="application/json")


def rotate(api: Client, webhook: Webhook, **body: object) -> Any:
    return api.post(f"{path_of(webhook)}/rotate_secret", body, content_type="application/json")


def stored(webhook: Webhook) -> dict[str, Any]:
    return dict(Webhook.objects.filter(pk=webhook.pk).values().get())


def check_refusal(response: Any, field: str, message: str) -> None:
    assert (response.status_code, response.json()) == (
        422,
        {"message": "The given data was invalid.", "errors": {field: [message]}},
    )


class TestUpdate:
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_answers_with_the_webhook_as_it_is_now(self, api: Client, webhook: Webhook, slash: str) -> None:
        response = api.put(f"{path_of(webhook)}{slash}", {"name": "New"}, content_type="application/json")

        assert response.status_code == 200
        answer = response.json()
        assert list(answer) == ["success", "data", "message"]
        assert (answer["success"], answer["message"]) == (True, "Webhook updated successfully")
        assert list(answer["data"]) == KEYS
        assert answer["data"]["name"] == "New"
        assert answer["data"] == api.get(path_of(webhook)).json()["data"]

    @pytest.mark.parametrize(
        ("field", "value", "column"),
        [
            ("name", "New", "name"),
            ("webhook_url", "HTTPS://Example.org", "url"),
            ("webhook_secret", "new", "secret"),
            ("events", ["call.*"], "events"),
            ("timeout", 5, "timeout"),
            ("max_retries", 0, "max_retries"),
            ("enabled", False, "enabled"),
            ("http_method", "PATCH", "http_method"),
            ("authorization_credential", "c", "authorization_credential"),
            ("custom_headers", [{"key": "X-Team", "value": "red"}], "custom_headers"),
        ],
    )
    def test_changes_what_is_given_and_nothing_else(
        self, api: Client, account: Account, field: str, value: object, column: str
    ) -> None:
        webhook = builders.a_webhook(
            agent=builders.an_agent(account),
            secret="s",
            authorization_credential="k",
            custom_headers={"X-Team": "blue"},
        )
        before = stored(webhook)

        assert put(api, webhook, **{field: value}).status_code == 200

        after = stored(webhook)
        assert {name for name in after if after[name] != before[name]} == {column, "updated_at"}

    @pytest.mark.parametrize("body", ["{}", ""])
    def test_changes_nothing_when_nothing_is_given(self, api: Client, webhook: Webhook, body: str) -> None:
        before = stored(webhook)
        AuditEntry.objects.all().delete()

        response = api.put(path_of(webhook), body, content_type="application/json")

        assert response.status_code == 200
        assert stored(webhook) == before
        assert not AuditEntry.objects.exists()

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("name", None, "The name field is required."),
            ("name", " ", "The name field is required."),
            ("name", 5, "The name field must be a string."),
            ("webhook_url", None, "The webhook url field is required."),
            ("webhook_url", "", "The webhook url field is required."),
            ("events", None, "The events field is required."),
            ("events", [], "The events field must contain at least 1 items."),
            ("events", ["call.begun"], "call.begun is not a known event type."),
            ("timeout", "30", "The timeout field must be an integer."),
            ("timeout", True, "The timeout field must be an integer."),
            ("timeout", None, "The timeout field must be an integer."),
            ("timeout", 4, "The timeout field must be between 5 and 120."),
            ("max_retries", None, "The max retries field must be an integer."),
            ("enabled", None, "The enabled field must be true or false."),
            ("enabled", "false", "The enabled field must be true or false."),
            ("http_method", None, "The selected http method is invalid."),
            ("authorization_scheme", None, "The selected authorization scheme is invalid."),
            ("custom_headers", None, "The custom headers field must be an array."),
            ("custom_headers", [{"key": "Host", "value": "a"}], "The header Host cannot be set."),
            ("webhook_secret", 5, "The webhook secret field must be a string."),
            ("webhook_secret", "whsec_?", "A secret that starts with whsec_ must go on in base64."),
            ("id", "0b97ce11-b6e0-49b4-8f92-68040aa324bf", "The id field is unknown."),
            ("status", "active", "The status field is unknown."),
        ],
    )
    def test_refuses(self, api: Client, webhook: Webhook, field: str, value: object, message: str) -> None:
        before = stored(webhook)

        check_refusal(put(api, webhook, **{"max_retries": 1, field: value}), field, message)
        assert stored(webhook) == before

    @pytest.mark.parametrize("body", ["[]", '"x"', "null", "5"])
    def test_wants_an_object(self, api: Client, webhook: Webhook, body: str) -> None:
        response = api.put(path_of(webhook), body, content_type="application/json")

        check_refusal(response, "body", "The body must be a JSON object.")

    def test_clears_the_secret_and_those_before_it(self, api: Client, webhook: Webhook) -> None:
        rotate(api, webhook)
        rotate(api, webhook)

        assert put(api, webhook, webhook_secret=None).status_code == 200

        assert (stored(webhook)["secret"], stored(webhook)["previous_secrets"]) == (None, None)

    def test_notes_who_changed_which_fields(self, api: Client, webhook: Webhook) -> None:
        put(api, webhook, name="New", webhook_secret="canary")

        entry = AuditEntry.objects.get(action=AuditEntry.Action.WEBHOOK_CHANGED)
        assert entry.by.startswith("API key test")
        assert entry.details == {"fields": ["name", "secret"]}


class TestUpdateOfAuthorization:
    MISSING = "The authorization credential field is required when the authorization scheme is %s."

    @pytest.fixture
    def authorized(self, account: Account) -> Webhook:
        """A webhook with a credential."""
        return builders.a_webhook(
            agent=builders.an_agent(account), authorization_scheme="bearer", authorization_credential="c"
        )

    def test_takes_another_scheme_for_the_credential_there_is(self, api: Client, authorized: Webhook) -> None:
        assert put(api, authorized, authorization_scheme="basic").status_code == 200
        assert put(api, authorized, authorization_credential="d").status_code == 200

    @pytest.mark.parametrize("credential", [None, ""])
    def test_takes_no_credential_from_a_scheme_that_sends_it(
        self, api: Client, authorized: Webhook, credential: str | None
    ) -> None:
        response = put(api, authorized, authorization_credential=credential)

        check_refusal(response, "authorization_credential", self.MISSING % "bearer")

    def test_takes_both_away_together(self, api: Client, authorized: Webhook) -> None:
        response = put(api, authorized, authorization_scheme="none", authorization_credential=None)

        assert response.status_code == 200
        assert stored(authorized)["authorization_credential"] is None

    def test_wants_the_credential_a_new_scheme_sends(self, api: Client, webhook: Webhook) -> None:
        response = put(api, webhook, authorization_scheme="api_key")

        check_refusal(response, "authorization_credential", self.MISSING % "api_key")

    def test_leaves_a_row_without_its_credential_alone_unless_that_is_touched(
        self, api: Client, webhook: Webhook
    ) -> None:
        Webhook.objects.update(authorization_scheme="bearer")

        assert put(api, webhook, name="New").status_code == 200
        response = put(api, webhook, authorization_scheme="bearer")
        check_refusal(response, "authorization_credential", self.MISSING % "bearer")

    def test_changes_a_webhook_whose_secrets_no_key_opens(self, api: Client, authorized: Webhook) -> None:
        bad = Sealed("nonsense")
        Webhook.objects.update(
            secret=bad, previous_secrets=bad, authorization_credential=bad, custom_headers=bad
        )

        assert put(api, authorized, name="New", authorization_scheme="basic").status_code == 200
        assert put(api, authorized, webhook_secret="new", custom_headers=[]).status_code == 200


@pytest.mark.django_db
class TestWhatIsQueued:
    """A change applies from the next attempt on, and an attempt records what it used."""

    def test_goes_to_the_new_url_from_the_next_attempt_on(
        self, api: Client, webhook: Webhook, settings: Any
    ) -> None:
        settings.WEBHOOKS_RETRY_DELAYS = (timedelta(0),)
        builders.a_delivery(webhook)

        def move_while_it_is_under_way(request: Request) -> Outcome:
            fields = {"webhook_url": "https://example.org/new", "http_method": "PUT"}
            assert put(api, webhook, **fields).status_code == 200
            return a_reply(500 if request.method == "POST" else 200)

        transport = FakeTransport(move_while_it_is_under_way)
        clock = iter(builders.NOW + timedelta(minutes=minute) for minute in range(1000))
        Dispatcher(transport=transport, clock=lambda: next(clock)).run_until_idle(budget=timedelta(seconds=5))

        used = [(builders.URL, "POST"), ("https://example.org/new", "PUT")]
        assert [(request.url, request.method) for request in transport.sent] == used
        assert list(Attempt.objects.order_by("number").values_list("url", "http_method")) == used

    def test_is_held_while_the_webhook_is_disabled(self, api: Client, webhook: Webhook) -> None:
        delivery = builders.a_delivery(webhook)

        put(api, webhook, enabled=False)
        delivery.refresh_from_db()
        assert delivery.status == Delivery.Status.HELD

        put(api, webhook, enabled=True)
        delivery.refresh_from_db()
        assert delivery.status == Delivery.Status.PENDING


class TestToggle:
    def test_flips_and_says_what_it_did(self, api: Client, webhook: Webhook) -> None:
        answers = [api.patch(f"{path_of(webhook)}/toggle{slash}").json() for slash in ("", "/")]

        assert [list(answer) for answer in answers] == [["success", "data", "message"]] * 2
        assert [list(answer["data"]) for answer in answers] == [KEYS] * 2
        assert [
            (answer["success"], answer["message"], answer["data"]["enabled"], answer["data"]["status"])
            for answer in answers
        ] == [(True, "Webhook disabled", False, "disabled"), (True, "Webhook enabled", True, "active")]

    @pytest.mark.parametrize("body", ["{", '{"enabled": true}', "x" * 300_000])
    def test_does_not_read_a_body(self, api: Client, webhook: Webhook, body: str) -> None:
        response = api.patch(f"{path_of(webhook)}/toggle", body, content_type="text/plain")

        assert (response.status_code, response.json()["message"]) == (200, "Webhook disabled")

    def test_holds_and_releases_what_is_queued(
        self,
        api: Client,
        webhook: Webhook,
        doorbell_rings: list[str],
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        delivery = builders.a_delivery(webhook)

        for status in (Delivery.Status.HELD, Delivery.Status.PENDING):
            with django_capture_on_commit_callbacks(execute=True):
                api.patch(f"{path_of(webhook)}/toggle")
            delivery.refresh_from_db()
            assert delivery.status == status
        assert doorbell_rings == ["ring"]

    def test_forgets_why_it_was_disabled(self, api: Client, webhook: Webhook, now: datetime) -> None:
        webhooks.disable(webhook.pk, reason="The receiver answered 410 Gone.", by="a test", now=now)

        api.patch(f"{path_of(webhook)}/toggle")

        assert (stored(webhook)["enabled"], stored(webhook)["disabled_reason"]) == (True, "")

    def test_notes_who_did_it(self, api: Client, webhook: Webhook) -> None:
        api.patch(f"{path_of(webhook)}/toggle")

        entry = AuditEntry.objects.get(action=AuditEntry.Action.WEBHOOK_CHANGED)
        assert (entry.by[:12], entry.details) == ("API key test", {"fields": ["enabled"]})


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestToggleTwiceAtOnce:
    def test_flips_twice(self, api: Client, webhook: Webhook, at_once: AtOnce) -> None:
        answers: Any = at_once(webhook, lambda: api.patch(f"{path_of(webhook)}/toggle"))

        assert sorted(answer.json()["message"] for answer in answers) == [
            "Webhook disabled",
            "Webhook enabled",
        ]
        assert Webhook.objects.get().enabled


class TestDelete:
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_says_so_and_is_gone(self, api: Client, webhook: Webhook, slash: str) -> None:
        response = api.delete(f"{path_of(webhook)}{slash}")

        assert (response.status_code, list(response.json().items())) == (
            200,
            [("success", True), ("message", "Webhook deleted successfully")],
        )
        assert api.get(path_of(webhook)).status_code == 404
        assert api.delete(path_of(webhook)).status_code == 404
        assert api.get(path_of(webhook).rpartition("/")[0]).json()["data"]["webhooks"] == []

    def test_cancels_what_is_queued_and_keeps_what_was_sent(self, api: Client, webhook: Webhook) -> None:
        queued = builders.a_delivery(webhook)
        failed = builders.a_failed_delivery(webhook)

        api.delete(path_of(webhook))

        queued.refresh_from_db()
        assert queued.status == Delivery.Status.CANCELLED
        listed = api.get("/api/v4/tasks/webhook_failures").json()["webhook_failures"]
        assert [failure["id"] for failure in listed] == [failed.failure.pk]
        assert api.get(f"/api/v4/tasks/webhook_failures/{failed.failure.pk}").status_code == 200
        assert Attempt.objects.get().delivery == failed

    def test_leaves_the_history_on_the_console(
        self, api: Client, webhook: Webhook, admin_client: Client
    ) -> None:
        failed = builders.a_failed_delivery(webhook)

        api.delete(path_of(webhook))

        for row in (failed, failed.attempts.get(), failed.failure, webhook):
            page = admin_client.get(f"/admin/deliveries/{row._meta.model_name}/{row.pk}/change/")
            assert page.status_code == 200

    def test_makes_its_failures_impossible_to_send_again(self, api: Client, webhook: Webhook) -> None:
        failure = builders.a_failed_delivery(webhook).failure

        api.delete(path_of(webhook))

        response = api.post(f"/api/v4/tasks/webhook_failures/{failure.pk}/retrigger")
        assert response.status_code == 409
        assert Failure.objects.get().status == Failure.Status.INACTIVE

    def test_forgets_every_secret(self, api: Client, webhook: Webhook) -> None:
        rotate(api, webhook)
        rotate(api, webhook)

        api.delete(path_of(webhook))

        assert (stored(webhook)["secret"], stored(webhook)["previous_secrets"]) == (None, None)

    def test_notes_who_did_it(self, api: Client, webhook: Webhook) -> None:
        api.delete(path_of(webhook))

        entry = AuditEntry.objects.get(action=AuditEntry.Action.WEBHOOK_DELETED)
        assert (entry.by[:12], entry.subject_id) == ("API key test", str(webhook.pk))


def oracle(secret: str) -> Oracle:
    return Oracle(secret if secret.startswith("whsec_") else base64.b64encode(secret.encode()).decode())


def verifies(secret: str, request: Request) -> bool:
    """Ask the published library whether a request was signed with the secret."""
    try:
        oracle(secret).verify(request.body, dict(request.headers))
    except Exception:
        return False
    return True


def next_request(webhook: Webhook) -> Request:
    """Return what the webhook would be sent now."""
    delivery = builders.a_delivery(Webhook.objects.get(pk=webhook.pk))
    return composing.compose(delivery, at=datetime.now(UTC))


class TestRotateSecret:
    def test_shows_the_new_secret_once(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account), secret="old")

        response = api.generic("POST", f"{path_of(webhook)}/rotate_secret/")

        answer = response.json()
        assert response.status_code == 200
        assert list(answer) == ["success", "data", "message"]
        assert (answer["success"], answer["message"]) == (True, "Webhook secret rotated successfully")
        assert list(answer["data"]) == ["webhook_secret", "previous_secret_expires_at"]
        new = answer["data"]["webhook_secret"]
        assert new.startswith("whsec_")
        assert len(base64.b64decode(new.removeprefix("whsec_"))) == 32
        assert response.headers["Cache-Control"] == "no-store"
        for path in (path_of(webhook), path_of(webhook).rpartition("/")[0]):
            assert new not in api.get(path).content.decode()
        assert Webhook.objects.get().secrets_at(datetime.now(UTC)) == [new, "old"]

    @pytest.mark.parametrize(
        ("body", "hours"), [({}, 24), ({"overlap_hours": 1}, 1), ({"overlap_hours": 168}, 168)]
    )
    def test_says_until_when_the_old_one_signs(
        self, api: Client, account: Account, body: dict[str, int], hours: int
    ) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account), secret="old")
        before = datetime.now(UTC)

        text = rotate(api, webhook, **body).json()["data"]["previous_secret_expires_at"]

        said = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        assert before <= said - timedelta(hours=hours) <= datetime.now(UTC)
        row = Webhook.objects.get()
        assert row.reveal_previous_secrets() == [("old", said)]
        assert (len(row.secrets_at(said - timedelta(seconds=1))), len(row.secrets_at(said))) == (2, 1)

    def test_has_both_verify_during_the_overlap(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account), secret="old")
        new = rotate(api, webhook).json()["data"]["webhook_secret"]

        request = next_request(webhook)

        assert verifies(new, request)
        assert verifies("old", request)

    def test_has_the_new_one_alone_verify_afterwards(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account), secret="old")
        long_ago = datetime.now(UTC) - timedelta(hours=25)
        rotated = webhooks.rotate_secret(webhook, overlap=timedelta(hours=24), by="a test", now=long_ago)

        request = next_request(webhook)

        assert verifies(rotated.secret, request)
        assert not verifies("old", request)

    def test_ends_the_old_one_at_once_without_an_overlap(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account), secret="old")

        data = rotate(api, webhook, overlap_hours=0).json()["data"]

        assert data["previous_secret_expires_at"] is None
        assert verifies(data["webhook_secret"], next_request(webhook))
        assert not verifies("old", next_request(webhook))

    def test_gives_a_webhook_its_first_secret(self, api: Client, webhook: Webhook) -> None:
        data = rotate(api, webhook).json()["data"]

        assert data["previous_secret_expires_at"] is None
        assert verifies(data["webhook_secret"], next_request(webhook))

    def test_leaves_what_is_under_way_verifiable(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account), secret="old")
        builders.a_delivery(webhook)
        new: list[str] = []

        def rotate_while_it_is_under_way(request: Request) -> Outcome:
            new.append(rotate(api, webhook).json()["data"]["webhook_secret"])
            return a_reply(200 if verifies("old", request) else 401)

        transport = FakeTransport(rotate_while_it_is_under_way)
        Dispatcher(transport=transport, clock=lambda: datetime.now(UTC)).run_until_idle(
            budget=timedelta(seconds=5)
        )

        assert Delivery.objects.get().status == Delivery.Status.SUCCEEDED
        assert verifies("old", next_request(webhook))
        assert verifies(new[0], next_request(webhook))

    @pytest.mark.parametrize(
        ("body", "field", "message"),
        [
            ({"overlap_hours": -1}, "overlap_hours", "The overlap hours field must be between 0 and 168."),
            ({"overlap_hours": 169}, "overlap_hours", "The overlap hours field must be between 0 and 168."),
            (
                {"overlap_hours": 10**299},
                "overlap_hours",
                "The overlap hours field must be between 0 and 168.",
            ),
            ({"overlap_hours": "1"}, "overlap_hours", "The overlap hours field must be an integer."),
            ({"overlap_hours": 1.0}, "overlap_hours", "The overlap hours field must be an integer."),
            ({"overlap_hours": True}, "overlap_hours", "The overlap hours field must be an integer."),
            ({"overlap_hours": None}, "overlap_hours", "The overlap hours field must be an integer."),
            ({"overlap": 1}, "overlap", "The overlap field is unknown."),
            ([], "body", "The body must be a JSON object."),
        ],
    )
    def test_refuses(self, api: Client, webhook: Webhook, body: object, field: str, message: str) -> None:
        before = stored(webhook)

        response = api.post(f"{path_of(webhook)}/rotate_secret", body, content_type="application/json")

        check_refusal(response, field, message)
        assert stored(webhook) == before

    def test_goes_so_often_with_an_overlap_and_any_time_without(self, api: Client, webhook: Webhook) -> None:
        made = [rotate(api, webhook).json()["data"]["webhook_secret"] for _ in range(5)]

        message = "5 secrets sign already; wait for one to expire or rotate without overlap."
        check_refusal(rotate(api, webhook), "overlap_hours", message)
        assert [verifies(secret, next_request(webhook)) for secret in made] == [True] * 5
        assert rotate(api, webhook, overlap_hours=0).status_code == 200
        assert [verifies(secret, next_request(webhook)) for secret in made] == [True] * 4 + [False]

    @pytest.mark.parametrize("column", ["secret", "previous_secrets"])
    def test_needs_no_overlap_where_no_key_opens_what_is_there(
        self, api: Client, webhook: Webhook, column: str
    ) -> None:
        rotate(api, webhook)
        Webhook.objects.update(**{column: Sealed("nonsense")})

        message = "The present secret cannot be read; only a rotation without overlap goes."
        check_refusal(rotate(api, webhook), "overlap_hours", message)
        new = rotate(api, webhook, overlap_hours=0).json()["data"]["webhook_secret"]
        assert verifies(new, next_request(webhook))

    def test_notes_who_did_it_and_no_secret(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(agent=builders.an_agent(account), secret="canary")

        new = rotate(api, webhook).json()["data"]["webhook_secret"]

        entry = AuditEntry.objects.get(action=AuditEntry.Action.SECRET_ROTATED)
        assert (entry.by[:12], entry.subject_id) == ("API key test", str(webhook.pk))
        assert entry.details == {"overlap_hours": 24}
        for row in AuditEntry.objects.values():
            assert not any(secret in str(row) for secret in ("canary", new))


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestRotateSecretTwiceAtOnce:
    def test_loses_neither(self, api: Client, webhook: Webhook, at_once: AtOnce) -> None:
        answers: Any = at_once(webhook, lambda: rotate(api, webhook))

        made = {answer.json()["data"]["webhook_secret"] for answer in answers}
        assert len(made) == 2
        assert set(Webhook.objects.get().secrets_at(datetime.now(UTC))) == made
