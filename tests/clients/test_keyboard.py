"""The console by keys alone: those of its own, and Tab."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from deliveries import clock
from deliveries.models import Delivery
from tests.clients import busy
from tests.clients.browser import visiting
from tests.clients.operating import log_in

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

# What Tab is to come to. Of radio buttons it comes to one.
REACHABLE = """() => [...document.querySelectorAll(
  "a[href], button, input:not([type=hidden], [type=radio]), select, textarea, summary, [tabindex='0']"
)].filter((each) => each.checkVisibility({ visibilityProperty: true }))
  .filter((each) => each.tabIndex >= 0 && !each.disabled)
  .map((each, number) => (each.dataset.seen = number, number))"""
# Where the keys are now, and how one sees that.
HERE = """() => {
  const here = document.activeElement, style = getComputedStyle(here);
  return {
    number: Number(here.dataset.seen ?? -1),
    skips: here.matches(".skip-to-content-link"),
    body: here === document.body,
    text: here.outerHTML.slice(0, 120),
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
    inDialog: Boolean(here.closest("dialog")),
  };
}"""


# Django puts whoever comes to fill in a form into its first field.
FILLED_IN = ("new webhook", "new pause")


@pytest.fixture
def pages(operator: User) -> dict[str, str]:
    """What there is to see."""
    return busy.fill(clock.now())


@pytest.fixture
def page(pages: dict[str, str], server: LiveServer) -> Iterator[Page]:
    """Somebody who has logged in."""
    with visiting() as visit:
        visit.open(f"{server.url}/admin/")
        log_in(visit)
        yield visit.page
        assert visit.complaints == []


@pytest.fixture
def urls(pages: dict[str, str], server: LiveServer) -> dict[str, str]:
    """Where that is."""
    return {name: server.url + path for name, path in pages.items()}


def here(page: Page) -> dict[str, Any]:
    """Return where the keys are."""
    found: dict[str, Any] = page.evaluate(HERE)
    return found


def row_of(page: Page) -> int:
    """Return the number of the row that the keys are in."""
    number: int = page.evaluate(
        "[...document.querySelectorAll('#result_list tbody tr, [data-rows] > *')]"
        ".findIndex((row) => row.contains(document.activeElement))"
    )
    return number


class TestTab:
    @pytest.mark.parametrize(
        "name",
        [
            "overview",
            "deliveries",
            "delivery",
            "failure group",
            "webhook",
            "new pause",
            "dry run",
            "signatures",
        ],
    )
    def test_comes_to_everything_and_is_seen_there(self, page: Page, urls: dict[str, str], name: str) -> None:
        page.goto(urls[name])
        wanted = set(page.evaluate(REACHABLE))
        stops = []

        for _ in range(len(wanted) + 20):
            page.keyboard.press("Tab")
            stops.append(here(page))

        assert stops[0]["skips"] or name in FILLED_IN
        assert wanted - {stop["number"] for stop in stops} == set()
        assert [stop["text"] for stop in stops if not stop["outlined"] and not stop["body"]] == []

    def test_begins_every_page_with_a_way_past_the_navigation(self, page: Page, urls: dict[str, str]) -> None:
        begun = {}

        for name, url in urls.items():
            if name in FILLED_IN:
                continue
            page.goto(url)
            page.keyboard.press("Tab")
            begun[name] = here(page)["skips"]
            page.keyboard.press("Enter")
            expect(page.locator("main")).to_be_focused()

        assert set(begun.values()) == {True}


class TestKeys:
    def test_ask_why(self, page: Page, urls: dict[str, str]) -> None:
        page.goto(urls["deliveries"])

        page.keyboard.press("/")

        expect(page.get_by_label("Why did this not arrive?")).to_be_focused()
        expect(page.get_by_label("Why did this not arrive?")).to_have_value("")

    def test_are_told_in_a_dialog_that_gives_the_place_back(self, page: Page, urls: dict[str, str]) -> None:
        page.goto(urls["deliveries"])
        page.keyboard.press("j")
        place = here(page)["text"]

        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        within = []
        for _ in range(6):
            page.keyboard.press("Tab")
            within.append(here(page))
        page.keyboard.press("j")
        page.keyboard.press("Escape")

        expect(page.get_by_role("dialog")).to_have_count(0)
        assert all(stop["inDialog"] or stop["body"] for stop in within)
        assert here(page)["text"] == place

    @pytest.mark.parametrize("name", ["deliveries", "event", "failure group", "webhook"])
    def test_walk_through_rows_and_open_one(self, page: Page, urls: dict[str, str], name: str) -> None:
        page.goto(urls[name])

        walked = []
        for key in "jjkkk":
            page.keyboard.press(key)
            walked.append(row_of(page))
        link = page.evaluate("document.activeElement.href")
        with page.expect_navigation():
            page.keyboard.press("Enter")

        assert walked == [0, 1, 0, 0, 0]
        assert page.url == link

    def test_choose_a_row_and_prepare_its_action(self, page: Page, urls: dict[str, str]) -> None:
        page.goto(urls["deliveries"])

        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.keyboard.press("r")

        expect(page.locator("input.action-select").nth(1)).to_be_checked()
        expect(page.locator("input.action-select:checked")).to_have_count(1)
        expect(page.locator("select[name=action]")).to_have_value("send_again")
        expect(page.get_by_role("button", name="Go")).to_be_focused()
        assert page.url == urls["deliveries"], "nothing is sent before somebody presses Go"

    def test_choose_the_row_they_are_in_where_none_is_chosen(self, page: Page, urls: dict[str, str]) -> None:
        page.goto(urls["failures"])

        page.keyboard.press("j")
        page.keyboard.press("r")

        expect(page.locator("input.action-select").first).to_be_checked()
        expect(page.get_by_role("button", name="Go")).to_be_focused()

    def test_send_what_a_page_shows_again(self, page: Page, urls: dict[str, str]) -> None:
        page.goto(urls["delivery"])
        delivery = Delivery.objects.get(pk=page.url.split("/")[-3])
        waiting = Delivery.objects.filter(status="pending").count()

        with page.expect_navigation():
            page.keyboard.press("r")

        expect(page.locator(".messagelist .success")).to_have_text("Queued.")
        delivery.refresh_from_db()
        assert delivery.status == "pending"
        assert Delivery.objects.filter(status="pending").count() == waiting + 1

    def test_prepare_what_is_chosen_of_a_group_and_else_all_of_it(
        self, page: Page, urls: dict[str, str]
    ) -> None:
        page.goto(urls["failure group"])

        page.keyboard.press("j")
        page.keyboard.press("x")
        page.keyboard.press("r")
        expect(page.get_by_role("button", name="Send the chosen again")).to_be_focused()
        page.keyboard.press("j")
        page.keyboard.press("x")
        with page.expect_navigation():
            page.keyboard.press("r")

        expect(page.get_by_role("heading", name="Nothing is sent yet")).to_be_visible()

    def test_are_letters_where_somebody_types(self, page: Page, urls: dict[str, str]) -> None:
        page.goto(urls["delivery"])
        box = page.get_by_label("Why did this not arrive?")

        box.focus()
        page.keyboard.type("/?jkxr")

        expect(box).to_be_focused()
        expect(box).to_have_value("/?jkxr")
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert page.url == urls["delivery"]

    @pytest.mark.parametrize("held", ["Control", "Meta", "Alt"])
    def test_are_the_browsers_beside_another_key(self, page: Page, urls: dict[str, str], held: str) -> None:
        page.goto(urls["deliveries"])
        # The browser's own act would lead away from the page.
        page.evaluate("addEventListener('keydown', (event) => event.preventDefault(), { once: false })")

        for key in ("/", "?", "j", "r", "x"):
            page.keyboard.press(f"{held}+{key}")

        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator("select[name=action]")).to_have_value("")
        assert here(page)["body"]

    def test_that_are_held_down_act_once(self, page: Page, urls: dict[str, str]) -> None:
        page.goto(urls["deliveries"])
        page.keyboard.press("j")

        for _ in range(4):
            page.keyboard.down("x")
        page.keyboard.up("x")

        expect(page.locator("input.action-select").first).to_be_checked()
