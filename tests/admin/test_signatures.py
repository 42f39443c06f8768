"""The signature workbench: who may check what, and that nothing of it leaks."""

import logging
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse

from deliveries import clock, signing
from deliveries.models import Webhook
from tests import builders

PAGE = reverse("console:signatures")
SECRET = signing.new_secret()
BODY = '{"caller":"Zoë"}'
HOSTILE = "</textarea><script>alert(1)</script>"


def posted(secret: str = SECRET, **fields: Any) -> dict[str, Any]:
    """Return what somebody sends who pasted a right request, but for the given fields."""
    at = int(clock.now().timestamp())
    signature = signing.sign(message_id="msg_1", timestamp=at, body=BODY.encode(), keys=[secret])
    headers = f"webhook-id: msg_1\r\nwebhook-timestamp: {at}\r\nwebhook-signature: {signature}"
    return {"headers": headers, "body": BODY, "secret": secret, **fields}


def text_of(client: Client, fields: dict[str, Any]) -> str:
    page = client.post(PAGE, fields)
    assert page.status_code == 200
    return page.content.decode()


def verdict_of(page: str) -> str:
    """Return the sentence at the top, with the word of its badge."""
    found = re.search(r'<h2 id="verdict">(.*?)</h2>', page)
    assert found, "Nothing was found out."
    return " ".join(unescape(re.sub("<[^>]*>", "", found[1])).split()[1:])


RIGHT = "Right The signature is right, and recent enough to be taken."


class TestPage:
    def test_has_its_place_in_the_bar_and_on_the_page_of_a_webhook(self, console: Client) -> None:
        webhook = builders.a_webhook()

        page = console.get(reverse("admin:deliveries_webhook_change", args=[webhook.pk])).content.decode()

        assert f'<a href="{PAGE}">Signatures</a>' in page
        assert f'<a href="{PAGE}?webhook={webhook.pk}">Check a signature</a>' in page

    def test_has_one_heading_and_a_label_for_every_field(self, console: Client) -> None:
        page = console.get(PAGE).content.decode()
        form = page.partition('class="workbench"')[2].partition("</form>")[0]

        assert page.count("<h1") == 1
        names = re.findall(r'<(?:textarea|input type="(?:text|password|checkbox)")[^>]*id="(\w+)"', form)
        assert names == ["id_headers", "id_body", "id_in_base64", "id_secret", "id_webhook"]
        for name in names:
            assert f'<label for="{name}">' in form

    def test_chooses_the_webhook_it_was_asked_for(self, console: Client) -> None:
        webhook = builders.a_webhook()

        assert f'value="{webhook.pk}"' in console.get(PAGE, {"webhook": str(webhook.pk)}).content.decode()

    @pytest.mark.parametrize("asked", ["x", "\0", HOSTILE])
    def test_shows_a_strange_webhook_as_text(self, console: Client, asked: str) -> None:
        answer = console.get(PAGE, {"webhook": asked})

        assert answer.status_code == 200
        assert "<script>alert" not in answer.content.decode()

    def test_shows_what_receivers_can_copy(self, console: Client) -> None:
        page = unescape(console.get(PAGE).content.decode())

        for line in (
            "def verify(headers: Mapping[str, str], body: bytes, secret: str) -> bool:",
            "export function verify(headers, body, secret) {",
            "function verify_webhook(array $headers, string $body, string $secret): bool",
            "func Verify(header http.Header, body []byte, secret string) error {",
            "def self.valid?(headers, body, secret)",
        ):
            assert line in page
        assert page.count("data-copies=") == 5

    def test_is_said_to_be_unavailable_while_the_database_is(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*args: object, **kwargs: object) -> None:
            raise OperationalError

        monkeypatch.setattr("deliveries.services.inspecting.inspect", away)

        assert console.post(PAGE, posted()).status_code == 503


