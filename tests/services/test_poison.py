"""One bad delivery or one bad answer in every hundred: it has its reason, and the other ninety-nine go on."""

import random
import re
from collections.abc import Mapping
from datetime import timedelta

import pytest

from deliveries import secrets
from deliveries.identifiers import new_id
from deliveries.models import Attempt, Delivery, Failure, Webhook
from deliveries.models.fields import Sealed
from deliveries.reasons import Reason
from deliveries.services import composing, recording
from deliveries.services.dispatching import Dispatcher
from deliveries.services.recording import Result
from deliveries.transport import KEEP_LIMIT, Reply, RequestsTransport, TransportError
from tests import builders
from tests.services.fakes import a_reply, record_and_follow
from tests.transport import hostile
from tests.transport.conftest import LOOPBACK, PLENTY, a_request
from tests.transport.hostile import OK, OK_HEAD

pytestmark = pytest.mark.django_db

SECOND = timedelta(seconds=1)
FAKE_LINE = b'\r\n{"level": "ERROR", "message": "canary of a fake line"}\r\n'


def headed(field: bytes) -> bytes:
    return OK_HEAD + field + b"\r\nContent-Length: 2\r\n\r\nok"


def bodied(body: bytes) -> bytes:
    return OK_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


# What comes over the wire.
ANSWERS: Mapping[str, bytes] = {
    "NUL in a header": headed(b"X-Odd: a\x00b"),
    "invalid UTF-8 in a header": headed(b"X-Odd: \xff\xfe"),
    "lone surrogate in a header": headed(b"X-Odd: \xed\xa0\x80"),
    "ANSI escapes in a header": headed(b"X-Odd: \x1b[2J\x1b[31mred"),
    "fake line in a header": headed(b"X-Odd: a" + FAKE_LINE.rstrip(b"\r\n")),
    "NUL in the name of a header": headed(b"X-O\x00dd: a"),
    "no character in a header": headed(b"X-Odd:"),
    "header of 10 MB": headed(b"X-Odd: " + b"v" * 10_000_000),
    "odd words of the status": b"HTTP/1.1 200 \xff\x00\x1b[31m\r\nContent-Length: 2\r\n\r\nok",
    "status beyond all numbers": b"HTTP/1.1 99999999999 OK\r\nContent-Length: 0\r\n\r\n",
    "status below all numbers": b"HTTP/1.1 -1 OK\r\nContent-Length: 0\r\n\r\n",
    "odd Retry-After": b"HTTP/1.1 503 No\r\nRetry-After: \xff9\xb2\r\nContent-Length: 0\r\n\r\n",
    "endless Retry-After": b"HTTP/1.1 503 No\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % (b"9" * 5000),
    "NUL in the body": bodied(b"\x00" * 100),
    "invalid UTF-8 in the body": bodied(b"\xc3\x28 \xff\xfe"),
    "lone surrogate in the body": bodied(b"\xed\xa0\x80"),
    "ANSI escapes in the body": bodied(b"\x1b[2J\x1b[31mred"),
    "fake line in the body": bodied(FAKE_LINE),
    "half a character where the body is cut": bodied(b"x" * (KEEP_LIMIT - 1) + "\u00e9".encode() * 2),
}

# What would come of an engine that forgot to make an answer safe to store.
REPLIES: Mapping[str, Reply] = {
    "NUL": Reply(http_status=200, headers={"x": "a\x00b"}, body=b""),
    "NUL in a name": Reply(http_status=200, headers={"x\x00": "a"}, body=b""),
    "lone surrogate": Reply(http_status=200, headers={"x": "\ud800"}, body=b""),
    "10 MB": Reply(http_status=200, headers={"x": "v" * 10_000_000}, body=b""),
    "status beyond all numbers": Reply(http_status=2**40, headers={}, body=b""),
    "no text": Reply(http_status=200, headers={"x": b"bytes"}, body=b""),  # type: ignore[dict-item]
}


def outcome_of(answer: bytes) -> Reply | TransportError:
    """Return what the engine makes of an answer."""
    transport = RequestsTransport(LOOPBACK, slots=1)
    with hostile.receiver(hostile.answering_once(answer)) as target:
        transport.submit(new_id(), a_request(target.url()))
        (exchange,) = transport.collect(PLENTY)
    transport.close()
    return exchange.outcome


def record_among_99(outcome: Reply | TransportError) -> tuple[Delivery, recording.Recorded]:
    """Record a hundred results, one of them with this outcome, and return its delivery."""
    builders.a_backlog(builders.a_webhook(max_in_flight=100), 100, retries_left=0)
    results = [
        Result(
            delivery=delivery,
            request=composing.compose(delivery, at=builders.NOW),
            started_at=builders.NOW,
            duration=SECOND,
            outcome=outcome if number == 37 else a_reply(),
        )
        for number, delivery in enumerate(builders.claim(builders.NOW))
    ]
    recorded = record_and_follow(results, now=builders.NOW, jitter=random.Random(1))
    poisoned = results[37].delivery
    others = Attempt.objects.exclude(delivery=poisoned)
    assert others.filter(succeeded=True, response_body=b'{"received":true}').count() == 99
    assert Delivery.objects.filter(status=Delivery.Status.SUCCEEDED).exclude(pk=poisoned.pk).count() == 99
    poisoned.refresh_from_db()
    return poisoned, recorded


