"""Signs: a state is told by an icon and a word, whatever its colour."""

import re
from datetime import datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string

from deliveries import clock
from deliveries.admin import failure_groups, signs, strips
from deliveries.admin.signs import Sign
from deliveries.models import Delivery, Failure, FailureGroup, Recovery, WebhookHealth
from deliveries.services import diagnosing, inspecting, reviewing

STYLE = Path(settings.BASE_DIR) / "deliveries" / "static" / "console" / "console.css"


def parts_of(badge: str) -> tuple[str, str]:
    """Return the icon and the word of a badge."""
    found = re.fullmatch(r'<span class="badge \w+"><span aria-hidden="true">(.+?)</span> (.+?)</span>', badge)
    assert found, badge
    return unescape(found[1]), unescape(found[2])


class TestBadges:
    @pytest.mark.parametrize("sign", Sign)
    def test_have_an_icon_and_a_word(self, sign: Sign) -> None:
        assert parts_of(signs.badge(sign, "Word")) == (sign.value, "Word")

    def test_have_an_icon_for_each_colour(self) -> None:
        style = STYLE.read_text()

        assert len({sign.value for sign in Sign}) == len(Sign) == 6
        assert all(sign.value.strip() and f".{sign.name.lower()} {{" in style for sign in Sign)

    @pytest.mark.parametrize(
        "states", [Delivery.Status, Failure.Status, Recovery.Status, WebhookHealth.Circuit], ids=str
    )
    def test_tell_all_states_of_a_kind_apart_by_their_words(self, states: type[Delivery.Status]) -> None:
        told = [parts_of(signs.state(state)) for state in states]

        assert len({word for _, word in told}) == len(told) > 1
        assert len({icon for icon, _ in told}) > 1

    @pytest.mark.parametrize("verdicts", [diagnosing.Verdict, inspecting.Verdict], ids=str)
    def test_tell_all_verdicts_apart_by_icon_and_word(self, verdicts: type[diagnosing.Verdict]) -> None:
        told = [parts_of(signs.verdict(verdict)) for verdict in verdicts]

        assert len({icon for icon, _ in told}) == len({word for _, word in told}) == len(told) > 1

    def test_are_there_for_every_state_of_webhooks_and_groups(self) -> None:
        assert set(strips.SIGNS) == set(reviewing.State)
        assert set(failure_groups.SIGNS) == set(FailureGroup.State)


class TestRelative:
    @pytest.mark.parametrize(
        ("span", "words"),
        [
            (timedelta(days=5, seconds=-20), "in 5 d"),
            (timedelta(minutes=119), "in 2 h"),
            (timedelta(seconds=4.6), "in 5 s"),
            (timedelta(0), "0 s ago"),
            # What has not yet been for five days has been for four.
            (-timedelta(days=5, seconds=-20), "4 d ago"),
            (-timedelta(seconds=99), "99 s ago"),
            (-timedelta(minutes=3, seconds=59), "3 min ago"),
        ],
    )
    def test_is_the_nearest_to_come_and_what_is_over(
        self, span: timedelta, words: str, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clock, "now", lambda: now)

        assert signs.relative(now + span) == words


class TestShapes:
    """Those that stand on each other, in charts, in strips and in where the time went."""

    def test_are_filled_with_patterns_that_all_differ(self) -> None:
        drawn = render_to_string("console/patterns.html")
        lines = re.findall(r'<pattern id="([\w-]+)".*?<path d="([^"]+)">', drawn)
        filled = set(re.findall(r'url\("#([\w-]+)"\)', STYLE.read_text()))

        assert {name for name, _ in lines} == filled
        assert len(filled) == 5

    @pytest.mark.parametrize(
        ("box", "kinds"),
        [
            (".chart", ("succeeded", "refused", "unavailable")),
            (".spent", ("dns", "connect", "tls", "first", "rest")),
        ],
    )
    def test_are_never_two_plain_ones_beside_each_other(self, box: str, kinds: tuple[str, ...]) -> None:
        fills = [fill_of(box, kind) for kind in kinds]

        assert all("url(" in a or "url(" in b for a, b in zip(fills, fills[1:], strict=False))
        assert len(set(fills)) == len(fills)


def fill_of(box: str, kind: str) -> str:
    """Return how the style sheet fills a kind of shape."""
    found = re.findall(
        rf"^[^{{\n]*{re.escape(box)}\b[^{{\n]*\.{kind}\b[^{{\n]*\{{ fill: (.+?); \}}", STYLE.read_text(), re.M
    )
    assert len(found) == 1, (box, kind, found)
    return str(found[0])
