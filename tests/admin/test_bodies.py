"""Bodies on a page."""

import tracemalloc

import pytest
from django.test import Client
from django.urls import reverse

from deliveries.admin import bodies
from deliveries.transport import KEEP_LIMIT
from tests import builders


class TestRender:
    def test_indents_json(self) -> None:
        page = bodies.render(b'{"call_id":"caf\xc3\xa9"}')

        assert "{\n  &quot;call_id&quot;: &quot;caf\u00e9&quot;\n}" in page

    @pytest.mark.parametrize(
        "body", [b"<h1>Not found</h1>", b'{"cut off', b"\xff\xfe\x00", b"[" * 50_000, b"9" * 9999]
    )
    def test_shows_anything_else_as_it_is(self, body: bytes) -> None:
        page = bodies.render(body)

        assert page.startswith('<pre tabindex="0" role="group" aria-label="Body">')
        assert page.encode()

    def test_shows_html_as_text(self) -> None:
        assert "&lt;script&gt;" in bodies.render(b"</pre><script>alert(1)</script>")
        assert "<script" not in bodies.render(b'{"a":"</pre><script>alert(1)</script>"}')

    def test_survives_half_a_surrogate_pair(self) -> None:
        assert "\\ud800" in bodies.render(rb'{"a":"\ud800"}')

    @pytest.mark.parametrize(
        "body",
        [b"x" * 300_000, b'{"a":"' + b"x" * 300_000 + b'"}', b"[" * 900 + b"1," * 20_000 + b"1" + b"]" * 900],
        ids=["text", "json", "deep"],
    )
    def test_cuts_what_is_long_and_says_so(self, body: bytes) -> None:
        page = bodies.render(body)

        assert len(page) < bodies.SHOWN + 200
        assert "The rest is not shown." in page

    def test_says_of_an_answer_that_was_not_kept_whole_how_much_was(self) -> None:
        cut = bodies.render_answer(b'{"a":"' + b"x" * (KEEP_LIMIT - 6))
        whole = bodies.render_answer(b"x" * (KEEP_LIMIT - 1))

        assert "The first 16 KiB of what came; the rest was not kept." in cut
        assert "not kept" not in whole
        # What we sent is kept whole.
        assert "not kept" not in bodies.render(b"x" * KEEP_LIMIT)

    def test_says_both_where_neither_all_is_kept_nor_all_of_that_is_shown(self) -> None:
        page = bodies.render_answer((b"[" * 900 + b"1," * 8000)[: KEEP_LIMIT - 901] + b"1" + b"]" * 900)

        assert "The first 16 KiB of what came; the rest was not kept." in page
        assert "Not all of that is shown." in page

    def test_never_makes_megabytes_of_indentation(self) -> None:
        tracemalloc.start()

        bodies.render(b"[" * 900 + b"1," * 20_000 + b"1" + b"]" * 900)

        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 8_000_000

    def test_tells_nothing_from_an_empty_body(self) -> None:
        assert bodies.render(None).strip() == "-"
        assert "It is empty." in bodies.render(b"")


class TestPages:
    def test_never_let_a_receiver_s_answer_become_markup(self, console: Client, db: None) -> None:
        delivery = builders.a_delivery()
        attempt = builders.an_attempt(
            delivery,
            response_body=b"<script>alert('body')</script>",
            response_headers={"x-hostile": "<script>alert('header')</script>"},
            error="<script>alert('error')</script>",
        )

        page = console.get(reverse("admin:deliveries_attempt_change", args=[attempt.pk])).content.decode()

        assert "&lt;script&gt;alert(&#x27;body&#x27;)" in page
        assert "&lt;script&gt;alert(&#x27;header&#x27;)" in page
        assert "<script>alert" not in page

    def test_say_that_an_answer_was_cut(self, console: Client, db: None) -> None:
        attempt = builders.an_attempt(builders.a_delivery(), response_body=b"x" * KEEP_LIMIT)

        for row in (attempt, attempt.delivery):
            page = console.get(reverse(f"admin:deliveries_{row._meta.model_name}_change", args=[row.pk]))
            assert "the rest was not kept" in page.content.decode()

    def test_show_an_event_s_body(self, console: Client) -> None:
        event = builders.an_event(body=b'{"a":"<script>alert(1)</script>"}')

        page = console.get(reverse("admin:deliveries_event_change", args=[event.pk])).content.decode()

        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
