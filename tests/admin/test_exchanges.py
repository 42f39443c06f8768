"""Exchanges on the pages of deliveries and attempts: both sides, the time, a command, and two compared."""

import os
import re
import shlex
import subprocess
import time
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from deliveries import clock
from deliveries.admin import bodies, curl, exchanges
from deliveries.admin import deliveries as admin_of_deliveries
from deliveries.admin import events as admin_of_events
from deliveries.identifiers import new_id
from deliveries.models import Attempt, AuditEntry, Delivery, Event, Failure, Webhook, WebhookHealth
from tests import builders
from tests.admin.pages import read, said
from tests.servers import binaries


def page_of(row: Any) -> str:
    return reverse(f"admin:deliveries_{row._meta.model_name}_change", args=[row.pk])


def text_of(client: Client, url: str) -> str:
    return read(client.get(url))


def url_of(name: str, delivery: Delivery) -> str:
    return reverse(f"admin:deliveries_delivery_{name}", args=[delivery.pk])


@pytest.fixture
def failed(db: None) -> Delivery:
    """One that failed twice, differently."""
    delivery = builders.a_failed_delivery(attempts_made=2)
    Attempt.objects.update(
        response_body=b'{"error":"no"}', response_headers={"x-node": "a"}, http_status=500, error="HTTP 500"
    )
    builders.an_attempt(
        delivery,
        number=2,
        http_status=503,
        error="HTTP 503",
        reason_code="http_status",
        response_headers={"x-node": "b"},
        response_body=b'{"error":"busy"}',
        duration=timedelta(milliseconds=100),
        dns_us=1_000,
        connect_us=9_000,
        tls_us=20_000,
        first_byte_us=60_000,
    )
    return delivery


