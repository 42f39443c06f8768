"""The console while its database is away."""

from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import resolve, reverse

from deliveries.admin.unavailable import UnavailableMiddleware


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
