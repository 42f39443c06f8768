"""What the audit says of what people do by hand in the console: who did it, to what, and what that was."""

from typing import Any

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries.migrations import _groups
from deliveries.models import Account, Agent, AuditEntry, EventType
from tests import builders

PASSWORD = "canary-horse-battery-14"


@pytest.fixture(autouse=True)
def groups(db: None) -> None:
    """The groups as a new installation has them; a test before this one may have emptied every table."""
    _groups.complete(apps, connection.schema_editor())


@pytest.fixture
def grace(db: None) -> User:
    """Somebody in the group Viewer."""
    grace = User.objects.create(username="grace", password="!", is_staff=True)
    grace.groups.add(Group.objects.get(name="Viewer"))
    return grace


def page(kind: str, *arguments: Any) -> str:
    return reverse(f"admin:{kind}", args=arguments)


def post(console: Client, where: str, **fields: Any) -> None:
    assert console.post(where, fields).status_code == 302


def save_person(console: Client, person: User, **fields: Any) -> None:
    dates = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
    post(console, page("auth_user_change", person.pk), username=person.username, **dates, **fields)


def noted() -> tuple[str, dict[str, Any]]:
    """Return the one act there is, and its details."""
    entry = AuditEntry.objects.get()
    assert entry.by == "operator"
    return entry.action, entry.details


class TestAccounts:
    def test_made(self, console: Client) -> None:
        post(console, page("deliveries_account_add"), name="Harbour", open_event_types="on")

        made = {"name": "Harbour", "open_event_types": True}
        assert noted() == ("account.created", {"name": "Harbour", "after": made})
        assert AuditEntry.objects.get().account == Account.objects.get()

    def test_changed(self, console: Client, account: Account) -> None:
        post(console, page("deliveries_account_change", account.pk), name=account.name, open_event_types="on")

        assert noted() == (
            "account.changed",
            {
                "name": account.name,
                "fields": ["open_event_types"],
                "before": {"open_event_types": False},
                "after": {"open_event_types": True},
            },
        )
        assert AuditEntry.objects.get().subject_id == str(account.pk)

    def test_not_changed(self, console: Client, account: Account) -> None:
        post(console, page("deliveries_account_change", account.pk), name=account.name)

        assert not AuditEntry.objects.exists()


class TestAgents:
    def test_made(self, console: Client, account: Account) -> None:
        post(console, page("deliveries_agent_add"), account=account.pk, name="Night shift")

        assert noted() == ("agent.created", {"name": "Night shift", "after": {"name": "Night shift"}})
        assert AuditEntry.objects.get().account == account
        assert AuditEntry.objects.get().subject_id == str(Agent.objects.get().pk)

    def test_changed(self, console: Client) -> None:
        agent = builders.an_agent(name="Reception")

        post(console, page("deliveries_agent_change", agent.pk), name="Desk")

        action, details = noted()
        assert action == "agent.changed"
        assert (details["before"], details["after"]) == ({"name": "Reception"}, {"name": "Desk"})


class TestEventTypes:
    LONG = "a." * 50

    def test_made_changed_and_deleted(self, console: Client) -> None:
        post(console, page("deliveries_eventtype_add"), code=self.LONG, label="A")
        post(console, page("deliveries_eventtype_change", self.LONG), label="B")
        post(console, page("deliveries_eventtype_delete", self.LONG), post="yes")

        notes = AuditEntry.objects.order_by("pk").values_list("action", "details__name")
        assert list(notes) == [
            ("event_type.created", self.LONG),
            ("event_type.changed", self.LONG),
            ("event_type.deleted", self.LONG),
        ]

    def test_deleted_from_the_list(self, console: Client) -> None:
        codes = {EventType.objects.create(code=f"type.{number}", label="A").code for number in range(2)}

        where = page("deliveries_eventtype_changelist")
        post(console, where, action="delete_selected", _selected_action=list(codes), post="yes")

        notes = AuditEntry.objects.filter(action="event_type.deleted")
        assert set(notes.values_list("details__name", flat=True)) == codes
        assert not EventType.objects.filter(pk__in=codes).exists()