class TestCheck:
    def test_is_by_a_secret_that_is_typed(self, console: Client) -> None:
        page = text_of(console, posted())

        assert verdict_of(page) == RIGHT
        assert page.index('id="verdict"') < page.index('class="workbench"')
        assert "The signature of that by the secret that was typed" in page

    def test_is_by_the_secrets_of_a_webhook(self, console: Client) -> None:
        webhook = builders.a_webhook(secret=SECRET)

        page = text_of(console, posted(secret=SECRET) | {"secret": "", "webhook": str(webhook.pk)})

        assert verdict_of(page) == RIGHT
        assert webhook.name in page

    def test_says_what_is_wrong_and_what_to_do(self, console: Client) -> None:
        page = text_of(console, posted(body='{"caller": "Zoë"}'))

        assert verdict_of(page) == (
            "Wrong The signature is wrong for this body. It fits it as JSON written compactly."
        )
        assert "Take the bytes of the request as they came" in page

    def test_says_so_where_there_is_nothing_to_check_with(self, console: Client) -> None:
        page = text_of(console, posted() | {"secret": ""})

        assert verdict_of(page) == (
            "Cannot say Without a secret nobody can say whether the signature is right."
        )

    def test_takes_the_ends_of_lines_as_they_were_before_a_browser_changed_them(
        self, console: Client
    ) -> None:
        at = int(clock.now().timestamp())
        signature = signing.sign(message_id="1", timestamp=at, body=b"a\nb", keys=[SECRET])
        headers = f"webhook-id: 1\nwebhook-timestamp: {at}\nwebhook-signature: {signature}"

        assert verdict_of(text_of(console, posted(headers=headers, body="a\r\nb"))) == RIGHT

    def test_takes_exact_bytes_in_base64(self, console: Client) -> None:
        at = int(clock.now().timestamp())
        signature = signing.sign(message_id="1", timestamp=at, body=b"\0\xff\r\n", keys=[SECRET])
        headers = f"webhook-id: 1\nwebhook-timestamp: {at}\nwebhook-signature: {signature}"

        page = text_of(console, posted(headers=headers, body="AP8N\r\nCg==\n", in_base64="on"))
        assert verdict_of(page) == RIGHT
        assert "That is not base64." in text_of(console, posted(body="!", in_base64="on"))

    @pytest.mark.parametrize(
        ("webhook", "problem"),
        [
            ("x", "That is no id of a webhook."),
            ("\0", "That is no id of a webhook."),
            ("01950000-0000-7000-8000-000000000000", "There is no webhook with this id."),
        ],
    )
    def test_needs_a_webhook_that_is_there(self, console: Client, webhook: str, problem: str) -> None:
        page = text_of(console, posted() | {"secret": "", "webhook": webhook})

        assert problem in page
        assert 'id="verdict"' not in page

    def test_takes_one_thing_to_check_against(self, console: Client) -> None:
        page = text_of(console, posted(webhook=str(builders.a_webhook().pk)))

        assert "Type a secret or choose a webhook, not both." in page
        assert SECRET not in page

    @pytest.mark.parametrize("field", ["headers", "body", "secret"])
    @pytest.mark.parametrize("garbage", ["\0\x1b[31m\ufffe", "x" * 1_100_000, HOSTILE, ""])
    def test_takes_garbage(self, console: Client, field: str, garbage: str) -> None:
        page = text_of(console, posted() | {field: garbage})

        assert 'id="verdict"' in page
        assert "<script>alert" not in page

    def test_shows_hostile_headers_and_ids_as_text(self, console: Client) -> None:
        headers = f"webhook-id: {HOSTILE}\nwebhook-timestamp: {HOSTILE}\nwebhook-signature: {HOSTILE},x"

        page = text_of(console, posted(headers=headers))

        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page

    def test_takes_no_more_than_so_much(self, console: Client) -> None:
        assert "That is too much to look at" in text_of(console, posted(headers="x" * 70_000))
        assert console.post(PAGE, posted(body="x" * 3_000_000)).status_code == 400