class TestDelivery:
    def test_says_what_became_of_it_and_what_to_do(self, console: Client, failed: Delivery) -> None:
        text = text_of(console, page_of(failed))

        assert "did not take it in 2 attempts" in text
        assert "Send it again once the receiver is well." in text
        assert "2 of 2" in text

    def test_shows_the_latest_attempt_first_and_open(self, console: Client, failed: Delivery) -> None:
        page = console.get(page_of(failed)).content.decode()

        opened = re.findall(r'<details class="exchange" id="attempt-(\d+)"( open)?>', page)
        assert opened == [("2", " open"), ("1", "")]

    def test_shows_no_attempt_of_another(self, console: Client, failed: Delivery) -> None:
        builders.a_failed_delivery(failed.webhook)

        shown = console.get(page_of(failed)).context["exchanges"]

        assert [each.attempt for each in shown] == list(failed.attempts.order_by("-number"))

    def test_shows_the_latest_of_many(
        self, console: Client, failed: Delivery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(admin_of_deliveries, "LISTED", 1)

        page = console.get(page_of(failed))

        assert [each.attempt.number for each in page.context["exchanges"]] == [2]
        assert "1 older one is in the" in page.content.decode()

    def test_says_how_many_attempts_there_will_be(self, console: Client) -> None:
        assert "Attempts 0 of 4" in text_of(console, page_of(builders.a_delivery()))

    def test_shows_both_sides(self, console: Client, failed: Delivery) -> None:
        text = text_of(console, page_of(failed))

        assert "x-node" in text
        assert '"error": "busy"' in text
        assert '"call_id": "call-uuid"' in text
        assert "It came to no address." in text

    def test_shows_where_the_time_went(self, console: Client, failed: Delivery) -> None:
        text = text_of(console, page_of(failed))

        assert "Name 1.0 ms" in text
        assert "Connection 9.0 ms" in text
        assert "TLS 20.0 ms" in text
        assert "Waiting for the receiver 60.0 ms" in text
        assert "reading the answer 10.0 ms" in text

    def test_shows_no_body_to_who_may_see_none(self, client: Client, failed: Delivery) -> None:
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        seen = Permission.objects.filter(codename__startswith="view_").exclude(codename="view_bodies")
        user.user_permissions.set(seen)
        client.force_login(user)

        viewer_text = text_of(client, page_of(failed))
        attempt = text_of(client, page_of(failed.attempts.get(number=2)))
        compared = text_of(client, url_of("compare", failed))

        for text in (viewer_text, attempt, compared):
            assert "call-uuid" not in text
            assert "busy" not in text
            assert "x-node" not in text
            assert "curl -sS" not in text
        assert "does not reach as far as bodies" in viewer_text

    def test_shows_a_hostile_answer_as_text(self, console: Client, failed: Delivery) -> None:
        Attempt.objects.update(
            response_body=b"<script>0</script>", response_headers={"<b>": "<img src=x>"}, error="<i>"
        )

        hostile = "<script>0</script>"
        Attempt.objects.update(url=f"https://example.com/{hostile}", request_headers={hostile: hostile})
        Event.objects.update(body=hostile.encode())
        Webhook.objects.update(name=hostile)
        Failure.objects.update(reason=hostile)

        for url in (
            page_of(failed),
            url_of("compare", failed),
            page_of(failed.attempts.get(number=1)),
            page_of(failed.event),
        ):
            page = console.get(url).content.decode()
            assert "<script>0" not in page
            assert "<b>" not in page.replace("<b></b>", "")
            assert "<img src=x" not in page
            assert "<i>" not in page

    def test_has_buttons_for_what_is_possible(self, console: Client, viewer: Client) -> None:
        failed, queued = builders.a_failed_delivery(), builders.a_delivery()

        assert url_of("send_again", failed) in console.get(page_of(failed)).content.decode()
        assert url_of("cancel", failed) not in console.get(page_of(failed)).content.decode()
        assert url_of("cancel", queued) in console.get(page_of(queued)).content.decode()
        assert url_of("cancel", queued) not in viewer.get(page_of(queued)).content.decode()


class TestGivingUp:
    def test_gives_up_what_is_queued(self, console: Client) -> None:
        delivery = builders.a_delivery()

        page = console.post(url_of("cancel", delivery), follow=True)

        assert said(page) == ["Given up: nothing more is sent."]
        assert Delivery.objects.get().status == Delivery.Status.CANCELLED
        entry = AuditEntry.objects.latest("pk")
        assert (entry.action, entry.by, entry.subject_id, entry.account_id) == (
            "delivery.cancelled",
            "operator",
            str(delivery.pk),
            delivery.account_id,
        )

    @pytest.mark.parametrize(("given", "noted"), [({}, ""), ({"why": " They asked. "}, "They asked.")])
    def test_is_audited_with_why_where_somebody_said_so(
        self, console: Client, given: dict[str, str], noted: str
    ) -> None:
        delivery = builders.a_delivery()
        page = console.get(url_of("cancel", delivery)).content.decode()

        console.post(url_of("cancel", delivery), given)

        assert 'name="why"' in page
        assert AuditEntry.objects.get(action="delivery.cancelled").why == noted

    def test_wants_a_reason_that_fits(self, console: Client) -> None:
        delivery = builders.a_delivery()

        assert console.post(url_of("cancel", delivery), {"why": "x" * 501}).status_code == 400
        assert Delivery.objects.get().status == Delivery.Status.PENDING

    def test_says_so_when_it_is_too_late(self, console: Client, failed: Delivery) -> None:
        page = console.post(url_of("cancel", failed), follow=True)

        assert said(page) == ["Only what is pending or held can be cancelled."]
        assert Delivery.objects.get().status == Delivery.Status.FAILED
        assert not AuditEntry.objects.filter(action="delivery.cancelled").exists()

    def test_is_a_page_that_says_what_happens_before_anything_does(self, console: Client) -> None:
        delivery = builders.a_delivery()
        page = console.get(page_of(delivery)).content.decode()

        asked = console.get(url_of("cancel", delivery))

        # Nothing of the delivery's own page does it, and nothing there is named like the way out of a page.
        assert f'action="{url_of("cancel", delivery)}"' not in page
        assert 'value="Cancel"' not in page
        assert f'<a href="{url_of("cancel", delivery)}">Give up this delivery…</a>' in page
        text = read(asked)
        assert "No further attempt is made." in text
        assert "It cannot be sent again" in text
        assert f'<a href="{page_of(delivery)}" class="button cancel-link">' in asked.content.decode()
        assert Delivery.objects.get().status == Delivery.Status.PENDING

    def test_is_not_asked_about_what_is_finished(self, console: Client, failed: Delivery) -> None:
        page = console.get(url_of("cancel", failed), follow=True)

        assert page.redirect_chain == [(page_of(failed), 302)]
        assert said(page) == ["There is nothing to give up: it is failed."]

    def test_cannot_be_pressed_by_another_site(self, operator: User) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator)
        delivery = builders.a_delivery()

        assert browser.post(url_of("cancel", delivery)).status_code == 403
        assert Delivery.objects.get().status == Delivery.Status.PENDING

    def test_is_not_for_viewers(self, viewer: Client) -> None:
        delivery = builders.a_delivery()

        assert viewer.get(url_of("cancel", delivery)).status_code == 403
        assert viewer.post(url_of("cancel", delivery)).status_code == 403
        assert Delivery.objects.get().status == Delivery.Status.PENDING


