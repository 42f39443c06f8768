"""The console for everyone: nothing that axe objects to, in light and dark, and in the window of a phone."""

from typing import Literal

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from deliveries import clock
from deliveries.models import Webhook
from deliveries.services import glancing
from tests.clients import axe, busy
from tests.clients.browser import Visit, visiting
from tests.clients.operating import log_in

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

PHONE = 380
# Of everything that can be pressed or typed into: no less than WCAG 2.2 asks for.
LEAST = 24
# What somebody sees that hides something of it, sideways, which nobody can bring into view.
CUT_OFF = """() => [...document.querySelectorAll("body *:not(input)")].filter((each) => {
  const style = getComputedStyle(each);
  const hides = ["hidden", "clip"].includes(style.overflowX) && style.display !== "inline";
  return hides && each.checkVisibility() && each.clientWidth > 1 && each.scrollWidth > each.clientWidth + 1;
}).map((each) => each.outerHTML.slice(0, 120))"""
# What is beyond an edge of the window, and in no box that moves.
BEYOND = """() => [...document.querySelectorAll("main *, header *, nav *")].filter((each) => {
  const box = each.getBoundingClientRect();
  const shown = each.checkVisibility() && box.width > 1 && box.height > 1;
  const boxes = ".scroll, .box, .results, pre, .visually-hidden";
  return shown && !each.closest(boxes) && (box.right > innerWidth + 1 || box.left < -1);
}).map((each) => each.outerHTML.slice(0, 120))"""
# Boxes whose content is wider than they are, and that no key gets to.
UNREACHED = """() => [...document.querySelectorAll("body *")].filter((each) => {
  const moves = ["auto", "scroll"].includes(getComputedStyle(each).overflowX);
  return moves && each.scrollWidth > each.clientWidth + 1 && each.tabIndex < 0;
}).map((each) => each.outerHTML.slice(0, 120))"""
SMALL = """least => [...document.querySelectorAll(
  "button, input:is([type=text], [type=submit]), select, summary, .button, .object-tools a, .rooms a"
)].filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < least)
  .map((each) => each.outerHTML.slice(0, 120))"""


def open_up(page: Page) -> None:
    """Show what is folded up, but for the columns of a row."""
    for summary in page.locator("main details:not([open]) > summary").all():
        if summary.is_visible():
            summary.click()


class TestEveryPage:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_has_nothing_that_axe_objects_to(
        self, operator: User, server: LiveServer, scheme: Literal["light", "dark"]
    ) -> None:
        pages = busy.fill(clock.now())
        found: dict[str, list[str]] = {}

        with visiting(color_scheme=scheme) as visit:
            visit.open(f"{server.url}/admin/")
            found["login"] = axe.violations(visit.page)
            log_in(visit, password="wrong")
            found["login, refused"] = axe.violations(visit.page)
            log_in(visit)
            for name, path in pages.items():
                assert visit.open(server.url + path) == 200
                open_up(visit.page)
                found[name] = axe.violations(visit.page)
            visit.page.keyboard.press("?")
            found["keys"] = axe.violations(visit.page)

            assert {name: violations for name, violations in found.items() if violations} == {}
            assert visit.complaints == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_is_the_same_where_it_cannot_be_shown(
        self,
        operator: User,
        server: LiveServer,
        scheme: Literal["light", "dark"],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def break_down(**arguments: object) -> None:
            raise ZeroDivisionError("a bug")

        with visiting(color_scheme=scheme, width=PHONE) as visit:
            visit.open(f"{server.url}/admin/")
            log_in(visit)
            assert visit.open(f"{server.url}/admin/nothing/") == 404
            not_found = axe.violations(visit.page) + misfits(visit)
            monkeypatch.setattr(glancing, "glance", break_down)
            assert visit.open(f"{server.url}/admin/") == 500
            broken = axe.violations(visit.page) + misfits(visit)

            assert (not_found, broken) == ([], [])

    def test_fits_the_window_of_a_phone(self, operator: User, server: LiveServer) -> None:
        pages = busy.fill(clock.now())
        found: dict[str, list[str]] = {}

        with visiting(width=PHONE) as visit:
            visit.open(f"{server.url}/admin/")
            found["login"] = misfits(visit)
            log_in(visit)
            for name, path in pages.items():
                visit.open(server.url + path)
                open_up(visit.page)
                found[name] = misfits(visit)
            visit.open(server.url + pages["webhooks"])
            box = visit.page.get_by_role("region", name="Webhooks")
            wider = box.evaluate("box => box.scrollWidth > box.clientWidth")

            assert {name: problems for name, problems in found.items() if problems} == {}
            assert wider, "the widest table moves in its own box"

    def test_shows_every_column_of_a_list_on_a_desk(self, operator: User, server: LiveServer) -> None:
        pages = busy.fill(clock.now())
        lists = ("inbox", "webhooks", "events", "deliveries", "attempts", "failures", "recoveries", "audit")

        with visiting() as visit:
            visit.open(f"{server.url}/admin/")
            log_in(visit)
            hidden = {name: hidden_columns(visit, server.url + pages[name]) for name in lists}

            assert {name: width for name, width in hidden.items() if width} == {}

    def test_breaks_a_long_name_on_the_overview(self, operator: User, server: LiveServer) -> None:
        pages = busy.fill(clock.now())
        Webhook.objects.filter(name="Billing mirror").update(name="n" * 255)

        with visiting() as visit:
            visit.open(f"{server.url}/admin/")
            log_in(visit)
            visit.open(server.url + pages["overview"])
            box = visit.page.get_by_role("region", name="Webhooks in trouble")

            assert "nnn" in box.inner_text()
            assert box.evaluate("box => box.scrollWidth - box.clientWidth") == 0


def misfits(visit: Visit) -> list[str]:
    """Return what of a page does not fit into its window, is hidden in it, or too small to be hit."""
    page = visit.page
    wide = page.evaluate("document.documentElement.scrollWidth")
    found = [f"The page is {wide} wide."] if wide > PHONE else []
    for script in (CUT_OFF, BEYOND, UNREACHED):
        found += page.evaluate(script)
    found += page.evaluate(SMALL, LEAST)
    return found


def hidden_columns(visit: Visit, url: str) -> int:
    """Return how much of a list is beyond the edge of its box."""
    visit.open(url)
    hidden: int = visit.page.locator(".results").evaluate("box => box.scrollWidth - box.clientWidth")
    return hidden
