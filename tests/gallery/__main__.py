"""Take the pictures: `make screenshots`, or `python -m tests.gallery [folder]`.

Starts the service as a newcomer does, in a folder that is thrown away; has events arrive, fail and be sent
again; and takes each page in light and in dark.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

from deliveries.management.try_it.environment import Place, variables
from tests.clients.browser import Visit, visiting
from tests.servers.folders import throw_away_folder
from tests.up.service import ROOT, Service, running, surroundings
from tests.waiting import wait_until

FOLDER = ROOT / "docs" / "images"
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PAGES = (
    "overview",
    "inbox",
    "group",
    "recovery",
    "webhooks",
    "webhook",
    "delivery",
    "event",
    "why",
    "system",
)
EVENTS = 12


def main(arguments: Sequence[str]) -> None:
    """Take them all."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with throw_away_folder("gallery") as data, running(data / "var") as service:
        remember_a_day(service)
        let_some_fail(service)
        for theme in THEMES:
            with visiting(color_scheme=theme) as visit:
                for name in take(visit, service):
                    visit.page.screenshot(path=folder / f"{name}-{theme}.png", animations="disabled")
                    sys.stdout.write(f"{folder / name}-{theme}.png\n")


def remember_a_day(service: Service) -> None:
    """Write what had happened before."""
    place = Place.of(service.data_dir, service.papers["url"])
    subprocess.run(
        [sys.executable, "-m", "tests.gallery.history"],
        cwd=ROOT,
        env={**surroundings(), **variables(place), "DJANGO_SETTINGS_MODULE": "webhooks_project.settings"},
        check=True,
    )


def let_some_fail(service: Service) -> None:
    """Have events arrive at receivers of which one fails for good and another now and then."""
    for number in range(EVENTS):
        service.publish(call_id=f"call-{number:04}", duration=45 + number, caller="+44 20 7946 0958")
    wait_until(lambda: len(service.arrivals("failing")) >= EVENTS, timeout=30, what="the failures")
    wait_until(lambda: service.arrivals("flaky"), timeout=30, what="the flaky receiver's")


def take(visit: Visit, service: Service) -> Iterator[str]:
    """Go to each page in turn, and yield its name when it is to be seen."""
    page, url = visit.page, service.papers["url"]
    person = service.papers["operator"]
    visit.open(f"{url}/admin/")
    page.get_by_label("Username").fill(person["username"])
    page.get_by_label("Password").fill(person["password"])
    visit.press("Log in")
    yield "overview"
    visit.open(f"{url}/admin/deliveries/failuregroup/")
    yield "inbox"
    _open(page, "Failing receiver")
    yield "group"
    _open(page, "Send all")
    yield "recovery"
    visit.open(f"{url}/admin/deliveries/webhook/")
    yield "webhooks"
    _open(page, "Flaky receiver")
    yield "webhook"
    page.locator("tbody[data-rows] a").first.click()
    yield "delivery"
    page.locator("dl.facts a").first.click()
    yield "event"
    visit.open(f"{url}/admin/why/?q={url}/demo/receivers/disabled")
    yield "why"
    visit.open(f"{url}/admin/system/")
    yield "system"


def _open(page: Page, link: str) -> None:
    with page.expect_navigation():
        page.get_by_role("link", name=link).first.click()


if __name__ == "__main__":
    main(sys.argv[1:])