class TestComparison:
    def test_shows_where_the_last_two_differ(self, console: Client, failed: Delivery) -> None:
        page = console.get(url_of("compare", failed))

        parts = dict(page.context["parts"])
        assert [(line.sign, line.text) for line in parts["Response headers"]] == [
            ("−", "x-node: a"),
            ("+", "x-node: b"),
        ]
        assert ("−", '  "error": "no"') in [(line.sign, line.text) for line in parts["Response body"]]
        assert (" ", "{") in [(line.sign, line.text) for line in parts["Response body"]]
        assert ("−", "Outcome: 500") in [(line.sign, line.text) for line in parts["What it came to"]]

    def test_of_long_answers_that_are_alike_takes_no_time(self, console: Client, failed: Delivery) -> None:
        for number in (1, 2):
            trace = [
                f"2026-03-15T10:{n:04} worker-{number} request {n * 7919 % 997} failed" for n in range(501)
            ]
            Attempt.objects.filter(number=number).update(response_body="\n".join(trace).encode())
        began = time.monotonic()

        page = console.get(url_of("compare", failed))

        assert time.monotonic() - began < 4  # looking within lines takes minutes
        lines = dict(page.context["parts"])["Response body"]
        assert [line.kind for line in lines] == ["gone"] * 500 + ["new"] * 500 + ["same"]
        assert lines[-1].text == "Only the first 500 lines of each are compared."

    def test_is_of_those_that_are_named(self, console: Client, failed: Delivery) -> None:
        page = console.get(url_of("compare", failed), {"first": "2", "second": "1"})

        assert [attempt.number for attempt in page.context["pair"]] == [2, 1]

    @pytest.mark.parametrize(
        ("asked", "status"),
        [({"first": "9"}, 404), ({"first": "x"}, 400), ({"second": "-1"}, 400), ({"first": "9" * 20}, 400)],
    )
    def test_needs_two_that_are_there(
        self, console: Client, failed: Delivery, asked: dict[str, str], status: int
    ) -> None:
        assert console.get(url_of("compare", failed), asked).status_code == status

    def test_is_of_no_other_delivery_s(self, console: Client, failed: Delivery) -> None:
        other = builders.a_failed_delivery(failed.webhook, attempts_made=3)
        for number in (2, 3):
            builders.an_attempt(other, number=number)

        pair = console.get(url_of("compare", failed)).context["pair"]

        assert pair == list(failed.attempts.order_by("number"))
        assert console.get(url_of("compare", failed), {"first": "3"}).status_code == 404
        last = console.get(url_of("compare", other)).context["pair"]
        assert [attempt.number for attempt in last] == [2, 3]

    def test_is_only_looked_at(self, console: Client, failed: Delivery) -> None:
        assert console.post(url_of("compare", failed)).status_code == 405

    def test_ends_where_a_page_would_take_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exchanges, "MOST_LINES", 3)
        many, long = b"a\n" * 9, b"b" * 2 * bodies.SHOWN
        attempts = [
            Attempt(duration=timedelta(0), request_headers={}, response_body=body) for body in (many, long)
        ]

        parts = dict(exchanges.differences(attempts[0], attempts[1], with_answers=True))

        *lines, last = parts["Response body"]
        assert [line.text for line in lines] == ["a", "a", "a", "b" * bodies.SHOWN]
        assert last.text == "Only the first 3 lines of each are compared."

    def test_is_for_those_who_may_see_deliveries(self, client: Client, failed: Delivery) -> None:
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_webhook"))
        client.force_login(user)

        assert client.get(url_of("compare", failed)).status_code == 403

    def test_of_one_attempt_is_none(self, console: Client) -> None:
        assert console.get(url_of("compare", builders.a_failed_delivery())).status_code == 404


class TestExchange:
    def test_holds_nothing_for_those_who_may_see_no_bodies(self, failed: Delivery) -> None:
        found = exchanges.exchange(failed.attempts.get(number=2), body=None)

        assert (found.response_headers, found.response_body, found.command) == (None, None, None)


class TestStretches:
    def test_never_come_to_more_than_the_whole(self) -> None:
        attempt = Attempt(duration=timedelta(milliseconds=10), dns_us=4_000, first_byte_us=30_000)

        found = exchanges.exchange(
            Attempt(
                duration=attempt.duration,
                dns_us=4_000,
                first_byte_us=30_000,
                request_headers={},
                url=builders.URL,
                succeeded=True,
                http_status=200,
            ),
            body=None,
        ).stretches

        assert [part.milliseconds for part in found] == [4, 6]
        assert found[-1].x + found[-1].width == exchanges.WIDTH


