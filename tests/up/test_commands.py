"""The commands of an operator beside `make run`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.up.service import Service, manage, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("beside") / "var") as service:
        yield service


class TestCommands:
    def test_work_on_its_folder(self, service: Service) -> None:
        event = service.publish(call_id="c-1")
        service.wait_for_arrival("healthy")
        wait_until(
            lambda: "Healthy receiver" in told(service, "tail", "--no-follow"), timeout=60, what="an attempt"
        )

        assert "workers     1 alive" in told(service, "doctor")
        assert "workers     1 alive" in told(service, "queue_status")
        assert "Healthy receiver" in told(service, "explain", event["id"])

    @pytest.mark.parametrize("command", [["doctor"], ["explain", "x"], ["queue_status"], ["tail"]])
    def test_say_how_to_start_what_does_not_run(self, tmp_path: Path, command: list[str]) -> None:
        done = manage(*command, "--data-dir", str(tmp_path))

        assert done.returncode == 1
        assert "start it with `make run DATA=" in done.stderr


def told(service: Service, *arguments: str) -> str:
    """Return what a command prints, in a shell without a setting of ours."""
    done = manage(*arguments, "--data-dir", str(service.data_dir))
    assert done.returncode == 0, done
    return done.stdout
