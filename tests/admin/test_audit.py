"""The audit in the console: found by who did it and by what it was done to, with the way there."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries import clock
from deliveries.admin import subjects
from deliveries.admin.audit import KindFilter
from deliveries.admin.pages.showing import page_of
from deliveries.identifiers import new_id_at
from deliveries.models import AuditEntry
from deliveries.services import redelivery, webhooks
from tests import builders
from tests.admin.conftest import MAKERS
from tests.admin.pages import read
from tests.admin.plans import plans

LIST = reverse("admin:deliveries_auditentry_changelist")
Action = AuditEntry.Action
# So many that to read them all is seen; and pages of 8 KB that a question may touch.
MANY, FEW = 30_000, 150


def history_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_history", args=[row.pk])


def shown(console: Client, **asked: str) -> list[AuditEntry]:
    return list(console.get(LIST, asked).context["cl"].result_list)


def an_act(action: Action, subject: object, **changes: Any) -> AuditEntry:
    return builders.an_audit_entry(action=action, subject_id=str(subject), **changes)


class TestKinds:
    def test_are_known_of_every_act(self) -> None:
        assert {each.partition(".")[0] for each in Action} == set(subjects.MODELS)

    def test_have_pages(self) -> None:
        assert {model for model in subjects.MODELS.values() if model} <= set(admin.site._registry)


class TestLink:
    """From an act to what it was done to."""

    @pytest.mark.parametrize(
        ("action", "kind"),
        [
            (Action.WEBHOOK_TESTED, "webhook"),
            (Action.DELIVERIES_REDELIVERED, "delivery"),
            (Action.DELIVERY_CANCELLED, "delivery"),
            (Action.FAILURES_RESOLVED, "failuregroup"),
            (Action.API_KEY_REVOKED, "apikey"),
            (Action.ACCOUNT_CHANGED, "account"),
            (Action.AGENT_CHANGED, "agent"),
            (Action.RECOVERY_PAUSED, "recovery"),
            (Action.PAUSE_ENDED, "pause"),
        ],
    )
    def test_leads_to_its_page(self, console: Client, action: Action, kind: str) -> None:
        row = MAKERS[kind]()
        entry = an_act(action, row.pk)
        link = f'<a href="{page_of(row)}">{row.pk}</a>'

        assert link in console.get(LIST).content.decode()
        assert link in console.get(page_of(entry)).content.decode()

    def test_leads_to_a_person(self, console: Client, operator: User) -> None:
        an_act(Action.PERSON_CHANGED, operator.pk)

        assert f'<a href="{page_of(operator)}">{operator.pk}</a>' in console.get(LIST).content.decode()

    @pytest.mark.parametrize("subject", [uuid4(), "no id", "", "\u00e9" * 36])
    @pytest.mark.parametrize("action", [Action.WEBHOOK_DELETED, Action.PERSON_DELETED])
    def test_is_text_where_there_is_nothing(self, console: Client, action: Action, subject: object) -> None:
        entry = an_act(action, subject)

        for url in (LIST, page_of(entry)):
            page = console.get(url)
            assert str(subject) in read(page)
            assert f'/change/">{subject}</a>' not in page.content.decode()

    def test_is_text_for_those_who_may_not_go_there(self, viewer: Client, operator: User) -> None:
        somebody = User.objects.get(username="viewer")
        somebody.user_permissions.remove(*somebody.user_permissions.filter(codename="view_user"))
        an_act(Action.PERSON_CHANGED, operator.pk)

        assert page_of(operator) not in viewer.get(LIST).content.decode()

    def test_shows_a_hostile_id_as_text(self, console: Client) -> None:
        entry = an_act(Action.WEBHOOK_CHANGED, "<script>0</script>")

        for url in (LIST, page_of(entry)):
            assert "<script>0" not in console.get(url).content.decode()

    def test_costs_a_query_for_each_kind_and_not_for_each_row(self, console: Client) -> None:
        def make() -> None:
            an_act(Action.WEBHOOK_CHANGED, builders.a_webhook().pk)
            an_act(Action.PAUSE_CREATED, MAKERS["pause"]().pk)

        make()
        console.get(LIST)
        with CaptureQueriesContext(connection) as for_two:
            console.get(LIST)
        for _ in range(20):
            make()
        with CaptureQueriesContext(connection) as for_many:
            console.get(LIST)

        assert len(for_many) == len(for_two)


class TestFilters:
    def test_keep_what_somebody_did(self, console: Client) -> None:
        ada, _ = builders.an_audit_entry(by="ada"), builders.an_audit_entry(by="ada the second")

        assert shown(console, by="ada") == [ada]
        assert shown(console, by=" ada ") == [ada]
        assert shown(console, by="nobody") == []
        assert len(shown(console, by="")) == 2

    def test_suggest_the_people_of_the_console(self, console: Client) -> None:
        User.objects.create(username="grace", password="!", is_staff=True)

        assert '<option value="grace">' in console.get(LIST).content.decode()

    def test_keep_what_was_done_to_one_kind(self, console: Client) -> None:
        again, cancelled = an_act(Action.DELIVERIES_REDELIVERED, ""), an_act(Action.DELIVERY_CANCELLED, "1")
        an_act(Action.WEBHOOK_CHANGED, "1")

        assert shown(console, kind="delivery") == [cancelled, again]
        assert shown(console, kind="pause") == []
        assert shown(console, kind="lost") == []

    def test_call_the_kinds_as_the_audit_does(self, console: Client) -> None:
        filters = console.get(LIST).context["cl"].filter_specs
        (kinds,) = (each for each in filters if isinstance(each, KindFilter))

        names = [name for _, name in kinds.lookup_choices]
        assert {"API key", "Group of failures", "Group of people", "Lockout", "Person"} <= set(names)
        assert names == sorted(names)

    def test_keep_what_was_done_to_one_whenever_that_was(self, console: Client) -> None:
        long_ago = clock.now() - timedelta(days=90)
        old = an_act(Action.WEBHOOK_CHANGED, "1", id=new_id_at(long_ago))
        new = an_act(Action.WEBHOOK_CHANGED, "1")
        other_kind, _ = an_act(Action.PERSON_CHANGED, "1"), an_act(Action.WEBHOOK_CHANGED, "11")

        assert shown(console, subject_id__exact="1") == [other_kind, new, old]
        assert shown(console, subject_id__exact="1", kind="webhook") == [new, old]
        assert shown(console, q="1") == [other_kind, new, old]

    def test_stay_within_a_day_unless_more_is_asked_for(self, console: Client) -> None:
        old = builders.an_audit_entry(by="ada", id=new_id_at(clock.now() - timedelta(days=2)))

        assert shown(console, by="ada") == shown(console, kind="webhook") == []
        assert shown(console, by="ada", since="all") == shown(console, kind="webhook", since="7d") == [old]


class TestTheWayThere:
    """From a row to what was done to it."""

    @pytest.mark.parametrize("kind", sorted({"webhook", "delivery", "failuregroup"}))
    def test_is_on_its_page(self, console: Client, kind: str) -> None:
        row = MAKERS[kind]()
        page = console.get(page_of(row)).content.decode()

        assert f"{LIST}?subject_id__exact={row.pk}&amp;kind={kind}" in page

    def test_is_not_there_for_those_who_may_not_see_the_audit(self, viewer: Client) -> None:
        somebody = User.objects.get(username="viewer")
        somebody.user_permissions.remove(*somebody.user_permissions.filter(codename="view_auditentry"))

        for kind in ("webhook", "delivery", "failuregroup"):
            row = MAKERS[kind]()
            for url in (page_of(row), history_of(row)):
                assert f'href="{LIST}?' not in viewer.get(url).content.decode()

    def test_leads_from_a_failure_to_what_was_done_to_its_delivery(self, console: Client) -> None:
        delivery = builders.a_failed_delivery()
        redelivery.redeliver(delivery, by="ada", now=clock.now())

        page = console.get(history_of(delivery.failure))

        assert f"{LIST}?subject_id__exact={delivery.pk}&amp;kind=delivery" in page.content.decode()
        assert "Nobody has changed it with a form of the console" in read(page)


class TestHistoryOfARow:
    def test_says_that_nobody_has_changed_it(self, console: Client) -> None:
        event = builders.an_event()

        page = console.get(history_of(event))

        assert "Nobody has changed it. What people and programs do is noted in the audit ." in read(page)
        assert f'<a href="{LIST}">the audit</a>' in page.content.decode()

    def test_says_where_the_acts_on_it_are(self, console: Client) -> None:
        webhook = builders.a_webhook()
        AuditEntry.objects.all().delete()
        untouched = read(console.get(history_of(webhook)))
        webhooks.disable(webhook.pk, reason="Moved.", by="ada", now=clock.now())

        page = console.get(history_of(webhook))

        assert "Nobody has changed it. " in untouched
        assert "Nobody has changed it with a form of the console; what else was done to it" in read(page)
        link = f"{LIST}?subject_id__exact={webhook.pk}&amp;kind=webhook"
        assert f'<a href="{link}">the audit</a>' in page.content.decode()
        (entry,) = console.get(link.replace("&amp;", "&")).context["cl"].result_list
        assert entry.action == "webhook.disabled"

    def test_shows_changes_and_where_the_rest_is(self, console: Client) -> None:
        account = builders.an_account()
        console.post(page_of(account), {"name": "Renamed"})

        page = console.get(history_of(account))

        assert "Changed Name." in read(page)
        assert "Nobody has" not in read(page)
        assert f"{LIST}?subject_id__exact={account.pk}&amp;kind=account" in page.content.decode()

    def test_of_an_event_type_leads_to_those_of_all(self, console: Client) -> None:
        """The audit knows event types by their codes, which may be too long for an id's place."""
        page = console.get(history_of(MAKERS["eventtype"]())).content.decode()

        assert f"{LIST}?kind=eventtype&amp;since=all" in page

    def test_tells_rows_of_different_kinds_with_the_same_id_apart(
        self, console: Client, operator: User
    ) -> None:
        group, _ = Group.objects.get_or_create(pk=operator.pk, defaults={"name": "Night shift"})
        an_act(Action.PERSON_CHANGED, operator.pk)

        assert "Nobody has changed it. " in read(console.get(history_of(group)))


