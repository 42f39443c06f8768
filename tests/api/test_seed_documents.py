"""The pages the first two contracts were taken from, played word for word.

The pages lie in `seeds/` as they were published. Their commands are sent as they are printed, host, key and
ids of examples exchanged for ours; their answers are compared with ours.
"""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import limits
import pytest
from django.test import Client

from deliveries.api.logs import entries
from deliveries.models import Account, Attempt, Delivery, Failure, Scope, Webhook, WebhookHealth
from tests import builders
from tests.api.conftest import ClientWith

SEEDS = Path(__file__).parent / "seeds"

_COMMAND = re.compile(
    r'^curl (?:-X (?P<method>[A-Z]+) )?"(?P<url>[^"]+)"(?P<rest>(?: \\\n.*)*)', re.MULTILINE
)
_HEADER = re.compile(r'-H "(?P<name>[^:"]+): (?P<value>[^"]*)"')
_ANSWER = re.compile(r"^\{$", re.MULTILINE)
_CODE = re.compile(r"^([45][0-9]{2}) [A-Z]", re.MULTILINE)
_SCOPE = re.compile(r"^Scope: (.+)$", re.MULTILINE)
_STATUS_WORD = re.compile(r"^ +• (\w+) — ", re.MULTILINE)


class Command(NamedTuple):
    """A printed request."""

    method: str
    path: str
    headers: dict[str, str]


class Page(NamedTuple):
    """What a page prints."""

    text: str
    commands: list[Command]
    answers: list[Any]
    codes: set[int]


def page(name: str) -> Page:
    """Return what a page prints."""
    text = (SEEDS / f"{name}.txt").read_text(encoding="utf-8")
    decoder = json.JSONDecoder()
    return Page(
        text=text,
        commands=[_command(match) for match in _COMMAND.finditer(text)],
        answers=[decoder.raw_decode(text, match.start())[0] for match in _ANSWER.finditer(text)],
        codes={int(code) for code in _CODE.findall(text)},
    )


def _command(match: re.Match[str]) -> Command:
    url = urlsplit(match["url"])
    headers = {header["name"].lower(): header["value"] for header in _HEADER.finditer(match["rest"])}
    return Command(match["method"] or "GET", f"{url.path}?{url.query}", headers)


def play(client: Client, command: Command, **ids: Any) -> Any:
    """Send a printed request with the client's key in place of the printed one, and return the answer."""
    path = command.path
    for example, ours in ids.items():
        path = path.replace(example.replace("_", "-"), str(ours))
    assert command.headers["authorization"].startswith("Bearer ")
    headers = {name: value for name, value in command.headers.items() if name != "authorization"}
    return client.generic(command.method, path, headers=headers)


def shape(value: Any) -> Any:
    """Return the keys of a JSON value, in order, and the types of what they hold."""
    if isinstance(value, dict):
        return [(name, shape(child)) for name, child in value.items()]
    return [shape(child) for child in value] if isinstance(value, list) else type(value)


class TestPages:
    @pytest.mark.parametrize(
        ("name", "commands", "answers", "codes"),
        [
            ("list_webhook_failures", 2, 1, {401, 403, 422, 429}),
            ("retrigger_webhook_failure", 1, 1, {401, 403, 404, 409, 429}),
            ("list_webhook_delivery_logs", 2, 2, set()),
        ],
    )
    def test_are_read_completely(self, name: str, commands: int, answers: int, codes: set[int]) -> None:
        """Otherwise the tests below would be content with having nothing to compare."""
        read = page(name)

        assert (len(read.commands), len(read.answers), read.codes) == (commands, answers, codes)


@pytest.fixture
def printed_failure(account: Account) -> Failure:
    """The failure both pages of the failures API print."""
    (answer,) = page("list_webhook_failures").answers
    (printed,) = answer["webhook_failures"]
    created_at = datetime.fromisoformat(printed["created_at"])
    delivery = builders.a_failed_delivery(
        builders.a_webhook(account, name=printed["webhook"]["name"]), created_at=created_at
    )
    Failure.objects.update(
        id=printed["id"],
        webhook_id=printed["webhook"]["id"],
        last_attempt_at=datetime.fromisoformat(printed["last_attempt_at"]),
        updated_at=datetime.fromisoformat(printed["updated_at"]),
    )
    return Failure.objects.get(delivery=delivery)


