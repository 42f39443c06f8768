"""An operator's night in a real browser, against the whole service with its worker: what failed rises, is
understood, put right, and nothing of it leaves this machine.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.clients.browser import Visit, visiting
from tests.servers import binaries
from tests.transport import hostile
from tests.up.service import Service, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

VIEWER = "viewer", "quiet-harbour-lantern-31"
HOSTILE = (
    b"<script>document.title = 'taken'</script><img src='http://stranger.example/pixel' onerror='alert(0)'>"
)


@pytest.fixture(scope="class")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service as a newcomer runs it, which may also send to receivers of these tests."""
    allowed = {"WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8", "WEBHOOKS_ALLOW_PRIVATE_NETWORKS": "true"}
    with running(tmp_path_factory.mktemp("operator") / "var", environment=allowed) as service:
        yield service


@pytest.fixture
def visit(service: Service) -> Iterator[Visit]:
    """An operator who is logged in, and a browser that has seen nothing wrong at the end."""
    with visiting() as visit:
        person = service.papers["operator"]
        log_in(visit, service, person["username"], person["password"])
        yield visit
        assert visit.complaints == []
        assert visit.hosts == {service.papers["url"].removeprefix("http://")}


def log_in(visit: Visit, service: Service, name: str, password: str) -> None:
    visit.open(f"{service.papers['url']}/admin/")
    visit.page.get_by_label("Username").fill(name)
    visit.page.get_by_label("Password").fill(password)
    visit.press("Log in")


def go(page: Page, room: str) -> None:
    """Go to a room by the bar on every page."""
    page.get_by_role("navigation", name="Console").get_by_role("link", name=room, exact=True).click()


def follow(page: Page, link: str) -> None:
    with page.expect_navigation():
        page.get_by_role("link", name=link).first.click()


def card(page: Page, name: str) -> str:
    """Return the number on a card of the overview."""
    return page.locator(".card", has_text=name).locator("dd").inner_text()


class TestNight:
    def test_ends_with_everything_put_right(self, service: Service, visit: Visit, tmp_path: Path) -> None:
        page = visit.page

        # It rises by itself, without a reload.
        assert card(page, "Failures waiting").startswith("0")
        for number in range(6):
            service.publish(number=number)
        expect(page.locator(".card", has_text="Failures waiting").locator("dd")).to_contain_text("6")

        # What is wrong, and why.
        go(page, "Inbox")
        follow(page, "Failing receiver")
        expect(page.locator("#content")).to_contain_text("HTTP 500")
        group = page.url
        page.locator("tbody[data-rows] a").first.click()
        expect(page.locator(".answer")).to_contain_text("did not take it in 1 attempt")
        expect(page.locator("#attempt-1")).to_contain_text("Waiting for the receiver")

        # The command of its page makes the same request again.
        before = len(service.arrivals("failing"))
        page.locator("#attempt-1 .curl summary").click()
        command = page.locator("#curl-1").inner_text()
        ran = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": f"{binaries.curl().parent}:/usr/bin:/bin"},
        )
        assert "HTTP/1.1 500" in ran.stdout
        arrived = service.arrivals("failing")
        assert len(arrived) == before + 1
        again = next(each for each in arrived[1:] if each["message_id"] == arrived[0]["message_id"])
        assert (arrived[0]["body"], arrived[0]["signature"]) == (again["body"], "signature valid")

        # The receiver is put right, by its own button.
        visit.open(f"{service.papers['url']}/demo/")
        receiver = page.locator("#receiver-failing")
        receiver.get_by_role("button", name="200", exact=True).click()
        expect(receiver.get_by_role("button", name="200", exact=True)).to_have_attribute(
            "aria-pressed", "true"
        )

        # All of the group, after a look at what that is.
        page.goto(group)
        follow(page, "Send all 6 again…")
        expect(page.locator("#content")).to_contain_text("6 deliveries would be sent again")
        expect(page.locator("dl.facts")).to_contain_text("HTTP 500")
        page.get_by_label("Deliveries a second").fill("100")
        page.locator("#id_why").fill("The receiver is back.")
        visit.press("Send 6 again")
        expect(page.locator(".messagelist")).to_contain_text("Sending 6 again, at most 100 a second.")

        # It drains, and the page says so by itself.
        expect(page.locator(".card", has_text="Arrived").locator("dd")).to_have_text("6")
        expect(page.locator("#live")).to_contain_text("Completed")

        page.goto(group)
        expect(page.locator("#content")).to_contain_text("Nothing of it waits any more")
        visit.press("Resolve")
        expect(page.locator(".messagelist")).to_contain_text("It is resolved now.")
        go(page, "Inbox")
        expect(page.locator("#content")).to_contain_text("Nothing waits for you.")
        go(page, "Overview")
        assert card(page, "Failures waiting").startswith("0")

        # It happens again, and comes back.
        service.behave("failing", "500")
        service.publish(number=99)
        go(page, "Inbox")
        wait_until(lambda: _reload(page).locator("#result_list").count(), timeout=20, what="the group")
        expect(page.locator("#result_list")).to_contain_text("Failing receiver")


