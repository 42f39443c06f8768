import re
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import limits
import pytest
from django.test import Client, RequestFactory
from rest_framework.request import Request

from deliveries import counting
from deliveries.api import throttling
from deliveries.api.throttling import Group, KeyThrottle
from deliveries.models import Account, ApiKey, Event, Scope
from tests import builders, test_counting
from tests.api.conftest import ClientWith
from tests.e2e.stack import installation
from tests.service import ROOT
from tests.up import service

FAILURES, EVENTS, AGENTS = "/api/v4/tasks/webhook_failures", "/api/v1/events", "/api/v1/agents"
WEBHOOKS = f"{AGENTS}/0b97ce11-b6e0-49b4-8f92-68040aa324bf/webhooks"
DRAFT = {"event": "call.ended", "payload": {}}


@pytest.fixture(autouse=True)
def three_each(settings: Any) -> None:
    """A key may ask for three things of each kind."""
    settings.WEBHOOKS_LIMIT_READ = limits.parse("3/hour")
    settings.WEBHOOKS_LIMIT_PUBLISH = limits.parse("4/hour")
    settings.WEBHOOKS_LIMIT_MANAGE = limits.parse("5/hour")


def use_up(client: Client, path: str = AGENTS) -> None:
    """Make as many GETs as the key may."""
    for _ in range(3):
        assert client.get(path).status_code != 429


class TestGroup:
    @pytest.mark.parametrize("scope", Scope)
    def test_follows_from_the_scope(self, scope: Scope) -> None:
        kinds = {"read": Group.READ, "publish": Group.PUBLISH, "manage": Group.MANAGE}

        assert throttling.group_of(scope) is kinds[scope.rpartition(".")[2]]

    def test_is_to_read_where_nothing_needs_a_scope(self) -> None:
        assert throttling.group_of(None) is Group.READ