class TestAPoisonousAnswer:
    @pytest.mark.parametrize("kind", ANSWERS)
    def test_is_stored_with_all_that_is_safe(self, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        outcome = outcome_of(ANSWERS[kind])

        delivery, recorded = record_among_99(outcome)

        attempt = Attempt.objects.get(delivery=delivery)
        assert (recorded.fenced, recorded.left) == (0, [])
        assert delivery.status in {Delivery.Status.SUCCEEDED, Delivery.Status.FAILED}
        assert attempt.http_status == getattr(outcome, "http_status", None)
        if isinstance(outcome, Reply):
            assert bytes(attempt.response_body or b"") == outcome.body
            assert attempt.response_headers == outcome.headers
            assert "".join(outcome.headers.values()).isprintable()
        # Nothing of it had to be left out, and nothing of it is in the log.
        assert "stripped" not in str([record.__dict__.get("event") for record in caplog.records])
        assert "canary" not in caplog.text

    @pytest.mark.parametrize("kind", REPLIES)
    def test_is_left_out_where_the_database_refuses_it(self, kind: str) -> None:
        delivery, recorded = record_among_99(REPLIES[kind])

        assert (recorded.fenced, recorded.left) == (0, [])
        # Written, with or without what came; or, where not even the status can be, left to its lease.
        written = Attempt.objects.filter(delivery=delivery).exists()
        assert written == (delivery.status != Delivery.Status.PENDING)
        assert written or REPLIES[kind].http_status > 599


def deliver_all() -> None:
    """Deliver what is due over a real engine, to the end."""
    transport = RequestsTransport(LOOPBACK, slots=32)
    try:
        assert Dispatcher(transport=transport, clock=lambda: builders.NOW).run_until_idle(budget=10 * SECOND)
    finally:
        transport.close()


class TestAPoisonousDelivery:
    KINDS: Mapping[str, tuple[Mapping[str, object], Reason]] = {
        "secret of a lost key": (
            {"secret": Sealed(secrets.encrypt("whsec_abcd", keys=[secrets.new_key()]))},
            Reason.INVALID_REQUEST,
        ),
        "headers of a lost key": (
            {"custom_headers": Sealed(secrets.encrypt("{}", keys=[secrets.new_key()]))},
            Reason.INVALID_REQUEST,
        ),
        "secret that is no token": ({"secret": Sealed("garbage")}, Reason.INVALID_REQUEST),
        "secret without a key in it": ({"secret": "whsec_"}, Reason.INVALID_REQUEST),
        "headers that are no JSON": ({"custom_headers": "{"}, Reason.INVALID_REQUEST),
        "headers that are a list": ({"custom_headers": "[1]"}, Reason.INVALID_REQUEST),
        "header with a line end": ({"custom_headers": '{"X": "a\\r\\nY: b"}'}, Reason.INVALID_REQUEST),
        "header beyond ASCII": ({"custom_headers": '{"X": "\\u2603"}'}, Reason.INVALID_REQUEST),
        "header that is no text": ({"custom_headers": '{"X": 1}'}, Reason.INVALID_REQUEST),
        "header that frames the request": (
            {"custom_headers": '{"Transfer-Encoding": "chunked"}'},
            Reason.INVALID_REQUEST,
        ),
        "URL of a private address": ({"url": "http://10.0.0.1/"}, Reason.BLOCKED_ADDRESS),
        "URL that is none": ({"url": "garbage"}, Reason.INVALID_REQUEST),
    }

    @pytest.mark.parametrize("kind", KINDS)
    def test_fails_alone_and_with_a_reason(self, kind: str) -> None:
        changes, reason = self.KINDS[kind]
        sealed = {
            name: Sealed.of(value)
            if name in {"secret", "custom_headers"} and isinstance(value, str)
            else value
            for name, value in changes.items()
        }
        with hostile.receiver(hostile.answering(OK)) as receiver:
            healthy = builders.a_webhook(max_in_flight=100)
            Webhook.objects.filter(pk=healthy.pk).update(url=receiver.url())
            builders.a_backlog(healthy, 99)
            poisoned = builders.a_delivery(builders.a_webhook(max_retries=0))
            Webhook.objects.filter(pk=poisoned.webhook_id).update(**sealed)

            deliver_all()

            assert len(receiver.requests) == 99
        poisoned.refresh_from_db()
        assert poisoned.status == Delivery.Status.FAILED
        assert Failure.objects.get().reason_code == reason
        assert Delivery.objects.filter(status=Delivery.Status.SUCCEEDED).count() == 99


class TestAStaleConnection:
    def test_is_no_attempt(self) -> None:
        with hostile.receiver(hostile.serving_once_then(hostile.resetting)) as receiver:
            webhook = builders.a_webhook(max_in_flight=1)
            Webhook.objects.update(url=receiver.url())
            builders.a_backlog(webhook, 6)

            deliver_all()

            numbers = [re.findall(rb"X-Webhook-Attempt: (\d+)", request) for request in receiver.requests]
        # All but the first met a connection that was reset under them, and went out again on another.
        assert numbers == [[b"1"]] * 11
        assert list(Attempt.objects.values_list("number", "succeeded")) == [(1, True)] * 6
        assert not Failure.objects.exists()
