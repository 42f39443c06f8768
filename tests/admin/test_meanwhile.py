"""Two people have the page of the same row open, and both save it."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from deliveries import clock
from deliveries.models import Account, ApiKey, EventType
from deliveries.printing import utc
from tests import builders
from tests.admin.conftest import MAKERS


def page_of(row: Any) -> str:
    return reverse(f"admin:deliveries_{row._meta.model_name}_change", args=[row.pk])


def shown(page: Any) -> str:
    """Return what a page carries of what it shows."""
    written: str = page.context["adminform"].form["shown"].value()
    return written


def errors(page: Any) -> dict[str, list[str]]:
    assert page.status_code == 200
    found: dict[str, list[str]] = page.context["adminform"].form.errors
    return found


class TestSaving:
    @pytest.mark.parametrize(
        ("kind", "field"),
        [("account", "name"), ("agent", "name"), ("apikey", "name"), ("eventtype", "label")],
    )
    def test_does_not_undo_the_change_of_the_other(self, console: Client, kind: str, field: str) -> None:
        row = MAKERS[kind]()
        opened = console.get(page_of(row))
        before = getattr(row, field)
        console.post(page_of(row), {field: "Theirs", "shown": shown(opened)})

        refused = console.post(page_of(row), {field: before, "shown": shown(opened)})

        row.refresh_from_db()
        assert getattr(row, field) == "Theirs"
        assert errors(refused)[field] == [f"Changed meanwhile; it was: {before}."]
        assert "Nothing was saved: operator changed this at " in errors(refused)["__all__"][0]
        assert refused.context["adminform"].form[field].value() == "Theirs"

    def test_keeps_what_the_other_ticked(self, console: Client, account: Account) -> None:
        opened = console.get(page_of(account))
        Account.objects.update(open_event_types=True)

        refused = console.post(page_of(account), {"name": "Mine", "shown": shown(opened)})
        form = refused.context["adminform"].form
        assert (form["name"].value(), form["open_event_types"].value()) == ("Mine", True)
        again = {"name": "Mine", "open_event_types": "on", "shown": shown(refused)}
        assert console.post(page_of(account), again).status_code == 302

        account.refresh_from_db()
        assert (account.name, account.open_event_types) == ("Mine", True)

    def test_keeps_the_end_that_the_other_set(self, console: Client, account: Account) -> None:
        builders.a_key(account)
        key, end = ApiKey.objects.get(), (clock.now() + timedelta(days=1)).replace(microsecond=0)
        opened = console.get(page_of(key))
        ApiKey.objects.update(expires_at=end)

        refused = console.post(page_of(key), {"name": "Mine", "shown": shown(opened)})

        assert errors(refused)["expires_at"] == ["Changed meanwhile; it was: nothing."]
        data = refused.context["adminform"].form.data
        assert (data["expires_at_0"], data["expires_at_1"]) == (f"{end:%Y-%m-%d}", f"{end:%H:%M:%S}")
        assert ApiKey.objects.get().expires_at == end

    def test_takes_no_moment_for_typed_that_an_input_cut(self, console: Client, account: Account) -> None:
        builders.a_key(account)
        early, late = (clock.now() + timedelta(days=days, microseconds=7) for days in (1, 2))
        ApiKey.objects.update(expires_at=early)
        key = ApiKey.objects.get()
        opened = console.get(page_of(key))
        ApiKey.objects.update(expires_at=late)

        sent = {"expires_at_0": f"{early:%Y-%m-%d}", "expires_at_1": f"{early:%H:%M:%S}"}
        refused = console.post(page_of(key), {**sent, "name": "Mine", "shown": shown(opened)})

        assert errors(refused)["expires_at"] == [f"Changed meanwhile; it was: {utc(early)}."]
        assert refused.context["adminform"].form.data["expires_at_0"] == f"{late:%Y-%m-%d}"

    def test_gives_nobody_back_the_group_that_was_taken_from_them(self, console: Client) -> None:
        viewers, operators = (Group.objects.get_or_create(name=name)[0] for name in ("Viewer", "Operator"))
        grace = User.objects.create(username="grace", password="canary-hash", is_staff=True)
        grace.groups.set([viewers, operators])
        its_page = reverse("admin:auth_user_change", args=[grace.pk])
        opened = console.get(its_page)
        grace.groups.set([viewers])
        joined = grace.date_joined
        sent = {"username": "grace", "is_staff": "on", "is_active": "on", "shown": shown(opened)}
        sent |= {"date_joined_0": f"{joined:%Y-%m-%d}", "date_joined_1": f"{joined:%H:%M:%S}"}

        both = [str(viewers.pk), str(operators.pk)]
        refused = console.post(its_page, {**sent, "groups": both})

        assert errors(refused)["groups"] == ["Changed meanwhile; it was: Operator, Viewer."]
        assert refused.context["adminform"].form["groups"].value() == [str(viewers.pk)]
        assert list(grace.groups.all()) == [viewers]
        assert "canary-hash" not in shown(opened)

    def test_gives_no_group_back_what_was_taken_from_it(self, console: Client) -> None:
        power = Permission.objects.get(codename="view_bodies")
        group = Group.objects.create(name="Night shift")
        group.permissions.set([power])
        its_page = reverse("admin:auth_group_change", args=[group.pk])
        opened = console.get(its_page)
        group.permissions.clear()

        sent = {"name": "Night shift", "permissions": [str(power.pk)], "shown": shown(opened)}
        refused = console.post(its_page, sent)

        assert "permissions" in errors(refused)
        assert not group.permissions.exists()

    def test_saves_what_nobody_else_touched(self, console: Client) -> None:
        row = EventType.objects.create(code="call.rung", label="Rung")
        opened = console.get(page_of(row))

        assert console.post(page_of(row), {"label": "Ringing", "shown": shown(opened)}).status_code == 302
        assert EventType.objects.get(pk=row.pk).label == "Ringing"
