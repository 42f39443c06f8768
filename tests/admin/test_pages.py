"""The pages of the console: all there, read-only where they must be, as cheap for fifty rows as for one."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django.asserts import assertHTMLEqual

from deliveries.admin.history import History
from deliveries.admin.typed import Typed
from deliveries.admin.walking import Window
from deliveries.models import Delivery
from tests import builders
from tests.admin.conftest import HISTORY, MADE_BY_HAND, MAKERS

everything = pytest.mark.parametrize("name", sorted(MAKERS))
history = pytest.mark.parametrize("name", HISTORY)

# What stands on the page in the column's place.
SHOWN_AS = {
    "body": "body_text",
    "duration": "duration_ms",
    "dns_us": "spent",
    "connect_us": "spent",
    "tls_us": "spent",
    "first_byte_us": "spent",
    "request_headers": "request_headers_text",
    "response_headers": "response_headers_text",
    "response_body": "response_body_text",
    "subject_id": "subject",
}


SEARCHED_BY = {"idempotencykey": "event_id"}


def list_of(name: str) -> str:
    return reverse(f"admin:deliveries_{name}_changelist")


def page_of(name: str, row: Any) -> str:
    return reverse(f"admin:deliveries_{name}_change", args=[row.pk])


def queries_of(console: Client, url: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert console.get(url).status_code == 200
    return len(queries)


class TestConsole:
    def test_knows_every_model(self) -> None:
        registered = {model for model in admin.site._registry if model._meta.app_label == "deliveries"}

        assert registered == set(apps.get_app_config("deliveries").get_models())
        assert {model._meta.model_name for model in registered} == set(MAKERS)

    def test_lets_nobody_in_without_a_password(self, client: Client, db: None) -> None:
        assert client.get(list_of("delivery")).status_code == 302

    @pytest.mark.parametrize("row", ["1/1/", "1/0199", "webhook/1"])
    def test_leads_to_no_page_of_a_row_outside(self, console: Client, row: str) -> None:
        assert console.get(f"/admin/r/{row}").status_code == 404


class TestEveryList:
    @everything
    def test_shows_its_rows(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        page = console.get(list_of(name))

        assert page.status_code == 200
        assert row in page.context["cl"].result_list

    @everything
    def test_takes_as_many_queries_for_fifty_rows_as_for_one(self, console: Client, name: str) -> None:
        MAKERS[name]()
        console.get(list_of(name))
        for_one = queries_of(console, list_of(name))
        for _ in range(49):
            MAKERS[name]()

        assert queries_of(console, list_of(name)) == for_one

    @everything
    def test_finds_a_row_by_its_id(self, console: Client, name: str) -> None:
        row, other = MAKERS[name](), MAKERS[name]()

        page = console.get(list_of(name), {"q": str(getattr(row, SEARCHED_BY.get(name, "pk")))})

        assert list(page.context["cl"].result_list) == [row]
        assert row != other

    @everything
    @pytest.mark.parametrize("text", ["no-such-id", "0198", "'; --", "é" * 300])
    def test_finds_nothing_where_the_text_is_no_id(self, console: Client, name: str, text: str) -> None:
        MAKERS[name]()

        page = console.get(list_of(name), {"q": text})

        assert page.status_code == 200
        assert not page.context["cl"].result_list

    @everything
    def test_takes_a_nul_for_a_mistake(self, console: Client, name: str) -> None:
        assert console.get(list_of(name), {"q": "\0"}).status_code == 200

    @everything
    def test_can_be_filtered_by_every_choice(self, console: Client, name: str) -> None:
        row = MAKERS[name]()
        changelist = console.get(list_of(name)).context["cl"]

        typed = (Window, Typed)
        filters = [each for each in changelist.filter_specs if not isinstance(each, typed)]
        for filter_spec in filters:
            choices = [choice["query_string"] for choice in filter_spec.choices(changelist)]
            found = [console.get(list_of(name) + choice).context["cl"].result_list for choice in choices]
            assert sum(row in rows for rows in found) == 2, "all, and its own"


class TestEveryPage:
    @everything
    def test_shows_its_row(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        assert console.get(page_of(name, row)).status_code == 200

    @pytest.mark.parametrize("name", MADE_BY_HAND)
    def test_has_a_form_for_a_new_row(self, console: Client, name: str) -> None:
        assert console.get(reverse(f"admin:deliveries_{name}_add")).status_code == 200

    @everything
    def test_has_its_row_s_history(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        assert console.get(reverse(f"admin:deliveries_{name}_history", args=[row.pk])).status_code == 200

    @everything
    def test_has_a_token_in_every_form(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        page = console.get(page_of(name, row)).content.decode()

        forms = re.findall(r'<form[^>]* method="post".*?</form>', page, re.DOTALL)
        assert forms
        assert all('name="csrfmiddlewaretoken"' in form for form in forms)


class TestHistory:
    @history
    def test_cannot_be_added_to(self, console: Client, name: str) -> None:
        assert console.post(reverse(f"admin:deliveries_{name}_add"), {}).status_code == 403

    @history
    def test_cannot_be_changed(self, console: Client, name: str) -> None:
        row = MAKERS[name]()
        before = type(row).objects.filter(pk=row.pk).values().get()

        answer = console.post(page_of(name, row), {"status": "succeeded", "url": "https://example.com/"})

        assert answer.status_code == 403
        assert "Your login does not reach as far as this" in answer.content.decode()
        assert type(row).objects.filter(pk=row.pk).values().get() == before

    @history
    def test_cannot_be_deleted(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        answer = console.post(reverse(f"admin:deliveries_{name}_delete", args=[row.pk]), {"post": "yes"})
        console.post(
            list_of(name), {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
        )

        assert answer.status_code == 403
        assert type(row).objects.filter(pk=row.pk).exists()

    @history
    def test_shows_all_there_is(self, name: str) -> None:
        model = apps.get_model("deliveries", name)
        shown = admin.site._registry[model].fields or ()

        assert {SHOWN_AS.get(field.name, field.name) for field in model._meta.concrete_fields} == set(shown)

    @history
    def test_is_listed_by_an_index(self, name: str) -> None:
        model_admin = admin.site._registry[apps.get_model("deliveries", name)]

        assert isinstance(model_admin, History)
        assert not model_admin.show_full_result_count
        assert model_admin.date_hierarchy is None
        first = str(next(iter(model_admin.ordering or ()))).removeprefix("-")
        field = model_admin.opts.pk if first == "pk" else model_admin.opts.get_field(first)
        assert field is not None
        assert getattr(field, "unique", False)


class TestChoosingRows:
    def test_is_as_in_any_admin(self, account: Any) -> None:
        row = builders.a_delivery()
        model_admin: Any = admin.site._registry[Delivery]

        assertHTMLEqual(
            model_admin.action_checkbox(row), admin.ModelAdmin(Delivery, admin.site).action_checkbox(row)
        )


class TestListOfDeliveries:
    def test_is_newest_first(self, console: Client) -> None:
        webhook = builders.a_webhook()
        older, newer = builders.a_delivery(webhook), builders.a_delivery(webhook)

        page = console.get(list_of("delivery"))

        assert list(page.context["cl"].result_list) == [newer, older]

    def test_never_reads_bodies(self, console: Client) -> None:
        builders.a_failed_delivery()

        for name in ("delivery", "attempt", "event", "idempotencykey"):
            with CaptureQueriesContext(connection) as queries:
                console.get(list_of(name))
            assert not any("body" in query["sql"] for query in queries)


class TestPageOfDelivery:
    def test_shows_its_attempts(self, console: Client) -> None:
        delivery = builders.a_failed_delivery()

        page = console.get(page_of("delivery", delivery)).content.decode()

        assert "HTTP 500" in page
        assert "142 ms" in page


class TestListOfFailures:
    def test_is_newest_first(self, console: Client) -> None:
        webhook = builders.a_webhook()
        older, newer = builders.a_failed_delivery(webhook), builders.a_failed_delivery(webhook)

        page = console.get(list_of("failure"))

        assert list(page.context["cl"].result_list) == [newer.failure, older.failure]


class TestPageOfWebhook:
    def test_leads_to_its_attempts_and_failures(self, console: Client) -> None:
        attempt, other = MAKERS["attempt"](), builders.a_failed_delivery()
        delivery = attempt.delivery

        attempts = console.get(list_of("attempt"), {"webhook__id__exact": str(delivery.webhook_id)})
        failures = console.get(list_of("failure"), {"webhook_id__exact": str(delivery.webhook_id)})
        page = console.get(page_of("webhook", delivery.webhook)).content.decode()

        assert f"{list_of('attempt')}?webhook__id__exact={delivery.webhook_id}" in page
        assert f"{list_of('failure')}?webhook_id__exact={delivery.webhook_id}" in page
        assert list(attempts.context["cl"].result_list) == [attempt]
        assert list(failures.context["cl"].result_list) == [delivery.failure]
        assert other.failure not in failures.context["cl"].result_list


class TestRowsMadeByHand:
    def test_carry_the_moment_they_were_made(self, console: Client, account: Any) -> None:
        added = console.post(
            reverse("admin:deliveries_agent_add"), {"account": account.pk, "name": "Night shift"}
        )

        assert added.status_code == 302
        assert account.agents.get().created_at is not None

    def test_are_changed_column_by_column(self, console: Client, account: Any) -> None:
        created_at = account.created_at

        console.post(page_of("account", account), {"name": "Renamed", "open_event_types": "on"})

        account.refresh_from_db()
        assert (account.name, account.open_event_types, account.created_at) == ("Renamed", True, created_at)

    def test_stay_with_their_account(self, console: Client) -> None:
        agent, other = builders.an_agent(), builders.an_account()

        console.post(page_of("agent", agent), {"account": other.pk, "name": "Renamed"})

        agent.refresh_from_db()
        assert agent.name == "Renamed"
        assert agent.account_id != other.pk

    @pytest.mark.parametrize("name", ["account", "agent", "apikey"])
    def test_are_not_deleted(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        answer = console.post(reverse(f"admin:deliveries_{name}_delete", args=[row.pk]), {"post": "yes"})

        assert answer.status_code == 403
