"""The console in a real browser: every page, widget and refusal, under the policy it is served with."""

import re
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import OperationalError
from django.db.models import QuerySet
from django.test import RequestFactory
from django.urls import reverse
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from deliveries import clock
from deliveries.models import (
    Account,
    Agent,
    ApiKey,
    Attempt,
    AuditEntry,
    Delivery,
    Event,
    Pause,
    Recovery,
    Webhook,
    Worker,
)
from tests import builders
from tests.admin.conftest import MAKERS
from tests.clients.browser import Visit, visiting
from tests.clients.operating import PASSWORD, act, log_in

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]

# What somebody calls their things. Where it is not shown as text, the browser complains of the policy.
NAME = "<script>0</script><img src=x onerror=0><b style='color: red'>"


@pytest.fixture
def paths(operator: User) -> list[str]:
    """Every page of the console, with a row of every kind to show."""
    for make in MAKERS.values():
        make()
    named: list[QuerySet[Any]] = [each.objects.all() for each in (Account, Agent, ApiKey, Webhook)]
    told: list[QuerySet[Any]] = [each.objects.all() for each in (AuditEntry, Pause, Recovery)]
    for rows in named:
        rows.update(name=NAME)
    for rows in told:
        rows.update(by=NAME, why=NAME)
    Webhook.objects.update(enabled=False, disabled_reason=NAME)
    Worker.objects.update(host=NAME)
    Attempt.objects.update(error=NAME, response_body=NAME.encode(), response_headers={NAME: NAME})
    Event.objects.update(body=NAME.encode())
    Group.objects.create(name=NAME)
    who = {"username": "ada", "ip_address": "127.0.0.1"}
    AccessLog.objects.create(**who)
    AccessAttempt.objects.create(**who, failures_since_start=1)
    request = RequestFactory().get("/")
    request.user = operator
    found = [reverse(f"admin:{name}") for name in ("index", "password_change")]
    found.append(reverse("console:system"))
    found += [reverse("admin:app_list", args=[label]) for label in ("auth", "axes", "deliveries")]
    found.append(reverse("admin:auth_user_password_change", args=[operator.pk]))
    found += [reverse("console:signatures"), f"{reverse('console:signatures')}?example=changed"]
    for registered, options in admin.site._registry.items():
        name = f"admin:{registered._meta.label_lower.replace('.', '_')}"
        row = registered._default_manager.first()
        assert row is not None, f"There is no {name} to show."
        found += [reverse(f"{name}_changelist"), f"{reverse(f'{name}_changelist')}?q=x"]
        found += [reverse(f"{name}_{page}", args=[row.pk]) for page in ("change", "history")]
        if options.has_add_permission(request):
            found.append(reverse(f"{name}_add"))
        if options.has_delete_permission(request, row):
            found.append(reverse(f"{name}_delete", args=[row.pk]))
    return found


def choose(visit: Visit, field: str, text: str) -> None:
    """Look for a row in a field that completes what is typed, and choose it."""
    visit.page.locator(f".field-{field} .select2-selection").click()
    visit.page.locator(".select2-search__field").fill(text)
    visit.page.locator(".select2-results__option", has_text=text).first.click()


class TestPressingTwice:
    def test_sends_a_form_once_and_the_way_back_leads_to_a_button_that_works(
        self, operator: User, visit: Visit, server: LiveServer
    ) -> None:
        webhook = builders.a_webhook()
        log_in(visit)
        visit.open(f"{server.url}{reverse('admin:deliveries_pause_add')}?webhook={webhook.pk}")
        visit.page.locator("#id_why").fill("The receiver is being moved.")
        sent: list[str] = []
        visit.page.on("request", lambda request: sent.append(request.method))
        button = visit.page.locator("[name=_save]")

        with visit.page.expect_navigation():
            # As a hand does it: the second is there before the page is gone.
            button.evaluate("button => { button.click(); setTimeout(() => button.click(), 20); }")

        expect(visit.page.locator(".messagelist .success")).to_have_count(1)
        assert (sent.count("POST"), Pause.objects.count()) == (1, 1)
        visit.page.go_back()
        expect(button).to_be_enabled()


class TestEveryPage:
    def test_is_drawn_without_a_complaint(self, paths: list[str], visit: Visit, server: LiveServer) -> None:
        log_in(visit)

        for path in paths:
            visit.open(server.url + path)

        assert visit.complaints == []


class TestSystem:
    def test_fits_a_narrow_window(self, operator: User, server: LiveServer) -> None:
        builders.a_worker(host="x" * 255, seen_at=clock.now())
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

        with visiting(width=380) as visit:
            visit.open(f"{server.url}/admin/")
            log_in(visit)
            visit.open(f"{server.url}/admin/system/")
            box = visit.page.get_by_role("region", name="Workers of the last day")

            assert visit.page.evaluate(wider) == 0
            assert box.evaluate("box => box.scrollWidth > box.clientWidth")
            assert visit.complaints == []