class TestSecrecy:
    def test_is_kept_of_what_was_typed(self, console: Client, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        secret = "correct horse battery staple"

        for fields in (
            posted(secret),
            posted(secret, body="{}"),
            posted(secret, body="!", in_base64="on"),
            posted(f" {secret}"),
        ):
            assert secret not in text_of(console, fields)

        assert secret not in caplog.text
        assert "msg_1" not in caplog.text
        assert "Zoë" not in caplog.text

    def test_is_kept_in_reports_of_errors(self) -> None:
        request = HttpRequest()
        request.method = "DELETE"

        resolve(PAGE).func(request)

        assert request.sensitive_post_parameters == ("headers", "body", "secret")  # type: ignore[attr-defined]

    def test_is_kept_of_what_a_webhook_would_sign(self, console: Client) -> None:
        webhook = builders.a_webhook(secret=SECRET)
        at = int(clock.now().timestamp())
        headers = f"webhook-id: 1\nwebhook-timestamp: {at}\nwebhook-signature: v1,{'A' * 43}="

        page = text_of(console, {"headers": headers, "body": "{}", "webhook": str(webhook.pk)})

        assert verdict_of(page).startswith("Wrong ")
        assert signing.sign(message_id="1", timestamp=at, body=b"{}", keys=[SECRET])[3:] not in unescape(page)
        assert SECRET not in page
        assert "The signature of that" not in page

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_lets_nobody_cache_the_page(self, console: Client, method: str) -> None:
        answer = getattr(console, method)(PAGE, {"example": "right"})

        assert "no-store" in answer["Cache-Control"]
        assert "private" in answer["Cache-Control"]

    def test_leaves_nothing_in_the_database(self, console: Client) -> None:
        webhook = builders.a_webhook(secret=SECRET)
        before = Webhook.objects.values().get()

        with CaptureQueriesContext(connection) as asked:
            text_of(console, posted() | {"secret": "", "webhook": str(webhook.pk)})

        told = [query["sql"] for query in asked if not query["sql"].startswith("SELECT")]
        assert not any("deliveries_" in sql or "msg_1" in sql for sql in told)
        assert Webhook.objects.values().get() == before


def somebody_who_may(*permissions: str) -> Client:
    user = User.objects.create(username="somebody", password="!", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


class TestPermissions:
    def test_are_asked_of_strangers(self, client: Client, db: None) -> None:
        for answer in (client.get(PAGE), client.post(PAGE, posted())):
            assert answer.status_code == 302
            assert answer["Location"].startswith(reverse("admin:login"))

    def test_leave_out_those_who_may_not_see_webhooks(self, db: None) -> None:
        clerk = somebody_who_may("view_delivery", "view_bodies")

        assert clerk.get(PAGE).status_code == clerk.post(PAGE, posted()).status_code == 403
        assert PAGE not in clerk.get(reverse("admin:deliveries_delivery_changelist")).content.decode()

    # Else somebody who may not see bodies could guess one, and be told by its signature, which stands in the
    # attempt, that they guessed right.
    def test_keep_webhooks_from_those_who_may_not_see_bodies(self, db: None) -> None:
        viewer = somebody_who_may("view_webhook")
        webhook = builders.a_webhook(secret=SECRET)

        page = text_of(viewer, posted() | {"secret": "", "webhook": str(webhook.pk)})

        assert verdict_of(page).startswith("Cannot say Without a secret")
        assert 'name="webhook"' not in page
        assert "Whoever may see bodies can choose a webhook" in page
        own_page = viewer.get(reverse("admin:deliveries_webhook_change", args=[webhook.pk])).content.decode()
        assert "Check a signature" not in own_page
        assert str(webhook.pk) not in viewer.get(PAGE, {"webhook": str(webhook.pk)}).content.decode()

    def test_are_enough_to_check_by_a_typed_secret(self, db: None) -> None:
        assert verdict_of(text_of(somebody_who_may("view_webhook"), posted())) == RIGHT

    def test_are_no_use_to_another_site(self, operator: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(operator)

        assert client.post(PAGE, posted()).status_code == 403

    def test_are_for_reading_and_posting_only(self, console: Client) -> None:
        assert console.put(PAGE).status_code == 405


class TestExample:
    @pytest.mark.parametrize(("which", "verdict"), [("right", "Right"), ("changed", "Wrong")])
    def test_is_filled_in_and_can_be_checked(self, console: Client, which: str, verdict: str) -> None:
        page = unescape(console.get(PAGE, {"example": which}).content.decode())
        secret = re.findall(r'name="secret"[^>]* value="(whsec_[^"]+)"', page)
        headers, body = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)

        assert f"signs nothing else: <code>{secret[0]}</code>" in page
        answer = text_of(console, {"headers": headers, "body": body, "secret": secret[0]})
        assert verdict_of(answer).startswith(verdict)
        assert secret[0] not in answer

    def test_is_none_of_another_kind(self, console: Client) -> None:
        assert "whsec_" not in console.get(PAGE, {"example": "x"}).content.decode().partition("snippets")[0]
