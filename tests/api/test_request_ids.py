import json
import logging
from collections.abc import Iterator
from io import StringIO
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.test import Client

from deliveries import request_ids
from deliveries.management.try_it import server
from tests.api.conftest import DatabaseFails
from webhooks_project.logs import JsonFormatter, PlainFormatter

NAME = "X-Request-Id"
FAILURES, EVENTS, AGENTS = "/api/v4/tasks/webhook_failures", "/api/v1/events", "/api/v1/agents"
UNKNOWN = "0b97ce11-b6e0-49b4-8f92-68040aa324bf"


@pytest.fixture
def lines() -> Iterator[StringIO]:
    """What is logged, in lines of JSON."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


class TestAnswers:
    @pytest.mark.usefixtures("static_files")
    @pytest.mark.parametrize(
        ("method", "path", "headers", "status"),
        [
            ("GET", AGENTS, {}, 200),
            ("GET", FAILURES, {}, 200),
            ("GET", AGENTS, {"authorization": ""}, 401),
            ("GET", FAILURES, {"authorization": "Bearer x"}, 401),
            ("GET", f"{AGENTS}/{UNKNOWN}/webhooks", {}, 404),
            ("GET", "/api/v9", {}, 404),
            ("DELETE", AGENTS, {}, 405),
            ("GET", AGENTS, {"accept": "text/csv"}, 406),
            ("POST", EVENTS, {}, 400),
            ("GET", AGENTS, {"host": "elsewhere.example"}, 400),
            ("GET", "/nowhere", {"host": "elsewhere.example"}, 400),
            ("GET", "/nowhere", {}, 404),
            ("GET", "/admin/login/", {}, 200),
            ("GET", "/admin/deliveries/event/", {}, 302),
            ("POST", "/admin/login/", {}, 200),
            ("GET", "/static/admin/css/base.css", {}, 200),
            ("GET", "/static/nothing.css", {}, 404),
            ("GET", "/", {}, 302),
        ],
    )
    def test_all_carry_the_id_that_came(
        self, api: Client, method: str, path: str, headers: dict[str, str], status: int
    ) -> None:
        answer = api.generic(method, path, "{", "application/json", headers={**headers, NAME: "mine-1"})
        answer.close()  # the files among them

        assert (answer.status_code, answer.headers[NAME]) == (status, "mine-1")

    def test_carry_it_when_the_body_is_too_large(self, api: Client) -> None:
        answer = api.post(EVENTS, "x" * 300_000, content_type="application/json", headers={NAME: "mine-1"})

        assert (answer.status_code, answer.headers[NAME]) == (413, "mine-1")

    @pytest.mark.parametrize(("error", "status"), [(OperationalError(), 503), (ZeroDivisionError(), 500)])
    @pytest.mark.parametrize("path", [AGENTS, "/admin/deliveries/event/"])
    def test_carry_it_when_we_fail(
        self,
        api: Client,
        admin_client: Client,
        database_fails: DatabaseFails,
        path: str,
        error: Exception,
        status: int,
    ) -> None:
        asking = api if path == AGENTS else admin_client
        asking.raise_request_exception = False
        with database_fails(error):
            answer = asking.get(path, headers={NAME: "mine-1"})

        assert answer.headers[NAME] == "mine-1"
        assert answer.status_code == status

    @pytest.mark.parametrize(
        "given", ["a", "A-z_0.9", "x" * 64, "..", "0198c0de-0000-7000-8000-00000000000a"]
    )
    def test_carry_what_has_the_form_of_an_id(self, db: None, client: Client, given: str) -> None:
        assert client.get("/api/v1", headers={NAME: given}).headers[NAME] == given

    @pytest.mark.parametrize(
        "given", [None, "", " ", "x" * 65, "a b", "a,b", "a/b", "é", "<script>", "a\nSet-Cookie: x", "x\n"]
    )
    def test_carry_a_new_one_otherwise(self, db: None, client: Client, given: str | None) -> None:
        headers = {} if given is None else {NAME: given}
        first, second = (client.get("/api/v1", headers=headers).headers[NAME] for _ in range(2))

        assert UUID(first).version == 7
        assert first < second


class TestProblems:
    def test_name_the_occurrence_by_the_id(self, api: Client) -> None:
        answer = api.get("/api/v1/nothing")

        assert answer.json()["instance"] == f"urn:uuid:{answer.headers[NAME]}"

    @pytest.mark.parametrize("given", ["mine-1", "..", "0198c0de000070008000-00000000000a"])
    def test_refer_to_an_id_that_is_no_uuid_as_a_fragment(self, api: Client, given: str) -> None:
        answer = api.get("/api/v1/nothing", headers={NAME: given})

        assert answer.json()["instance"] == f"#{given}"


class TestLogs:
    def test_carry_the_id_of_their_request_and_no_longer(
        self, api: Client, database_fails: DatabaseFails, lines: StringIO
    ) -> None:
        api.raise_request_exception = False
        with database_fails(ZeroDivisionError()):
            api.get(AGENTS, headers={NAME: "mine-1"})
            api.get(AGENTS, headers={NAME: "mine-2"})
        logging.getLogger("deliveries").warning("Later")

        told = [json.loads(line) for line in lines.getvalue().splitlines()]
        assert [(line["logger"], line.get("request_id")) for line in told] == [
            ("deliveries.api.errors", "mine-1"),
            ("django.request", "mine-1"),
            ("deliveries.api.errors", "mine-2"),
            ("django.request", "mine-2"),
            ("deliveries", None),
        ]

    @pytest.mark.parametrize("path", [AGENTS, "/nowhere"])
    def test_are_not_for_anybody_to_fill(self, path: str, client: Client, db: None, lines: StringIO) -> None:
        assert client.get(path).status_code in (401, 404)

        assert lines.getvalue() == ""

    def test_carry_it_when_they_are_for_people(self, monkeypatch: pytest.MonkeyPatch) -> None:
        formatter = PlainFormatter("{levelname} {message}", style="{")
        record = logging.makeLogRecord({"levelname": "INFO", "msg": "Here", "exc_text": "Traceback"})

        request_ids.bind("mine-1")
        during = formatter.format(record)
        request_ids.bind("")

        assert during == "INFO Here [mine-1]\nTraceback"
        assert formatter.format(record) == "INFO Here\nTraceback"

    @pytest.mark.parametrize("formatter", [JsonFormatter(), PlainFormatter()])
    def test_hide_a_secret_that_a_client_sent_as_one(self, formatter: logging.Formatter) -> None:
        request_ids.bind("whsec_c2VjcmV0c2VjcmV0")
        line = formatter.format(logging.makeLogRecord({"msg": "Here"}))
        request_ids.bind("")

        assert "whsec_***" in line
        assert "c2VjcmV0" not in line


class TestOtherHeaders:
    @pytest.mark.parametrize("path", [AGENTS, FAILURES, f"{AGENTS}/{UNKNOWN}/webhooks", "/api/v9"])
    @pytest.mark.parametrize("authorized", [True, False])
    def test_keep_every_answer_out_of_caches(
        self, api: Client, client: Client, path: str, authorized: bool
    ) -> None:
        answer: Any = (api if authorized else client).get(path)

        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Vary"] == "Authorization, Accept"


class TestClosingService:
    def test_carries_the_id_too(self) -> None:
        closing, started = Event(), []
        closing.set()
        door = server._Door(lambda environ, start_response: [], closing)

        door(
            {"PATH_INFO": AGENTS, "HTTP_X_REQUEST_ID": "mine-1"},
            lambda status, headers, *error: started.append((status, dict(headers))),  # type: ignore[arg-type]
        )

        [(status, headers)] = started
        assert (status[:3], headers[NAME]) == ("503", "mine-1")