class TestCurl:
    def attempt(self, **changes: Any) -> Attempt:
        return Attempt(
            **{
                "url": "https://example.com/a?b='c'",
                "http_method": "POST",
                "request_headers": {"Content-Type": "application/json", "Authorization": "***"},
                **changes,
            }
        )

    def test_is_the_request_with_variables_for_what_is_masked(self) -> None:
        command = curl.command(self.attempt(), b'{"it\'s": 1}')

        assert command.splitlines() == [
            "printf %s " + shlex.quote('{"it\'s": 1}') + " | curl -sS -i -X POST \\",
            "  -H 'Content-Type: application/json' \\",
            "  -H 'Authorization: '\"${AUTHORIZATION:?}\" \\",
            "  --data-binary @- \\",
            "  " + shlex.quote("https://example.com/a?b='c'"),
        ]

    @pytest.mark.parametrize(
        "body",
        [b"{}", b"", b'it\'s "$HOME" `id` \\n\n', "größe ✓".encode(), b"\0\xff\n", b"tab\tend\r\n", b"%s %d"],
    )
    def test_prints_the_very_bytes(self, body: bytes) -> None:
        printing, _, _ = curl.command(self.attempt(), body).partition(" | curl ")

        printed = subprocess.run(["sh", "-c", printing], capture_output=True, check=True)

        assert printed.stdout == body

    @pytest.mark.parametrize("control", ["\r", "\v", "\f", "\x1b", "\x7f", "\x08"])
    def test_has_nothing_that_a_terminal_obeys(self, control: str) -> None:
        assert control not in curl.command(self.attempt(), f"a{control}b".encode())

    @pytest.mark.parametrize(
        ("name", "variable"),
        [("X-Api-Key", "X_API_KEY"), ("x-token!", "X_TOKEN_"), ("2fa-token", "_2FA_TOKEN")],
    )
    def test_names_a_variable_that_a_shell_takes(self, name: str, variable: str) -> None:
        command = curl.command(self.attempt(request_headers={name: "***"}), b"")

        ran = subprocess.run(
            ["sh", "-c", command.replace("curl -sS -i", "echo")],
            capture_output=True,
            check=True,
            env={**os.environ, variable: "s3cret"},
        )

        assert f"-H {name}: s3cret" in ran.stdout.decode()

    def test_sends_what_it_says(self, tmp_path: Any) -> None:
        headers = {"X-Say": "it's; $(touch broken) `id`", "Authorization": "***"}
        got = tmp_path / "got"
        command = curl.command(self.attempt(request_headers=headers, url=f"file://{got}"), b"")
        got.write_text("fine")
        shown = command.replace("curl -sS -i", f"{binaries.curl()} -sS -i --write-out '' ")

        ran = subprocess.run(
            ["sh", "-c", shown.replace("-X POST", "").replace("--data-binary @-", "")],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "AUTHORIZATION": "Bearer x"},
        )

        assert b"fine" in ran.stdout
        assert not (tmp_path / "broken").exists()

    def test_stops_where_a_secret_is_not_given(self) -> None:
        command = curl.command(self.attempt(), b"")
        environment = {name: value for name, value in os.environ.items() if name != "AUTHORIZATION"}

        ran = subprocess.run(
            ["sh", "-c", command.replace("curl -sS -i", "echo")],
            capture_output=True,
            check=False,
            env=environment,
        )

        assert b"AUTHORIZATION" in ran.stderr


