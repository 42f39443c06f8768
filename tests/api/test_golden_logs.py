"""The logs API, example by example and error by error, to the letter."""

import pytest

from deliveries.models import Account
from tests.api.golden import replaying

CONTRACT = "logs"
# What the contract fixes, in its order, and the golden files that hold it.
PAGE = {
    # Common rules
    "agents.webhooks.read for GET": ["list_with_the_scope", "403_read"],
    "agents.webhooks.manage for the rest": ["create_with_the_scope", "retry_with_the_scope", "403_manage"],
    "401: no bearer token": ["401_missing"],
    "401: unknown, revoked, expired token": ["401_unknown", "401_revoked", "401_expired"],
    "403: scope missing": ["403_no_scope"],
    "404: agent not in this account, or malformed agent id": [
        "404_agent",
        "404_agent_of_another",
        "404_agent_malformed",
    ],
    "404: webhook not of this agent, or malformed id": [
        "404_webhook",
        "404_webhook_of_another_agent",
        "404_webhook_malformed",
    ],
    "404: log not of this webhook": ["404_log", "404_log_of_another_webhook", "404_log_malformed"],
    "422: validation": ["422_nothing_given", "422_everything"],
    "422: bad query values": ["logs_422"],
    "422: log cannot be retried": ["retry_422_success"],
    "400": ["400"],
    "405": ["405"],
    "406": ["406"],
    "415": ["415"],
    "429": ["429_list", "429_logs", "429_retry"],
    "our fault, in the same shape": ["500", "503"],
    "timestamps: webhooks six decimals, logs seconds": ["get", "logs"],
    # The webhook object
    "the example of a webhook": ["get"],
    "status is active when enabled, disabled when not": ["get", "get_disabled"],
    "secrets, credential and header values are never returned": ["create_with_everything"],
    "name": ["create_with_a_long_name", "422_long_name"],
    "webhook_url": ["422_no_url", "422_long_url", "422_blocked_url"],
    "webhook_secret": ["422_long_secret", "put_clears_the_secret"],
    "events": [
        "create_with_patterns",
        "create_with_a_prefix",
        "422_no_events",
        "422_unknown_event",
    ],
    "timeout": ["create_with_the_least", "422_timeout_4", "422_timeout_121"],
    "max_retries": ["create_with_the_least", "422_max_retries_negative", "422_max_retries_11"],
    "enabled": ["create_with_everything", "422_enabled_as_number"],
    "http_method": ["create_with_everything", "422_http_method"],
    "authorization_scheme": ["create_with_everything", "422_authorization_scheme"],
    "authorization_credential": ["create_with_everything", "422_everything"],
    "custom_headers": ["create_with_everything", "422_custom_headers"],
    "the defaults": ["create"],
    "types are strict": ["422_timeout_as_text", "422_timeout_true"],
    "unknown fields are 422": ["422_unknown_field"],
    # Endpoints
    "GET /": ["list", "list_none", "list_with_a_slash"],
    "POST /": ["create"],
    "GET /{webhook_id}": ["get"],
    "PUT /{webhook_id}: partial": ["put_a_name", "put_several", "put_422", "put_404"],
    "DELETE /{webhook_id}": ["delete", "delete_404"],
    "PATCH /{webhook_id}/toggle": ["toggle_off", "toggle_on", "toggle_404"],
    "available_events": ["list"],
    # Test
    "POST /{webhook_id}/test": ["test", "test_404"],
    "a test is allowed while disabled": ["test_disabled"],
    "a non-2xx or no answer": ["test_refused", "test_unanswered"],
    "10 tests a minute": ["test_429"],
    # Logs
    "per_page 1-100, default 25": ["logs", "logs_per_page_1", "logs_per_page_100", "logs_422_per_page_0"],
    "page >= 1, default 1": ["logs", "logs_of_ten_pages", "logs_422_text"],
    "newest first": ["logs_newest_first"],
    "the example of logs": ["logs", "logs_with_a_slash"],
    "every key is always present": ["logs_pending"],
    "pending": ["logs_pending"],
    "success": ["logs"],
    "retrying": ["logs_retrying"],
    "failed": ["logs_failed"],
    "connection failure": ["logs_without_an_answer"],
    "a page past the end": ["logs_past_the_end"],
    "last_page is at least 1": ["logs_none"],
    "the pagination of the example": ["logs_of_ten_pages"],
    "other parameters are ignored": ["logs_unknown_parameter"],
    # Retry
    "the example of a retry": ["retry", "retry_without_an_answer"],
    "LOG_NOT_RETRIABLE: success, pending or retrying": [
        "retry_422_success",
        "retry_422_pending",
        "retry_422_retrying",
    ],
    "LOG_NOT_RETRIABLE: older than the retention": ["retry_422_too_old"],
    "LOG_NOT_RETRIABLE: an attempt outstanding, or meanwhile succeeded": [
        "retry_422_attempt_outstanding",
        "retry_422_has_succeeded",
    ],
    "LOG_NOT_RETRIABLE: the webhook is disabled": ["retry_422_disabled"],
}


@pytest.mark.parametrize("name", replaying.names(CONTRACT))
def test_answers_to_the_letter(account: Account, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    replaying.read(CONTRACT, name).replay(account, monkeypatch)


def test_leaves_out_nothing_of_the_page() -> None:
    named = {name for names in PAGE.values() for name in names}

    assert sorted(named) == replaying.names(CONTRACT)
