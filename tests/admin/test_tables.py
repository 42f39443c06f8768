"""What a list or a page shows of a row: enough, in little room, and no error for what cannot exist."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from deliveries import clock
from deliveries.admin import columns
from deliveries.models import Failure, Webhook
from tests import builders
from tests.admin.conftest import MAKERS

everything = pytest.mark.parametrize("name", sorted(MAKERS))

LONG = "A very long name " * 15


def list_of(name: str) -> str:
    return reverse(f"admin:deliveries_{name}_changelist")


def admin_of(name: str) -> admin.ModelAdmin[Any]:
    return admin.site._registry[apps.get_model("deliveries", name)]


def text_of(console: Client, url: str) -> str:
    return console.get(url, follow=True).content.decode()


def seen(html: str) -> str:
    """Return the rows of a list as they are read, without what is in attributes."""
    return re.sub(r"<[^>]*>", "", html[html.index("<tbody>") : html.index("</tbody>")])


class TestColumns:
    def test_an_id_is_its_beginning_and_its_end(self) -> None:
        cell = columns.short_id("0b97ce11-b6e0-49b4-8f92-68040aa324bf")

        assert cell == '<span title="0b97ce11-b6e0-49b4-8f92-68040aa324bf">0b97ce11…24bf</span>'

    def test_a_text_is_cut_and_can_be_read_in_full(self) -> None:
        assert columns.short("x" * 40) == "x" * 40
        assert columns.short("x" * 41) == f'<span title="{"x" * 41}">{"x" * 39}…</span>'

    def test_a_text_is_no_markup(self) -> None:
        assert columns.short("<b>") == "&lt;b&gt;"
        assert "<b>" not in columns.short("<b>" * 20)

    def test_nothing_is_a_dash(self) -> None:
        assert columns.short("") == columns.short(None) == columns.moment(None) == "-"


class TestEveryList:
    @everything
    def test_has_no_cell_that_pushes_the_others_out(self, console: Client, name: str) -> None:
        row = MAKERS[name]()
        for field in ("account", "agent", "webhook"):
            related = getattr(row, field, None)
            if related:
                type(related).objects.filter(pk=related.pk).update(name="w" * 255)
        longest = {
            "name": 255,
            "url": 2048,
            "webhook_name": 255,
            "event_type": 100,
            "label": 255,
            "reason": 255,
        }
        columns_of = {field.name for field in row._meta.concrete_fields if not field.primary_key}
        wide = {field: "w" * size for field, size in longest.items() if field in columns_of}
        if wide:
            type(row).objects.filter(pk=row.pk).update(**wide)

        html = text_of(console, list_of(name))

        cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[dh][^>]*>.*?</t[dh]>", html, re.S)]
        lines = [line.strip() for cell in cells for line in cell.splitlines()]
        assert max(map(len, lines)) <= columns.MOST
        assert str(row.pk) not in seen(html) or len(str(row.pk)) <= columns.MOST // 2

    @pytest.mark.parametrize(
        ("name", "state"),
        [
            ("delivery", ["status", "problem", "attempts"]),
            ("attempt", ["outcome", "duration_ms", "started_at"]),
            ("failure", ["status", "reason", "last_attempt_at"]),
            ("webhook", ["state", "day", "due", "last_success", "last_error"]),
        ],
    )
    def test_says_how_things_are_behind_the_first_column(self, name: str, state: list[str]) -> None:
        columns_shown = [getattr(column, "__name__", column) for column in admin_of(name).list_display]

        assert columns_shown[1 : len(state) + 1] == state

    @everything
    def test_takes_a_nul_in_a_filter_for_what_no_row_has(self, console: Client, name: str) -> None:
        row = MAKERS[name]()
        texts = [
            field.name for field in row._meta.concrete_fields if field.get_internal_type() == "CharField"
        ]

        for field in ("pk", *(each for each in texts if each in admin_of(name).list_filter)):
            page = console.get(list_of(name), {f"{field}__exact": "\0"}, follow=True)
            # A key that can be none is said to be none.
            assert page.status_code == 200 or (field, page.status_code) == ("pk", 400)
            assert field == "pk" or not page.context["cl"].result_list

    @everything
    def test_takes_a_nul_among_the_chosen_for_a_mistake(self, console: Client, name: str) -> None:
        MAKERS[name]()

        for pk in ("\0", "no-id"):
            answer = console.post(
                list_of(name), {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
            )
            assert answer.status_code < 500

    @pytest.mark.parametrize("name", ["account", "agent", "apikey", "webhook"])
    def test_finds_a_name_with_spaces_around_it(self, console: Client, name: str) -> None:
        row, _ = MAKERS[name](), MAKERS[name]()
        type(row).objects.filter(pk=row.pk).update(name="Failing")

        for asked in (" failing", "Failing\n", f" {row.pk} "):
            assert list(console.get(list_of(name), {"q": asked}).context["cl"].result_list) == [row]

    @pytest.mark.parametrize(("model", "field"), [("agent", "account"), ("webhook", "agent")])
    def test_takes_a_nul_for_a_mistake_where_a_row_is_chosen(
        self, console: Client, model: str, field: str
    ) -> None:
        MAKERS[field]()
        where = {"app_label": "deliveries", "model_name": model, "field_name": field, "term": "\0"}

        answer = console.get(reverse("admin:autocomplete"), where)

        assert answer.json()["results"] == []


class TestEveryPage:
    @everything
    @pytest.mark.parametrize("page", ["change", "history", "delete"])
    def test_is_not_there_for_a_nul(self, console: Client, name: str, page: str) -> None:
        answer = console.get(f"{list_of(name)}%00/{page}/")

        assert answer.status_code in (302, 403)

    @pytest.mark.parametrize("name", ["webhook", "webhookhealth", "delivery", "agent", "apikey", "event"])
    def test_shows_a_dash_for_what_is_not_there(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        for url in (list_of(name), f"{list_of(name)}{row.pk}/change/"):
            assert not re.search(r"<(td|th|div)[^>]*>(<a[^>]*>)?None<", text_of(console, url))


class TestMoments:
    @pytest.mark.parametrize("name", ["delivery", "attempt", "failure", "event", "account", "idempotencykey"])
    def test_have_seconds_and_a_zone(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        assert "2026-03-15 10:00:00 UTC" in text_of(console, list_of(name))
        assert "2026-03-15 10:00:00 UTC" in text_of(console, f"{list_of(name)}{row.pk}/change/")

    def test_have_them_where_they_come_from_another_row(self, console: Client) -> None:
        webhook = builders.a_webhook()
        type(webhook.health).objects.update(last_success_at=builders.NOW)

        for url in (list_of("webhook"), reverse("admin:deliveries_webhook_change", args=[webhook.pk])):
            assert "2026-03-15 10:00:00 UTC" in text_of(console, url)


class TestTitles:
    def test_are_spelt_as_people_spell_them(self, console: Client) -> None:
        index = text_of(console, reverse("admin:app_list", args=["deliveries"]))

        assert "API keys" in index
        assert "Api keys" not in index
        assert "Webhook healths" not in index
        assert "Django administration" not in index
        assert "Events and deliveries" in index
        assert "View site" not in index, "there is nothing at /"

    @pytest.mark.parametrize("name", ["webhook", "attempt"])
    def test_know_what_a_url_is(self, console: Client, name: str) -> None:
        row = MAKERS[name]()

        for url in (list_of(name), f"{list_of(name)}{row.pk}/change/"):
            assert ">Url" not in text_of(console, url)


class TestFilters:
    def test_call_states_what_their_badges_call_them(self, console: Client) -> None:
        builders.a_failed_delivery()

        (state,) = [
            [choice["display"] for choice in spec.choices(found)]
            for found in [console.get(list_of("failure")).context["cl"]]
            for spec in found.filter_specs
            if spec.title == "status"
        ]

        assert state == ["All", "Pending", "Given up", "Delivered"]

    @pytest.mark.parametrize(
        ("name", "headings"),
        [
            ("pause", ["In force now?"]),
            (
                "webhook",
                [
                    "Last attempts all failed?",
                    "Receiver out of order?",
                    "By deletion",
                    "Enabled?",
                    "By circuit",
                ],
            ),
            (
                "attempt",
                [
                    "By time",
                    "By webhook",
                    "By account",
                    "Succeeded?",
                    "By reason code",
                    "By HTTP status of failures",
                ],
            ),
            ("account", ["Open event types?"]),
            ("event", ["By time", "By event type"]),
            ("failuregroup", ["By state"]),
        ],
    )
    def test_ask_what_their_choices_answer(self, console: Client, name: str, headings: list[str]) -> None:
        MAKERS[name]()

        page = console.get(reverse(f"admin:deliveries_{name}_changelist")).content.decode()

        beside = page.partition('id="changelist-filter"')[2]
        assert [
            " ".join(each.split()) for each in re.findall(r"<summary>(.*?)</summary>", beside, re.S)
        ] == headings


class TestLinks:
    def test_lead_from_a_row_to_its_deliveries_and_attempts(self, console: Client) -> None:
        delivery = builders.a_failed_delivery(created_at=clock.now())
        builders.a_failed_delivery()
        deliveries, attempts = list_of("delivery"), list_of("attempt")
        links: list[tuple[Any, str, Any]] = [
            (delivery.event, f"{deliveries}?event__id__exact={delivery.event_id}", delivery),
            (delivery.webhook, f"{deliveries}?webhook__id__exact={delivery.webhook_id}", delivery),
            (delivery, f"{attempts}?delivery__id__exact={delivery.pk}", delivery.attempts.get()),
        ]

        for row, link, found in links:
            page = text_of(console, reverse(f"admin:deliveries_{row._meta.model_name}_change", args=[row.pk]))
            assert f'href="{link}"' in page
            assert list(console.get(link).context["cl"].result_list) == [found]

    def test_lead_from_a_failure_to_its_delivery(self, console: Client) -> None:
        failure: Failure = builders.a_failed_delivery().failure

        page = text_of(console, reverse("admin:deliveries_failure_change", args=[failure.pk]))

        delivery = reverse("admin:deliveries_delivery_change", args=[failure.delivery_id])
        assert f'<a href="{delivery}">Delivery</a>' in page


def test_a_long_name_is_whole_on_its_own_page(console: Client) -> None:
    webhook = builders.a_webhook(name=LONG.strip())

    page = text_of(console, reverse("admin:deliveries_webhook_change", args=[webhook.pk]))

    assert Webhook.objects.get().name in page


class TestEmptyLists:
    @pytest.mark.parametrize(
        ("name", "sentence"),
        [
            ("delivery", "Publish an event that a webhook wants"),
            ("attempt", "A worker makes one as soon as a delivery is due."),
            ("pause", "Pause a webhook or an account on its page, or an event type here."),
        ],
    )
    def test_say_what_to_do_next(self, console: Client, name: str, sentence: str) -> None:
        page = text_of(console, list_of(name))

        assert sentence in page
        assert "There is nothing yet." not in page
