"""The console where no script runs: everything can be seen and done, with a page for each step."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from deliveries import clock
from deliveries.models import AuditEntry, Delivery, Failure, Recovery
from tests.clients import busy
from tests.clients.browser import Visit, visiting
from tests.clients.operating import log_in

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


@pytest.fixture
def pages(operator: User) -> dict[str, str]:
    """What there is to see."""
    return busy.fill(clock.now())


@pytest.fixture
def visit(pages: dict[str, str], server: LiveServer) -> Iterator[Visit]:
    """Somebody who has logged in, and is on the overview."""
    with visiting(javascript=False) as visit:
        visit.open(f"{server.url}/admin/")
        log_in(visit)
        yield visit
        assert visit.complaints == []


class TestConsole:
    def test_shows_its_numbers_and_offers_nothing_that_would_not_work(self, visit: Visit) -> None:
        page = visit.page

        expect(page.locator(".card", has_text="Failures waiting").locator("dd")).to_contain_text(
            "2 groups in the inbox"
        )
        expect(page.locator(".live")).to_contain_text("Load the page again")
        page.locator("#table-attempts summary").click()
        expect(page.locator("#table-attempts table")).to_be_visible()
        for dead in ("#live-pause", ".theme-toggle", "[data-copies]"):
            assert not [each for each in page.locator(dead).all() if each.is_visible()]

    def test_answers_why(self, visit: Visit, pages: dict[str, str]) -> None:
        visit.page.get_by_label("Why did this not arrive?").fill(pages["delivery"])
        visit.press("Ask")

        expect(visit.page.locator(".answer")).to_contain_text("did not take it in 3 attempts")

    def test_sends_what_is_chosen_in_a_list_again(
        self, visit: Visit, pages: dict[str, str], server: LiveServer
    ) -> None:
        visit.open(server.url + pages["deliveries"])
        failed = visit.page.locator("#result_list tbody tr", has_text="Failed")
        for row in failed.all()[:2]:
            row.locator("input.action-select").check()
        visit.page.locator("select[name=action]").select_option(label="Send again")
        visit.press("Go")

        expect(visit.page.locator(".messagelist .success")).to_have_text("Queued 2 deliveries.")

    def test_narrows_a_list_to_what_is_typed_and_sends_all_of_that_again(
        self, visit: Visit, pages: dict[str, str], server: LiveServer
    ) -> None:
        failures = Failure.objects.filter(webhook_name="Billing mirror")
        failures.update(reason="HTTP 503", reason_code="http_status")
        visit.open(server.url + pages["failures"])
        for label, typed, says in (
            ("Webhook's id, exact name or URL", "Billing mirror", "of the webhook Billing mirror"),
            ("HTTP status, such as 503, or 5xx", "x", "An HTTP status is three digits"),
            ("HTTP status, such as 503, or 5xx", "503", "of the webhook Billing mirror with HTTP 503"),
        ):
            visit.page.get_by_label(label).fill(typed)
            visit.page.get_by_label(label).press("Enter")
            expect(visit.page.locator("#changelist")).to_contain_text(says)
        visit.page.get_by_role("link", name="Send all that match again…").click()

        expect(visit.page.locator("main")).to_contain_text("Billing mirror")
        expect(visit.page.locator("main")).to_contain_text("HTTP 503")

    def test_sends_one_again(self, visit: Visit, pages: dict[str, str], server: LiveServer) -> None:
        visit.open(server.url + pages["delivery"])
        for dead in visit.page.locator("[data-copies]").all():
            expect(dead).to_be_hidden()
        visit.page.get_by_label("Why", exact=True).fill("They asked.")
        visit.press("Send again")

        expect(visit.page.locator(".messagelist .success")).to_have_text("Queued.")
        assert Delivery.objects.get(pk=visit.page.url.split("/")[-3]).status == "pending"
        assert AuditEntry.objects.get(action="deliveries.redelivered").why == "They asked."

    def test_gives_one_up_after_a_question(
        self, visit: Visit, pages: dict[str, str], server: LiveServer
    ) -> None:
        visit.open(server.url + pages["giving up"])
        visit.page.get_by_role("link", name="Do not give it up").click()
        visit.page.get_by_role("link", name="Give up this delivery…").click()
        visit.page.get_by_label("Why", exact=True).fill("They asked.")
        visit.press("Give it up")

        expect(visit.page.locator(".messagelist .success")).to_have_text("Given up: nothing more is sent.")
        assert Delivery.objects.get(pk=visit.page.url.split("/")[-3]).status == "cancelled"
        assert AuditEntry.objects.get(action="delivery.cancelled").why == "They asked."

    def test_settles_a_group_and_says_why(
        self, visit: Visit, pages: dict[str, str], server: LiveServer
    ) -> None:
        visit.open(server.url + pages["failure group"])
        visit.page.get_by_label("Why", exact=True).first.fill("They know.")
        visit.press("Snooze 1 day")

        expect(visit.page.locator(".messagelist .success")).to_have_text("It is snoozed for 24 h now.")
        assert AuditEntry.objects.get(action="failures.snoozed").why == "They know."

    def test_sends_all_of_a_group_again_in_a_recovery(
        self, visit: Visit, pages: dict[str, str], server: LiveServer
    ) -> None:
        visit.open(server.url + pages["failure group"])
        visit.page.get_by_role("link", name="Send all 5 again").click()
        expect(visit.page.get_by_role("heading", name="Nothing is sent yet")).to_be_visible()
        visit.page.get_by_label("Why", exact=False).last.fill("The receiver is back.")
        visit.press("Send 5 again")

        expect(visit.page.locator("#live")).to_contain_text("0 of 5 queued")
        assert Recovery.objects.get(why="The receiver is back.").total == 5
