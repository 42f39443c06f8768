import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import UnreadablePostError
from django.test import RequestFactory
from rest_framework.exceptions import NotFound, Throttled, ValidationError
from rest_framework.request import Request

from deliveries.api import errors


@pytest.fixture
def request_(rf: RequestFactory) -> Request:
    """A request."""
    return Request(rf.get("/api/v4/"))


class TestKnown:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (NotFound(), 404),
            (ValidationError({}), 422),
            (SuspiciousOperation(), 400),
            (UnreadablePostError("client gone"), 400),
            (Throttled(wait=7), 429),
            (OperationalError(), 503),
            (InterfaceError(), 503),
            (KeyError("a bug"), 500),
        ],
    )
    def test_gives_every_error_its_status(self, request_: Request, error: Exception, status: int) -> None:
        assert errors.known(error, request_).status_code == status

    def test_tells_nobody_what_the_bug_was(self, request_: Request) -> None:
        assert "a bug" not in str(errors.known(KeyError("a bug"), request_))


class TestHeaders:
    def test_says_when_to_come_back_while_the_database_is_away(self) -> None:
        assert errors.headers(errors.DatabaseAway()) == {"Retry-After": "5"}

    @pytest.mark.parametrize(("wait", "seconds"), [(7, "7"), (0.2, "1"), (None, "5")])
    def test_says_when_to_come_back_after_too_many_requests(
        self, request_: Request, wait: float | None, seconds: str
    ) -> None:
        error = errors.known(Throttled(wait=wait), request_)

        assert errors.headers(error) == {"Retry-After": seconds}

    def test_says_nothing_otherwise(self) -> None:
        assert errors.headers(errors.InternalError()) == {}
