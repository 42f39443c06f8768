from typing import Any

import pytest
from django.test import Client

from deliveries.models import Account
from tests import builders

PATH = "/api/v1/stats"
UNTIL = "until=2026-03-15T10:30:00Z"
FIGURES = ["attempts", "succeeded", "failed", "given_up", "success_ratio", "duration_ms"]
ONE = {
    "attempts": 1,
    "succeeded": 1,
    "failed": 0,
    "given_up": 0,
    "success_ratio": 1.0,
    "duration_ms": {"average": 142, "p50": 175, "p95": 242},
}
NONE = {
    "attempts": 0,
    "succeeded": 0,
    "failed": 0,
    "given_up": 0,
    "success_ratio": None,
    "duration_ms": {"average": None, "p50": None, "p95": None},
}


def stats(api: Client, query: str) -> Any:
    """Return the statistics."""
    response = api.get(f"{PATH}?{query}")
    assert response.status_code == 200, response.content
    return response.json()


class TestSeries:
    def test_has_every_bucket(self, api: Client, account: Account) -> None:
        builders.a_minute_of_traffic(builders.a_webhook(account))

        answer = stats(api, UNTIL)

        assert list(answer) == ["from", "to", "bucket", "totals", "buckets"]
        assert (answer["from"], answer["to"], answer["bucket"]) == (
            "2026-03-14T11:00:00.000000Z",
            "2026-03-15T11:00:00.000000Z",
            "1h",
        )
        assert list(answer["totals"]) == FIGURES
        assert answer["totals"] == ONE
        assert len(answer["buckets"]) == 24
        assert answer["buckets"][0] == {"from": "2026-03-14T11:00:00.000000Z", **NONE}
        assert answer["buckets"][23] == {"from": "2026-03-15T10:00:00.000000Z", **ONE}

    @pytest.mark.parametrize(
        ("query", "bucket", "count"),
        [
            ("window=1h", "1m", 60),
            ("window=24h", "1h", 24),
            ("window=7d", "1h", 168),
            ("window=30d", "1d", 30),
            ("bucket=1m", "1m", 1440),
            ("window=30d&bucket=1h", "1h", 720),
        ],
    )
    def test_is_cut_as_is_usual_or_asked(self, api: Client, query: str, bucket: str, count: int) -> None:
        answer = stats(api, query)

        assert (answer["bucket"], len(answer["buckets"])) == (bucket, count)

    def test_keeps_to_what_is_asked_for_and_to_the_account(
        self, api: Client, stranger: Client, account: Account
    ) -> None:
        webhook = builders.a_webhook(account)
        builders.a_minute_of_traffic(webhook)
        builders.a_minute_of_traffic(webhook, event_type="message.sent")

        assert stats(api, UNTIL)["totals"]["attempts"] == 2
        assert stats(api, f"{UNTIL}&event=message.sent&webhook_id={webhook.pk}")["totals"]["attempts"] == 1
        assert stats(stranger, f"{UNTIL}&webhook_id={webhook.pk}")["totals"]["attempts"] == 0


class TestGroups:
    def test_have_the_buckets_in_which_anything_happened(self, api: Client, account: Account) -> None:
        webhook = builders.a_webhook(account)
        builders.a_minute_of_traffic(webhook)
        bucket = {"from": "2026-03-15T10:00:00.000000Z", **ONE}

        by_webhook = stats(api, f"{UNTIL}&group_by=webhook")
        by_event = stats(api, f"{UNTIL}&group_by=event")

        assert list(by_webhook) == ["from", "to", "bucket", "totals", "groups", "truncated"]
        assert by_webhook["groups"] == [
            {
                "webhook": {"id": str(webhook.pk), "name": "CRM call events"},
                "totals": ONE,
                "buckets": [bucket],
            }
        ]
        assert by_event["groups"] == [{"event": "call.ended", "totals": ONE, "buckets": [bucket]}]
        assert (by_event["totals"], by_event["truncated"]) == (ONE, False)


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "fields"),
        [
            ("window=2h", ["window"]),
            ("window=&bucket=2m&group_by=agent", ["window", "bucket", "group_by"]),
            ("until=now&webhook_id=1&event=%00", ["until", "webhook_id", "event"]),
            ("until=0001-01-01T00:00:00Z", ["until"]),
            ("until=9999-12-31T23:59:59Z", ["until"]),
            ("window=7d&bucket=5m", ["bucket"]),
            ("window=1h&bucket=1d", ["bucket"]),
            ("bucket=1m&group_by=event", ["bucket"]),
        ],
    )
    def test_name_every_bad_parameter(self, api: Client, query: str, fields: list[str]) -> None:
        response = api.get(f"{PATH}?{query}")

        assert response.status_code == 422, response.content
        assert list(response.json()["errors"]) == fields

    def test_say_which_buckets_would_fit(self, api: Client) -> None:
        assert api.get(f"{PATH}?window=7d&bucket=1m").json()["errors"] == {
            "bucket": ["A window of 7d is cut into 1 to 1,500 buckets: use 1h or 1d."]
        }

    @pytest.mark.parametrize(
        "until", ["1969-12-31T00:00:00Z", "0002-01-01T00:00:00Z", "9999-12-01T00:00:00Z"]
    )
    def test_are_not_for_times_without_traffic(self, api: Client, until: str) -> None:
        assert stats(api, f"until={until}")["totals"] == NONE

    def test_name_the_parameter_that_was_meant(self, api: Client) -> None:
        assert api.get(f"{PATH}?groupby=event").json()["errors"] == {
            "groupby": ['Unknown parameter. Did you mean "group_by"?']
        }
