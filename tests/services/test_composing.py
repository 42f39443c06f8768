import base64
import html
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, quote_plus

import pytest
from standardwebhooks.webhooks import Webhook as Oracle

from deliveries.models import Webhook
from deliveries.services import composing, webhooks
from deliveries.transport import KEEP_LIMIT, Reply, Request
from tests import builders
from tests.services.fakes import a_reply

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


CREDENTIAL = 'ada:can"ary/credential=?&+'
IN_BASE64 = base64.b64encode(CREDENTIAL.encode()).decode()
TOKEN = "canary-<token>/&"
SECRET = "whsec_" + base64.b64encode(b"a canary, and one to spare").decode()
OLD_SECRET = "a canary that was caf\u00e9"
CANARIES = {CREDENTIAL, CREDENTIAL.partition(":")[2], IN_BASE64, TOKEN, SECRET, OLD_SECRET}


def talkative_webhook(**changes: object) -> Webhook:
    """Return one that has everything a receiver could send back."""
    fields: dict[str, object] = {
        "authorization_scheme": "basic",
        "authorization_credential": CREDENTIAL,
        "custom_headers": {"X-Token": TOKEN},
        "secret": SECRET,
    }
    webhook = builders.a_webhook(**{**fields, **changes})  # type: ignore[arg-type]
    until = builders.NOW + timedelta(hours=1)
    webhook.previous_secrets = webhook.seal_previous_secrets([(OLD_SECRET, until)])
    return webhook


def masked(webhook: Webhook, body: bytes = b"", **headers: str) -> Reply:
    return composing.masked_reply(Reply(http_status=200, headers=headers, body=body), webhook)


class TestMaskedReply:
    @pytest.mark.parametrize(
        "written",
        [
            str,
            lambda text: json.dumps({"got": text}),
            lambda text: json.dumps({"got": text}, ensure_ascii=False),
            lambda text: json.dumps({"got": text}).replace("/", "\\/"),
            html.escape,
            lambda text: html.escape(text, quote=False),
            quote,
            lambda text: quote(text, safe=""),
            quote_plus,
        ],
        ids=["plain", "json", "json-unicode", "json-slashes", "html", "text", "path", "url", "form"],
    )
    @pytest.mark.parametrize("value", sorted(CANARIES))
    def test_hides_what_the_receiver_got_however_it_is_written(
        self, value: str, written: Callable[[str], str]
    ) -> None:
        text, mask = written(f"before {value} after"), written("before *** after").replace("%2A", "*")

        reply = masked(talkative_webhook(), text.encode(), got=text)

        assert (reply.body.decode(), reply.headers) == (mask, {"got": mask})

    @pytest.mark.parametrize("scheme", ["bearer", "api_key", "custom"])
    def test_hides_the_credential_of_every_scheme(self, scheme: str) -> None:
        webhook = talkative_webhook(authorization_scheme=scheme, authorization_credential="canary-credential")

        assert masked(webhook, b"Bearer canary-credential").body == b"Bearer ***"

    def test_hides_the_credential_in_a_header_of_ones_own(self) -> None:
        webhook = builders.a_webhook(custom_headers={"Authorization": "Bearer canary-credential"})

        assert masked(webhook, b"Bearer canary-credential").body == b"***"
        assert masked(webhook, b'{"token": "canary-credential"}').body == b'{"token": "***"}'

    def test_hides_all_of_the_request_but_what_is_shown_of_it(self) -> None:
        webhook = talkative_webhook()
        request = composing.compose(builders.a_delivery(webhook), at=builders.NOW)
        shown = composing.masked_headers(request, webhook)

        reply = masked(webhook, json.dumps(dict(request.headers)).encode(), **request.headers)

        assert reply.headers == {**shown, "Authorization": "Basic ***"}
        assert json.loads(reply.body) == reply.headers

    def test_leaves_everything_else_as_it_came(self) -> None:
        short = {"X-Team": "crm", "X-Stage": "staging", "Accept": "application/json"}
        webhook = builders.a_webhook(
            authorization_scheme="basic",
            authorization_credential="user:pass",
            custom_headers=short,
            secret="s",
        )
        body = b'{"crm": "staging", "user": "pass", "bytes": "\xff\x00"}'
        reply = Reply(http_status=200, headers={"content-type": "application/json"}, body=body)

        assert composing.masked_reply(reply, webhook) == reply
        assert composing.masked_reply(a_reply(), talkative_webhook()) == a_reply()

    def test_hides_them_in_the_name_of_a_header(self) -> None:
        credential = "Canary-Credential-9f8e"
        webhook = talkative_webhook(authorization_scheme="bearer", authorization_credential=credential)
        fields = {f"x-{credential.lower()}": "a", "server": "b"}
        reply = Reply(http_status=200, headers=fields, body=b"")

        assert composing.masked_reply(reply, webhook).headers == {"x-***": "a", "server": "b"}

    @pytest.mark.parametrize("size", [100, KEEP_LIMIT], ids=["in chunks", "long"])
    @pytest.mark.parametrize("kept", [8, 9, len(SECRET) - 1, len(SECRET)])
    def test_hides_the_beginning_of_what_was_cut_off(self, kept: int, size: int) -> None:
        """Of an answer in tiny chunks, or of a receiver that hangs up, less is there than is kept."""
        body = SECRET[:9].encode() + b" " * (size - kept - 9) + SECRET[:kept].encode()

        assert masked(talkative_webhook(), body).body == body[:-kept] + b"***"

    def test_leaves_less_than_eight_characters_of_them(self) -> None:
        body = b"as short as " + SECRET[:7].encode()

        assert masked(talkative_webhook(), body).body == body

    def test_hides_the_whole_beginning_of_what_repeats_itself(self) -> None:
        body = b" " * (KEEP_LIMIT - 30) + b"a" * 30

        assert masked(builders.a_webhook(secret="a" * 40), body).body == body[:-30] + b"***"
