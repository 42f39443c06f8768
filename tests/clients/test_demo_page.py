"""The page of the built-in receiver in a real browser."""

import pytest
from playwright.sync_api import expect

from tests.clients.browser import visiting
from tests.up.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


class TestPage:
    def test_shows_what_arrives_and_obeys_its_buttons(self, service: Service) -> None:
        with visiting() as visit:
            page = visit.page
            visit.open(f"{service.papers['url']}/demo/")
            expect(page.locator("#status")).to_contain_text("deliver")
            flaky = page.locator("#receiver-flaky")
            for button in reversed(flaky.locator(".choices button").all()):
                button.click()
                expect(button).to_have_attribute("aria-pressed", "true")
            page.get_by_role("button", name="Pause").click()
            expect(page.locator("#status")).to_have_text("Paused")
            page.get_by_role("button", name="Resume").click()
            before = page.locator("#deliveries > li").count()
            service.publish(number=2)
            expect(page.locator("#deliveries > li").nth(before)).to_be_visible()
            page.locator("#deliveries summary").first.click()
            page.get_by_role("link", name="Console").click()
            expect(page.get_by_label("Username")).to_be_visible()

            assert visit.complaints == []
            assert visit.hosts == {service.papers["url"].removeprefix("http://")}
