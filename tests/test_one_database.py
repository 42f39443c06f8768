"""Which of the two runs a test belongs to: each of these asks about itself."""

import pytest

from deliveries.models import Account
from tests.one_database import BOTH, databases


@pytest.mark.django_db
def test_what_uses_the_database_is_for_both(request: pytest.FixtureRequest) -> None:
    assert databases(request.node) == BOTH


def test_what_uses_it_through_a_fixture_is_for_both(request: pytest.FixtureRequest, account: Account) -> None:
    assert databases(request.node) == BOTH


def test_what_uses_none_is_for_the_first(request: pytest.FixtureRequest) -> None:
    assert databases(request.node) == {"sqlite"}


@pytest.mark.postgresql
def test_what_is_marked_is_for_the_one_it_names(request: pytest.FixtureRequest) -> None:
    assert databases(request.node) == {"postgresql"}


@pytest.mark.sqlite
@pytest.mark.postgresql
def test_what_is_marked_with_both_is_for_both(request: pytest.FixtureRequest) -> None:
    assert databases(request.node) == BOTH
