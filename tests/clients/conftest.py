"""The service as a newcomer runs it, with an event that failed."""

from collections.abc import Iterator

import pytest

from tests.up.service import Service, running
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has one failure to show."""
    with running(tmp_path_factory.mktemp("clients") / "var") as service:
        service.publish(number=1)
        wait_until(lambda: _failures(service), timeout=20, what="a failure")
        yield service


def _failures(service: Service) -> int:
    answer = service.client.get("/api/v4/tasks/webhook_failures?limit=0")
    return int(answer["metadata"]["total"])
