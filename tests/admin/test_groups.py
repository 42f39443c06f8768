"""What the three groups see and do, page by page and action by action."""

import os
import subprocess
import sys
from pathlib import Path
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
from deliveries.models import Delivery
from tests import builders
from tests.admin.conftest import MADE_BY_HAND, MAKERS

ROOT = Path(__file__).resolve().parent.parent.parent
GROUPS = ("Viewer", "Operator", "Admin")
each_group = pytest.mark.parametrize("group", GROUPS)
# Which of the pages with a form are one for whom. What is not mentioned is for nobody in these groups.
ADDS = {
    "Operator": {"pause"},
    "Admin": {"account", "agent", "apikey", "eventtype", "pause", "webhook"},
}
CHANGES = {
    "Operator": {"webhook"},
    "Admin": {"account", "agent", "apikey", "eventtype", "webhook"},
}
# Actions of the lists, and the words of success.
ACTIONS = {
    ("failuregroup", "snooze"): ("Operator", "Admin"),
    ("failuregroup", "resolve"): ("Operator", "Admin"),
    ("failuregroup", "reopen"): ("Operator", "Admin"),
    ("delivery", "send_again"): ("Operator", "Admin"),
    ("failure", "send_again"): ("Operator", "Admin"),
    ("recovery", "pause"): ("Operator", "Admin"),
    ("recovery", "cancel"): ("Operator", "Admin"),
    ("pause", "resume"): ("Operator", "Admin"),
    ("apikey", "revoke"): ("Admin",),
    ("webhook", "delete_selected"): ("Admin",),
    ("eventtype", "delete_selected"): ("Admin",),
}


@pytest.fixture(autouse=True)
def groups(db: None) -> None:
    """The groups as a new installation has them; a test before this one may have emptied every table."""
    _groups.complete(apps, connection.schema_editor())


