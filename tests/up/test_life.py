"""Starting, stopping, being killed, and what may be in the way."""

import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path

import pytest

from deliveries.management.try_it.client import Refused
from tests.servers.process import free_port
from tests.up.service import Service, manage, running, started, visit
from tests.waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "var"


def due(service: Service, event_id: str) -> int:
    """Return how many deliveries of an event are unfinished."""
    deliveries = service.client.get(f"/api/v1/events/{event_id}")["deliveries"]
    return sum(delivery["status"] in ("pending", "held") for delivery in deliveries)


class TestHousekeeping:
    def test_is_seen_to_be_done(self, data_dir: Path) -> None:
        with running(data_dir) as service:

            def beat() -> bool:
                ok: bool = service.client.get("/readyz")["checks"]["beat"]["ok"]
                return ok

            wait_until(beat, timeout=20, what="the first chore")


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_is_clean_at_the_first_signal(self, data_dir: Path, number: signal.Signals) -> None:
        with running(data_dir) as service:
            exit_code = service.end(number)

        assert exit_code == 0
        assert "Nothing is due." in service.output
        assert "Traceback" not in service.output
        assert not (data_dir / "up.json").exists()

    def test_finishes_what_is_under_way(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            service.behave("healthy", "slow")
            event = service.publish()
            service.wait_for_arrival("healthy")
            service.wait_for_arrival("flaky")
            exit_code = service.end()

        assert exit_code == 0
        assert "1 delivery is still due" in service.output  # the flaky receiver's
        with running(data_dir) as service:
            deliveries = service.client.get(f"/api/v1/events/{event['id']}")["deliveries"]
            healthy = next(each for each in deliveries if each["webhook"]["name"] == "Healthy receiver")
            assert (healthy["status"], healthy["attempts_made"]) == ("succeeded", 1)
            assert not service.arrivals("healthy")

    def test_takes_no_event_it_would_not_keep(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            client, agent_id = service.client, service.papers["agent_id"]
            service.behave("healthy", "slow")
            service.publish()
            service.wait_for_arrival("healthy")
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "Stopping" in service.output, timeout=5, what="the stop")

            with pytest.raises(Refused, match="HTTP 503"):
                client.post("/api/v1/events", {"event": "call.ended", "agent_id": agent_id, "payload": {}})
            assert service.process.wait(15) == 0

    def test_begins_nothing_more(self, data_dir: Path) -> None:
        # More waits than there are slots, so a ring's task goes on until all of it is under way.
        with running(data_dir, environment={"WEBHOOKS_SLOTS": "1"}) as service:
            service.behave("healthy", "slow")
            for _ in range(30):
                service.publish()
            service.wait_for_arrival("healthy")
            asked_at = datetime.now(tz=UTC)
            assert service.end() == 0

        # The receiver takes 3 seconds; and then it would have been the next ones' turn.
        with closing(sqlite3.connect(data_dir / "webhooks.sqlite3")) as database:
            ((last,),) = database.execute("SELECT max(started_at) FROM deliveries_attempt")
        assert datetime.fromisoformat(last).replace(tzinfo=UTC) < asked_at + timedelta(seconds=2)

    def test_does_not_wait_for_ever(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            service.behave("healthy", "never")
            service.publish()
            service.wait_for_arrival("healthy")
            exit_code = service.end()

        assert exit_code == 0
        assert "still due" in service.output

    def test_is_immediate_at_the_second_signal(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            service.behave("healthy", "never")
            service.publish()
            service.wait_for_arrival("healthy")
            service.process.send_signal(signal.SIGINT)
            wait_until(lambda: "Stopping" in service.output, timeout=5, what="the stop")
            exit_code = service.end(signal.SIGINT)

        assert exit_code == 1
        assert "Stopped at once" in service.output
        assert "still due" not in service.output
        assert "Traceback" not in service.output


class TestSecondStart:
    def test_finds_everything(self, data_dir: Path) -> None:
        with running(data_dir) as first:
            papers = first.papers
            event = first.publish()
            first.end()

        with running(data_dir) as second:
            again = second.papers
            assert second.client.get(f"/api/v1/events/{event['id']}")["event"] == "call.ended"

        for name in ("api_key", "operator", "account_id", "agent_id"):
            assert again[name] == papers[name]
        assert papers["api_key"] not in second.output
        assert papers["operator"]["password"] not in second.output
        assert "credentials.json" in second.output

    def test_takes_a_few_seconds(self, data_dir: Path) -> None:
        """The quickest of three, because other tests may be busy beside it."""
        took = []
        for _ in range(4):
            began = time.monotonic()
            with running(data_dir):
                took.append(time.monotonic() - began)

        assert min(took[1:]) < 5 * SLOWNESS

    def test_brings_the_webhooks_to_another_port(self, data_dir: Path) -> None:
        with running(data_dir, port=free_port()) as first:
            first.end()
        with running(data_dir, port=free_port()) as second:
            second.publish()

            assert second.wait_for_arrival("healthy")["signature"] == "signature valid"

    def test_makes_new_credentials_when_they_are_lost(self, data_dir: Path) -> None:
        with running(data_dir) as first:
            lost = first.papers["api_key"]
            first.end()
        (data_dir / "credentials.json").unlink()

        with running(data_dir) as second:
            assert second.papers["api_key"] != lost
            assert second.papers["operator"]["password"] in second.output
            assert second.publish()["matched"] == 3

    def test_delivers_all_that_was_accepted_before_a_kill(self, data_dir: Path) -> None:
        accepted: list[str] = []
        settings = {
            "WEBHOOKS_LEASE_GRACE": "2",
            "WEBHOOKS_CIRCUIT_DELAYS": "1",
            "WEBHOOKS_RETRY_DELAYS": ",".join(["1"] * 10),
        }
        with running(data_dir, environment=settings) as service:
            publisher = threading.Thread(target=_publish_until_killed, args=(service, accepted))
            publisher.start()
            wait_until(lambda: len(accepted) >= 100, timeout=30, what="some load")
            service.process.kill()
            service.process.wait()
            publisher.join()

        with running(data_dir, environment=settings) as service:
            service.behave("flaky", "200")
            service.behave("failing", "200")
            for event_id in accepted:
                wait_until(lambda: not due(service, event_id), timeout=30, what="delivered")  # noqa: B023


def _publish_until_killed(service: Service, accepted: list[str]) -> None:
    client, agent_id = service.client, service.papers["agent_id"]
    while True:
        try:
            draft = {"event": "call.ended", "agent_id": agent_id, "payload": {}}
            accepted.append(client.post("/api/v1/events", draft)["id"])
        except (OSError, HTTPException, Refused, ValueError):
            # No answer, or the beginning of one.
            return


class TestObstacles:
    def test_a_port_that_is_taken_is_named_with_its_holder(self, data_dir: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as holder:
            port = holder.getsockname()[1]

            done = manage("up", "--port", str(port), "--data-dir", str(data_dir))

        assert done.returncode == 1
        assert done.stderr.startswith(f"Port {port} is taken by ")
        assert f"(process {os.getpid()})" in done.stderr
        assert re.search(rf"choose another with `make run PORT=\d+ DATA={data_dir}`", done.stderr)
        assert len(done.stderr.splitlines()) == 1

    def test_a_folder_in_use_is_named_with_its_user(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            done = manage("up", "--port", str(free_port()), "--data-dir", str(data_dir))

            assert done.returncode == 1
            assert f"in use by another process, {service.process.pid}: stop it with `kill" in done.stderr
            assert "`make run DATA=~/webhooks-data`" in done.stderr
            assert len(done.stderr.splitlines()) == 1
            assert service.publish()["matched"] == 3

    def test_a_folder_that_cannot_be_written_to_is_named(self, tmp_path: Path) -> None:
        in_the_way = tmp_path / "file"
        in_the_way.touch()

        done = manage("up", "--data-dir", str(in_the_way / "var"))

        assert done.returncode == 1
        assert done.stderr.startswith(
            f"The data folder {in_the_way}/var cannot be written to (not a directory)"
        )
        assert "`make run DATA=~/webhooks-data`" in done.stderr

    def test_a_folder_that_belongs_to_the_system_is_named(self) -> None:
        done = manage("up", "--data-dir", "/sys/webhooks")

        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert "The data folder /sys/webhooks cannot be written to" in done.stderr

    def test_a_host_without_loopback_leaves_no_receiver(self, data_dir: Path) -> None:
        done = manage("up", "--host", "192.0.2.1", "--data-dir", str(data_dir))

        assert done.returncode == 1
        assert f"`make run HOST=0.0.0.0 DATA={data_dir}`" in done.stderr
        assert "manage.py up --no-demo" in done.stderr


class TestOptions:
    def test_without_the_demo_there_is_no_receiver(self, data_dir: Path) -> None:
        with running(data_dir, "--no-demo") as service:
            assert service.papers["receiver_url"] == ""
            assert service.publish()["matched"] == 0
            with pytest.raises(Refused, match="HTTP 404"):
                service.client.fetch("/demo/")
            assert visit(service, "/") == (302, "/admin/")
            assert visit(service, "/demo") == (404, None)

    def test_the_shells_own_variables_do_not_matter(self, data_dir: Path) -> None:
        foreign = {
            "DATABASE_URL": "postgres://nobody@192.0.2.1/elsewhere",
            "REDIS_URL": "redis://192.0.2.1/0",
            "CELERY_BROKER_URL": "redis://192.0.2.1/0",
            "SECRET_KEY": "somebody-elses",
            "http_proxy": "http://192.0.2.1:3128",
            "DEBUG": "true",
        }
        with started(data_dir, environment=foreign) as service:
            service.wait_until_ready()
            service.publish()

            assert service.wait_for_arrival("healthy")["signature"] == "signature valid"

    @pytest.mark.parametrize("host", ["0.0.0.0", "localhost", "::1"])
    def test_the_receiver_is_reached_whatever_the_host(self, data_dir: Path, host: str) -> None:
        with running(data_dir, "--host", host) as service:
            service.publish()

            assert service.wait_for_arrival("healthy")["signature"] == "signature valid"

    @pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
    def test_a_port_is_a_number_there_can_be(self, port: str) -> None:
        done = manage("up", f"--port={port}")

        assert done.returncode == 2
        assert f"{port} is no port" in done.stderr

    @pytest.mark.parametrize("command", ["up", "hello", "demo"])
    def test_a_folder_has_a_name(self, command: str) -> None:
        done = manage(command, "--data-dir", "")

        assert done.returncode == 2
        assert "it is empty: write a folder" in done.stderr

    def test_a_folder_is_in_nobodys_commit(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            assert (service.data_dir / ".gitignore").read_text() == "*\n"

    def test_a_folders_own_gitignore_stays(self, data_dir: Path) -> None:
        data_dir.mkdir()
        (data_dir / ".gitignore").write_text("mine\n")

        manage("demo", "--data-dir", str(data_dir))

        assert (data_dir / ".gitignore").read_text() == "mine\n"

    def test_a_folder_may_have_any_name(self, tmp_path: Path) -> None:
        with running(tmp_path / "my data + 100% ü?#") as service:
            assert service.publish()["matched"] == 3
            assert (service.data_dir / "webhooks.sqlite3").exists()


class TestDemo:
    def test_clears_and_makes_again(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            service.publish()
            service.wait_for_arrival("healthy")
            service.end()

        cleared = manage("demo", "--clear", "--data-dir", str(data_dir))
        made = manage("demo", "--data-dir", str(data_dir))

        assert cleared.stderr == ""
        assert (cleared.returncode, cleared.stdout) == (0, "The demo data are gone.\n")
        assert made.returncode == 0, made.stderr
        assert len(made.stdout.splitlines()) == 4
        assert json.loads((data_dir / "credentials.json").read_text())

    def test_keeps_to_the_address_of_a_running_service(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            made = manage("demo", "--data-dir", str(data_dir))

            assert made.stdout.count(service.papers["receiver_url"]) == 4

    def test_is_not_cleared_under_a_running_service(self, data_dir: Path) -> None:
        with running(data_dir) as service:
            cleared = manage("demo", "--clear", "--data-dir", str(data_dir))

            pid = service.process.pid
            assert (cleared.returncode, cleared.stdout) == (1, "")
            assert cleared.stderr == (
                f"The data folder {data_dir} is in use by another process, {pid}: "
                f"stop it with `kill {pid}`.\n"
            )
            assert service.publish()["matched"] == 3
