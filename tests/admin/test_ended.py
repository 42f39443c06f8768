"""A button that is pressed after the session has ended."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from deliveries.admin.ended import NOTHING_DONE
from deliveries.models import Recovery
from tests import builders
from tests.admin.conftest import MAKERS
from tests.admin.pages import said

AGAIN = reverse("console:again")
# What is pressed on the page of a row.
BUTTONS = [
    ("webhook", "test", []),
    ("webhook", "disable", []),
    ("delivery", "send_again", []),
    ("delivery", "cancel", []),
    ("pause", "resume", []),
    ("recovery", "act", ["pause"]),
    ("failuregroup", "settle", []),
]


def press(operator: User, path: str, **sent: Any) -> Any:
    """Press a button without a session, log in, and return the page that this leads to."""
    client = Client()
    refused = client.post(path, sent)
    assert urlsplit(refused.headers["Location"]).path == reverse("admin:login")
    (asked,) = parse_qs(urlsplit(refused.headers["Location"]).query)["next"]
    client.force_login(operator)
    return client.get(asked, follow=True)


class TestButton:
    @pytest.mark.parametrize(("kind", "act", "more"), BUTTONS)
    def test_leads_back_to_the_page_of_its_row(
        self, operator: User, kind: str, act: str, more: list[str]
    ) -> None:
        row = MAKERS[kind]()

        page = press(operator, reverse(f"admin:deliveries_{kind}_{act}", args=[row.pk, *more]))

        assert page.status_code == 200
        assert page.redirect_chain[-1][0] == reverse(f"admin:deliveries_{kind}_change", args=[row.pk])
        assert said(page) == [NOTHING_DONE]

    def test_of_a_list_leads_back_to_what_the_list_shows(self, operator: User) -> None:
        path = f"{reverse('admin:deliveries_failure_changelist')}?status__exact=inactive"

        page = press(operator, path, action="send_again")

        assert page.redirect_chain[-1][0] == path
        assert said(page) == [NOTHING_DONE]

    def test_of_a_recovery_leads_back_to_its_filter(self, operator: User) -> None:
        webhook = str(builders.a_failed_delivery().webhook_id)
        path = reverse("admin:deliveries_recovery_new")

        page = press(operator, path, webhook_id=webhook, why="x", rate=1, count=1)

        assert page.context["carried"]["webhook_id"] == webhook
        assert page.context["preview"].count == 1
        assert said(page) == [NOTHING_DONE]
        assert not Recovery.objects.exists()

    @pytest.mark.parametrize("to", ["", "https://elsewhere.example/", "/admin/", "//elsewhere.example"])
    def test_leads_nobody_where_a_link_says(self, console: Client, to: str) -> None:
        assert console.get(AGAIN, {"to": to}).status_code == 400

    def test_leads_no_stranger_anywhere(self, client: Client) -> None:
        page = client.get(AGAIN, {"to": "x"})

        assert urlsplit(page.headers["Location"]).path == reverse("admin:login")

    def test_takes_a_login_that_is_wrong_for_what_it_is(self, db: None, client: Client) -> None:
        page = client.post(reverse("admin:login"), {"username": "x", "password": "x"})

        assert page.status_code == 200