class TestWidgets:
    def test_work(self, operator: User, server: LiveServer, visit: Visit) -> None:
        log_in(visit)
        page = visit.page

        visit.open(f"{server.url}/admin/deliveries/agent/add/")
        with page.expect_popup() as opened:
            page.get_by_title("Add another account").click()
        opened.value.get_by_role("textbox", name="Name").fill("Harbour Calls")
        with opened.value.expect_event("close"):
            opened.value.get_by_role("button", name="Save").click()
        expect(page.locator(".field-account .select2-selection")).to_contain_text("Harbour Calls")
        page.get_by_role("textbox", name="Name").fill("Reception")
        visit.press("Save")

        visit.open(f"{server.url}/admin/deliveries/pause/add/")
        choose(visit, "account", "Harbour")
        page.locator("#id_lasts label", has_text="until this moment").click()
        page.locator(".date-icon").click()
        page.locator(".calendar-shortcuts a", has_text="Tomorrow").last.click()
        page.locator(".clock-icon").click()
        page.locator(".clockbox a", has_text="Midnight").click()
        page.locator("[name=why]").fill("The receiver is being moved.")
        visit.press("Save")
        expect(page.locator(".messagelist .success")).to_be_visible()

        visit.open(f"{server.url}/admin/auth/user/{operator.pk}/change/")
        page.locator("#id_user_permissions_from option").first.dblclick()
        expect(page.locator("#id_user_permissions_to option")).to_have_count(1)
        page.get_by_role("button", name="Toggle theme").first.click()

        assert visit.complaints == []


class TestSignatures:
    def test_are_checked_and_their_snippets_copied(
        self, operator: User, server: LiveServer, visit: Visit
    ) -> None:
        log_in(visit)
        page = visit.page
        page.set_viewport_size({"width": 380, "height": 800})
        visit.open(f"{server.url}{reverse('console:signatures')}")

        visit.press("Fill in an example")
        visit.press("Check")
        expect(page.locator("#verdict")).to_contain_text("The signature is right")
        visit.press("Fill in one that is broken")
        page.get_by_label("Headers").fill(f"{page.get_by_label('Headers').input_value()}\n{NAME}: {NAME}")
        visit.press("Check")
        expect(page.locator("#verdict")).to_contain_text("It fits it as JSON written compactly.")
        expect(page.get_by_label("Secret:", exact=True)).to_have_value("")
        page.get_by_text("Ruby", exact=True).click()
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name=re.compile("Copied|Marked"))).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 380

        assert visit.complaints == []


class TestActions:
    def test_end_on_pages_without_a_complaint(self, operator: User, server: LiveServer, visit: Visit) -> None:
        console = f"{server.url}/admin/deliveries"
        log_in(visit)
        said = visit.page.locator(".messagelist li")

        for path, action, sentence in (
            ("delivery", "Send again", "Queued 1 delivery. Held by a pause: 1."),
            ("pause", "Resume", "Ended 1 pause."),
            ("recovery", "Pause", "Paused 1 recovery."),
            ("recovery", "Resume", "Resumed 1 recovery."),
            ("recovery", "Cancel", "Cancelled 1 recovery."),
        ):
            visit.open(f"{console}/{path}/")
            act(visit, action)
            expect(said).to_have_text(sentence)
        visit.open(f"{console}/webhook/")
        act(visit, "Delete selected webhooks")
        visit.press("Delete them")
        expect(said).to_have_text("Successfully deleted 1 webhook.")

        assert visit.complaints == []

    @pytest.fixture(autouse=True)
    def rows(self, operator: User) -> None:
        """What there is to act on."""
        delivery = builders.a_failed_delivery()
        builders.a_recovery(delivery.account)
        Pause.objects.all().delete()
        builders.a_pause(delivery.account, until=builders.NOW.replace(year=2100))
        assert Delivery.objects.count() == Webhook.objects.count() == Recovery.objects.count() == 1


class TestRefusals:
    def test_are_drawn_without_another_complaint(
        self, operator: User, server: LiveServer, visit: Visit
    ) -> None:
        console = f"{server.url}/admin"

        log_in(visit, password="wrong")
        expect(visit.page.locator(".errornote")).to_be_visible()
        log_in(visit)
        visit.open(f"{console}/deliveries/delivery/add/")
        visit.open(f"{console}/no/such/page/")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("django.contrib.admin.sites.AdminSite.get_app_list", _away)
            visit.open(f"{console}/")
        visit.open(f"{console}/password_change/")
        for token in visit.page.locator("[name=csrfmiddlewaretoken]").all():
            token.evaluate("input => input.value = 'x'")
        visit.page.locator("#id_old_password").fill(PASSWORD)
        visit.page.locator("#id_new_password1").fill(PASSWORD)
        visit.page.locator("#id_new_password2").fill(PASSWORD)
        visit.press("Change my password")
        expect(visit.page.get_by_role("heading", name="Not accepted")).to_be_visible()
        visit.open(f"{console}/")
        visit.press("Log out")
        visit.open(f"{console}/login/")
        for _ in range(5):
            log_in(visit, password="wrong")
        expect(visit.page.get_by_role("heading", name="Too many attempts")).to_be_visible()

        assert visit.complaints == [
            "403 /admin/deliveries/delivery/add/",
            "404 /admin/no/such/page/",
            "503 /admin/",
            "403 /admin/password_change/",
            "429 /admin/login/",
        ]


def _away(*args: object, **kwargs: object) -> None:
    raise OperationalError
