import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from deliveries.api.native.serializers.recoveries import STATUS_WORDS
from deliveries.models import Account, AuditEntry, Delivery, Failure, Recovery, Scope
from deliveries.reasons import Reason
from deliveries.services.recovering import Selection
from tests import builders
from tests.api.conftest import ClientWith

PATH = "/api/v1/recoveries"
BODY = {"event": "call.ended"}
UNKNOWN_ID = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"
ACTS = ("pause", "resume", "cancel")
# What the parts of a selection are called in a recovery's filter, where that is another word.
NAMES = {
    "event_type": "event",
    "failed_from": "created_at",
    "failed_before": "created_at",
    "made_from": "delivery_created_at",
    "made_before": "delivery_created_at",
}


def ask(api: Client, body: Any = BODY) -> Any:
    """Return the answer to a request for a recovery."""
    return api.post(PATH, body, content_type="application/json")


def errors(response: Any) -> Any:
    """Return the errors of a refused request."""
    assert response.status_code == 422, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    return response.json()["errors"]


def form(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class TestDryRun:
    def test_says_what_would_be_sent_and_changes_nothing(self, api: Client, account: Account) -> None:
        webhook, disabled = builders.a_webhook(account), builders.a_webhook(account, enabled=False)
        delivery = builders.a_failed_delivery(webhook)
        builders.a_failed_delivery(disabled)

        response = ask(api, {**BODY, "dry_run": True})

        assert response.status_code == 200
        assert list(response.json().items()) == [
            ("dry_run", True),
            ("count", 1),
            (
                "sample",
                [
                    {
                        "id": delivery.failure.pk,
                        "event": "call.ended",
                        "webhook": {"id": str(webhook.pk), "name": "CRM call events"},
                        "reason": "Connection timeout",
                        "reason_code": "connection_timeout",
                        "created_at": "2026-03-15T10:00:00.000000Z",
                    }
                ],
            ),
            ("excluded", 1),
        ]
        assert not Recovery.objects.exists()
        assert not Delivery.objects.filter(status="pending").exists()

    def test_shows_ten_at_most(self, api: Client, account: Account, django_assert_num_queries: Any) -> None:
        webhook = builders.a_webhook(account)
        for _ in range(12):
            builders.a_failed_delivery(webhook)
        ask(api, {**BODY, "dry_run": True})  # notes the use of the key

        with django_assert_num_queries(3):
            answer = ask(api, {**BODY, "dry_run": True}).json()

        assert (answer["count"], len(answer["sample"])) == (12, 10)


class TestCreate:
    def test_makes_a_recovery(
        self,
        api: Client,
        account: Account,
        doorbell_rings: list[str],
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        webhook = builders.a_webhook(account)
        delivery = builders.a_failed_delivery(webhook)
        body = {
            "webhook_id": str(webhook.pk),
            "event": "call.ended",
            "reason_code": "connection_timeout",
            "created_at": {"gte": "2026-03-15T11:00:00+01:00", "lt": "2026-03-16T00:00:00Z"},
            "dry_run": False,
            "rate": 7,
            "why": "It was down.",
        }

        with django_capture_on_commit_callbacks(execute=True):
            response = ask(api, body)

        assert response.status_code == 202
        recovery = Recovery.objects.get()
        assert response.headers["Location"] == f"{PATH}/{recovery.pk}"
        assert list(response.json().items()) == [
            ("id", str(recovery.pk)),
            ("status", "running"),
            (
                "filter",
                {
                    "webhook_id": str(webhook.pk),
                    "event": "call.ended",
                    "reason_code": "connection_timeout",
                    "created_at": {"gte": "2026-03-15T10:00:00.000000Z", "lt": "2026-03-16T00:00:00.000000Z"},
                    "reason": None,
                    "delivery_created_at": None,
                },
            ),
            ("rate", 7),
            ("why", "It was down."),
            ("by", recovery.by),
            ("total", 1),
            ("progress", {"queued": 0, "skipped": 0, "delivered": 0, "failed": 0, "outstanding": 0}),
            ("sample", [delivery.failure.pk]),
            ("created_at", form(recovery.created_at)),
            ("finished_at", None),
        ]
        assert recovery.by.startswith("API key test")
        assert api.get(response.headers["Location"]).json() == response.json()
        assert not doorbell_rings

    def test_fills_in_what_is_not_given(self, api: Client, account: Account) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        answer = ask(api, {**BODY, "webhook_id": None, "created_at": None, "why": None}).json()

        assert (answer["rate"], answer["why"], answer["status"]) == (50, "", "running")
        assert list(answer["filter"].items()) == [
            ("webhook_id", None),
            ("event", "call.ended"),
            ("reason_code", None),
            ("created_at", None),
            ("reason", None),
            ("delivery_created_at", None),
        ]

    @pytest.mark.parametrize(
        "part", [{"reason": "HTTP 503"}, {"delivery_created_at": {"gte": "2026-03-15T10:00:00Z"}}]
    )
    def test_takes_no_part_that_only_the_console_has(
        self, api: Client, account: Account, part: dict[str, Any]
    ) -> None:
        assert list(errors(ask(api, {**BODY, **part}))) == [*part]
        assert not Recovery.objects.exists()

    def test_takes_half_a_period(self, api: Client, account: Account) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        answer = ask(api, {"created_at": {"gte": "2026-03-15T10:00:00Z", "lt": None}}).json()

        assert answer["total"] == 1
        assert answer["filter"]["created_at"] == {"gte": "2026-03-15T10:00:00.000000Z", "lt": None}

    def test_leaves_one_audit_row(self, api: Client, account: Account) -> None:
        ask(api, {**BODY, "why": "It was down."})

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.why, entry.account) == ("recovery.created", "It was down.", account)
        assert entry.subject_id == str(Recovery.objects.get().pk)

    def test_refuses_the_eleventh_that_is_unfinished(self, api: Client, account: Account) -> None:
        for _ in range(10):
            builders.a_recovery(account)

        response = api.post(PATH, BODY, content_type="application/json")

        assert response.status_code == 409
        assert response.json() == {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "The account has 10 unfinished recoveries. Wait until one is finished, or cancel one.",
            "instance": f"urn:uuid:{response.headers['X-Request-Id']}",
            "code": "too_many_recoveries",
            "errors": {},
        }
        assert Recovery.objects.count() == 10
        assert api.post(PATH, {**BODY, "dry_run": True}, content_type="application/json").status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            {"event": "call.begun"},
            {"webhook_id": UNKNOWN_ID},
            {"reason_code": "dns_failed"},
            {"created_at": {"gte": "2026-03-16T00:00:00Z", "lt": "2026-03-15T00:00:00Z"}},
            {"created_at": {"gte": "2026-03-15T10:00:00Z", "lt": "2026-03-15T10:00:00Z"}},
        ],
        ids=["unknown event", "unknown webhook", "no such reason", "negative period", "empty period"],
    )
    def test_is_done_at_once_when_nothing_is_selected(
        self, api: Client, account: Account, body: dict[str, Any]
    ) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        response = ask(api, body)

        assert response.status_code == 202
        assert (response.json()["status"], response.json()["total"]) == ("completed", 0)
        assert response.json()["finished_at"] == response.json()["created_at"]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"dry_run": True},
            {"rate": 5, "why": "No reason."},
            {"webhook_id": None, "event": None, "reason_code": None, "created_at": None},
            {"created_at": {}},
            {"created_at": {"gte": None, "lt": None}},
        ],
        ids=str,
    )
    def test_refuses_an_empty_filter(self, api: Client, account: Account, body: dict[str, Any]) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        assert errors(ask(api, body)) == {
            "body": [
                "Give at least one of webhook_id, event, reason_code and created_at: "
                "without a filter nothing is selected."
            ]
        }
        assert not Recovery.objects.exists()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("webhook_id", 5),
            ("webhook_id", ""),
            ("webhook_id", "1"),
            ("webhook_id", UNKNOWN_ID.replace("-", "")),
            ("webhook_id", [UNKNOWN_ID]),
            ("event", 5),
            ("event", True),
            ("event", ""),
            ("event", " "),
            ("event", ["call.ended"]),
            ("event", "e" * 101),
            ("reason_code", "timeout"),
            ("reason_code", "CONNECTION_TIMEOUT"),
            ("reason_code", ""),
            ("reason_code", 5),
            ("created_at", "2026-03-15T10:00:00Z"),
            ("created_at", []),
            ("created_at", {"gt": "2026-03-15T10:00:00Z"}),
            ("created_at", {"gte": "2026-03-15T10:00:00"}),
            ("created_at", {"gte": 5, "lt": "yesterday"}),
            ("created_at", {"gte": "9999-12-31T23:59:59-01:00"}),
            ("dry_run", "true"),
            ("dry_run", 1),
            ("dry_run", None),
            ("rate", 0),
            ("rate", -1),
            ("rate", 1001),
            ("rate", 10**299),
            ("rate", "50"),
            ("rate", 50.0),
            ("rate", True),
            ("rate", None),
            ("why", 5),
            ("why", "w" * 501),
            ("colour", "red"),
            ("created_at[gte]", "2026-03-15T10:00:00Z"),
        ],
        ids=lambda part: str(part)[:30],
    )
    def test_refuses_a_bad_field(self, api: Client, account: Account, field: str, value: object) -> None:
        builders.a_failed_delivery(builders.a_webhook(account))

        found = errors(ask(api, {**BODY, field: value}))

        assert list(found) == [field]
        assert {type(message) for message in found[field]} == {str}
        assert not Recovery.objects.exists()

    @pytest.mark.parametrize("rate", [1, 1000])
    def test_takes_the_ends_of_the_range(self, api: Client, rate: int) -> None:
        assert ask(api, {**BODY, "rate": rate}).json()["rate"] == rate

    def test_says_what_it_would_have_taken(self, api: Client) -> None:
        found = errors(
            ask(
                api,
                {"reason_code": "timeout", "rate": 0, "created_at": {"gt": "x", "lt": "y"}, "dryrun": True},
            )
        )

        assert found["reason_code"] == [f"Must be one of {', '.join(Reason)}."]
        assert found["rate"] == ["Must be a whole number from 1 to 1000."]
        assert [text.split(":")[0] for text in found["created_at"]] == ["lt", "gt"]
        assert found["dryrun"] == ["Unknown field."]

    @pytest.mark.parametrize("body", ["[]", "null", '"x"'])
    def test_wants_an_object(self, api: Client, body: str) -> None:
        assert list(errors(ask(api, body))) == ["body"]

    def test_selects_nothing_of_another_account(self, stranger: Client, account: Account) -> None:
        delivery = builders.a_failed_delivery(builders.a_webhook(account))

        for body in (BODY, {"webhook_id": str(delivery.webhook_id)}):
            assert ask(stranger, body).json()["total"] == 0
            assert ask(stranger, {**body, "dry_run": True}).json() == {
                "dry_run": True,
                "count": 0,
                "sample": [],
                "excluded": 0,
            }


