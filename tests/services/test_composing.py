import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook as Oracle

from deliveries.services import composing, webhooks
from deliveries.transport import Request
from tests import builders

pytestmark = pytest.mark.django_db


def compose(**fields: object) -> Request:
    webhook = builders.a_webhook(**fields)  # type: ignore[arg-type]
    return composing.compose(builders.a_delivery(webhook), at=datetime.now(UTC))


class TestCompose:
    def test_carries_the_event(self) -> None:
        delivery = builders.a_delivery(builders.a_webhook(http_method="PATCH", timeout=7), attempts_made=2)
        at = builders.NOW

        request = composing.compose(delivery, at=at)

        assert (request.url, request.method) == (builders.URL, "PATCH")
        assert request.body == bytes(delivery.event.body)
        assert request.timeout == timedelta(seconds=7)
        assert request.headers == {
            "Content-Type": "application/json",
            "User-Agent": composing.USER_AGENT,
            "X-Webhook-Event": "call.ended",
            "X-Webhook-Attempt": "3",
            "webhook-id": str(delivery.event_id),
            "webhook-timestamp": str(int(at.timestamp())),
        }

    @pytest.mark.parametrize(
        "secret", ["whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=", "a plain secret"]
    )
    def test_is_signed_so_that_the_published_library_verifies_it(self, secret: str) -> None:
        request = compose(secret=secret)

        oracle = Oracle(secret if secret.startswith("whsec_") else base64.b64encode(secret.encode()).decode())
        assert oracle.verify(request.body, dict(request.headers)) == {"call_id": "call-uuid", "duration": 45}

    @pytest.mark.parametrize(
        ("scheme", "header"),
        [
            ("none", {}),
            ("bearer", {"Authorization": "Bearer user:pass"}),
            ("basic", {"Authorization": "Basic dXNlcjpwYXNz"}),
            ("api_key", {"X-API-Key": "user:pass"}),
            ("custom", {}),
        ],
    )
    def test_proves_itself_by_the_scheme(self, scheme: str, header: dict[str, str]) -> None:
        request = compose(authorization_scheme=scheme, authorization_credential="user:pass")

        proofs = ("Authorization", "X-API-Key")
        assert {name: value for name, value in request.headers.items() if name in proofs} == header

    def test_carries_the_custom_headers(self) -> None:
        assert compose(custom_headers={"X-Team": "crm"}).headers["X-Team"] == "crm"


class TestMaskedHeaders:
    def test_shows_ours_and_hides_theirs(self) -> None:
        fields: webhooks.Fields = {
            "authorization_scheme": "api_key",
            "authorization_credential": "canary",
            "custom_headers": {"X-Team": "canary"},
            "secret": "s",
        }
        webhook = builders.a_webhook(**fields)
        request = composing.compose(builders.a_delivery(webhook), at=builders.NOW)

        masked = composing.masked_headers(request, webhook)

        assert set(masked) == set(request.headers)
        assert (masked["X-API-Key"], masked["X-Team"]) == ("***", "***")
        assert masked["webhook-signature"] == request.headers["webhook-signature"]
