"""The native API, example by example and error by error, to the letter."""

import pytest

from deliveries.models import Account
from tests.api.golden import replaying

CONTRACT = "native"
# What the contract fixes, in its order, and the golden files that hold it.
PAGE = {
    # Of all endpoints
    "scopes": [
        "403",
        "agents",
        "create_agent",
        "events",
        "publish_with_the_scope",
        "batch",
        "recoveries",
        "create_recovery",
    ],
    "application/problem+json, a stable code, an errors map": ["400", "405", "406", "413", "415", "500"],
    "401": ["401_missing", "401_unknown", "401_revoked", "401_expired"],
    "404": ["404", "404_of_another", "404_malformed", "404_path", "404_root"],
    "429": ["429", "429_publish"],
    "503 + Retry-After": ["503", "503_publish"],
    "keyset pagination, page size <= 100": ["agents_page", "events_page", "422_page_size"],
    "unknown query parameters are 422": ["422_unknown_parameter", "422_events"],
    # Events
    "the example of POST /events": ["publish", "publish_without_a_match", "publish_the_least"],
    "payload is a JSON object": ["422_payload_is_no_object"],
    "payload: at most 256 KiB": ["publish_256_KiB", "422_256_KiB_and_1"],
    "payload: 32 levels deep": ["publish_32_levels", "400_33_levels"],
    "payload: no duplicate keys": ["400_duplicate_keys"],
    "payload: no NUL, no lone surrogates": ["400_nul", "400_surrogate"],
    "payload: no NaN/Infinity": ["400_nan", "400_infinity"],
    "payload: numbers of at most 300 digits": ["publish_300_digits", "400_number_of_301_digits"],
    "event is a known event type": ["422_unknown_event"],
    "or any of its form when the account allows open types": [
        "publish_an_open_type",
        "422_open_type_of_another_form",
    ],
    "every bad field": ["422_several"],
    "Idempotency-Key: 1-128 visible ASCII": [
        "publish_with_a_key",
        "422_idempotency_key",
        "422_long_idempotency_key",
    ],
    "the same key and body gives the same answer": ["publish_replayed"],
    "the same key with another body": ["409_idempotency_conflict"],
    "kept 72 hours": ["publish_after_72_hours"],
    "an event that matches nothing is stored all the same": ["publish_without_a_match"],
    "POST /events/batch": ["batch", "batch_with_keys", "409_batch"],
    "422 names the index of every bad item": ["422_batch"],
    "up to 500": ["422_batch_of_501", "422_batch_of_none"],
    "GET /events/{id}: deliveries, and skipped with the reason": ["event", "404_event"],
    "GET /events, filtered by type, agent, time": [
        "events",
        "events_of_a_type",
        "events_of_another_type",
        "events_of_an_agent",
        "events_of_a_time",
        "events_of_another_time",
        "422_events_values",
    ],
    # Agents
    "POST /agents": ["create_agent", "422_agent"],
    "GET /agents": ["agents", "agents_none"],
    "GET /agents/{id}": ["agent"],
    # Webhook secrets
    "rotate_secret: a new secret, the old one for 24 hours": ["rotate_secret", "404_rotate_secret"],
    "0-7 days on request": ["rotate_secret_at_once", "rotate_secret_for_7_days", "422_rotate_secret"],
    # Recoveries
    "dry run: count and a sample": [
        "recovery_dry_run",
        "recovery_of_nothing",
        "recovery_of_an_unknown_webhook",
    ],
    "otherwise 202 and a durable job": ["create_recovery"],
    "an empty or unknown filter selects nothing": ["422_recovery_without_a_filter", "422_recovery"],
    "GET /recoveries/{id}": ["recovery", "recoveries", "404_recovery"],
    "POST /recoveries/{id}/pause|resume|cancel": [
        "pause_recovery",
        "resume_recovery",
        "cancel_recovery",
        "409_resume_recovery",
    ],
    # What the issues add to the page
    "pauses: of a webhook, a type or the account, with an end and a reason": [
        "create_pause",
        "create_pause_of_a_type",
        "create_pause_of_the_account",
        "422_pause",
        "422_pause_of_two_things",
        "422_pause_of_an_unknown_webhook",
        "422_pause_of_31_days",
        "422_pause_without_an_end",
        "422_pause_that_is_over",
    ],
    "which pauses there are, and their end": [
        "pauses",
        "pauses_in_force",
        "422_pauses",
        "pause",
        "404_pause",
        "end_pause",
        "409_end_pause",
    ],
    "deliveries": [
        "deliveries",
        "deliveries_filtered",
        "deliveries_of_another_status",
        "422_deliveries",
        "delivery",
        "404_delivery",
    ],
    "attempts": ["attempts", "attempt", "404_attempt"],
    "retry": ["retry_delivery", "409_retry_delivery"],
    "event types": ["event_types"],
    "stats: window, bucket, by webhook or type": [
        "stats",
        "stats_of_a_webhook",
        "stats_by_webhook",
        "stats_by_event",
        "stats_of_nothing",
        "422_stats",
    ],
    "whoami": ["whoami"],
}


@pytest.mark.parametrize("name", replaying.names(CONTRACT))
def test_answers_to_the_letter(account: Account, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    replaying.read(CONTRACT, name).replay(account, monkeypatch)


def test_leaves_out_nothing_of_the_page() -> None:
    named = {name for names in PAGE.values() for name in names}

    assert sorted(named) == replaying.names(CONTRACT)