class TestCurlOnDemand:
    """With a large body, each command is on a page of its own: fifty of them would be megabytes."""

    @pytest.fixture
    def large(self, db: None) -> Delivery:
        """One with a body of 100 KB, and five attempts."""
        body = b'{"said":"' + b"x" * 100_000 + b'"}'
        delivery = builders.a_failed_delivery(event=builders.an_event(body=body), attempts_made=5)
        for number in range(2, 6):
            builders.an_attempt(delivery, number=number, http_status=500)
        return delivery

    def curl_of(self, attempt: Attempt) -> str:
        return reverse("admin:deliveries_attempt_curl", args=[attempt.pk])

    def test_leaves_the_delivery_s_page_small(self, console: Client, large: Delivery) -> None:
        page = console.get(page_of(large)).content.decode()

        # The body itself stands there once.
        assert len(page) < 2 * bodies.SHOWN
        for attempt in large.attempts.all():
            assert f'<a href="{self.curl_of(attempt)}">Copy as curl</a>' in page
        assert "printf" not in page

    def test_is_the_whole_command(self, console: Client, large: Delivery) -> None:
        attempt = large.attempts.get(number=3)

        page = console.get(self.curl_of(attempt))

        shown = re.search(r'<pre [^>]*id="curl-3">(.*?)</pre>', page.content.decode(), re.DOTALL)
        assert shown is not None
        assert unescape(shown[1]) == curl.command(attempt, bytes(large.event.body))
        assert 'data-copies="curl-3"' in page.content.decode()
        assert page_of(large) in page.content.decode()

    def test_is_on_the_page_itself_where_the_body_is_small(self, console: Client, failed: Delivery) -> None:
        page = console.get(page_of(failed)).content.decode()

        assert page.count('<pre tabindex="0" role="group" aria-label="Curl command of attempt') == 2
        assert "Copy as curl" not in page

    @pytest.mark.parametrize("lacking", ["view_bodies", "view_attempt"])
    def test_is_for_those_who_may_see_attempts_and_bodies(
        self, client: Client, large: Delivery, lacking: str
    ) -> None:
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(
            Permission.objects.filter(codename__startswith="view_").exclude(codename=lacking)
        )
        client.force_login(user)
        attempt = large.attempts.get(number=1)

        assert client.get(self.curl_of(attempt)).status_code == 403
        if lacking == "view_bodies":
            assert "Copy as curl" not in text_of(client, page_of(large))

    def test_is_of_attempts_that_are_there(self, console: Client, db: None) -> None:
        assert console.get(reverse("admin:deliveries_attempt_curl", args=[new_id()])).status_code == 404


class TestEvent:
    def test_says_of_every_webhook_why(self, console: Client) -> None:
        account = builders.an_account()
        first = builders.a_webhook(account, name="First")
        builders.a_webhook(account, name="Second", events=["message.*"])
        builders.a_webhook(account, name="Third", enabled=False)
        builders.a_webhook(agent=builders.an_agent(account), name="Fourth")
        event = builders.a_failed_delivery(first).event

        text = text_of(console, page_of(event))

        assert "First ✕ Failed Connection timeout Delivery" in text
        assert "Second ○ Skipped It was not subscribed to events of this type." in text
        assert "Third ○ Skipped It was disabled." in text
        assert "Fourth ○ Skipped It belongs to another agent." in text

    def test_says_nothing_of_other_events(self, console: Client) -> None:
        delivery = builders.a_failed_delivery()
        builders.a_failed_delivery(delivery.webhook)

        page = console.get(page_of(delivery.event))

        assert [each for each, _ in page.context["sent"]] == [delivery]

    def test_shows_so_many_of_each(self, console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admin_of_events, "LISTED", 1)
        account = builders.an_account()
        event = builders.an_event(account)
        for _ in range(2):
            builders.a_delivery(builders.a_webhook(account), event=event)
            builders.a_webhook(account, enabled=False)

        context = console.get(page_of(event)).context

        assert (len(context["sent"]), len(context["skipped"])) == (1, 1)

    def test_of_what_is_held_says_by_what(self, console: Client) -> None:
        webhook = builders.a_webhook()
        page = page_of(builders.a_delivery(webhook, status="held").event)

        assert "It is held by a pause." in text_of(console, page)
        WebhookHealth.objects.update(circuit="open", circuit_since=clock.now(), next_step_at=clock.now())
        assert "It is held until the receiver is there again." in text_of(console, page)
        Webhook.objects.update(enabled=False)
        assert "It is held until the webhook is enabled." in text_of(console, page)

    def test_of_one_that_arrived_says_when(self, console: Client) -> None:
        delivery = builders.a_delivery(
            status="succeeded",
            attempts_made=1,
            due_at=None,
            scheduled_at=None,
            next_attempt_id=None,
            finished_at=clock.now() - timedelta(minutes=5),
        )

        assert "Attempt 1 arrived 5 min ago" in text_of(console, page_of(delivery.event))

    def test_that_nobody_wanted_says_so(self, console: Client) -> None:
        text = text_of(console, page_of(builders.an_event()))

        assert "The account had no webhook when it was published." in text

    def test_shows_its_body_indented(self, console: Client) -> None:
        event = builders.an_event(body=b'{"a":{"b":1}}')

        assert '{ "a": { "b": 1 } }' in text_of(console, page_of(event))
        assert Event.objects.count() == 1
