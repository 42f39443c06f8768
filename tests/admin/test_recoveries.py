"""Steering recoveries from the console."""

from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from deliveries.admin import recoveries
from deliveries.models import AuditEntry, Recovery
from tests import builders
from tests.admin.pages import said

RECOVERIES = reverse("admin:deliveries_recovery_changelist")
ACTS = {"pause": ("running", "paused"), "resume": ("paused", "running"), "cancel": ("running", "cancelled")}
acts = pytest.mark.parametrize("act", ACTS)


def choose(client: Client, act: str, rows: Iterable[Recovery], **more: str) -> Any:
    chosen = [str(row.pk) for row in rows]
    return client.post(RECOVERIES, {"action": act, "_selected_action": chosen, **more}, follow=True)


class TestActs:
    @acts
    def test_change_the_chosen_and_say_how_many(self, console: Client, act: str) -> None:
        before, after = ACTS[act]
        chosen, also_chosen, left = (builders.a_recovery(status=before) for _ in range(3))

        page = choose(console, act, [chosen, also_chosen])

        assert said(page) == [f"{after.capitalize() if act != 'resume' else 'Resumed'} 2 recoveries."]
        assert set(Recovery.objects.filter(status=after)) == {chosen, also_chosen}
        assert Recovery.objects.get(status=before) == left
        assert [entry.by for entry in AuditEntry.objects.all()] == ["operator", "operator"]

    def test_say_what_they_skipped_and_why(self, console: Client) -> None:
        running, finished = (
            builders.a_recovery(),
            builders.a_recovery(status="completed", finished_at=builders.NOW),
        )

        assert said(choose(console, "pause", [running, finished])) == [
            "Paused 1 recovery. Skipped 1: only a running recovery can be paused."
        ]
        assert said(choose(console, "resume", [finished])) == [
            "Resumed 0 recoveries. Skipped 1: only a paused recovery can be resumed."
        ]
        assert said(choose(console, "cancel", [running, finished])) == [
            "Cancelled 1 recovery. Skipped 1: only an unfinished recovery can be cancelled."
        ]

    def test_change_nothing_of_more_than_a_page_can_wait_for(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recoveries, "MOST_AT_ONCE", 2)

        page = choose(console, "cancel", [builders.a_recovery() for _ in range(3)])

        assert said(page) == ["Nothing was changed: choose at most 2."]
        assert set(Recovery.objects.values_list("status", flat=True)) == {"running"}

    @acts
    def test_are_not_for_those_who_may_only_look(self, viewer: Client, act: str) -> None:
        before, _ = ACTS[act]
        recovery = builders.a_recovery(status=before)

        choose(viewer, act, [recovery])

        assert f'value="{act}"' not in viewer.get(RECOVERIES).content.decode()
        assert Recovery.objects.get().status == before

    @acts
    def test_are_a_permission_of_their_own(self, viewer: Client, act: str) -> None:
        before, after = ACTS[act]
        User.objects.get().user_permissions.add(Permission.objects.get(codename="manage_recovery"))

        choose(viewer, act, [builders.a_recovery(status=before)])

        assert Recovery.objects.get().status == after

    def test_cannot_be_pressed_by_another_site(self, operator: User) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(operator)
        recovery = builders.a_recovery()

        answer = browser.post(RECOVERIES, {"action": "cancel", "_selected_action": [str(recovery.pk)]})

        assert answer.status_code == 403
        assert Recovery.objects.get().status == "running"