def somebody_in(group: str, name: str = "somebody") -> User:
    user = User.objects.create(username=name, password="!", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user


def browser_of(group: str) -> Client:
    browser = Client()
    browser.force_login(somebody_in(group))
    return browser


def status_of(browser: Client, page: str, *arguments: Any) -> int:
    return browser.get(reverse(f"admin:{page}", args=arguments)).status_code


class TestGroups:
    @pytest.mark.slow
    @pytest.mark.sqlite
    def test_are_complete_in_a_new_installation(self, tmp_path: Path) -> None:
        new = {**os.environ, "DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}"}
        show = (
            "from django.contrib.auth.models import Group\n"
            "for group in Group.objects.all():\n"
            "    print(group.name, *group.permissions.values_list('codename', flat=True))"
        )
        manage = [sys.executable, str(ROOT / "manage.py")]
        subprocess.run([*manage, "migrate", "--verbosity", "0"], env=new, check=True)

        shown = subprocess.run(
            [*manage, "shell", "--no-imports", "-c", show],
            env=new,
            check=True,
            capture_output=True,
            text=True,
        )

        groups = {line.split()[0]: set(line.split()[1:]) for line in shown.stdout.splitlines()}
        for group in Group.objects.filter(name__in=GROUPS):
            assert groups[group.name] == set(group.permissions.values_list("codename", flat=True))

    def test_are_what_a_migration_made(self) -> None:
        before = set(Group.objects.get(name="Operator").permissions.values_list("codename", flat=True))

        assert {"view_bodies", "manage_recovery", "manage_pause", "redeliver_delivery"} <= before
        assert "add_user" not in before

    def test_are_kept_and_completed_where_there_are_some(self) -> None:
        person = somebody_in("Viewer")
        viewer = Group.objects.get(name="Viewer")
        extra = Permission.objects.get(codename="view_bodies")
        viewer.permissions.set([extra])

        _groups.complete(apps, connection.schema_editor())

        assert Group.objects.get(name="Viewer").pk == viewer.pk
        assert extra in viewer.permissions.all()
        assert viewer.permissions.filter(codename="view_delivery").exists()
        assert list(person.groups.all()) == [viewer]

    def test_have_each_what_the_one_before_has(self) -> None:
        viewer, operator, admin = (
            set(Group.objects.get(name=name).permissions.values_list("pk", flat=True)) for name in GROUPS
        )

        assert viewer < operator < admin


class TestPages:
    @each_group
    def test_of_every_list_and_row_are_for_all(self, group: str) -> None:
        browser = browser_of(group)

        for name, make in MAKERS.items():
            row = make()
            assert status_of(browser, f"deliveries_{name}_changelist") == 200, name
            assert status_of(browser, f"deliveries_{name}_change", row.pk) == 200, name
            assert status_of(browser, f"deliveries_{name}_history", row.pk) == 200, name

    @each_group
    def test_of_new_rows_are_for_some(self, group: str) -> None:
        browser = browser_of(group)

        allowed = {name for name in MAKERS if status_of(browser, f"deliveries_{name}_add") == 200}

        assert allowed == ADDS.get(group, set())

    @each_group
    def test_change_for_some(self, group: str) -> None:
        browser = browser_of(group)

        allowed = set()
        for name in MADE_BY_HAND:
            page = browser.get(reverse(f"admin:deliveries_{name}_change", args=[MAKERS[name]().pk]))
            if b'name="_save"' in page.content:
                allowed.add(name)
            else:
                posted = browser.post(page.request["PATH_INFO"], {"name": "changed"})
                assert posted.status_code == 403, name

        assert allowed == CHANGES.get(group, set())

    @each_group
    def test_of_people_and_logins_are_for_admins(self, group: str) -> None:
        browser = browser_of(group)
        tried = AccessAttempt.objects.create(
            username="ada", ip_address="192.0.2.1", failures_since_start=5, attempt_time=timezone.now()
        )
        seen = 200 if group == "Admin" else 403

        for page in ("auth_user", "auth_group", "axes_accesslog", "axes_accessattempt"):
            assert status_of(browser, f"{page}_changelist") == seen, page
        assert status_of(browser, "auth_user_add") == seen
        assert status_of(browser, "axes_accessattempt_delete", tried.pk) == seen
        assert status_of(browser, "auth_group_add") == 403

    @each_group
    def test_show_bodies_to_some(self, group: str) -> None:
        browser = browser_of(group)
        event = builders.an_event(body=b'{"said":"in-confidence"}')
        delivery = builders.a_delivery()
        body = builders.an_attempt(delivery, response_body=b"in-confidence")
        headers = builders.an_attempt(delivery, number=2, response_headers={"x-got": "in-confidence"})

        for name, row in (("event", event), ("attempt", body), ("attempt", headers)):
            page = browser.get(reverse(f"admin:deliveries_{name}_change", args=[row.pk]))
            assert (b"in-confidence" in page.content) is (group != "Viewer"), name


class TestActions:
    @each_group
    @pytest.mark.parametrize(("name", "action"), ACTIONS)
    def test_are_for_some(self, group: str, name: str, action: str) -> None:
        browser = browser_of(group)
        row = MAKERS[name]()
        changelist = reverse(f"admin:deliveries_{name}_changelist")

        offered = f'value="{action}"' in browser.get(changelist).content.decode()
        before = type(row).objects.filter(pk=row.pk).values().get()
        browser.post(changelist, {"action": action, "_selected_action": [str(row.pk)], "post": "yes"})
        after = type(row).objects.filter(pk=row.pk).values().first()

        assert offered is (group in ACTIONS[name, action])
        # What failed stands for its delivery, where the change is.
        changed = after != before or Delivery.objects.filter(status="pending").exists()
        assert changed is offered

    @each_group
    def test_of_one_page_are_for_some(self, group: str) -> None:
        browser = browser_of(group)
        buttons = {"delivery_send_again": MAKERS["delivery"](), "pause_resume": MAKERS["pause"]()}

        for name, row in buttons.items():
            answer = browser.post(reverse(f"admin:deliveries_{name}", args=[row.pk]))
            assert answer.status_code == (403 if group == "Viewer" else 302), name

    @each_group
    def test_are_never_missing_from_the_table(self, group: str) -> None:
        browser = browser_of(group)

        offered = set()
        for name, make in MAKERS.items():
            make()
            form = browser.get(reverse(f"admin:deliveries_{name}_changelist")).context["action_form"]
            if form is not None:
                offered |= {(name, action) for action, _ in form.fields["action"].choices if action}
        known = {each for each, allowed in ACTIONS.items() if group in allowed}

        assert offered - known <= {("recovery", "resume")}


class TestPeople:
    @pytest.fixture
    def admin(self) -> Client:
        """Somebody of the group Admin."""
        return browser_of("Admin")

    def change(self, browser: Client, user: User, **fields: Any) -> int:
        form = {"username": user.username, "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
        page = reverse("admin:auth_user_change", args=[user.pk])
        return browser.post(page, {**form, **fields}).status_code

    def test_are_put_into_groups(self, admin: Client) -> None:
        new = User.objects.create(username="grace", password="!")

        self.change(admin, new, is_staff="on", is_active="on", groups=[Group.objects.get(name="Viewer").pk])

        new.refresh_from_db()
        assert (new.is_staff, [group.name for group in new.groups.all()]) == (True, ["Viewer"])

    def test_make_nobody_a_superuser_who_are_none(self, admin: Client) -> None:
        me = User.objects.get(username="somebody")
        power = Permission.objects.get(codename="delete_user")

        self.change(admin, me, is_staff="on", is_active="on", is_superuser="on", user_permissions=[power.pk])

        me.refresh_from_db()
        assert not me.is_superuser
        assert not me.user_permissions.exists()

    def test_change_no_superuser_who_are_none(self, admin: Client) -> None:
        root = User.objects.create_superuser("root", password="a-password-of-theirs")
        password = root.password

        assert self.change(admin, root, is_active="") == 403
        page = reverse("admin:auth_user_password_change", args=[root.pk])
        assert (
            admin.post(page, {"password1": "ours-now-12345", "password2": "ours-now-12345"}).status_code
            == 403
        )
        root.refresh_from_db()
        assert (root.is_active, root.password) == (True, password)

    @pytest.fixture
    def stronger(self) -> Group:
        """A group a superuser made, with something that Admin has not."""
        group = Group.objects.create(name="Owner")
        group.permissions.set([Permission.objects.get(codename="delete_user")])
        return group

    def test_get_only_groups_that_are_no_more_than_who_gives_them(
        self, admin: Client, stronger: Group
    ) -> None:
        me = User.objects.get(username="somebody")
        page = reverse("admin:auth_user_change", args=[me.pk])

        offered = {name for _, name in admin.get(page).context["adminform"].form.fields["groups"].choices}
        self.change(admin, me, is_staff="on", is_active="on", groups=[stronger.pk])

        assert offered == set(GROUPS)
        assert [group.name for group in me.groups.all()] == ["Admin"]

    @pytest.mark.parametrize("active", [True, False])
    @pytest.mark.parametrize("by", ["group", "permission"])
    def test_who_have_more_are_left_alone(
        self, admin: Client, stronger: Group, by: str, active: bool
    ) -> None:
        owner = User.objects.create(username="owner", password="!", is_staff=True, is_active=active)
        if by == "group":
            owner.groups.add(stronger)
        else:
            owner.user_permissions.set(stronger.permissions.all())

        assert self.change(admin, owner, is_staff="on", is_active="on") == 403
        page = reverse("admin:auth_user_password_change", args=[owner.pk])
        new = {"password1": "ours-now-12345", "password2": "ours-now-12345"}
        assert admin.post(page, new).status_code == 403
        owner.refresh_from_db()
        assert (owner.is_active, owner.password) == (active, "!")

    def test_who_have_as_much_are_not(self, admin: Client) -> None:
        peer = somebody_in("Admin", "peer")

        assert self.change(admin, peer, is_staff="on") == 302

    def test_are_deleted_by_nobody_who_has_less(self, admin: Client) -> None:
        me = User.objects.get(username="somebody")
        me.user_permissions.add(Permission.objects.get(codename="delete_user"))
        root = User.objects.create(username="root", password="!", is_superuser=True)

        assert (
            admin.post(reverse("admin:auth_user_delete", args=[root.pk]), {"post": "yes"}).status_code == 403
        )
        admin.post(
            reverse("admin:auth_user_changelist"),
            {"action": "delete_selected", "_selected_action": [str(root.pk)], "post": "yes"},
        )

        assert User.objects.filter(pk=root.pk).exists()

    def test_write_no_more_into_a_group_than_they_have(self, admin: Client, stronger: Group) -> None:
        me = User.objects.get(username="somebody")
        me.user_permissions.add(Permission.objects.get(codename="change_group"))
        mine = Group.objects.get(name="Admin")
        power = Permission.objects.get(codename="delete_user")

        page = reverse("admin:auth_group_change", args=[mine.pk])
        admin.post(page, {"name": "Admin", "permissions": [power.pk]})
        other = admin.post(reverse("admin:auth_group_change", args=[stronger.pk]), {"name": "Mine"})

        assert power not in mine.permissions.all()
        assert other.status_code == 403

    def test_get_every_group_from_a_superuser(self, console: Client, stronger: Group) -> None:
        new = User.objects.create(username="grace", password="!")

        self.change(console, new, groups=[stronger.pk])

        assert new.groups.get() == stronger

    def test_are_found_nowhere_by_a_nul(self, console: Client) -> None:
        for page in ("auth_user", "auth_group", "axes_accesslog", "axes_accessattempt"):
            assert console.get(reverse(f"admin:{page}_changelist"), {"q": "\0"}).status_code == 200
