"""Entity tags and conditions, in both contracts. RFC 9110, section 13."""

import re
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import pytest
from django.test import Client

from deliveries.models import Account, Webhook
from tests import builders
from tests.api.conftest import AtOnce

FAILED_IN_A = {"error": "Precondition Failed"}
FAILED_IN_B = {
    "success": False,
    "message": "The resource has changed since it was read, or is not the one that is wanted.",
}
# %s is the tag of the resource as it is.
NAMING_IT = ["%s", "*", " * ", '"x", %s', '%s,"x"', ',, %s ,"a,b",', '"\xe9",%s', '"",%s']
NAMING_IT_WEAKLY = ["W/%s", '"x", W/%s']
NOT_NAMING_IT = [
    "",
    "x",
    '"x"',
    '"x", "y"',
    "W/",
    "w/%s",
    "W/ %s",
    "%s %s",
    "%s, x",
    '"%s"',
    "*, %s",
    "'*'",
    '"a"%s',
    '"a b",%s',
    "," * 4000,
]


@pytest.fixture
def webhook(account: Account) -> Webhook:
    """A webhook of an agent."""
    return builders.a_webhook(agent=builders.an_agent(account))


def in_a(webhook: Webhook) -> str:
    return f"/api/v4/tasks/webhooks/{webhook.pk}"


def in_b(webhook: Webhook) -> str:
    return f"/api/v1/agents/{webhook.agent_id}/webhooks/{webhook.pk}"


def tag_of(api: Client, path: str) -> str:
    tag: str = api.get(path).headers["ETag"]
    return tag


def change(api: Client, path: str, **headers: str) -> Any:
    return api.put(path, {"name": "New"}, content_type="application/json", headers=headers)


both = pytest.mark.parametrize("path_of", [in_a, in_b])


class TestATag:
    @both
    def test_is_strong_and_the_same_until_something_changes(
        self, api: Client, webhook: Webhook, path_of: Callable[[Webhook], str]
    ) -> None:
        path = path_of(webhook)
        first = tag_of(api, path)

        assert re.fullmatch(r'"[0-9a-f]{32}"', first)
        assert tag_of(api, f"{path}/") == first
        Webhook.objects.update(name="Changed by hand")
        assert tag_of(api, path) != first

    @both
    def test_is_another_for_another_webhook(
        self, api: Client, account: Account, path_of: Callable[[Webhook], str]
    ) -> None:
        agent = builders.an_agent(account)
        tags = {tag_of(api, path_of(builders.a_webhook(agent=agent))) for _ in range(3)}

        assert len(tags) == 3

    def test_comes_with_every_answer_that_shows_the_webhook(self, api: Client, webhook: Webhook) -> None:
        path = in_b(webhook)
        made = api.post(
            path.rpartition("/")[0],
            {"name": "n", "webhook_url": builders.URL, "events": ["*"]},
            content_type="application/json",
        )

        assert made.headers["ETag"] == tag_of(api, made.headers["Location"])
        assert change(api, path).headers["ETag"] == tag_of(api, path)
        assert api.patch(f"{path}/toggle").headers["ETag"] == tag_of(api, path)

    def test_changes_with_a_secret_nobody_sees(self, api: Client, webhook: Webhook) -> None:
        before = tag_of(api, in_b(webhook))

        assert api.generic("POST", f"{in_b(webhook)}/rotate_secret").status_code == 200

        assert tag_of(api, in_b(webhook)) != before


class TestIfNoneMatch:
    @both
    @pytest.mark.parametrize("header", NAMING_IT + NAMING_IT_WEAKLY)
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_gets_304_where_it_names_what_is_there(
        self, api: Client, webhook: Webhook, path_of: Callable[[Webhook], str], header: str, method: str
    ) -> None:
        tag = tag_of(api, path_of(webhook))

        response = api.generic(method, path_of(webhook), headers={"if-none-match": header.replace("%s", tag)})

        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["ETag"] == tag
        assert response.headers["Cache-Control"] == "no-store"
        assert "Content-Type" not in response.headers

    @both
    @pytest.mark.parametrize("header", NOT_NAMING_IT)
    def test_gets_the_whole_where_it_does_not(
        self, api: Client, webhook: Webhook, path_of: Callable[[Webhook], str], header: str
    ) -> None:
        tag = tag_of(api, path_of(webhook))

        response = api.get(path_of(webhook), headers={"if-none-match": header.replace("%s", tag)})

        assert response.status_code == 200
        assert str(webhook.pk) in response.content.decode()

    @pytest.mark.parametrize("header", ["*", "%s", "W/%s"])
    def test_keeps_a_change_from_what_it_names(self, api: Client, webhook: Webhook, header: str) -> None:
        header = header.replace("%s", tag_of(api, in_b(webhook)))

        response = change(api, in_b(webhook), **{"if-none-match": header})

        assert (response.status_code, response.json()) == (412, FAILED_IN_B)
        assert change(api, in_b(webhook), **{"if-none-match": '"x"'}).status_code == 200


