"""The first page of the console."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from deliveries import circuits, clock
from deliveries.admin import charts
from deliveries.admin.signs import lasting
from deliveries.models import TrafficMinute, WebhookHealth
from deliveries.reasons import Reason
from deliveries.services import measuring, webhooks
from deliveries.services.glancing import Minute
from tests import builders
from tests.admin.pages import read

OVERVIEW = reverse("admin:index")
HOUR = timedelta(hours=1)
HTTP = Reason.HTTP_STATUS


def text_of(client: Client) -> str:
    return read(client.get(OVERVIEW))


class TestOverview:
    def test_says_what_to_do_where_there_is_nothing(self, console: Client) -> None:
        text = text_of(console)

        assert "No worker is alive: nothing is sent. Start one" in text
        assert "Nothing is due" in text
        assert "None: no enabled webhook is failing, and none disabled itself in the last 7 days." in text
        assert "Nobody has done anything yet." in text

    def test_says_how_it_is_and_leads_to_what_is_wrong(self, console: Client) -> None:
        now = clock.now()
        builders.a_worker(seen_at=now)
        webhook = builders.a_webhook(name="CRM")
        builders.a_minute_of_traffic(webhook, minute=TrafficMinute.of(now), succeeded=3, failed=1, upto_250=4)
        WebhookHealth.objects.filter(pk=webhook.pk).update(failing_since=now, consecutive_failures=12)
        builders.a_delivery(webhook, due_at=now - timedelta(minutes=3))
        builders.a_failure_group(builders.a_failed_delivery(webhook))
        page = console.get(OVERVIEW).content.decode()

        text = text_of(console)

        assert "Arrived in the last hour 3" in text
        assert "Attempts that succeeded 75 %" in text
        assert "Oldest due 3 min ago 1 due, gone in about" in text
        assert "Failures waiting 1 1 group in the inbox" in text
        assert "Webhooks in trouble 1" in text
        assert "CRM" in text
        assert "in 5 d" in text
        assert reverse("admin:deliveries_webhook_change", args=[webhook.pk]) in page
        assert "No worker is alive" not in text

    def test_says_what_is_held_and_who_is_missing(self, console: Client) -> None:
        now = clock.now()
        builders.a_worker(seen_at=now - timedelta(hours=1))
        builders.a_pause(until=now + timedelta(hours=1))
        for _ in range(2):
            builders.a_delivery(builders.a_webhook(enabled=False), status="held")

        text = text_of(console)

        assert "1 worker has stopped without a word in the last day." in text
        assert "1 pause is in force." in text
        assert "Held back 2" in text

    def test_shows_hostile_names_as_text(self, console: Client) -> None:
        hostile = "<script>0</script>"
        builders.a_webhook(name=hostile)
        WebhookHealth.objects.update(failing_since=clock.now())
        builders.an_audit_entry(by=hostile, why=hostile)

        page = console.get(OVERVIEW).content.decode()

        assert page.count("&lt;script&gt;0") == 3
        assert "<script>0" not in page

    def test_is_only_looked_at(self, console: Client) -> None:
        assert console.post(OVERVIEW).status_code == 405

    def test_does_not_say_that_nothing_waits_where_a_receiver_is_busy(self, console: Client) -> None:
        now = clock.now()
        webhook = builders.a_webhook(max_in_flight=1)
        builders.a_backlog(webhook, 1, due_at=now + HOUR, lease_token=webhook.pk)
        builders.a_backlog(webhook, 3, due_at=now - timedelta(minutes=3))

        text = text_of(console)

        assert "Oldest due 3 min ago 3 due, 1 under way; the oldest waits for its own receiver" in text
        assert "Nothing is due" not in text

    def test_counts_as_waiting_what_the_inbox_has(self, console: Client) -> None:
        resolved, _, snoozed = (builders.a_failed_delivery() for _ in range(3))
        builders.a_failure_group(resolved, state="resolved")
        builders.a_failure_group(snoozed, state="snoozed", snoozed_until=clock.now() + HOUR)

        text = text_of(console)

        assert (
            "Failures waiting 0 The inbox is empty 1 snoozed 2 of resolved groups or deleted webhooks" in text
        )

    def test_says_since_when_the_oldest_is_held_back(self, console: Client) -> None:
        builders.a_delivery(status="held", due_at=clock.now() - 3 * HOUR)
        builders.a_delivery(status="held", due_at=clock.now() - 2 * HOUR)

        assert "Held back 2 the oldest was due 3 h ago" in text_of(console)

    def test_says_where_it_counted_no_further(self, console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(measuring, "MOST", 2)
        now = clock.now()
        webhook = builders.a_webhook()
        builders.a_backlog(webhook, 3, due_at=now - HOUR)
        builders.a_backlog(webhook, 3, due_at=now + HOUR)
        builders.a_backlog(webhook, 3, status="held")
        builders.a_minute_of_traffic(webhook, minute=TrafficMinute.of(now), succeeded=1)

        text = text_of(console)

        assert "Oldest due 60 min ago 2+ due, gone in more than" in text
        assert "Retrying later 2+" in text
        assert "Held back 2+" in text

    def test_says_which_webhooks_disabled_themselves_and_since_when(self, console: Client) -> None:
        builders.a_webhook(name="Well")
        gone = builders.a_webhook(name="CRM")
        switched_off = builders.a_webhook(name="Billing")
        webhooks.disable(switched_off.pk, reason="Moved.", by="ada", now=clock.now())
        webhooks.disable(
            gone.pk, reason="Gone.", by="The receiver", now=clock.now() - 2 * HOUR, asked_for=False
        )

        text = text_of(console)

        assert "1 webhook disabled itself 2 h ago and gets no events." in text
        assert "Webhooks in trouble 1" in text
        assert "CRM" in text
        assert "Billing" not in text
        assert "None: no enabled" not in text
        for chosen in ("?trouble=yes", "?trouble=yes&enabled__exact=0"):
            listed = console.get(reverse("admin:deliveries_webhook_changelist") + chosen)
            assert [webhook.name for webhook in listed.context["cl"].result_list] == ["CRM"]

        second = builders.a_webhook(name="Chat")
        webhooks.disable(
            second.pk, reason="Gone.", by="The receiver", now=clock.now() - 3 * HOUR, asked_for=False
        )
        text = text_of(console)
        assert (
            "2 webhooks disabled themselves and get no events: the first 3 h ago, the last 2 h ago." in text
        )

    def test_refreshes_itself_and_says_so(self, console: Client) -> None:
        page = console.get(OVERVIEW).content.decode()

        assert 'data-every="5"' in page
        assert 'role="status"' in page

    def test_shows_those_who_may_see_no_delivery_what_they_may(self, client: Client, db: None) -> None:
        user = User.objects.create(username="clerk", password="!", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_webhook"))
        client.force_login(user)

        text = text_of(client)

        assert "Oldest due" not in text
        assert "Webhooks" in text

    def test_is_for_people_of_the_console(self, client: Client, db: None) -> None:
        assert client.get(OVERVIEW).status_code == 302
        user = User.objects.create(username="clerk", password="!")
        user.user_permissions.set(Permission.objects.filter(codename="view_delivery"))
        client.force_login(user)

        assert client.get(OVERVIEW).status_code == 302

    def test_leads_to_every_table(self, console: Client) -> None:
        assert reverse("admin:app_list", args=["deliveries"]) in console.get(OVERVIEW).content.decode()


def minutes(**of_the_last: Any) -> list[Minute]:
    nothing: dict[str, Any] = {
        "succeeded": 0,
        "refused": 0,
        "unavailable": 0,
        "p50_ms": None,
        "p95_ms": None,
        "due": None,
        "oldest_due": None,
    }
    hour = [builders.NOW + timedelta(minutes=number) for number in range(60)]
    rows: list[dict[str, Any]] = [{"start": start, **nothing} for start in hour]
    rows[-1].update(of_the_last)
    return [Minute(**row) for row in rows]


class TestCharts:
    def test_stack_what_came_of_attempts(self) -> None:
        attempts = charts.charts(minutes(succeeded=6, refused=3, unavailable=1))[0]

        assert attempts.top == "10"
        assert [(bar.kind, bar.y, bar.height) for bar in attempts.bars] == [
            ("succeeded", 52.0, 78.0),
            ("refused", 13.0, 39.0),
            ("unavailable", 0.0, 13.0),
        ]
        assert attempts.rows[0] == (builders.NOW + timedelta(minutes=59), ["6", "3", "1"])

    def test_call_each_part_by_what_is_counted_in_it(self) -> None:
        attempts = charts.charts(minutes())[0]

        names = dict(attempts.keys)
        assert names["unavailable"] == "no answer, or HTTP 5xx, 408, 425, 429"
        assert attempts.head == ("Succeeded", "Refused, or not sent", "No answer, or HTTP 5xx, 408, 425, 429")
        named = [int(status) for status in re.findall(r"\d{3}", names["unavailable"])]
        counted = [status for status in range(300, 500) if circuits.is_unavailable(HTTP, status)]
        assert named == counted
        assert circuits.is_unavailable(HTTP, 500)

    def test_leave_a_gap_where_nothing_is_known(self) -> None:
        latency = charts.charts(minutes(p50_ms=100, p95_ms=200))[1]

        assert latency.lines[0].path == "M590.0 65.0L595.0 65.0"
        assert latency.rows[0][1] == ["100 ms", "200 ms"]
        assert latency.rows[1][1] == ["-", "-"]

    def test_have_a_line_of_each_stretch_that_is_known(self) -> None:
        hour = minutes(p50_ms=100, p95_ms=200)
        hour[0] = replace(hour[0], p50_ms=200, p95_ms=200)
        hour[1] = replace(hour[1], p50_ms=100, p95_ms=200)

        latency = charts.charts(hour)[1]

        assert [line.path for line in latency.lines] == [
            "M0.0 0.0L5.0 0.0L15.0 65.0M590.0 65.0L595.0 65.0",
            "M0.0 0.0L5.0 0.0L15.0 0.0M590.0 0.0L595.0 0.0",
        ]

    def test_are_of_the_whole_hour(self) -> None:
        for chart in charts.charts(minutes()):
            assert (chart.start, chart.end) == (builders.NOW, builders.NOW + timedelta(minutes=59))

    def test_of_the_queue_say_where_nobody_looked(self) -> None:
        age = charts.charts(minutes(due=3000, oldest_due=timedelta(seconds=30)))[2]

        assert (age.bars[0].height, age.top) == (78.0, "50 s")
        assert age.rows[0][1] == ["30 s", "3,000"]
        assert age.rows[1][1] == ["not looked at", "not looked at"]

    def test_are_drawn_of_nothing(self) -> None:
        assert all(not chart.bars for chart in charts.charts(minutes()))

    def test_are_no_wider_than_a_row(self) -> None:
        attempts = charts.charts(minutes(succeeded=1))[0]

        assert (attempts.bars[0].x, attempts.bars[0].width) == (591, 8)
        assert attempts.bars[0].x + attempts.bars[0].width <= charts.WIDTH


class TestSpans:
    def test_are_written_in_their_greatest_unit(self) -> None:
        spans = [timedelta(seconds=99), timedelta(seconds=100), timedelta(minutes=99), timedelta(minutes=100)]

        assert [lasting(span) for span in spans] == ["99 s", "1 min", "99 min", "1 h"]
        assert lasting(timedelta(hours=47)) == "47 h"
        assert lasting(timedelta(days=2)) == "2 d"
        assert lasting(timedelta(0)) == "0 s"
