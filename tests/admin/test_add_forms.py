"""The forms of new rows, sent and linked to with what can be no value."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from tests.admin.pages import read

related = pytest.mark.parametrize(
    ("name", "field"),
    [
        ("pause", "account"),
        ("pause", "webhook"),
        ("agent", "account"),
        ("webhook", "account"),
        ("webhook", "agent"),
        ("apikey", "account"),
    ],
)
impossible = pytest.mark.parametrize("text", ["x", "\0"])


def form_of(name: str) -> str:
    return reverse(f"admin:deliveries_{name}_add")


class TestForm:
    @related
    @impossible
    def test_says_that_no_row_has_an_id_that_can_be_none(
        self, console: Client, name: str, field: str, text: str
    ) -> None:
        page = console.post(form_of(name), {field: text})

        assert page.context["adminform"].form.errors[field][0].startswith("Select a valid choice.")
        assert "Select a valid choice." in read(page)

    @related
    @impossible
    def test_is_shown_where_the_address_names_such_an_id(
        self, console: Client, name: str, field: str, text: str
    ) -> None:
        assert console.get(form_of(name), {field: text}).status_code == 200

    @pytest.mark.parametrize("name", ["account", "agent", "apikey", "webhook"])
    def test_takes_no_name_that_nobody_can_see(self, console: Client, name: str) -> None:
        page = console.post(form_of(name), {"name": "\u202e \u200b"})

        errors = page.context["adminform"].form.errors
        assert errors["name"] == ["The name needs a character that can be seen."]

    @pytest.mark.parametrize(("name", "field"), [("pause", "until"), ("apikey", "expires_at")])
    @pytest.mark.parametrize(
        "text",
        ["2026-12-01T10:00", "2026-12-01 10:00", "2026-12-01T10:00:00Z", "2026-12-01T12:00+02:00"],
    )
    def test_takes_a_moment_from_the_address(self, console: Client, name: str, field: str, text: str) -> None:
        page = console.get(form_of(name), {field: text})

        shown = str(page.context["adminform"].form[field])
        assert re.findall(r' value="([^"]*)"', shown) == ["01/12/2026", "10:00:00"]

    @pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00", "0001-01-01T00:00+14:00", "\0"])
    def test_takes_no_other_text_for_a_moment(self, console: Client, text: str) -> None:
        page = console.get(form_of("pause"), {"until": text})

        assert page.status_code == 200
        assert page.context["adminform"].form["until"].value() is None
