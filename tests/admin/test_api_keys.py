"""API keys in the console."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries.models import Account, ApiKey, AuditEntry, Scope
from tests import builders

LIST = reverse("admin:deliveries_apikey_changelist")
ADD = reverse("admin:deliveries_apikey_add")


def page_of(key: ApiKey) -> str:
    return reverse("admin:deliveries_apikey_change", args=[key.pk])


def add(console: Client, account: Account, **changes: Any) -> Any:
    fields = {"account": account.pk, "name": "CRM", "scopes": ["events.publish", "events.read"], **changes}
    return console.post(ADD, fields, follow=True)


@pytest.fixture
def key(account: Account) -> ApiKey:
    builders.a_key(account)
    return ApiKey.objects.get()


class TestNewKey:
    def test_is_shown_once_and_works(self, console: Client, account: Account) -> None:
        page = add(console, account)

        (text,) = re.findall(r"whk_[0-9a-f]{12}_[0-9a-f]{72}", page.content.decode())
        found = ApiKey.objects.find(text, now=timezone.now())
        assert found is not None
        assert (found.name, found.account) == ("CRM", account)
        assert found.scopes == ["events.publish", "events.read"]
        for url in (LIST, page_of(found), reverse("admin:deliveries_apikey_history", args=[found.pk])):
            assert text not in console.get(url).content.decode()

    def test_is_in_no_cookie(self, console: Client, account: Account) -> None:
        fields = {"account": account.pk, "name": "CRM", "scopes": ["events.publish"]}

        for button in ("_save", "_addanother", "_continue"):
            answer = console.post(ADD, {**fields, button: "on"})

            assert len(re.findall(r"whk_[0-9a-f]{12}_[0-9a-f]{72}", answer.content.decode())) == 1
            assert answer.status_code == 200
            assert "no-store" in answer.headers["Cache-Control"]
            assert "messages" not in answer.cookies
        assert len(ApiKey.objects.all()) == 3

    def test_is_noted_under_its_own_id(self, console: Client, account: Account) -> None:
        add(console, account)

        assert LogEntry.objects.get().object_id == str(ApiKey.objects.get().pk)

    def test_leaves_one_audit_row_without_its_text(self, console: Client, account: Account) -> None:
        page = add(console, account)

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.by, entry.account) == ("api_key.created", "operator", account)
        assert entry.subject_id == str(ApiKey.objects.get().pk)
        assert entry.details == {"name": "CRM", "scopes": ["events.publish", "events.read"]}
        (text,) = re.findall(r"whk_[0-9a-f]{12}_[0-9a-f]{72}", page.content.decode())
        assert text.split("_")[2] not in str(vars(entry))

    @pytest.mark.parametrize("scopes", [[], ["everything"]])
    def test_needs_scopes_that_exist(self, console: Client, account: Account, scopes: list[str]) -> None:
        page = add(console, account, scopes=scopes)

        assert "scopes" in page.context["adminform"].form.errors
        assert not ApiKey.objects.exists()

    def test_has_no_end_that_is_over(self, console: Client, account: Account) -> None:
        page = add(console, account, expires_at_0="2020-01-01", expires_at_1="00:00:00")

        assert page.context["adminform"].form.errors["expires_at"] == [
            "Choose a moment in the future. To end a key now, revoke it."
        ]
        assert not ApiKey.objects.exists()


class TestKey:
    def test_changes_its_name_and_expiry_and_nothing_else(self, console: Client, key: ApiKey) -> None:
        other = builders.an_account()
        before = ApiKey.objects.values("account", "scopes", "digest", "prefix").get()

        console.post(
            page_of(key),
            {
                "name": "Renamed",
                "expires_at_0": "2030-01-01",
                "expires_at_1": "00:00:00",
                "account": other.pk,
                "scopes": ["events.read"],
                "digest": "0" * 64,
                "prefix": "0" * 12,
            },
        )

        key.refresh_from_db()
        assert key.name == "Renamed"
        assert key.expires_at is not None
        assert ApiKey.objects.values("account", "scopes", "digest", "prefix").get() == before
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.by, entry.account) == ("api_key.changed", "operator", key.account)
        assert (entry.subject_id, entry.details) == (str(key.pk), {"fields": ["expires_at", "name"]})

    def test_is_renamed_also_when_it_has_expired(self, console: Client, key: ApiKey) -> None:
        ApiKey.objects.update(expires_at=builders.NOW)
        end = {"expires_at_0": "2026-03-15", "expires_at_1": "10:00:00"}

        console.post(page_of(key), {"name": "Renamed", **end})

        key.refresh_from_db()
        assert (key.name, key.expires_at) == ("Renamed", builders.NOW)

    def test_is_revoked_once(self, console: Client, account: Account, key: ApiKey) -> None:
        long_ago = builders.NOW
        builders.a_key(account)
        revoked = ApiKey.objects.exclude(pk=key.pk).get()
        ApiKey.objects.filter(pk=revoked.pk).update(revoked_at=long_ago)

        page = console.post(
            LIST, {"action": "revoke", "_selected_action": [str(key.pk), str(revoked.pk)]}, follow=True
        )

        assert [str(message) for message in page.context["messages"]] == ["Revoked 1 key."]
        key.refresh_from_db()
        revoked.refresh_from_db()
        assert key.revoked_at is not None
        assert revoked.revoked_at == long_ago
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.by, entry.account) == ("api_key.revoked", "operator", account)
        assert entry.subject_id == str(key.pk)

    def test_leaves_no_audit_row_when_nothing_changes(self, console: Client, key: ApiKey) -> None:
        console.post(page_of(key), {"name": key.name})

        assert not AuditEntry.objects.exists()


class TestList:
    def test_says_which_keys_open_something_and_what(self, console: Client, account: Account) -> None:
        now = timezone.now()
        for name, changes in (
            ("A", {}),
            ("E", {"expires_at": now - timedelta(seconds=1)}),
            ("R", {"revoked_at": now}),
        ):
            builders.a_key(account, Scope.EVENTS_READ, name=name)
            ApiKey.objects.filter(name=name).update(**changes)

        page = console.get(LIST).content.decode()

        badges = re.findall(r"</span> (Active|Expired|Revoked)</span>", page)
        assert sorted(badges) == ["Active", "Expired", "Revoked"]
        assert "events.read" in page

    def test_can_be_of_one_account(self, console: Client, account: Account) -> None:
        builders.a_key(account)
        other = builders.an_account()
        builders.a_key(other)

        found = console.get(LIST, {"account__id__exact": str(other.pk)}).context["cl"].result_list

        assert [key.account for key in found] == [other]