class TestGet:
    def test_shows_what_became_of_it(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(account)
        recovery = builders.a_recovery(account, total=9, queued=6, skipped=3)
        for status, count in (("delivered", 3), ("inactive", 2), ("pending", 1)):
            for _ in range(count):
                failure = builders.a_failed_delivery(webhook).failure
                Failure.objects.filter(pk=failure.pk).update(status=status, recovery=recovery)

        answer = api.get(f"{PATH}/{recovery.pk}/").json()

        assert answer["total"] == 9
        assert answer["progress"] == {
            "queued": 6,
            "skipped": 3,
            "delivered": 3,
            "failed": 2,
            "outstanding": 1,
        }

    @pytest.mark.parametrize("status", Recovery.Status)
    def test_has_a_word_for_every_state(self, status: Recovery.Status) -> None:
        assert status in STATUS_WORDS


class TestOne:
    def test_says_all_that_the_console_selected_by(self, api: Client, account: Account) -> None:
        recovery = builders.a_recovery(
            account, reason="HTTP 503", made_from=builders.NOW, made_before=builders.NOW + timedelta(hours=1)
        )

        selected_by = api.get(f"{PATH}/{recovery.pk}").json()["filter"]

        assert selected_by["reason"] == "HTTP 503"
        assert selected_by["delivery_created_at"] == {
            "gte": "2026-03-15T10:00:00.000000Z",
            "lt": "2026-03-15T11:00:00.000000Z",
        }
        assert selected_by["created_at"] is None

    @pytest.mark.parametrize("part", [part.name for part in fields(Selection)])
    def test_leaves_out_no_part(self, api: Client, account: Account, part: str) -> None:
        """One that says less than it selected by would pass for a recovery of more."""
        known: dict[str, Any] = {"webhook_id": UNKNOWN_ID, "reason_code": "http_status", "reason": "HTTP 503"}
        value = known.get(part, "call.ended" if part == "event_type" else builders.NOW)
        recovery = builders.a_recovery(account, **{"event_type": "", part: value})

        selected_by = api.get(f"{PATH}/{recovery.pk}").json()["filter"]

        assert [name for name, said in selected_by.items() if said] == [NAMES.get(part, part)]


class TestList:
    def test_is_newest_first_and_of_the_account(self, api: Client, account: Account) -> None:
        older = builders.a_recovery(account)
        newer = builders.a_recovery(account, created_at=builders.NOW + timedelta(seconds=1))
        builders.a_recovery()

        answer = api.get(PATH).json()

        assert [each["id"] for each in answer["results"]] == [str(newer.pk), str(older.pk)]
        assert answer["results"][0] == api.get(f"{PATH}/{newer.pk}").json()
        assert (answer["next"], answer["previous"]) == (None, None)

    def test_goes_on_where_a_page_ends(self, api: Client, account: Account) -> None:
        made = [str(builders.a_recovery(account).pk) for _ in range(3)]

        first = api.get(f"{PATH}?page_size=2").json()
        second = api.get(first["next"]).json()

        assert [each["id"] for each in first["results"] + second["results"]] == made[::-1]

    def test_keeps_one_status(self, api: Client, account: Account) -> None:
        paused = builders.a_recovery(account, status="paused")
        builders.a_recovery(account)

        answer = api.get(f"{PATH}?status=paused").json()

        assert [each["id"] for each in answer["results"]] == [str(paused.pk)]

    @pytest.mark.parametrize(
        ("query", "field"),
        [("status=held", "status"), ("status=", "status"), ("status=%00", "status"), ("state=x", "state")],
    )
    def test_refuses_what_it_does_not_know(self, api: Client, query: str, field: str) -> None:
        assert list(errors(api.get(f"{PATH}?{query}"))) == [field]

    def test_costs_the_same_for_one_as_for_a_hundred(
        self, api: Client, account: Account, django_assert_num_queries: Any
    ) -> None:
        builders.a_recovery(account)
        api.get(PATH)  # notes the use of the key

        with django_assert_num_queries(3):
            api.get(PATH)
        for _ in range(100):
            builders.a_recovery(account)
        with django_assert_num_queries(3):
            assert len(api.get(PATH).json()["results"]) == 100


class TestActs:
    @pytest.mark.parametrize(
        ("act", "before", "after"),
        [
            ("pause", "running", "paused"),
            ("resume", "paused", "running"),
            ("cancel", "running", "cancelled"),
            ("cancel", "paused", "cancelled"),
        ],
    )
    def test_answer_with_the_recovery_as_it_is_then(
        self, api: Client, account: Account, act: str, before: str, after: str
    ) -> None:
        recovery = builders.a_recovery(account, status=before)

        response = api.post(f"{PATH}/{recovery.pk}/{act}")

        assert response.status_code == 200
        assert response.json()["status"] == after
        assert (response.json()["finished_at"] is not None) == (after == "cancelled")
        assert api.get(f"{PATH}/{recovery.pk}").json() == response.json()
        assert AuditEntry.objects.get().by.startswith("API key test")

    @pytest.mark.parametrize(
        ("act", "status"),
        [
            ("pause", "paused"),
            ("pause", "completed"),
            ("resume", "running"),
            ("resume", "cancelled"),
            ("cancel", "cancelled"),
            ("cancel", "completed"),
        ],
    )
    def test_say_when_the_state_does_not_allow_them(
        self, api: Client, account: Account, act: str, status: str
    ) -> None:
        finished_at = builders.NOW if status in ("completed", "cancelled") else None
        recovery = builders.a_recovery(account, status=status, finished_at=finished_at)

        response = api.post(f"{PATH}/{recovery.pk}/{act}/")

        assert response.status_code == 409
        assert response.json() == {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": f"The recovery is {status}.",
            "instance": f"urn:uuid:{response.headers['X-Request-Id']}",
            "code": "recovery_state_conflict",
            "errors": {},
        }
        assert not AuditEntry.objects.exists()

    @pytest.mark.parametrize("act", ACTS)
    def test_ignore_nothing_in_the_query(self, api: Client, account: Account, act: str) -> None:
        recovery = builders.a_recovery(account)

        assert list(errors(api.post(f"{PATH}/{recovery.pk}/{act}?force=1"))) == ["force"]
        assert Recovery.objects.get().status == "running"

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("act", ["pause", "cancel"])
    def test_of_two_at_once_one_is_done(self, api: Client, account: Account, act: str) -> None:
        recovery = builders.a_recovery(account)
        together = threading.Barrier(2)

        def press() -> int:
            together.wait(10)
            try:
                return api.post(f"{PATH}/{recovery.pk}/{act}").status_code
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            answers = [pool.submit(press) for _ in range(2)]

        assert sorted(answer.result() for answer in answers) == [200, 409]
        assert AuditEntry.objects.count() == 1


class TestAccess:
    def test_is_the_account_s_alone(self, stranger: Client, account: Account) -> None:
        recovery = builders.a_recovery(account)
        own_path = f"{PATH}/{recovery.pk}"
        missing = stranger.get(f"{PATH}/{UNKNOWN_ID}")

        answers = [stranger.get(own_path), *(stranger.post(f"{own_path}/{act}") for act in ACTS)]

        assert {answer.status_code for answer in (missing, *answers)} == {404}
        assert {answer.content for answer in answers} == {missing.content}
        assert stranger.get(PATH).json()["results"] == []
        assert Recovery.objects.get().status == "running"

    @pytest.mark.parametrize("recovery_id", ["1", "x", "%00", UNKNOWN_ID.replace("-", "")])
    def test_finds_nothing_by_what_is_no_id(self, api: Client, recovery_id: str) -> None:
        assert api.get(f"{PATH}/{recovery_id}").status_code == 404
        assert api.post(f"{PATH}/{recovery_id}/pause").status_code == 404

    def test_needs_its_scopes(self, client_with: ClientWith, account: Account) -> None:
        recovery = builders.a_recovery(account)
        reader, manager = client_with(Scope.RECOVERIES_READ), client_with(Scope.RECOVERIES_MANAGE)
        one = f"{PATH}/{recovery.pk}"

        assert [reader.get(path).status_code for path in (PATH, one)] == [200, 200]
        assert [manager.get(path).status_code for path in (PATH, one)] == [403, 403]
        assert ask(reader, {**BODY, "dry_run": True}).status_code == 403
        assert ask(manager, {**BODY, "dry_run": True}).status_code == 200
        for act, status in (("pause", 200), ("resume", 200), ("cancel", 200)):
            assert reader.post(f"{one}/{act}").status_code == 403
            assert manager.post(f"{one}/{act}").status_code == status

    def test_names_its_methods(self, api: Client, account: Account) -> None:
        one = f"{PATH}/{builders.a_recovery(account).pk}"

        for path, allowed in ((PATH, "GET, HEAD, POST"), (one, "GET, HEAD"), (f"{one}/pause", "POST")):
            response = api.delete(path)
            assert response.status_code == 405
            assert set(response.headers["Allow"].split(", ")) <= set(allowed.split(", "))
