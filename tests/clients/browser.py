"""A real browser that is led nowhere else, and what it noticed meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.servers import binaries

PATIENCE = 20_000.0  # milliseconds a page may take on a busy machine
# Comes before whatever a page runs, and from outside, where no policy of the page's counts.
_WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`${event.effectiveDirective} stopped ${event.blockedURI || "something"} at ${location}`));
"""


@dataclass
class Visit:
    """Somebody on a page, and what the browser noticed in all windows."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, url: str) -> int:
        """Go to a page and return the status of its answer."""
        answer = self.page.goto(url)
        assert answer is not None
        return answer.status

    def press(self, name: str) -> None:
        """Press the button with this text, which leads to another page."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name, exact=True).click()

    def watch(self, context: BrowserContext) -> None:
        """Keep what is complained of, and what is refused."""
        context.on("console", lambda message: self._note(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        context.on("response", lambda response: self._note_refusal(response.status, response.url))

    def _note(self, kind: str, text: str) -> None:
        # A suggestion is no complaint, nor that somebody typed before a page could put the cursor somewhere;
        # and refusals are noted below, where the page's icon is left out.
        if kind not in ("verbose", "info") and "the server responded with" not in text:
            self.complaints.append(f"{kind}: {text}")

    def _note_refusal(self, status: int, url: str) -> None:
        if status >= 400:
            self.complaints.append(f"{status} {urlsplit(url).path}")


@contextmanager
def visiting(
    *,
    width: int = 1280,
    color_scheme: Literal["light", "dark"] = "light",
    reduced_motion: Literal["no-preference", "reduce"] = "no-preference",
    javascript: bool = True,
) -> Iterator[Visit]:
    """Open a browser with a window as wide as this, of somebody with these preferences."""
    with sync_playwright() as playwright:
        # Its sandbox needs rights that root in a container does not have; no foreign page is opened.
        browser = playwright.chromium.launch(
            executable_path=binaries.chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=color_scheme,
            reduced_motion=reduced_motion,
            java_script_enabled=javascript,
        )
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        context.add_init_script(_WATCH)
        visit = Visit(context.new_page())
        visit.watch(context)
        yield visit
        browser.close()