@pytest.mark.postgresql
@pytest.mark.django_db
class TestPlans:
    @pytest.mark.parametrize("asked", [{"by": "ada"}, {"subject_id__exact": "{subject}"}, {"q": "{subject}"}])
    def test_of_a_rare_act_read_an_index(self, console: Client, asked: dict[str, str]) -> None:
        webhook = builders.a_webhook()
        AuditEntry.objects.all().delete()
        rare = an_act(Action.WEBHOOK_CHANGED, webhook.pk, account=webhook.account, by="ada")
        many(rare)
        chosen = {name: value.format(subject=webhook.pk) for name, value in asked.items()}

        with CaptureQueriesContext(connection) as queries:
            found = shown(console, since="all", **chosen)

        assert found == [rare]
        looked = list(plans(queries, "deliveries_auditentry"))
        assert looked
        for plan, pages in looked:
            assert "Seq Scan on deliveries_auditentry" not in plan, plan
            assert pages < FEW, plan

    def test_of_the_page_of_a_webhook_read_an_index(self, console: Client) -> None:
        webhook = builders.a_webhook()
        many(AuditEntry.objects.get())

        with CaptureQueriesContext(connection) as queries:
            console.get(page_of(webhook))

        looked = list(plans(queries, "deliveries_auditentry"))
        assert looked
        assert max(pages for _, pages in looked) < FEW, looked


def many(like: AuditEntry) -> None:
    """Make acts of others on others, of the same account."""
    columns = [str(field.column) for field in AuditEntry._meta.concrete_fields]
    own = {"id": "gen_random_uuid()", "subject_id": "gen_random_uuid()::text", "by": "'grace'"}
    values = ", ".join(own.get(column, column) for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO deliveries_auditentry ({', '.join(columns)}) SELECT {values}"  # noqa: S608 - ours
            f" FROM deliveries_auditentry, generate_series(1, {MANY}) WHERE id = %s",
            [like.pk],
        )
        cursor.execute("ANALYZE deliveries_auditentry")
