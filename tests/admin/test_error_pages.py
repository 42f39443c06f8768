"""What the console says where something cannot be shown."""

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries.services import glancing

NOWHERE = "/admin/deliveries/nothing/"
ASK = f'action="{reverse("console:why")}"'


class TestNotFound:
    def test_shows_the_way_back_and_the_box(self, console: Client) -> None:
        page = console.get(NOWHERE)

        assert page.status_code == 404
        text = page.content.decode()
        assert "There is no such page" in text
        assert "Django administration" not in text
        assert f'href="{reverse("admin:index")}"' in text
        assert ASK in text

    def test_shows_the_box_to_nobody_who_may_not_ask(self, client: Client) -> None:
        # Strangers get here where no login is asked for.
        page = client.get("/admin/r/1/x/")

        assert page.status_code == 404
        assert ASK not in page.content.decode()

    def test_asks_no_database_for_a_stranger(self, db: None, client: Client) -> None:
        with CaptureQueriesContext(connection) as queries:
            client.get("/admin/r/1/x/")

        assert len(queries) == 0


class TestError:
    def test_needs_no_database_and_nothing_else(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queries = CaptureQueriesContext(connection)

        def break_down(**arguments: Any) -> None:
            queries.__enter__()
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(glancing, "glance", break_down)
        console.raise_request_exception = False

        page = console.get(reverse("admin:index"))
        queries.__exit__(None, None, None)

        assert page.status_code == 500
        text = page.content.decode()
        assert "Something went wrong" in text
        assert f'href="{reverse("admin:index")}"' in text
        assert len(queries) == 0
        # Neither is allowed by the policy, or sure to be there.
        assert not re.search(r"<script|<style|style=|stylesheet|{%|{#", text)


class TestNotUnderstood:
    def test_says_what_is_wrong(self, console: Client) -> None:
        page = console.get(reverse("admin:deliveries_event_changelist"), {"since": "soon"})

        assert page.status_code == 400
        assert "A moment is written like 2026-03-15T10:00." in page.content.decode()

    def test_repeats_what_was_asked_as_text(self, console: Client) -> None:
        page = console.get(reverse("admin:deliveries_recovery_new"), {"<script>alert(0)</script>": "1"})

        text = page.content.decode()
        assert "Nothing is selected by &lt;script&gt;alert(0)&lt;/script&gt;." in text
        assert "<script>alert" not in text

    @pytest.mark.parametrize(
        ("path", "host"),
        [
            ("/admin/deliveries/event/?since=soon", "testserver"),
            ("/admin/", "elsewhere.example"),
            ("/docs/", "elsewhere.example"),
        ],
    )
    def test_has_the_header_of_every_page(self, console: Client, path: str, host: str) -> None:
        page = console.get(path, headers={"host": host})

        assert page.status_code == 400
        assert re.search(r'id="site-name"><a href="/admin/">Webhooks</a>', page.content.decode())

    def test_says_nothing_of_what_django_refuses(self, console: Client) -> None:
        text = console.get("/admin/", headers={"host": "elsewhere.example"}).content.decode()

        assert "elsewhere" not in text
        assert "Not understood" in text
