"""The failures API, example by example and error by error, to the letter."""

import pytest

from deliveries.models import Account
from tests.api.golden import replaying

CONTRACT = "failures"
# What the contract fixes, in its order, and the golden files that hold it.
PAGE = {
    # Common rules
    "paths work with and without one trailing slash": ["list", "list_with_a_slash", "retrigger_with_a_slash"],
    "tasks.webhooks.read: every GET": ["list_with_the_scope", "webhook_with_the_scope"],
    "tasks.webhooks.manage: retrigger": ["retrigger_with_the_scope"],
    "manage does not imply read": ["403_manage_does_not_read", "403_manage_does_not_read_webhooks"],
    "400: malformed request": ["400"],
    "401: key missing": ["401_missing"],
    "401: key unknown": ["401_unknown"],
    "401: key revoked": ["401_revoked"],
    "401: key expired": ["401_expired"],
    "403: valid key without the scope": ["403_list", "403_retrigger"],
    "404: no such resource": ["404_failure", "404_retrigger", "404_webhook"],
    "404: another account's resource": [
        "404_of_another",
        "404_retrigger_of_another",
        "404_webhook_of_another",
    ],
    "404: malformed id": ["404_malformed", "404_retrigger_malformed", "404_webhook_malformed"],
    "404: no such path under /api/v4": ["404_path", "404_root"],
    "405": ["405_list", "405_retrigger", "405_webhooks"],
    "406": ["406"],
    "409: the resource's state forbids it": ["409_pending", "409_delivered"],
    "422: a query value is invalid, every bad parameter listed": ["422_every_parameter"],
    "429: rate limited": ["429"],
    "5xx: our fault": ["500"],
    "503 + Retry-After while the database is away": ["503"],
    # GET /api/v4/tasks/webhook_failures
    "the example": ["list"],
    "status inactive only": ["list_leaves_out_pending", "list_leaves_out_delivered"],
    "newest first": ["list_newest_first"],
    "limit: 0 to 1000 accepted, otherwise 422": ["list_limit_1000", "422_limit_1001", "422_limit_negative"],
    "offset: >= 0, otherwise 422": ["list_offset", "422_offset_negative", "422_offset_text"],
    "created_at[gte], inclusive": ["list_gte_inclusive"],
    "created_at[lt], exclusive": ["list_lt_exclusive"],
    "no zone: 422": ["422_no_zone"],
    "an unreal date: 422": ["422_unreal_date"],
    "a year outside 1..9999: 422": ["422_year"],
    "non-ASCII digits: 422": ["422_digits"],
    "a bare created_at or another operator: 422": ["422_bare_created_at", "422_operator"],
    "gte >= lt: empty list": ["list_gte_after_lt", "list_gte_equals_lt"],
    "limit=0: empty list with the true total": ["list_limit_0"],
    "unknown parameters are ignored": ["list_unknown_parameter"],
    "both spellings of the brackets work": ["list_filtered", "list_filtered_encoded"],
    "metadata.total counts everything the request matches": ["list_total", "list_past_the_end"],
    "reason is null while pending after a retrigger": ["get_pending"],
    "the webhook's snapshot survives its deletion": ["list_after_deletion"],
    # GET /api/v4/tasks/webhook_failures/{webhook_failure_id}
    "any status": ["get_pending", "get_inactive", "get_delivered"],
    "401, 403, 404, 429 of one": ["get_401", "get_403", "404_failure", "get_429"],
    # POST /api/v4/tasks/webhook_failures/{webhook_failure_id}/retrigger
    "the example of a retrigger": ["retrigger"],
    "a body is ignored": ["retrigger_with_a_body", "retrigger_with_malformed_json", "retrigger_with_text"],
    "409 unless inactive, and its webhook exists and is enabled": [
        "409_pending",
        "409_delivered",
        "409_disabled",
        "409_deleted",
    ],
    "429 of a retrigger": ["retrigger_429"],
    # GET /api/v4/tasks/webhooks and GET /api/v4/tasks/webhooks/{webhook_id}
    "webhooks": ["webhooks", "webhooks_none"],
    "webhooks, limit and offset": [
        "webhooks_limit",
        "webhooks_limit_0",
        "webhooks_past_the_end",
        "webhooks_422",
    ],
    "a webhook": ["webhook", "webhook_with_a_slash"],
    "masked values for names that look like credentials": ["webhook_masked"],
    "a deleted webhook is no more": ["webhook_deleted"],
}


@pytest.mark.parametrize("name", replaying.names(CONTRACT))
def test_answers_to_the_letter(account: Account, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    replaying.read(CONTRACT, name).replay(account, monkeypatch)


def test_leaves_out_nothing_of_the_page() -> None:
    named = {name for names in PAGE.values() for name in names}

    assert sorted(named) == replaying.names(CONTRACT)
