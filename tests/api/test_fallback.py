from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from deliveries.api import fallback

FAILURES = ["/api/v4", "/api/v4/tasks/webhook_failures"]
LOGS = ["/api/v1/agents/1/webhooks", "/api/v1/agents/1/webhooks/2/logs"]
NATIVE = ["/api", "/api/", "/api/v1/events", "/api/v2/x", "/api/v40"]


def a_bug(request: HttpRequest) -> HttpResponse:
    """Fail outside of the views that know how to say so."""
    raise ZeroDivisionError("a bug")


handler500 = fallback.internal_error
urlpatterns = [path(each.removeprefix("/"), a_bug) for each in [*FAILURES, *LOGS, *NATIVE, "/x"]]


def check(response: Any, status: int) -> Any:
    """Check what every answer has in common, and return its body."""
    assert response.status_code == status
    assert response.headers["Cache-Control"] == "no-store"
    return response.json()


def check_problem(response: Any, status: int, code: str) -> None:
    """Check that an answer is a problem of the native API."""
    problem = check(response, status)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert list(problem) == ["type", "title", "status", "detail", "instance", "code", "errors"]
    assert (problem["status"], problem["code"]) == (status, code)


class TestBadRequest:
    """Django refuses a wrong Host header before any view is asked."""

    @pytest.mark.parametrize("url", FAILURES)
    def test_speaks_the_words_of_the_failures_api(self, client: Client, url: str) -> None:
        response = client.get(url, headers={"host": "elsewhere.example"})

        assert check(response, 400) == {"error": "Bad Request"}
        assert response.headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize("url", LOGS)
    def test_speaks_the_words_of_the_logs_api(self, client: Client, url: str) -> None:
        response = client.get(url, headers={"host": "elsewhere.example"})

        message = "The Host header names no host of this service."
        assert check(response, 400) == {"success": False, "message": message}

    @pytest.mark.parametrize("url", NATIVE)
    def test_is_a_problem_elsewhere_in_the_apis(self, client: Client, url: str) -> None:
        check_problem(client.get(url, headers={"host": "elsewhere.example"}), 400, "parse_error")

    def test_leaves_all_other_paths_to_django(self, client: Client) -> None:
        response = client.get("/admin/", headers={"host": "elsewhere.example"})

        assert response.status_code == 400
        assert response.headers["Content-Type"].startswith("text/html")


class TestNotFound:
    @pytest.mark.parametrize("url", ["/api", "/api/", "/api/v2/x", "/api/v40", "/api/%00"])
    @pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
    def test_is_a_problem_where_no_contract_begins(self, client: Client, method: str, url: str) -> None:
        check_problem(client.generic(method, url), 404, "not_found")

    @pytest.mark.parametrize("url", ["/apis", "/nothing"])
    def test_leaves_all_other_paths_to_django(self, client: Client, url: str) -> None:
        response = client.get(url)

        assert response.status_code == 404
        assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.urls(__name__)
class TestInternalError:
    @pytest.fixture
    def client(self) -> Client:
        """A client that takes a bug for an answer."""
        return Client(raise_request_exception=False)

    @pytest.mark.parametrize("url", FAILURES)
    def test_speaks_the_words_of_the_failures_api(self, client: Client, url: str) -> None:
        assert check(client.get(url), 500) == {"error": "Internal Server Error"}

    @pytest.mark.parametrize("url", LOGS)
    def test_speaks_the_words_of_the_logs_api(self, client: Client, url: str) -> None:
        body = {"success": False, "message": "Something went wrong on our side."}

        assert check(client.get(url), 500) == body

    @pytest.mark.parametrize("url", NATIVE)
    def test_is_a_problem_elsewhere_in_the_apis(self, client: Client, url: str) -> None:
        check_problem(client.get(url), 500, "internal_error")

    def test_leaves_all_other_paths_to_django(self, client: Client) -> None:
        response = client.get("/x")

        assert response.status_code == 500
        assert response.headers["Content-Type"].startswith("text/html")
