"""Somebody has got markup past the templates: what it does not come to under the policy of each area."""

import pytest
from playwright.sync_api import Page, Route

from tests.clients.browser import visiting
from tests.up.service import Service
from webhooks_project.policies import HEADER

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

# Whoever is there gets what they wanted once a browser has come to them.
STRANGER = "http://stranger.example"
RUN = "document.body.dataset.ran = 'yes'"
# To be clicked on where it is there.
BAIT = "#bait"
INJECTIONS = {
    "inline script": f"<script>{RUN}</script>",
    "event handler": f'<img src="/no/such" onerror="{RUN}">',
    "link with a script": f'<a id="bait" href="javascript:void({RUN})">x</a>',
    "script in a URL": f'<script src="data:text/javascript,{RUN}"></script>',
    "script from elsewhere": f'<script src="{STRANGER}/script"></script>',
    "style from elsewhere": f'<link rel="stylesheet" href="{STRANGER}/style">',
    "image from elsewhere": f'<img src="{STRANGER}/image">',
    "style that loads": f"<p style=\"background: url('{STRANGER}/image')\">x</p>",
    "frame": f'<iframe src="{STRANGER}/frame"></iframe>',
    "object": f'<object data="{STRANGER}/object" type="text/html"></object>',
    "form to elsewhere": f'<form action="{STRANGER}/form"><button id="bait">x</button></form>',
    "other base of links": f'<base href="{STRANGER}"><a id="bait" href="link">x</a>',
}
# Milliseconds between two looks whether it has happened, and how often to look: all but what a click leads to
# is over when the page is loaded.
WAIT, LOOKS = 100.0, 50


def effects(service: Service, path: str, *, policy: bool) -> set[str]:
    """Return which injections into a page did something, with the policy it comes with or without one."""
    with visiting() as visit:
        return {
            name
            for name, markup in INJECTIONS.items()
            if _does_something(visit.page, service.papers["url"] + path, markup, policy=policy)
        }


def _does_something(page: Page, url: str, markup: str, *, policy: bool) -> bool:
    reached: list[str] = []

    def inject(route: Route) -> None:
        answer = route.fetch()
        headers = {name: value for name, value in answer.headers.items() if policy or name != HEADER.lower()}
        body = answer.text().replace("</body>", f"{markup}</body>")
        assert markup in body
        route.fulfill(response=answer, headers=headers, body=body)

    def arrive(route: Route) -> None:
        reached.append(route.request.url)
        route.fulfill(body="")

    # What it looks like does not matter here.
    page.route("**/static/**", lambda route: route.abort())
    page.route(url, inject)
    page.route(f"{STRANGER}/**", arrive)
    page.goto(url)
    for bait in page.locator(BAIT).all():
        bait.evaluate("bait => bait.click()")
    happened = False
    for _ in range(1 if policy else LOOKS):
        page.wait_for_timeout(WAIT)
        happened = bool(reached) or page.locator("body[data-ran]").count() > 0
        if happened:
            break
    page.unroute_all(behavior="wait")
    return happened


class TestInjections:
    @pytest.mark.parametrize("path", ["/admin/login/", "/docs/", "/demo/"])
    def test_do_nothing(self, service: Service, path: str) -> None:
        assert effects(service, path, policy=True) == set()

    def test_would_do_something(self, service: Service) -> None:
        assert effects(service, "/demo/", policy=False) == INJECTIONS.keys()