class TestIfMatch:
    @pytest.mark.parametrize("header", NAMING_IT)
    def test_lets_a_change_through_where_it_names_what_is_there(
        self, api: Client, webhook: Webhook, header: str
    ) -> None:
        header = header.replace("%s", tag_of(api, in_b(webhook)))

        assert change(api, in_b(webhook), **{"if-match": header}).status_code == 200

    @pytest.mark.parametrize("header", NOT_NAMING_IT + NAMING_IT_WEAKLY)
    def test_refuses_the_change_where_it_does_not(self, api: Client, webhook: Webhook, header: str) -> None:
        header = header.replace("%s", tag_of(api, in_b(webhook)))

        response = change(api, in_b(webhook), **{"if-match": header})

        assert (response.status_code, response.json()) == (412, FAILED_IN_B)
        assert Webhook.objects.get().name == "CRM call events"

    @pytest.mark.parametrize(
        ("method", "path"), [("PUT", ""), ("DELETE", ""), ("PATCH", "/toggle"), ("POST", "/rotate_secret")]
    )
    def test_guards_every_change(self, api: Client, webhook: Webhook, method: str, path: str) -> None:
        tag = tag_of(api, in_b(webhook))
        before = Webhook.objects.values().get()

        def ask(tag: str) -> Any:
            return api.generic(method, f"{in_b(webhook)}{path}", headers={"if-match": tag})

        refused = ask('"x"')
        assert (refused.status_code, refused.json()) == (412, FAILED_IN_B)
        assert refused.headers["Cache-Control"] == "no-store"
        assert Webhook.objects.values().get() == before
        assert ask(tag).status_code == 200

    def test_comes_before_the_body_is_looked_at(self, api: Client, webhook: Webhook) -> None:
        response = api.put(in_b(webhook), "{", content_type="application/json", headers={"if-match": '"x"'})

        assert response.status_code == 412

    def test_comes_after_the_question_what_is_there(self, api: Client, webhook: Webhook) -> None:
        Webhook.objects.update(enabled=False, deleted_at=builders.NOW)

        assert change(api, in_b(webhook), **{"if-match": '"x"'}).status_code == 404

    @pytest.mark.parametrize(("path_of", "body"), [(in_a, FAILED_IN_A), (in_b, FAILED_IN_B)])
    def test_holds_for_a_get_too(
        self, api: Client, webhook: Webhook, path_of: Callable[[Webhook], str], body: dict[str, Any]
    ) -> None:
        response = api.get(path_of(webhook), headers={"if-match": '"x"'})

        assert (response.status_code, response.json()) == (412, body)
        tag = tag_of(api, path_of(webhook))
        headers = {"if-match": tag, "if-none-match": tag}
        assert api.get(path_of(webhook), headers=headers).status_code == 304

    def test_means_nothing_to_a_test_event(self, api: Client, webhook: Webhook) -> None:
        assert api.post(f"{in_b(webhook)}/test", headers={"if-match": '"x"'}).status_code == 200


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
class TestTwoEditors:
    def test_who_have_read_the_same_do_not_overwrite_each_other(
        self, api: Client, webhook: Webhook, at_once: AtOnce
    ) -> None:
        tag, names = tag_of(api, in_b(webhook)), _in_turn("A", "B")

        def put() -> Any:
            return api.put(
                in_b(webhook),
                {"name": next(names)},
                content_type="application/json",
                headers={"if-match": tag},
            )

        answers: Any = at_once(webhook, put)

        assert sorted(answer.status_code for answer in answers) == [200, 412]
        (won,) = (answer.json()["data"]["name"] for answer in answers if answer.status_code == 200)
        assert Webhook.objects.get().name == won

    def test_who_name_no_version_both_change_it(self, api: Client, webhook: Webhook, at_once: AtOnce) -> None:
        answers: Any = at_once(webhook, lambda: change(api, in_b(webhook)))

        assert [answer.status_code for answer in answers] == [200, 200]

    @pytest.mark.parametrize(("headers", "loser"), [({}, 404), ({"if-match": "*"}, 412)])
    def test_cannot_both_delete_it(
        self, api: Client, webhook: Webhook, at_once: AtOnce, headers: dict[str, str], loser: int
    ) -> None:
        answers: Any = at_once(webhook, lambda: api.delete(in_b(webhook), headers=headers))

        assert sorted(answer.status_code for answer in answers) == [200, loser]


def _in_turn(*texts: str) -> Iterator[str]:
    return cycle(texts)