def _reload(page: Page) -> Page:
    page.reload()
    return page


class TestWebhook:
    def test_takes_a_test_event_and_a_new_secret(self, service: Service, visit: Visit) -> None:
        page = visit.page
        go(page, "Webhooks")
        follow(page, "Healthy receiver")

        visit.press("Send a test event")
        expect(page.locator(".messagelist")).to_contain_text("The receiver took the test event: HTTP 200")

        page.get_by_text("Rotate the secret…").click()
        visit.press("Rotate")
        secret = page.locator("#secret").inner_text()
        assert secret.startswith("whsec_")
        expect(page.locator("#content")).to_contain_text("It is shown this once")
        follow(page, "Healthy receiver")
        assert secret not in page.content()

        # Both sign until the old one's time is over; the receiver still knows only that one.
        before = len(service.arrivals("healthy"))
        service.publish(number=1)
        wait_until(lambda: len(service.arrivals("healthy")) > before, timeout=10, what="an arrival")
        newest = service.arrivals("healthy")[0]
        assert newest["signature"] == "signature valid"
        assert len(newest["headers"]["Webhook-Signature"].split()) == 2

    def test_has_its_signatures_checked(self, service: Service, visit: Visit) -> None:
        go(visit.page, "Signatures")
        visit.press("Fill in an example")
        visit.press("Check")

        expect(visit.page.locator("#content")).to_contain_text("Right")

    def test_is_found_by_the_url_of_its_receiver(self, service: Service, visit: Visit) -> None:
        page = visit.page
        page.keyboard.press("/")
        page.keyboard.type(f"{service.papers['url']}/demo/receivers/disabled")
        page.keyboard.press("Enter")

        expect(page.locator(".answer")).to_contain_text("Disabled receiver is disabled")


class TestHostileAnswer:
    def test_stays_text(self, service: Service, visit: Visit) -> None:
        page, agent = visit.page, service.papers["agent_id"]
        answer = b"HTTP/1.1 500 x\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n" % len(HOSTILE)
        with hostile.receiver(hostile.answering(answer + HOSTILE)) as receiver:
            service.client.post(
                f"/api/v1/agents/{agent}/webhooks",
                {
                    "name": "<img src=x onerror=alert(0)>",
                    "webhook_url": receiver.url(),
                    "events": ["*"],
                    "max_retries": 0,
                },
            )
            published = service.publish(number=1)["id"]
            wait_until(lambda: receiver.requests, timeout=10, what="a request")
            page.goto(f"{service.papers['url']}/admin/why/?q={published}")
            wait_until(
                lambda: "did not take it" in _reload(page).locator(".answer").inner_text(),
                timeout=10,
                what="the failure",
            )
        page.locator(".answer li", has_text="<img src=x").get_by_role("link").first.click()

        expect(page.locator("#attempt-1 pre").first).to_contain_text("<script>document.title")
        assert "taken" not in page.title()


class TestViewer:
    def test_looks_and_can_do_nothing(self, service: Service, visit: Visit) -> None:
        page, url = visit.page, service.papers["url"]
        service.behave("failing", "500")
        service.publish(number=7)
        visit.open(f"{url}/admin/auth/user/add/")
        page.get_by_label("Username").fill(VIEWER[0])
        page.locator("#id_password1").fill(VIEWER[1])
        page.locator("#id_password2").fill(VIEWER[1])
        visit.press("Save and continue editing")
        page.get_by_label("Staff status").check()
        page.locator("#id_groups_from").select_option(label="Viewer")
        page.locator("#id_groups_add").click()
        visit.press("Save")
        visit.press("Log out")

        log_in(visit, service, *VIEWER)
        expect(page.locator(".card", has_text="Failures waiting")).to_be_visible()
        go(page, "Failures")
        expect(page.locator("#result_list")).to_be_visible()
        expect(page.get_by_text("Send all that match again")).to_have_count(0)
        expect(page.locator("[name=action]")).to_have_count(0)
        go(page, "Webhooks")
        follow(page, "Failing receiver")
        for text in ("Send a test event", "Rotate the secret…", "Disable…", "Save", "Pause…"):
            expect(page.get_by_role("button", name=text)).to_have_count(0)
        go(page, "Deliveries")
        page.locator("#result_list tbody a").first.click()
        expect(page.locator("#content")).to_contain_text("does not reach as far as bodies")
        expect(page.locator("pre")).to_have_count(0)
        assert visit.open(f"{url}/admin/deliveries/recovery/new/?reason=HTTP%20500") == 403
        visit.complaints.remove("403 /admin/deliveries/recovery/new/")