class TestLimit:
    def test_is_for_all_reads_together_whatever_the_contract(self, api: Client) -> None:
        answers = [api.get(path) for path in (FAILURES, WEBHOOKS, AGENTS, FAILURES, WEBHOOKS, AGENTS)]

        assert [answer.status_code for answer in answers] == [200, 404, 200, 429, 429, 429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == list("210000")
        assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"3"}

    def test_is_one_for_each_kind_of_request(self, api: Client) -> None:
        use_up(api)

        published = [api.post(EVENTS, DRAFT, content_type="application/json") for _ in range(5)]
        made = [api.post(AGENTS, {"name": "x"}, content_type="application/json") for _ in range(6)]

        assert [answer.status_code for answer in published] == [202] * 4 + [429]
        assert [answer.status_code for answer in made] == [201] * 5 + [429]
        assert Event.objects.count() == 4

    def test_is_one_for_each_key(self, account: Account, api: Client, client_with: ClientWith) -> None:
        use_up(api)

        assert client_with(*Scope).get(AGENTS).status_code == 200

    def test_is_none_where_the_setting_is_empty(self, api: Client, settings: Any) -> None:
        settings.WEBHOOKS_LIMIT_READ = None

        answers = [api.get(AGENTS) for _ in range(5)]

        assert {answer.status_code for answer in answers} == {200}
        assert not any("ratelimit" in name.lower() for answer in answers for name in answer.headers)

    @pytest.mark.parametrize(
        "headers",
        [
            {"x-forwarded-for": "192.0.2.{}"},
            {"x-real-ip": "192.0.2.{}", "forwarded": "for=192.0.2.{}"},
            {"user-agent": "{}", "x-request-id": "{}", "cookie": "sessionid={}"},
        ],
        ids=["X-Forwarded-For", "Forwarded", "others"],
    )
    def test_is_the_same_whatever_the_headers_say(self, api: Client, headers: dict[str, str]) -> None:
        statuses = [
            api.get(
                AGENTS, headers={name: value.format(number) for name, value in headers.items()}
            ).status_code
            for number in range(5)
        ]

        assert statuses == [200, 200, 200, 429, 429]

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status"),
        [
            ("HEAD", AGENTS, {}, 200),
            ("GET", f"{AGENTS}?colour=red", {}, 422),
            ("GET", AGENTS, {"accept": "text/csv"}, 406),
            ("PUT", AGENTS, {}, 405),
            ("OPTIONS", FAILURES, {}, 405),
            ("GET", "/api/v1/nothing", {}, 404),
            ("GET", "/api/v4/nothing", {}, 404),
        ],
    )
    def test_counts_requests_that_end_in_an_error(
        self, api: Client, method: str, path: str, headers: dict[str, str], status: int
    ) -> None:
        answers = [api.generic(method, path, headers=headers) for _ in range(4)]

        assert [answer.status_code for answer in answers] == [status] * 3 + [429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == list("2100")

    def test_costs_nothing_without_a_good_key_or_the_scope(
        self, account: Account, client: Client, client_with: ClientWith
    ) -> None:
        reader = client_with(Scope.FAILURES_READ)
        refused = [client.get(FAILURES) for _ in range(4)] + [reader.get(AGENTS) for _ in range(4)]

        assert [answer.status_code for answer in refused] == [401] * 4 + [403] * 4
        assert not any("X-RateLimit-Limit" in answer.headers for answer in refused)
        assert reader.get(FAILURES).headers["X-RateLimit-Remaining"] == "2"

    def test_reads_no_body_it_has_no_use_for(self, api: Client) -> None:
        class Untouchable:
            def read(self, *size: int) -> bytes:
                raise AssertionError("The body was read.")

            readline = read

        for _ in range(4):
            api.post(EVENTS, DRAFT, content_type="application/json")

        answer = api.generic(
            "POST",
            EVENTS,
            "{",
            "application/json",
            **{"wsgi.input": Untouchable()},  # type: ignore[arg-type]
        )

        assert answer.status_code == 429


class TestHeaders:
    def test_are_those_of_the_contract(self, api: Client) -> None:
        answer = api.get(FAILURES)

        assert {name for name in answer.headers if "rate" in name.lower()} == {
            "X-RateLimit-Limit",
            "X-RateLimit-Remaining",
        }

    def test_are_also_structured_in_the_native_api(self, api: Client) -> None:
        first, *_, last = [api.get(AGENTS) for _ in range(4)]

        assert last.status_code == 429
        for answer in (first, last):
            assert answer.headers["RateLimit-Policy"] == '"read";q=3;w=3600'
        assert re.fullmatch(r'"read";r=2;t=[1-9][0-9]*', first.headers["RateLimit"])
        retry_after = int(last.headers["Retry-After"])
        assert last.headers["RateLimit"] == f'"read";r=0;t={retry_after}'
        assert 1 <= retry_after <= 3600


class TestTests:
    """Contract: ten test calls a minute per account."""

    def test_are_counted_by_the_account(self, account: Account, rf: RequestFactory) -> None:
        for _ in range(2):
            builders.a_key(account)

        def ask(key: ApiKey) -> bool:
            request = Request(rf.post("/"))
            request.auth = key

            class View:
                standing: throttling.Standing | None = None

                def limit_group(self) -> Group:
                    return Group.TEST

            return KeyThrottle().allow_request(request, View())  # type: ignore[arg-type]

        first, second = account.api_keys.all()
        assert [ask(key) for key in (first, second) * 6] == [True] * 10 + [False] * 2


class TestOverview:
    def test_says_where_a_key_stands_and_counts_nothing(self, account: Account, settings: Any) -> None:
        key, text = ApiKey.objects.issue(account=account, name="x", scopes=list(Scope), now=builders.NOW)
        settings.WEBHOOKS_LIMIT_PUBLISH = None
        Client(headers={"authorization": f"Bearer {text}"}).get(AGENTS)

        for _ in range(2):
            assert throttling.overview(key) == {
                "read": {"limit": 3, "window_seconds": 3600, "remaining": 2},
                "manage": {"limit": 5, "window_seconds": 3600, "remaining": 5},
                "test": {"limit": 10, "window_seconds": 60, "remaining": 10},
            }


class TestWithoutRedis:
    def test_publishes_all_the_same(
        self, api: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "_TIMEOUT", test_counting.TIMEOUT)
        with test_counting.silent() as settings.REDIS_URL:
            answers = [api.post(EVENTS, DRAFT, content_type="application/json") for _ in range(5)]

        assert [answer.status_code for answer in answers] == [202] * 4 + [429]


def ask_at_once(url: str, key: str, requests: int) -> Counter[int]:
    """Make so many GETs at once, each in a thread, and count the answers by their status."""
    start = Barrier(requests)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(_: int) -> int:
        start.wait()
        try:
            with opener.open(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    with ThreadPoolExecutor(requests) as pool:
        return Counter(pool.map(ask, range(requests)))


@pytest.mark.slow
class TestTwoHundredAtOnce:
    @pytest.mark.postgresql
    def test_are_counted_together_by_two_processes(self, tmp_path: Path) -> None:
        # On a busy machine a process would take Redis for away, and count alone.
        patient = "from deliveries import counting\ncounting._TIMEOUT = counting._SLOW = 10.0\n"
        (tmp_path / "sitecustomize.py").write_text(patient)
        with installation(WEBHOOKS_LIMIT_READ="50/hour", PYTHONPATH=f"{tmp_path}:{ROOT}") as stack:
            stack.make_account()
            stack.start_web(workers=2)
            statuses = ask_at_once(f"http://127.0.0.1:{stack.port}{AGENTS}", stack.key, 200)
            assert "limits.no_redis" not in stack.log("web")

        assert statuses.keys() == {200, 429}
        assert 50 <= statuses[200] <= 52

    @pytest.mark.sqlite
    def test_are_counted_in_memory(self, tmp_path: Path) -> None:
        with service.running(tmp_path / "var", environment={"WEBHOOKS_LIMIT_READ": "50/hour"}) as running:
            papers = running.papers
            statuses = ask_at_once(f"{papers['url']}{AGENTS}", papers["api_key"], 200)

        assert statuses.keys() == {200, 429}
        assert 50 <= statuses[200] <= 52
