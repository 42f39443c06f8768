"""What tests of services share."""

from collections.abc import Iterator

import pytest
from django.db import connection


@pytest.fixture
def impatient() -> Iterator[None]:
    """Wait for a lock for a fifth of a second."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    yield
    connection.close()
