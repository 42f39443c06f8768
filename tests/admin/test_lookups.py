"""What a list can be asked for by its address: what the console itself asks, and nothing else."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Field, Model
from django.test import Client
from django.urls import reverse

from deliveries.admin.tables import Table
from deliveries.migrations import _groups
from tests import builders
from tests.admin.conftest import MAKERS

MODELS = {str(model._meta.model_name): model for model in admin.site._registry}
COMPARISONS = ("", "__contains", "__startswith", "__regex", "__gt", "__in", "__isnull", "__iexact")
# What a page or a filter of the console asks of each, beside its key.
ASKED: dict[str, set[str]] = {
    "accessattempt": set(),
    "accesslog": set(),
    "account": {"open_event_types__exact"},
    "agent": set(),
    "apikey": {"account__id__exact"},
    "attempt": {
        "account",
        "delivery__id__exact",
        "http_status",
        "reason_code__exact",
        "succeeded__exact",
        "webhook__id__exact",
    },
    "auditentry": {"action__exact", "by", "kind", "subject_id__exact"},
    "chore": set(),
    "delivery": {"account__id__exact", "event__id__exact", "status__exact", "webhook__id__exact"},
    "event": {"account__id__exact", "type"},
    "eventtype": set(),
    "failure": {
        "account__id__exact",
        "event_type",
        "http_status",
        "reason__exact",
        "reason_code__exact",
        "recovery__id__exact",
        "status__exact",
        "webhook_id__exact",
    },
    "failuregroup": {"state", "webhook__id__exact"},
    "group": set(),
    "idempotencykey": set(),
    "pause": {"in_force"},
    "queueminute": set(),
    "recovery": {"status__exact"},
    "trafficminute": set(),
    "user": {"groups__id__exact", "is_active__exact", "is_staff__exact", "is_superuser__exact"},
    "webhook": {
        "account__id__exact",
        "trouble",
        "out_of_order",
        "deleted",
        "enabled__exact",
        "health__circuit__exact",
    },
    "webhookhealth": {"circuit__exact"},
    "webhookrevision": set(),
    "worker": set(),
}
everything = pytest.mark.parametrize("name", sorted(ASKED))


@pytest.fixture(autouse=True)
def groups(db: None) -> None:
    """The groups as a new installation has them; a test before this one may have emptied every table."""
    _groups.complete(apps, connection.schema_editor())


def browser_of(group: str) -> Client:
    """Return the browser of somebody in a group; of a superuser where there is none of that name."""
    user = User.objects.create(username="somebody", password="!", is_staff=True, is_superuser=group == "")
    user.groups.set(Group.objects.filter(name=group))
    browser = Client()
    browser.force_login(user)
    return browser


def list_of(name: str) -> str:
    return reverse(f"admin:{MODELS[name]._meta.app_label}_{name}_changelist")


def columns_of(model: type[Model], *, far: bool = True) -> Iterator[str]:
    """Yield the columns of a model, and of what it belongs to or has."""
    for field in model._meta.get_fields():
        if isinstance(field, Field) and not field.is_relation:
            if not field.primary_key:
                yield field.name
        elif far and isinstance(field.related_model, type):
            yield from (f"{field.name}__{name}" for name in columns_of(field.related_model, far=False))


class TestLookups:
    def test_are_watched_in_every_list(self) -> None:
        assert set(MODELS) == set(ASKED)
        assert all(isinstance(each, Table) for each in admin.site._registry.values())

    @everything
    def test_by_anything_else_are_refused(self, name: str, rf: Any) -> None:
        model, request = MODELS[name], rf.get("/")
        model_admin = admin.site._registry[model]
        lookups = {f"{column}{how}" for column in columns_of(model) for how in (*COMPARISONS, "__exact")}

        taken = {each for each in lookups if model_admin.lookup_allowed(each, "x", request)}

        forms = ("", "__exact", "__isnull")
        assert taken <= {each.removesuffix("__exact") + form for each in ASKED[name] for form in forms}

    @pytest.mark.parametrize("group", ["Viewer", "Operator", "Admin", ""])
    def test_are_refused_to_every_group(self, group: str) -> None:
        browser = browser_of(group)

        for name, model in MODELS.items():
            seen = browser.get(list_of(name)).status_code
            for column in columns_of(model, far=False):
                answer = browser.get(list_of(name), {f"{column}__contains": "x"})
                assert answer.status_code == (400 if seen == 200 else 403), (name, column)

    def test_tell_no_viewer_what_a_body_says(self) -> None:
        browser = browser_of("Viewer")
        event = builders.an_event(body=b'{"said":"in-confidence"}')

        for text in ("in-confidence", "something else"):
            answer = browser.get(list_of("event"), {"id": str(event.pk), "body__contains": text})
            assert answer.status_code == 400
            assert "No page of this service asks for this" in answer.content.decode()
            assert str(event.pk) not in answer.content.decode()

    def test_of_the_console_itself_are_answered(self, console: Client) -> None:
        for name, asked in ASKED.items():
            for lookup in (*asked, "pk", "pk__exact"):
                answer = console.get(list_of(name), {lookup: "1"})
                # Of what can be no value it is said that it is none.
                assert answer.status_code in (200, 400), lookup

    @pytest.mark.parametrize("name", sorted(MAKERS))
    def test_that_stand_on_a_page_are_answered(self, console: Client, name: str) -> None:
        row = MAKERS[name]()
        pages = (list_of(name), reverse(f"admin:deliveries_{name}_change", args=[row.pk]))

        for page in pages:
            html = console.get(page).content.decode()
            for link in re.findall(r'href="([^"]*\?[^"]+)"', html):
                there = page + link if link.startswith("?") else link
                assert console.get(there.replace("&amp;", "&")).status_code in (200, 302), link
