"""Pages of the console that keep up by themselves, and leave alone whoever is reading."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from deliveries import clock
from deliveries.models import FailureGroup, Recovery, WebhookHealth
from tests.clients import busy
from tests.clients.browser import Visit, visiting
from tests.clients.operating import log_in

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
# Longer than it takes a page to ask again; in milliseconds.
OVERVIEW, RECOVERY = 5500, 2500


@pytest.fixture
def pages(operator: User) -> dict[str, str]:
    """What there is to see."""
    return busy.fill(clock.now())


@pytest.fixture
def visit(pages: dict[str, str], server: LiveServer) -> Iterator[Visit]:
    """Somebody who has logged in, and is on the overview."""
    with visiting() as visit:
        visit.open(f"{server.url}/admin/")
        log_in(visit)
        yield visit
        assert visit.complaints == []


@pytest.fixture
def page(visit: Visit) -> Page:
    """The overview."""
    return visit.page


@pytest.fixture
def asked(page: Page) -> list[str]:
    """What is asked for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def card(page: Page, name: str) -> str:
    """Return the number on a card."""
    return page.locator(".card", has_text=name).locator("dd").inner_text()


class TestOverview:
    def test_shows_new_numbers_and_leaves_open_what_is_open(self, page: Page) -> None:
        page.locator("#table-attempts summary").click()
        page.evaluate("document.activeElement.blur()")
        box = page.locator("#table-attempts .scroll")
        box.evaluate("box => box.scrollTop = 40")
        page.evaluate("document.querySelector('#table-attempts').dataset.old = true")

        WebhookHealth.objects.update(consecutive_failures=3, failing_since=clock.now())
        expect(page.locator("#table-attempts[data-old]")).to_have_count(0)

        expect(page.locator("#live")).to_contain_text("CRM call events")
        expect(page.locator("#table-attempts")).to_have_attribute("open", "")
        assert box.evaluate("box => box.scrollTop") == 40
        expect(page.get_by_role("status")).to_have_text("Live")

    def test_stops_when_told_to_and_says_so(self, page: Page, asked: list[str]) -> None:
        page.get_by_role("button", name="Pause refreshing").click()
        expect(page.get_by_role("status")).to_have_text("Paused")
        asked.clear()
        page.wait_for_timeout(OVERVIEW)
        meanwhile = list(asked)

        page.get_by_role("button", name="Go on refreshing").click()

        expect(page.get_by_role("status")).to_have_text("Live")
        assert meanwhile == []
        page.wait_for_timeout(500)
        assert len(asked) == 1

    def test_asks_for_nothing_where_nobody_looks(self, page: Page, asked: list[str]) -> None:
        page.evaluate(HIDE, True)
        asked.clear()
        page.wait_for_timeout(OVERVIEW)
        meanwhile = list(asked)

        with page.expect_request("**/admin/"):
            page.evaluate(HIDE, False)

        assert meanwhile == []

    def test_takes_nobodys_place_away(self, page: Page, asked: list[str]) -> None:
        link = page.get_by_role("link", name="Failures waiting")
        link.focus()
        asked.clear()
        FailureGroup.objects.all().delete()
        page.wait_for_timeout(OVERVIEW)

        expect(link).to_be_focused()
        expect(page.get_by_role("status")).to_have_text("Waits while you are in it")
        assert asked == []
        link.blur()
        expect(page.get_by_role("status")).to_have_text("Live")
        expect(page.locator(".card", has_text="Failures waiting")).to_contain_text("The inbox is empty")

    def test_leaves_alone_what_is_marked(self, page: Page) -> None:
        page.evaluate("getSelection().selectAllChildren(document.querySelector('.cards dd'))")
        page.evaluate("document.querySelector('.cards').dataset.old = true")
        page.wait_for_timeout(OVERVIEW)

        expect(page.locator(".cards[data-old]")).to_have_count(1)
        assert page.evaluate("String(getSelection())")

    def test_says_when_there_is_no_answer(self, visit: Visit, page: Page) -> None:
        page.route("**/admin/", lambda route: route.abort())

        expect(page.get_by_role("status")).to_have_text("No answer; what is shown is old")
        page.unroute("**/admin/")
        expect(page.get_by_role("status")).to_have_text("Live")
        visit.complaints.clear()


class TestRecovery:
    def test_shows_how_far_it_has_come_until_it_is_finished(
        self, page: Page, pages: dict[str, str], server: LiveServer
    ) -> None:
        page.goto(server.url + pages["recovery"])
        recovery = Recovery.objects.get(status="running")
        recovery.failures.update(status="delivered")
        Recovery.objects.filter(pk=recovery.pk).update(queued=33)
        expect(page.locator("#live")).to_contain_text("33 of 40 queued")
        assert page.locator("progress").evaluate("bar => bar.value") == 34

        Recovery.objects.filter(pk=recovery.pk).update(status="completed", finished_at=clock.now())
        expect(page.get_by_role("status")).to_have_text("Finished")
        expect(page.locator("#live-pause")).to_be_hidden()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(RECOVERY)

        assert asked == []


class TestMotion:
    def test_is_left_out_for_those_who_want_none(self, pages: dict[str, str], server: LiveServer) -> None:
        with visiting(reduced_motion="reduce") as visit:
            visit.open(f"{server.url}/admin/")
            log_in(visit)

            moving = visit.page.evaluate(
                "[...document.querySelectorAll('*')].filter((each) => {"
                "  const style = getComputedStyle(each);"
                "  const lasts = parseFloat(style.transitionDuration) && style.transitionProperty !== 'none';"
                "  return lasts || style.animationName !== 'none'; }).length"
            )

            assert moving == 0