class TestListWebhookFailures:
    read = page("list_webhook_failures")

    @pytest.mark.parametrize("command", read.commands, ids=["minimal", "filtered"])
    def test_answers_as_printed(
        self, client_with: ClientWith, printed_failure: Failure, command: Command
    ) -> None:
        (scope,) = _SCOPE.findall(self.read.text)

        response = play(client_with(Scope(scope)), command)

        assert response.status_code == 200
        assert response.json() == self.read.answers[0]
        assert shape(response.json()) == shape(self.read.answers[0])

    def test_answers_with_every_code_it_prints(
        self, client: Client, api: Client, client_with: ClientWith, settings: Any
    ) -> None:
        settings.WEBHOOKS_LIMIT_READ = limits.parse("1/minute")
        command = self.read.commands[1]
        invalid = command._replace(path=command.path.replace("2026-03-01T00:00:00Z", "yesterday"))

        codes = {
            play(client, command).status_code,
            play(client_with(), command).status_code,
            play(api, invalid).status_code,
            play(api, invalid).status_code,
        }

        assert codes == self.read.codes


class TestRetriggerWebhookFailure:
    read = page("retrigger_webhook_failure")

    def test_answers_as_printed(self, client_with: ClientWith, printed_failure: Failure) -> None:
        (scope,) = _SCOPE.findall(self.read.text)

        response = play(client_with(Scope(scope)), self.read.commands[0])

        assert response.status_code == 200
        ours, printed = response.json()["webhook_failure"], self.read.answers[0]["webhook_failure"]
        now = {"last_attempt_at": ours["updated_at"], "updated_at": ours["updated_at"]}
        assert ours == {**printed, **now}
        assert shape(response.json()) == shape(self.read.answers[0])

    def test_answers_with_every_code_it_prints(
        self,
        client: Client,
        api: Client,
        client_with: ClientWith,
        printed_failure: Failure,
        settings: Any,
    ) -> None:
        settings.WEBHOOKS_LIMIT_MANAGE = limits.parse("3/minute")
        (command,) = self.read.commands
        unknown = command._replace(path=command.path.replace("aabbcc", "ccbbaa"))
        play(api, command)

        codes = {
            play(client, command).status_code,
            play(client_with(), command).status_code,
            play(api, unknown).status_code,
            play(api, command).status_code,
            play(api, command).status_code,
        }

        assert codes == self.read.codes


@pytest.fixture
def printed_logs(account: Account) -> Webhook:
    """The webhook with the logs the page of the logs API prints, and as many more as it says there are."""
    answer = page("list_webhook_delivery_logs").answers[0]
    webhook = builders.a_webhook(agent=builders.an_agent(account))
    for printed in answer["data"]:
        duration = timedelta(milliseconds=printed["duration_ms"])
        ended_at = printed.get("delivered_at", printed["created_at"])
        _an_attempt(
            webhook,
            type=printed["event"],
            number=printed["attempt"],
            http_status=printed["http_status"],
            created_at=datetime.fromisoformat(printed["created_at"]),
            started_at=datetime.fromisoformat(ended_at) - duration,
            duration=duration,
        )
    older = _an_attempt(webhook, created_at=datetime.fromisoformat("2024-01-15T10:00:00Z"))
    for number in range(2, answer["pagination"]["total"] - len(answer["data"]) + 1):
        builders.an_attempt(older.delivery, number=number, created_at=older.created_at)
    return webhook


def _an_attempt(webhook: Webhook, *, type: str = "call.ended", **changes: Any) -> Attempt:  # noqa: A002
    status = Delivery.Status.SUCCEEDED if changes.get("http_status") == 200 else Delivery.Status.FAILED
    delivery = builders.a_failed_delivery(
        webhook,
        status=status,
        attempts_made=changes.get("number", 1),
        event=builders.an_event(webhook.account, agent=webhook.agent, type=type),
    )
    delivery.attempts.all().delete()
    WebhookHealth.objects.forget({webhook.pk: 1})
    return builders.an_attempt(delivery, **changes)


class TestListWebhookDeliveryLogs:
    read = page("list_webhook_delivery_logs")

    def test_prints_one_request_and_answer_twice(self) -> None:
        assert self.read.commands[0] == self.read.commands[1]
        assert self.read.answers[0] == self.read.answers[1]

    def test_answers_as_printed(self, api: Client, printed_logs: Webhook) -> None:
        response = play(
            api, self.read.commands[0], agent_uuid=printed_logs.agent_id, webhook_uuid=printed_logs.pk
        )

        assert response.status_code == 200
        answer, printed_answer = response.json(), self.read.answers[0]
        assert list(answer) == list(printed_answer)
        assert list(answer["pagination"].items()) == list(printed_answer["pagination"].items())
        for ours, printed in zip(answer["data"], printed_answer["data"], strict=False):
            # Every key is always there with us; the page leaves some out.
            assert [name for name in ours if name in printed] == list(printed)
            own = {"id": ours["id"], "webhook_id": str(printed_logs.pk)}
            assert ours == {**ours, **printed, **own}
            assert shape({name: ours[name] for name in printed}) == shape(printed)

    def test_uses_the_status_words_it_prints(self) -> None:
        words = _STATUS_WORD.findall(self.read.text)

        assert set(words) == {entries.PENDING, entries.SUCCESS, entries.RETRYING, entries.FAILED}