class TestPeople:
    def test_made(self, console: Client) -> None:
        new = {"username": "ada", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        post(console, page("auth_user_add"), **new)

        assert noted() == ("person.created", {"name": "ada", "after": {"username": "ada"}})
        assert AuditEntry.objects.get().subject_id == str(User.objects.get(username="ada").pk)

    def test_changed_in_what_they_may(self, console: Client, grace: User) -> None:
        power = Permission.objects.get(codename="view_bodies")
        wanted = [Group.objects.get(name=name).pk for name in ("Admin", "Viewer")]

        powers = {"groups": wanted, "user_permissions": [power.pk], "is_superuser": "on", "is_active": "on"}
        save_person(console, grace, **powers)

        action, details = noted()
        assert action == "person.changed"
        assert details["name"] == "grace"
        assert details["before"] == {
            "is_staff": True,
            "is_superuser": False,
            "groups": ["Viewer"],
            "user_permissions": [],
        }
        assert details["after"] == {
            "is_staff": False,
            "is_superuser": True,
            "groups": ["Admin", "Viewer"],
            "user_permissions": [str(power)],
        }

    def test_made_inactive(self, console: Client, grace: User) -> None:
        viewer = Group.objects.get(name="Viewer")

        save_person(console, grace, is_staff="on", groups=[viewer.pk], email="grace@example.com")

        _, details = noted()
        assert set(details["fields"]) >= {"email", "is_active"}
        assert details["after"] == {"is_active": False}
        assert "example.com" not in str(details)

    def test_given_a_password(self, console: Client, grace: User) -> None:
        where = page("auth_user_password_change", grace.pk)
        console.get(where)
        console.post(where, {"password1": PASSWORD, "password2": "another"})
        assert not AuditEntry.objects.exists()

        post(console, where, password1=PASSWORD, password2=PASSWORD, usable_password="true")

        assert noted() == ("person.changed", {"name": "grace", "fields": ["password"]})

    def test_deleted(self, console: Client, grace: User) -> None:
        post(console, page("auth_user_delete", grace.pk), post="yes")

        action, details = noted()
        assert (action, details["name"]) == ("person.deleted", "grace")
        assert details["before"]["groups"] == ["Viewer"]

    def test_never_with_a_password_or_its_hash(self, console: Client, settings: Any) -> None:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        new = {"username": "ada", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        post(console, page("auth_user_add"), **new)
        ada = User.objects.get(username="ada")
        post(console, page("auth_user_password_change", ada.pk), **new)
        save_person(console, ada, is_staff="on")
        post(console, page("auth_user_delete", ada.pk), post="yes")

        text = str(list(AuditEntry.objects.values()))
        assert PASSWORD not in text
        assert "md5$" not in text

    def test_are_not_noted_where_they_are_refused(self, grace: User) -> None:
        browser = Client()
        browser.force_login(grace)

        browser.post(page("auth_user_password_change", grace.pk), {"password1": PASSWORD})
        browser.post(page("auth_user_change", grace.pk), {"username": "grace", "is_superuser": "on"})

        assert not AuditEntry.objects.exists()


class TestGroups:
    def test_made_changed_and_deleted(self, console: Client) -> None:
        power, other = Permission.objects.filter(codename__in=["view_bodies", "view_event"]).order_by("pk")
        post(console, page("auth_group_add"), name="Owner", permissions=[power.pk])
        group = Group.objects.get(name="Owner")
        post(console, page("auth_group_change", group.pk), name="Owner", permissions=[other.pk])
        post(console, page("auth_group_delete", group.pk), post="yes")

        made, changed, deleted = AuditEntry.objects.order_by("pk")
        assert (made.action, changed.action, deleted.action) == (
            "group.created",
            "group.changed",
            "group.deleted",
        )
        assert made.details["after"] == {"name": "Owner", "permissions": [str(power)]}
        assert changed.details["before"] == {"permissions": [str(power)]}
        assert changed.details["after"] == {"permissions": [str(other)]}
        assert deleted.details["before"] == {"name": "Owner", "permissions": [str(other)]}


class TestLockouts:
    @pytest.fixture
    def tried(self, db: None) -> AccessAttempt:
        """Somebody who tried too often."""
        return AccessAttempt.objects.create(
            username="ada", ip_address="192.0.2.1", failures_since_start=5, attempt_time=timezone.now()
        )

    def test_deleted(self, console: Client, tried: AccessAttempt) -> None:
        post(console, page("axes_accessattempt_delete", tried.pk), post="yes")

        assert noted() == ("lockout.deleted", {"name": "ada", "before": {"ip_address": "192.0.2.1"}})

    def test_deleted_from_the_list(self, console: Client, tried: AccessAttempt) -> None:
        where = page("axes_accessattempt_changelist")
        post(console, where, action="delete_selected", _selected_action=[tried.pk], post="yes")

        assert noted() == ("lockout.deleted", {"name": "ada", "before": {"ip_address": "192.0.2.1"}})


class TestEveryNote:
    def test_is_there_only_if_the_act_is(
        self, console: Client, grace: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: object, **details: object) -> None:
            raise RuntimeError

        monkeypatch.setattr("deliveries.services.auditing.note", fail)
        console.raise_request_exception = False

        console.post(page("deliveries_account_add"), {"name": "Harbour"})
        for where in (page("auth_user_delete", grace.pk), page("auth_user_changelist")):
            chosen = {"action": "delete_selected", "_selected_action": [grace.pk], "post": "yes"}
            assert console.post(where, chosen).status_code == 500
        new = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        assert console.post(page("auth_user_password_change", grace.pk), new).status_code == 500

        assert not Account.objects.exists()
        grace.refresh_from_db()
        assert grace.password == "!"
