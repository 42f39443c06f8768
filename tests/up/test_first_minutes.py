"""What a newcomer does: start it, paste what it says, watch, say hello."""

import json
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

import pytest

from deliveries.management.try_it.client import Client, Refused
from tests.up.service import PATIENCE, Service, manage, running, visit
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.sqlite]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service after its first start. What fails is tried again soon, but not before `hello` has told it."""
    delays = {"WEBHOOKS_RETRY_DELAYS": "3,3,300"}
    with running(tmp_path_factory.mktemp("first") / "var", environment=delays) as service:
        yield service


def commands(service: Service) -> dict[str, str]:
    """Return the banner's commands by what it says of them."""
    found = re.findall(r"^(\S.+):\n((?:  .+\n)+)", service.output, re.MULTILINE)
    return {title: command for title, command in found if "curl" in command}


def pasted(command: str) -> dict[str, Any]:
    """Return the JSON that a command prints in a shell."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class TestBanner:
    def test_is_the_first_thing_that_is_said(self, service: Service) -> None:
        assert service.output.lstrip().startswith("webhooks is running at ")

    def test_shows_key_and_password_the_first_time(self, service: Service) -> None:
        operator = service.papers["operator"]

        assert service.papers["api_key"] in service.output
        assert f"{operator['username']} / {operator['password']}" in service.output

    def test_can_be_pasted(self, tmp_path: Path) -> None:
        # Where nobody else publishes, there is one event, one failure and one line in the log.
        with running(tmp_path / "it's mine") as service:
            publish, failures, retrigger, log = commands(service).values()

            published = pasted(publish)
            assert published.keys() == {"id", "event", "matched", "created_at"}
            assert (published["event"], published["matched"]) == ("call.ended", 3)

            wait_until(lambda: pasted(failures)["webhook_failures"], timeout=PATIENCE, what="the failure")
            (failure,) = pasted(failures)["webhook_failures"]
            assert (failure["status"], failure["reason"]) == ("inactive", "HTTP 500")
            assert failure["webhook"]["name"] == "Failing receiver"

            again = pasted(retrigger)["webhook_failure"]
            assert (again["id"], again["status"]) == (failure["id"], "pending")

            wait_until(lambda: pasted(log)["data"], timeout=PATIENCE, what="the log")
            (entry,) = pasted(log)["data"]
            assert (entry["status"], entry["http_status"]) == ("success", 200)

    def test_says_what_sending_again_takes(self, service: Service) -> None:
        assert "Send the newest of them again (there must be one in the list)" in commands(service)

    def test_leads_to_the_documents_of_the_apis(self, service: Service) -> None:
        assert f"  APIs       {service.papers['url']}/docs/   " in service.output
        assert visit(service, "/docs/")[0] == 200

    def test_says_hello_to_the_folder_it_runs_on(self, service: Service) -> None:
        assert f"  Try        make hello DATA={service.data_dir}   " in service.output


class TestAddresses:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize(
        ("typed", "meant"), [("/", "/demo/"), ("/demo", "/demo/"), ("/admin", "/admin/"), ("/docs", "/docs/")]
    )
    def test_may_be_typed(self, service: Service, method: str, typed: str, meant: str) -> None:
        assert visit(service, typed, method=method) == (302, meant)

    def test_of_another_host_are_refused_without_a_word(self, service: Service) -> None:
        before = service.output

        assert visit(service, "/admin/login/", host="elsewhere.example") == (400, None)

        assert service.output == before


class TestPapers:
    def test_say_where_and_who(self, service: Service) -> None:
        papers = service.papers

        assert papers.keys() == {
            "url",
            "admin_url",
            "receiver_url",
            "api_key",
            "account_id",
            "agent_id",
            "operator",
            "pid",
        }
        assert papers["operator"].keys() == {"username", "password"}
        assert papers["pid"] == service.process.pid
        assert papers["receiver_url"] == f"{papers['url']}/demo/"

    def test_let_the_operator_into_the_console(self, service: Service) -> None:
        cookies = CookieJar()
        browser = build_opener(ProxyHandler({}), HTTPCookieProcessor(cookies))
        login = f"{service.papers['admin_url']}login/"
        browser.open(login, timeout=10).read()
        token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
        form = {**service.papers["operator"], "csrfmiddlewaretoken": token, "next": "/admin/"}

        page = browser.open(Request(login, urlencode(form).encode()), timeout=10)

        assert page.url == service.papers["admin_url"]
        assert "Log out" in page.read().decode()

    def test_are_for_their_owner_only(self, service: Service) -> None:
        files = [path for path in service.data_dir.rglob("*") if path.is_file()]

        assert {"up.json", "credentials.json", "secret_key", "encryption_keys", "webhooks.sqlite3"} <= {
            path.name for path in files
        }
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert stat.S_IMODE(service.data_dir.stat().st_mode) == 0o700

    def test_are_neither_logged_nor_stored(self, tmp_path: Path) -> None:
        with running(tmp_path / "var", environment={"LOG_LEVEL": "DEBUG"}) as service:
            banner = service.output
            service.publish(number=1)
            service.wait_for_arrival("healthy")
            visit(service, "/admin/login/")
            logged = service.output.removeprefix(banner)
            files = {
                name: (service.data_dir / name).read_text() for name in ("secret_key", "encryption_keys")
            }
            secrets = [
                service.papers["api_key"].rpartition("_")[2],
                service.papers["operator"]["password"],
                *(text.strip() for text in files.values()),
            ]
            stored = b"".join(path.read_bytes() for path in service.data_dir.glob("webhooks.sqlite3*"))

        assert "DEBUG" in logged
        assert b"call.ended" in stored
        for secret in secrets:
            assert secret not in logged
            assert secret.encode() not in stored

    def test_do_not_repeat_themselves_elsewhere(self, service: Service, tmp_path: Path) -> None:
        with running(tmp_path / "var") as other:
            assert other.papers["api_key"] != service.papers["api_key"]
            assert other.papers["operator"]["password"] != service.papers["operator"]["password"]


class TestReceiver:
    def test_gets_deliveries_with_a_valid_signature(self, service: Service) -> None:
        event = service.publish(call_id="watched")

        def arrived() -> list[dict[str, Any]]:
            return [each for each in service.arrivals("healthy") if each["message_id"] == event["id"]]

        wait_until(arrived, timeout=10, what="the delivery")
        (delivery,) = arrived()
        assert delivery["signature"] == "signature valid"
        assert (delivery["attempt"], delivery["answer"]) == ("1", "200 OK")
        assert json.loads(delivery["body"]) == {"call_id": "watched"}

    def test_that_never_answers_says_nothing_at_all(self, service: Service) -> None:
        service.behave("silent", "never")
        host, _, port = service.papers["url"].removeprefix("http://").partition(":")

        with socket.create_connection((host, int(port)), timeout=1) as sender:
            sender.sendall(
                b"POST /demo/receivers/silent HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
            )

            with pytest.raises(TimeoutError):
                sender.recv(1)

    def test_has_a_page_with_all_its_parts(self, service: Service) -> None:
        page = Client(service.papers["url"])

        for path in re.findall(rb'(?:href|src)="(/static/[^"]+)"', page.fetch("/demo/")):
            assert page.fetch(path.decode())

    def test_has_a_page_that_says_hello_to_the_folder(self, service: Service) -> None:
        page = Client(service.papers["url"]).fetch("/demo/").decode()

        assert f"<code>make hello DATA={service.data_dir}</code>" in page

    def test_is_the_only_local_address_a_webhook_may_have(self, service: Service) -> None:
        path = f"/api/v1/agents/{service.papers['agent_id']}/webhooks"
        ours = {"name": "Ours", "webhook_url": f"{service.papers['receiver_url']}receivers/mine"}
        admin = {"name": "Not ours", "webhook_url": service.papers["admin_url"]}

        assert service.client.post(path, {**ours, "events": ["message.sent"]})["success"]
        with pytest.raises(Refused, match="HTTP 422"):
            service.client.post(path, {**admin, "events": ["message.sent"]})


class TestHello:
    def test_tells_what_becomes_of_an_event(self, service: Service) -> None:
        done = manage("hello", "--data-dir", str(service.data_dir))

        assert done.returncode == 0, done.stderr
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        assert lines[0].startswith("accepted ")
        assert lines[1] == "matched 3 webhooks"
        assert lines[2] == "skipped Disabled receiver disabled"
        assert any(
            re.fullmatch(r"delivered Healthy receiver HTTP 200 in \d+ ms signature valid", each)
            for each in lines
        )
        assert any(each.startswith("failed Failing receiver HTTP 500 given up") for each in lines)
        tries = [each for each in lines if each.startswith("failed Flaky receiver HTTP 500 next try in ")]
        assert len(tries) == 2
        assert lines[-1].startswith("delivered Flaky receiver HTTP 200")

    def test_gives_a_command_that_sends_a_failure_again(self, service: Service) -> None:
        done = manage("hello", "--data-dir", str(service.data_dir))

        command = next(line for line in done.stdout.splitlines() if line.startswith("curl"))
        assert pasted(command)["webhook_failure"]["status"] == "pending"

    def test_says_when_nothing_is_running(self, tmp_path: Path) -> None:
        done = manage("hello", "--data-dir", str(tmp_path))

        assert done.returncode == 1
        assert (
            done.stderr == f"Nothing is running on {tmp_path}: "
            f"start it with `make run DATA={tmp_path}`, in another terminal.\n"
        )

    def test_is_not_fooled_by_what_a_killed_service_left(self, service: Service, tmp_path: Path) -> None:
        with running(tmp_path / "var") as other:
            other.process.kill()
            other.process.wait()

        done = manage("hello", "--data-dir", str(tmp_path / "var"))

        assert done.returncode == 1
        assert done.stderr.startswith("Nothing is running")
