"""Names that turn the direction of writing: nothing that stands beside them is read backwards."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.test import Client
from django.urls import reverse

from deliveries import clock
from deliveries.models import FailureGroup, Webhook, WebhookHealth
from tests import builders

# What is written after it is shown from right to left, until the end of what isolates it.
OVERRIDE = "\u202e"
NAME = f"{OVERRIDE}Billing"
# What a browser, or our style sheet, isolates from what is around it. A heading or a paragraph is not among
# them: there more is written than the name.
ISOLATING = {"bdi", "a", "td", "th", "dd", "option", "strong", "div"}
ID = re.compile("[0-9a-f]{8}-")
# Elements that have no end.
VOID = {"input", "br", "link", "meta", "img", "hr"}


class Loose(HTMLParser):
    """Notes what turns the direction and is in no element that isolates it."""

    def __init__(self) -> None:
        super().__init__()
        self.path: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.path.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while tag in self.path and self.path.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if OVERRIDE in data and self.path[-1] not in ISOLATING:
            self.found.append(f"{self.path[-1]}: {data.strip()!r}")
        # Within such an element the rest of its own text is turned, too.
        elif OVERRIDE in data and ID.search(data):
            self.found.append(f"an id in {self.path[-1]}: {data.strip()!r}")


@pytest.fixture
def group(db: None) -> FailureGroup:
    """A failure of a webhook that somebody named so, with all else that has a name."""
    account = builders.an_account(name=NAME)
    agent = builders.an_agent(account, name=NAME)
    webhook = builders.a_webhook(account, agent=agent, name=NAME)
    WebhookHealth.objects.update(failing_since=clock.now(), consecutive_failures=3)
    delivery = builders.a_failed_delivery(webhook, created_at=clock.now())
    builders.a_pause(account, webhook=webhook, by=NAME, why=NAME, until=clock.now() + timedelta(hours=1))
    return builders.a_failure_group(delivery, state="resolved", settled_by=NAME, settled_at=clock.now())


def paths(group: FailureGroup) -> Iterator[str]:
    webhook = Webhook.objects.get()
    delivery = webhook.deliveries.get()
    rows = {
        "webhook": webhook,
        "account": webhook.account,
        "agent": webhook.agent,
        "event": delivery.event,
        "delivery": delivery,
        "attempt": delivery.attempts.get(),
        "failure": delivery.failure,
        "failuregroup": group,
        "pause": webhook.pauses.get(),
        "recovery": builders.a_recovery(webhook.account, by=NAME, why=NAME, webhook_id=webhook.pk),
    }
    for name, row in rows.items():
        assert row is not None
        yield reverse(f"admin:deliveries_{name}_change", args=[row.pk])
        yield reverse(f"admin:deliveries_{name}_history", args=[row.pk])
        yield f"{reverse(f'admin:deliveries_{name}_changelist')}"
        yield f"{reverse('console:why')}?q={row.pk}"
    yield reverse("admin:deliveries_webhook_delete", args=[webhook.pk])
    yield reverse("admin:index")
    yield reverse("console:system")
    yield f"{reverse('console:signatures')}?webhook={webhook.pk}"
    yield f"{reverse('admin:deliveries_recovery_new')}?webhook_id={webhook.pk}"
    yield f"{reverse('console:why')}?q={webhook.url}"


class TestNames:
    def test_turn_nothing_that_stands_beside_them(self, console: Client, group: FailureGroup) -> None:
        found = {}
        for path in paths(group):
            page = console.get(path)
            assert page.status_code == 200, path
            reader = Loose()
            reader.feed(page.content.decode())
            found[path] = reader.found

        assert {path: loose for path, loose in found.items() if loose} == {}

    def test_are_spelt_out_where_it_is_told_who_did_what_and_why(
        self, console: Client, group: FailureGroup
    ) -> None:
        webhook = Webhook.objects.get()
        builders.an_audit_entry(
            webhook.account, subject_id=str(webhook.pk), by=NAME, why=NAME, created_at=clock.now()
        )

        for path in (
            reverse("admin:deliveries_auditentry_changelist"),
            reverse("admin:index"),
            reverse("admin:deliveries_webhook_change", args=[webhook.pk]),
        ):
            cells = re.findall(r"<td[^>]*>([^<]*Billing)</td>", console.get(path).content.decode())
            assert cells.count(r"\u202eBilling") == 2, path

    def test_are_spelt_out_in_messages(self, console: Client, group: FailureGroup) -> None:
        webhook = Webhook.objects.get()
        Webhook.objects.update(enabled=False)

        page = console.post(
            reverse("admin:deliveries_webhook_enable", args=[webhook.pk]), follow=True
        ).content.decode()

        assert "Enabled, but nothing goes yet: \\u202eBilling paused the webhook" in page
