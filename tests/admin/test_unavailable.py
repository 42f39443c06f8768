"""The console while its database is away."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError, connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import resolve, reverse

from deliveries.admin.unavailable import UnavailableMiddleware
from deliveries.models import Delivery
from tests import builders


@pytest.fixture
def away(console: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A browser that was logged in when the database went."""
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", failing(OperationalError))
    console.raise_request_exception = False
    return console


def failing(error: type[Exception]) -> Any:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


class TestUnavailable:
    @pytest.mark.parametrize("page", ["index", "deliveries_delivery_changelist", "login"])
    def test_says_so_and_when_to_come_back(self, away: Client, page: str) -> None:
        answer = away.get(reverse(f"admin:{page}"))

        assert answer.status_code == 503
        assert int(answer["Retry-After"]) > 0
        assert "The database does not answer; deliveries wait and nothing is lost." in answer.content.decode()

    def test_says_so_when_the_connection_breaks_half_way(
        self, console: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deliveries.admin.walking.Walk.get_results", failing(InterfaceError))
        monkeypatch.setattr("webhooks_project.sessions.SessionStore.save", failing(InterfaceError))

        assert console.get(reverse("admin:deliveries_delivery_changelist")).status_code == 503

    def test_hides_no_other_error(self, console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("deliveries.admin.walking.Walk.get_results", failing(ProgrammingError))

        with pytest.raises(ProgrammingError):
            console.get(reverse("admin:deliveries_delivery_changelist"))

    @pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/webhooks"])
    def test_leaves_the_apis_alone(self, rf: RequestFactory, path: str) -> None:
        request = rf.get(path)
        request.resolver_match = resolve(path)

        assert (
            UnavailableMiddleware(lambda _: HttpResponse()).process_exception(request, OperationalError())
            is None
        )


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestTooSlow:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """A server that gives a statement little time, and a list that takes longer to look for."""
        builders.a_failed_delivery()

        def slow(admin: Any, request: Any) -> Any:
            return Delivery.objects.extra(where=["pg_sleep(5) IS NOT NULL"])  # noqa: S610 - ours

        monkeypatch.setattr("deliveries.admin.deliveries.DeliveryAdmin.get_queryset", slow)
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '200ms'")
        yield
        with connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")

    def test_says_that_it_is_the_question_and_leads_back(self, console: Client) -> None:
        path = reverse("admin:deliveries_delivery_changelist")

        answer = console.get(path, {"since": "all", "status__exact": "failed"})

        text = answer.content.decode()
        assert answer.status_code == 503
        assert "Retry-After" not in answer
        assert "This took too long to look for. Choose a shorter time, or another filter." in text
        assert f'<a href="{path}">' in text
        assert "The database does not answer" not in text

    def test_leads_elsewhere_where_nothing_was_asked_for(self, console: Client) -> None:
        text = console.get(reverse("admin:deliveries_delivery_changelist")).content.decode()

        assert f'<a href="{reverse("admin:index")}">Back to the overview</a>' in text

    def test_is_logged_without_what_was_asked_for(
        self, console: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = reverse("admin:deliveries_delivery_changelist")

        console.get(path, {"status__exact": "failed"})

        (record,) = [each for each in caplog.records if each.name == "deliveries.admin.unavailable"]
        assert (record.levelname, record.__dict__["path"], record.__dict__["asked"]) == (
            "WARNING",
            path,
            ["status__exact"],
        )

    def test_leaves_the_page_after_it_as_quick_as_it_was(self, console: Client) -> None:
        console.get(reverse("admin:deliveries_delivery_changelist"))

        assert console.get(reverse("admin:deliveries_event_changelist")).status_code == 200
