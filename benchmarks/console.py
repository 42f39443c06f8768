"""The pages of the console that are measured: each list with each filter it offers, and the pages of rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from benchmarks.history import RARE_REASON
from benchmarks.installation import Installation

COMMON_REASON = "http_status"
STATUSES = ("failed", "held", "pending", "cancelled", "succeeded")
# How far back a list goes. Where a page says nothing it is 24 hours, or all for lists of a few.
WEEK, ALL = {"since": "7d"}, {"since": "all"}
# The id at some moment, which is where an older page begins.
_ID_AT = "SELECT bench.first_id(now() - interval '{}')"


@dataclass(frozen=True, kw_only=True)
class Places:
    """What there is to look at: ids of rows in a history."""

    account: str
    busy: str
    person: str
    quiet: str
    attempt: str
    delivery: str
    event: str
    failure: str
    failures_webhook: str
    failures_reason: str
    group: str
    recovery: str
    url: str
    half_a_day: str
    half_a_month: str


def places(installation: Installation) -> Places:
    """Look for them: a delivery that failed after six attempts, and the group with the most failures."""

    def one(query: str) -> list[str]:
        (row,) = installation.rows(query)
        return [str(value) for value in row]

    failed = "FROM deliveries_failure WHERE status = 'inactive' ORDER BY delivery_id DESC OFFSET 5 LIMIT 1"
    failure, delivery = one(f"SELECT id, delivery_id {failed}")
    (event,) = one(f"SELECT event_id FROM deliveries_delivery WHERE id = '{delivery}'")
    (attempt,) = one(
        f"SELECT id FROM deliveries_attempt WHERE delivery_id = '{delivery}' ORDER BY number LIMIT 1"
    )
    group, webhook, reason = one(
        "SELECT id, webhook_id, reason FROM deliveries_failuregroup ORDER BY seen DESC LIMIT 1"
    )
    (recovery,) = one("SELECT id FROM deliveries_recovery ORDER BY id DESC LIMIT 1")
    (url,) = one(f"SELECT url FROM deliveries_webhook WHERE id = '{installation.busy}'")
    (account,) = one(f"SELECT account_id FROM deliveries_webhook WHERE id = '{installation.busy}'")
    (person,) = one("SELECT by FROM deliveries_auditentry LIMIT 1")
    return Places(
        account=account,
        person=person,
        busy=installation.busy,
        quiet=installation.quiet,
        attempt=attempt,
        delivery=delivery,
        event=event,
        failure=failure,
        failures_webhook=webhook,
        failures_reason=reason,
        group=group,
        recovery=recovery,
        url=url,
        half_a_day=one(_ID_AT.format("12 hours"))[0],
        half_a_month=one(_ID_AT.format("15 days"))[0],
    )


def pages(of: Places) -> dict[str, str]:
    """Return the paths of the pages by what they show."""
    return {
        name: f"/admin/{path}{'?' * bool(asked)}{urlencode(asked)}"
        for name, path, asked in (
            *_attempts(of),
            *_deliveries(of),
            *_events(of),
            *_failures(of),
            *_others(of),
        )
    }


Page = tuple[str, str, dict[str, str]]


def _in_all_times(name: str, path: str, asked: dict[str, str]) -> Iterator[Page]:
    yield name, path, asked
    yield f"{name}, 7 days", path, asked | WEEK
    yield f"{name}, all", path, asked | ALL


def _attempts(of: Places) -> Iterator[Page]:
    path = "deliveries/attempt/"
    busy, quiet = {"webhook__id__exact": of.busy}, {"webhook__id__exact": of.quiet}
    failed, rare = {"succeeded__exact": "0"}, {"reason_code__exact": RARE_REASON}
    yield from _in_all_times("attempts", path, {})
    yield "attempts, an older page", path, {"before": of.half_a_day}
    yield "attempts, all, an older page", path, {"before": of.half_a_month, **ALL}
    yield from _in_all_times("attempts that failed", path, failed)
    yield "attempts that failed, all, an older page", path, failed | {"before": of.half_a_month, **ALL}
    yield "attempts that succeeded, all", path, {"succeeded__exact": "1", **ALL}
    yield from _in_all_times("attempts, a common reason", path, {"reason_code__exact": COMMON_REASON})
    yield from _in_all_times("attempts, a rare reason", path, rare)
    yield "attempts, a rare reason, all, an older page", path, rare | {"before": of.half_a_month, **ALL}
    yield from _in_all_times("attempts of the busiest webhook", path, busy)
    yield (
        "attempts of the busiest webhook, all, an older page",
        path,
        busy | {"before": of.half_a_month, **ALL},
    )
    yield from _in_all_times("attempts of the busiest webhook that failed", path, busy | failed)
    yield from _in_all_times("attempts of the busiest webhook, a rare reason", path, busy | rare)
    yield from _in_all_times("attempts of a quiet webhook", path, quiet)
    yield from _in_all_times("attempts of a quiet webhook that failed", path, quiet | failed)
    yield "attempts, HTTP 500", path, {"http_status": "500"}
    yield "attempts, a status that is rare", path, {"http_status": "418"}
    yield "attempts of an account", path, {"account": of.account}
    yield "attempts of the busiest webhook by its URL", path, {"webhook__id__exact": of.url}
    yield "attempts of a delivery", path, {"delivery__id__exact": of.delivery}
    yield "attempts, searched by id", path, {"q": of.attempt}
    yield "attempts, searched by a delivery's id", path, {"q": of.delivery}
    yield "an attempt", f"{path}{of.attempt}/change/", {}
    yield "an attempt as a command", f"{path}{of.attempt}/curl/", {}


def _deliveries(of: Places) -> Iterator[Page]:
    path = "deliveries/delivery/"
    busy, quiet = {"webhook__id__exact": of.busy}, {"webhook__id__exact": of.quiet}
    yield from _in_all_times("deliveries", path, {})
    yield "deliveries, an older page", path, {"before": of.half_a_day}
    yield "deliveries, all, an older page", path, {"before": of.half_a_month, **ALL}
    for status in STATUSES:
        yield from _in_all_times(f"deliveries, {status}", path, {"status__exact": status})
    yield "deliveries, failed, all, an older page", path, {
        "status__exact": "failed", "before": of.half_a_month, **ALL
    }  # fmt: skip
    yield from _in_all_times("deliveries to the busiest webhook", path, busy)
    yield from _in_all_times(
        "deliveries to the busiest webhook, failed", path, busy | {"status__exact": "failed"}
    )
    yield from _in_all_times("deliveries to a quiet webhook", path, quiet)
    yield "deliveries to a quiet webhook, failed, all", path, quiet | {"status__exact": "failed", **ALL}
    yield "deliveries to a quiet webhook, succeeded, all", path, quiet | {"status__exact": "succeeded", **ALL}
    yield from _in_all_times("deliveries of an account", path, {"account__id__exact": of.account})
    yield "deliveries of an event", path, {"event__id__exact": of.event}
    yield "deliveries, searched by id", path, {"q": of.delivery}
    yield "deliveries, searched by an event's id", path, {"q": of.event}
    yield "a delivery with six attempts", f"{path}{of.delivery}/change/", {}
    yield "two attempts of a delivery compared", f"{path}{of.delivery}/compare/", {}


def _events(of: Places) -> Iterator[Page]:
    path = "deliveries/event/"
    yield from _in_all_times("events", path, {})
    yield "events, an older page", path, {"before": of.half_a_day}
    yield "events, all, an older page", path, {"before": of.half_a_month, **ALL}
    yield "events, searched by id", path, {"q": of.event}
    yield "an event", f"{path}{of.event}/change/", {}


def _failures(of: Places) -> Iterator[Page]:
    path, inactive = "deliveries/failure/", {"status__exact": "inactive"}
    rare, quiet = {"reason_code__exact": RARE_REASON}, {"webhook_id__exact": of.quiet}
    group = {"webhook_id__exact": of.failures_webhook, "reason__exact": of.failures_reason}
    yield "failures", path, {}
    yield "failures, an older page", path, {"before": of.half_a_month}
    yield "failures, 24 hours", path, {"since": "24h"}
    yield "failures, 7 days", path, WEEK
    for status in ("inactive", "pending", "delivered"):
        yield f"failures, {status}", path, {"status__exact": status}
    yield "failures, inactive, an older page", path, inactive | {"before": of.half_a_month}
    yield "failures, inactive, 7 days", path, inactive | WEEK
    yield "failures, a common reason", path, {"reason_code__exact": COMMON_REASON}
    yield "failures, a rare reason", path, rare
    yield "failures, a rare reason, inactive", path, rare | inactive
    yield "failures of the busiest webhook", path, {"webhook_id__exact": of.busy}
    yield "failures of a quiet webhook", path, quiet
    yield "failures of a quiet webhook, inactive", path, quiet | inactive
    yield "failures, HTTP 500", path, {"http_status": "500"}
    yield "failures, 5xx", path, {"http_status": "5xx"}
    yield "failures, a status that is rare", path, {"http_status": "418"}
    yield "failures of an account", path, {"account__id__exact": of.account}
    yield "failures of a group", path, group | inactive
    yield "failures of a recovery", path, {"recovery__id__exact": of.recovery}
    yield "failures, searched by id", path, {"q": of.failure}
    yield "a failure", f"{path}{of.failure}/change/", {}


def _others(of: Places) -> Iterator[Page]:
    yield "the overview", "", {}
    yield "the inbox", "deliveries/failuregroup/", {}
    yield "the inbox, all", "deliveries/failuregroup/", {"state": "all"}
    yield "the inbox, one webhook", "deliveries/failuregroup/", {"webhook__id__exact": of.busy}
    yield "the largest group", f"deliveries/failuregroup/{of.group}/change/", {}
    yield "webhooks", "deliveries/webhook/", {}
    yield "webhooks, disabled", "deliveries/webhook/", {"enabled__exact": "0"}
    yield "webhooks, in trouble", "deliveries/webhook/", {"trouble": "yes"}
    yield "webhooks, circuit open", "deliveries/webhook/", {"health__circuit__exact": "open"}
    yield "webhooks, searched by a part of a name", "deliveries/webhook/", {"q": "ake"}
    yield "the busiest webhook", f"deliveries/webhook/{of.busy}/change/", {}
    yield "recoveries", "deliveries/recovery/", {}
    yield "a recovery of thousands", f"deliveries/recovery/{of.recovery}/change/", {}
    new = "deliveries/recovery/new/"
    yield "dry run of a recovery: all of a reason", new, {"reason_code": COMMON_REASON}
    yield "dry run of a recovery: all of 30 days", new, {"failed_from": "2000-01-01T00:00:00+00:00"}
    yield "dry run of a recovery: a rare reason", new, {"reason_code": RARE_REASON}
    yield "dry run of a recovery: a webhook", new, {"webhook_id": of.busy}
    yield "dry run of a recovery: an event type", new, {"event_type": "call.ended"}
    for what, asked in (
        ("a delivery", of.delivery), ("an event", of.event), ("an attempt", of.attempt),
        ("a failure", of.failure), ("a webhook", of.busy), ("a URL", of.url),
        ("nothing known", of.half_a_day),
    ):  # fmt: skip
        yield f"why, {what}", "why/", {"q": asked}
    yield "system", "system/", {}
    yield "the audit", "deliveries/auditentry/", {}
    yield "the audit, an action, all", "deliveries/auditentry/", {"action__exact": "webhook.deleted", **ALL}
    yield "the audit, a person, all", "deliveries/auditentry/", {"by": of.person, **ALL}
    yield "the audit, a kind", "deliveries/auditentry/", {"kind": "webhook"}
    yield "the audit, of the busiest webhook", "deliveries/auditentry/", {"subject_id__exact": of.busy, **ALL}
    yield "minutes of traffic", "deliveries/trafficminute/", {}
    yield "webhook health", "deliveries/webhookhealth/", {}
    yield "webhook health, circuit open", "deliveries/webhookhealth/", {"circuit__exact": "open"}
    yield "API keys", "deliveries/apikey/", {}
    yield "idempotency keys", "deliveries/idempotencykey/", {}
