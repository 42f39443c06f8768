"""The page of the documents in a real browser: without the internet, on a wide screen and on a narrow one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.clients.browser import Visit, visiting
from tests.up.service import Service

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


@dataclass
class Reader:
    """Somebody on the page of the documents."""

    page: Page

    def choose(self, contract: str) -> None:
        """Turn to the document of a contract."""
        self.page.get_by_role("navigation").get_by_role("link", name=contract).click()
        expect(self.page.get_by_role("heading", name=f"{contract} API")).to_be_visible()

    def authorize(self, key: str) -> None:
        """Enter a key."""
        self.page.locator(".auth-wrapper button.authorize").click()
        self.page.get_by_role("textbox").fill(key)
        self.page.locator(".modal-ux button[type=submit]").click()
        self.page.locator(".modal-ux .btn-done").click()

    def execute(self, operation: str, **parameters: str) -> tuple[str, str]:
        """Send the form of an operation, and return the status and the command that does the same."""
        form = self.page.locator(f"#operations-{operation}")
        form.locator(".opblock-summary-control").click()
        for name, value in parameters.items():
            form.locator(f"[data-param-name='{name}'] input").fill(value)
        form.get_by_role("button", name="Execute").click()
        answered = form.locator(".live-responses-table")
        expect(answered).to_be_visible()
        status = answered.locator("tbody .response-col_status").first.inner_text()
        return status.split()[0], form.locator(".curl").first.inner_text()


@contextmanager
def reading(service: Service, *, width: int) -> Iterator[tuple[Reader, Visit]]:
    """Open the page in a window as wide as this."""
    with visiting(width=width) as visit:
        visit.open(f"{service.papers['url']}/docs/")
        yield Reader(visit.page), visit


class TestPage:
    @pytest.mark.parametrize("width", [1280, 380])
    def test_shows_each_contract_and_sends_real_requests(self, service: Service, width: int) -> None:
        with reading(service, width=width) as (reader, visit):
            reader.choose("Native")
            reader.authorize(service.papers["api_key"])
            published, _ = reader.execute("Events-publishEvent")
            reader.choose("Failures")
            listed, command = reader.execute(
                "Webhook_failures-listWebhookFailures", **{"created_at[gte]": "2026-03-01T00:00:00Z"}
            )
            reader.choose("Logs")

            overflow = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert (published, listed) == ("202", "200")
            assert "created_at%5Bgte%5D=2026-03-01T00%3A00%3A00Z" in command
            assert overflow == 0
            assert visit.complaints == []
            assert visit.hosts == {service.papers["url"].removeprefix("http://")}

    def test_says_what_is_wrong_without_a_key(self, service: Service) -> None:
        with reading(service, width=1280) as (reader, _):
            reader.choose("Failures")

            status, _ = reader.execute("Webhook_failures-listWebhookFailures")

            assert status == "401"
